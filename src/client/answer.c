#include "client/answer.h"

#include <stdio.h>

#include "client/json_reader.h"

/* ---- the table of status, without the checks that abort ---- */

static const struct {
    const char *word, *title;
    enum effect effect;
} table[] = {
#define ROW(name, code, http, effect, retry, exit, title)                                          \
    [ST_##name] = {code, title, EFFECT_##effect},
    STATUS_TABLE(ROW)
#undef ROW
};

const char *status_word(enum status status)
{
    return table[status].word;
}

const char *status_title(enum status status)
{
    return table[status].title;
}

bool status_of_type(const char *type, enum status *out_status)
{
    if (strncmp(type, STATUS_URN, sizeof STATUS_URN - 1) != 0)
        return false;
    struct bytes word = bytes_of_text(type + sizeof STATUS_URN - 1);
    for (int status = 0; status < STATUS_COUNT; status++)
        if (bytes_equal_text(word, table[status].word)) {
            *out_status = (enum status)status;
            return true;
        }
    return false;
}

static enum status status_by_code(int code)
{
    switch (code) {
    case 307:
        return ST_NOT_LEADER;
    case 408:
        return ST_REQUEST_TIMEOUT;
    case 412:
        return ST_CONDITION_FAILED;
    case 502:
        return ST_LINK_LOST;
    case 503:
        return ST_NO_LEADER;
    case 504:
        return ST_TIMEOUT;
    default:
        return code < 500 ? ST_BAD_REQUEST : ST_IO;
    }
}

bool answer_settles(enum status status)
{
    static const enum status settled[] = {ST_OK,
                                          ST_CONDITION_FAILED,
                                          ST_NOT_INTEGER,
                                          ST_OVERFLOW,
                                          ST_LEASE_NOT_FOUND,
                                          ST_LEASE_EXISTS,
                                          ST_DUPLICATE_KEY,
                                          ST_TXN_TOO_LARGE,
                                          ST_COMPACTED,
                                          ST_SEALED,
                                          ST_IDENTITY_REUSED};
    for (size_t i = 0; i < ARRAY_COUNT(settled); i++)
        if (settled[i] == status)
            return true;
    return false;
}

enum minikv_code answer_code(enum status status)
{
    static const struct {
        enum status status;
        enum minikv_code code;
    } codes[] = {
        {ST_OK, MINIKV_OK},
        {ST_NOT_FOUND, MINIKV_NOT_FOUND},
        {ST_UNKNOWN_MEMBER, MINIKV_NOT_FOUND},
        {ST_LEASE_NOT_FOUND, MINIKV_NOT_FOUND},
        {ST_CONDITION_FAILED, MINIKV_CONDITION_FAILED},
        {ST_NOT_INTEGER, MINIKV_NOT_INTEGER},
        {ST_OVERFLOW, MINIKV_OVERFLOW},
        {ST_STATE_FULL, MINIKV_FULL},
        {ST_NO_SPACE, MINIKV_FULL},
        {ST_SESSIONS_FULL, MINIKV_FULL},
        {ST_LEASES_FULL, MINIKV_FULL},
        {ST_NOT_LEADER, MINIKV_UNAVAILABLE},
        {ST_NO_LEADER, MINIKV_UNAVAILABLE},
        {ST_LEADER_UNREACHABLE, MINIKV_UNAVAILABLE},
        {ST_LEADER_NOT_ANNOUNCED, MINIKV_UNAVAILABLE},
        {ST_ALREADY_FORWARDED, MINIKV_UNAVAILABLE},
        {ST_BUSY, MINIKV_UNAVAILABLE},
        {ST_CHANGE_OPEN, MINIKV_UNAVAILABLE},
        {ST_FENCED, MINIKV_UNAVAILABLE},
        {ST_NOT_READY, MINIKV_UNAVAILABLE},
        {ST_SHUTTING_DOWN, MINIKV_UNAVAILABLE},
        {ST_REQUEST_TIMEOUT, MINIKV_UNAVAILABLE},
        {ST_LINK_LOST, MINIKV_UNAVAILABLE},
        {ST_TIMEOUT, MINIKV_UNAVAILABLE},
        {ST_IO, MINIKV_UNAVAILABLE},
        {ST_CORRUPT, MINIKV_UNAVAILABLE},
        {ST_FORMAT, MINIKV_UNAVAILABLE},
        {ST_LOCKED, MINIKV_UNAVAILABLE},
        {ST_LIMIT, MINIKV_UNAVAILABLE},
        {ST_SHORT, MINIKV_UNAVAILABLE},
        {ST_NO_MEMORY, MINIKV_UNAVAILABLE}, /* of the node */
        {ST_CLOSED, MINIKV_UNAVAILABLE},
    };
    for (size_t i = 0; i < ARRAY_COUNT(codes); i++)
        if (codes[i].status == status)
            return codes[i].code;
    return MINIKV_REFUSED;
}

/* ---- headers ---- */

uint64_t answer_revision(const char *etag)
{
    uint64_t revision = 0;
    size_t digits = etag != NULL && *etag == '"' ? strspn(etag + 1, "0123456789") : 0;
    if (digits == 0 || digits > 19 || strcmp(etag + 1 + digits, "\"") != 0)
        return 0;
    for (size_t i = 1; i <= digits; i++)
        revision = revision * 10 + (uint64_t)(etag[i] - '0');
    return revision;
}

static enum effect read_effect(const struct http_reply *reply, bool is_from_node)
{
    static const struct {
        const char *word;
        enum effect effect;
    } words[] = {{"none", EFFECT_NONE}, {"maybe", EFFECT_MAYBE}, {"applied", EFFECT_APPLIED}};
    const char *text = http_reply_header(reply, "X-MiniKV-Effect");
    for (size_t i = 0; text != NULL && i < ARRAY_COUNT(words); i++)
        if (strcmp(text, words[i].word) == 0)
            return words[i].effect;
    if (reply->code < 300)
        return EFFECT_APPLIED;
    bool is_early = reply->code < 500 && (is_from_node || reply->code != 408);
    return is_early ? EFFECT_NONE : EFFECT_MAYBE;
}

/* ---- problem documents ---- */

static void copy_text(struct bytes text, char *out, size_t out_bytes)
{
    size_t count = MIN(text.count, out_bytes - 1);
    if (count != 0)
        memcpy(out, text.data, count);
    out[count] = '\0';
}

static void read_problem(const struct http_reply *reply, struct answer *answer)
{
    struct reader reader;
    struct bytes name;
    char type[64] = "", detail[sizeof answer->detail] = "";
    reader_init(&reader, http_reply_body(reply));
    reader_object(&reader);
    while (reader_member(&reader, &name)) {
        if (bytes_equal_text(name, "type"))
            reader_text(&reader, type, sizeof type);
        else if (bytes_equal_text(name, "detail"))
            reader_text(&reader, detail, sizeof detail);
        else
            reader_skip(&reader);
    }
    if (!reader_end(&reader) || strncmp(type, STATUS_URN, sizeof STATUS_URN - 1) != 0) {
        (void)snprintf(answer->detail, sizeof answer->detail, "the reply says %d", reply->code);
        return;
    }
    (void)status_of_type(type, &answer->status); /* an unknown word: as its code says */
    copy_text(bytes_of_text(type + sizeof STATUS_URN - 1), answer->word, sizeof answer->word);
    memcpy(answer->detail, detail, sizeof detail);
}

void answer_read(const struct http_reply *reply, struct answer *out_answer)
{
    struct answer *answer = out_answer;
    const char *leader = http_reply_header(reply, "X-Leader-HTTP");
    const char *replayed = http_reply_header(reply, "X-MiniKV-Replayed");
    *answer = (struct answer){
        .code = reply->code,
        .is_from_node = http_reply_header(reply, "X-MiniKV-Node") != NULL,
        .is_replayed = replayed != NULL && strcmp(replayed, "true") == 0,
        .knows_leader = http_reply_header(reply, "X-Leader") != NULL,
        .node = (int)MIN(http_reply_number(reply, "X-MiniKV-Node"), (uint64_t)NODE_ID_MAX),
        .forwards_count = (unsigned)MIN(http_reply_number(reply, "X-MiniKV-Hops"), 1000u),
        .term = http_reply_number(reply, "X-MiniKV-Term"),
        .revision = answer_revision(http_reply_header(reply, "ETag")),
        .status = reply->code < 300 ? ST_OK : status_by_code(reply->code),
    };
    answer->effect = read_effect(reply, answer->is_from_node);
    if (leader == NULL || address_parse(bytes_of_text(leader), &answer->leader) != ST_OK)
        answer->leader = (struct address){0};
    redirect_read(reply, &answer->redirect);
    if (reply->code >= 300)
        read_problem(reply, answer);
}
