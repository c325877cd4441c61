/* The bodies of answers: items, pages, sums, sessions and fates. */
#include <stdio.h>
#include <stdlib.h>

#include "client/answer.h"
#include "client/json_reader.h"
#include "client/txn_reply.h"

/* ---- items ----
 *
 * A result's memory is one block: the items, then room for all that is decoded, which is never more
 * than what it is decoded from. */

struct page {
    struct minikv_item *items;
    size_t items_count, items_max;
    uint8_t *bytes; /* the next to be written */
};

static struct minikv_bytes read_bytes(struct page *page, struct reader *reader, bool is_base64)
{
    struct minikv_bytes bytes = {page->bytes, 0};
    if (is_base64)
        reader_base64(reader, page->bytes, &bytes.count);
    else
        reader_string(reader, page->bytes, &bytes.count);
    page->bytes += bytes.count;
    return bytes;
}

/* False when it is none of an item's members. */
static bool read_member(struct page *page, struct reader *reader, struct bytes name,
                        struct minikv_item *item)
{
    if (bytes_equal_text(name, "key") || bytes_equal_text(name, "key_base64"))
        item->key = read_bytes(page, reader, name.count > 3);
    else if (bytes_equal_text(name, "value") || bytes_equal_text(name, "value_base64"))
        item->value = read_bytes(page, reader, name.count > 5);
    else if (bytes_equal_text(name, "create_revision"))
        reader_u64(reader, &item->create_revision);
    else if (bytes_equal_text(name, "mod_revision"))
        reader_u64(reader, &item->mod_revision);
    else if (bytes_equal_text(name, "version"))
        reader_u64(reader, &item->version);
    else if (bytes_equal_text(name, "lease"))
        reader_u64(reader, &item->lease);
    else
        return false;
    return true;
}

static void read_item(struct page *page, struct reader *reader)
{
    struct bytes name;
    struct minikv_item item = {0};
    reader_object(reader);
    while (reader_member(reader, &name))
        if (!read_member(page, reader, name, &item))
            reader_skip(reader);
    if (item.key.data == NULL || page->items_count == page->items_max)
        reader->is_bad = true;
    else
        page->items[page->items_count++] = item;
}

static bool page_open(struct page *page, size_t items_max, size_t body_bytes,
                      struct minikv_result *result)
{
    size_t items_bytes = items_max * sizeof *page->items;
    result->memory = malloc(items_bytes + body_bytes + 1);
    if (result->memory == NULL)
        return false;
    *page = (struct page){.items = result->memory,
                          .items_max = items_max,
                          .bytes = (uint8_t *)result->memory + items_bytes};
    return true;
}

static enum status decode_item(const struct http_reply *reply, struct minikv_result *result)
{
    struct page page;
    struct reader reader;
    if (!page_open(&page, 1, reply->body_bytes, result))
        return ST_NO_MEMORY;
    reader_init(&reader, http_reply_body(reply));
    read_item(&page, &reader);
    if (!reader_end(&reader))
        return ST_BAD_JSON;
    result->items = page.items;
    result->items_count = 1;
    result->revision = page.items[0].mod_revision;
    return ST_OK;
}

/* ---- pages ---- */

static size_t count_items(struct bytes body)
{
    struct reader reader;
    struct bytes name;
    size_t count = 0;
    reader_init(&reader, body);
    reader_object(&reader);
    while (reader_member(&reader, &name)) {
        if (!bytes_equal_text(name, "items")) {
            reader_skip(&reader);
            continue;
        }
        reader_array(&reader);
        while (reader_element(&reader)) {
            reader_skip(&reader);
            count++;
        }
    }
    return count;
}

static enum status decode_page(const struct http_reply *reply, struct minikv_result *result)
{
    struct page page;
    struct reader reader;
    struct bytes name;
    if (!page_open(&page, count_items(http_reply_body(reply)), reply->body_bytes, result))
        return ST_NO_MEMORY;
    reader_init(&reader, http_reply_body(reply));
    reader_object(&reader);
    while (reader_member(&reader, &name)) {
        if (bytes_equal_text(name, "items")) {
            reader_array(&reader);
            while (reader_element(&reader))
                read_item(&page, &reader);
        } else if (bytes_equal_text(name, "revision")) {
            reader_u64(&reader, &result->revision);
        } else if (bytes_equal_text(name, "next_base64")) {
            result->next = read_bytes(&page, &reader, true);
        } else if (bytes_equal_text(name, "next")) {
            if (!reader_null(&reader))
                result->next = read_bytes(&page, &reader, false);
        } else {
            reader_skip(&reader);
        }
    }
    if (!reader_end(&reader))
        return ST_BAD_JSON;
    result->items = page.items;
    result->items_count = page.items_count;
    return ST_OK;
}

/* ---- sums and bodies ---- */

/* Whether there is one. `txn` is of the answer to a transaction, if it is one. */
static bool read_sum(struct reader *reader, int64_t *out_number, struct txn_reply *txn)
{
    struct bytes name;
    bool is_there = false;
    reader_object(reader);
    while (reader_member(reader, &name)) {
        if (bytes_equal_text(name, "value")) {
            reader_i64(reader, out_number);
            is_there = true;
        } else if (!txn_reply_member(txn, reader, name)) {
            reader_skip(reader);
        }
    }
    return is_there;
}

static enum status decode_sum(const struct http_reply *reply, struct minikv_result *result)
{
    struct reader reader;
    struct txn_reply none = {0};
    reader_init(&reader, http_reply_body(reply));
    bool is_there = read_sum(&reader, &result->number, &none);
    return reader_end(&reader) && is_there ? ST_OK : ST_BAD_JSON;
}

static enum status copy_body(const struct http_reply *reply, struct minikv_result *result)
{
    if (reply->body_bytes == 0)
        return ST_OK;
    result->memory = malloc(reply->body_bytes);
    if (result->memory == NULL)
        return ST_NO_MEMORY;
    memcpy(result->memory, reply->body, reply->body_bytes);
    result->body = (struct minikv_bytes){result->memory, reply->body_bytes};
    return ST_OK;
}

enum status answer_decode(enum minikv_op op, const struct http_reply *reply,
                          struct minikv_result *result)
{
    enum status status = ST_OK;
    switch (op) {
    case MINIKV_PUT:
    case MINIKV_DELETE:
        break;
    case MINIKV_GET:
        status = decode_item(reply, result);
        break;
    case MINIKV_INCR:
        status = decode_sum(reply, result);
        break;
    case MINIKV_LIST:
        status = decode_page(reply, result);
        break;
    case MINIKV_CALL:
        status = copy_body(reply, result);
        break;
    }
    if (status != ST_OK) {
        free(result->memory);
        result->memory = NULL;
        result->next = (struct minikv_bytes){0};
    }
    return status;
}

/* ---- sessions and fates ---- */

enum status answer_decode_session(const struct http_reply *reply,
                                  char out_client[MINIKV_CLIENT_ID_MAX + 1])
{
    struct reader reader;
    struct bytes name;
    char client[MINIKV_CLIENT_ID_MAX + 1] = "";
    reader_init(&reader, http_reply_body(reply));
    reader_object(&reader);
    while (reader_member(&reader, &name)) {
        if (bytes_equal_text(name, "client"))
            reader_text(&reader, client, sizeof client);
        else
            reader_skip(&reader);
    }
    if (!reader_end(&reader) || client[0] == '\0')
        return ST_BAD_JSON;
    memcpy(out_client, client, sizeof client);
    return ST_OK;
}

/* A transaction whose compares did not hold is a condition that failed, and if it only read then,
 * nothing has changed. */
static void judge_txn(const struct txn_reply *txn, struct minikv_result *result)
{
    if (!txn->is_one)
        return;
    result->revision = txn->revision;
    if (txn->has_succeeded)
        return;
    result->code = MINIKV_CONDITION_FAILED;
    if (!txn->has_changes)
        result->effect = MINIKV_NOT_APPLIED;
}

/* {"status":200,"etag":"\"7\"","body":{"value":5}}, or with "type" when it was refused. */
static void read_answer(struct reader *reader, struct minikv_result *result)
{
    struct bytes name;
    struct txn_reply txn = {0};
    char etag[32] = "", type[64] = "";
    uint64_t http_code = 0;
    enum status status = ST_OK;
    reader_object(reader);
    while (reader_member(reader, &name)) {
        if (bytes_equal_text(name, "status"))
            reader_u64(reader, &http_code);
        else if (bytes_equal_text(name, "etag"))
            reader_text(reader, etag, sizeof etag);
        else if (bytes_equal_text(name, "type"))
            reader_text(reader, type, sizeof type);
        else if (bytes_equal_text(name, "body"))
            (void)read_sum(reader, &result->number, &txn); /* of an increment, a transaction … */
        else
            reader_skip(reader);
    }
    bool is_refused = type[0] != '\0';
    if (http_code < 200 || http_code > 599 || is_refused != (http_code >= 300) ||
        (is_refused && !status_of_type(type, &status)))
        reader->is_bad = true;
    result->effect = is_refused ? MINIKV_NOT_APPLIED : MINIKV_APPLIED;
    result->code = answer_code(status);
    result->revision = answer_revision(etag);
    result->http_code = (int)MIN(http_code, 599u);
    (void)snprintf(result->word, sizeof result->word, "%s", is_refused ? status_word(status) : "");
    judge_txn(&txn, result);
}

static bool find_fate(const char *word, enum minikv_fate *out_fate)
{
    static const char *const words[] = {[MINIKV_FATE_APPLIED] = "applied",
                                        [MINIKV_FATE_PENDING] = "pending",
                                        [MINIKV_FATE_UNSEEN] = "unseen",
                                        [MINIKV_FATE_NEVER] = "never",
                                        [MINIKV_FATE_EXPIRED] = "expired"};
    for (int fate = MINIKV_FATE_APPLIED; fate <= MINIKV_FATE_EXPIRED; fate++)
        if (strcmp(word, words[fate]) == 0) {
            *out_fate = (enum minikv_fate)fate;
            return true;
        }
    return false;
}

enum status answer_decode_fate(struct bytes body, enum minikv_fate *out_fate,
                               struct minikv_result *result)
{
    struct reader reader;
    struct bytes name;
    struct minikv_result applied = {0};
    char word[16] = "";
    enum minikv_fate fate;
    reader_init(&reader, body);
    reader_object(&reader);
    while (reader_member(&reader, &name)) {
        if (bytes_equal_text(name, "outcome"))
            reader_text(&reader, word, sizeof word);
        else if (bytes_equal_text(name, "answer"))
            read_answer(&reader, &applied);
        else
            reader_skip(&reader);
    }
    bool is_good = reader_end(&reader) && find_fate(word, &fate);
    if (!is_good || (fate == MINIKV_FATE_APPLIED && applied.http_code == 0))
        return ST_BAD_JSON;
    *out_fate = fate;
    if (fate != MINIKV_FATE_APPLIED)
        return ST_OK;
    result->code = applied.code;
    result->effect = applied.effect;
    result->revision = applied.revision;
    result->number = applied.number;
    result->http_code = applied.http_code;
    memcpy(result->word, applied.word, sizeof applied.word);
    return ST_OK;
}
