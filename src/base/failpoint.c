/* Failpoints: which there are, which are armed, and what happens there. Not for releases. */
#include "base/failpoint.h"

#ifdef MINIKV_FAILPOINTS

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"

enum { ARMED_MAX = 256, TEXT_BYTES_MAX = 47 };

bool failpoint_is_armed;

static const struct failpoint {
    const char *name;
    const char *where;
    const char *drop; /* what is left out; NULL: the place knows no drop */
} failpoints[] = {
    {"http.parsed", "head and body are read, nothing is submitted yet", NULL},
    {"http.submitted", "the node has the request and has not looked at it", NULL},
    {"node.held", "put on hold: no leader, or no link to it", NULL},
    {"node.forward", "numbered and fenced, before the envelope is queued", "the envelope"},
    {"node.taken", "the leader took the number, before it makes an entry", "the command"},
    {"node.appended", "in this node's log in memory; nothing is written or sent", NULL},
    {"peer.received", "a message between nodes has come, nobody has looked at it", "the message"},
    {"peer.sent", "the socket has the envelope or the append", NULL},
    {"wal.synced", "the disk has the entry, the node does not know", "success: the sync failed"},
    {"node.committed", "commit is known here, before apply", NULL},
    {"node.applied", "applied here, before anybody is answered", NULL},
    {"http.replying", "the answer is known, no byte of it written", "the reply: the link breaks"},
    {"http.replied", "the socket has the reply", NULL},
};

enum action { ACTION_CRASH, ACTION_STOP, ACTION_DROP, ACTION_ABORT };
static const char *const actions[] = {"crash", "stop", "drop", "abort"};

static struct armed {
    const struct failpoint *failpoint;
    enum action action;
    unsigned long hit; /* 0: every one */
    unsigned long hits_count;
    char text[TEXT_BYTES_MAX + 1];
} armed[ARMED_MAX];
static size_t armed_count;

static const struct failpoint *find(struct bytes name)
{
    for (size_t i = 0; i < ARRAY_COUNT(failpoints); i++)
        if (bytes_equal_text(name, failpoints[i].name))
            return &failpoints[i];
    return NULL;
}

static bool matches(struct armed *one, const char *name, struct bytes bytes)
{
    size_t text_bytes = strlen(one->text);
    if (strcmp(one->failpoint->name, name) != 0 ||
        (text_bytes != 0 &&
         (bytes.count == 0 || memmem(bytes.data, bytes.count, one->text, text_bytes) == NULL)))
        return false;
    one->hits_count++;
    return one->hit == 0 || one->hits_count == one->hit;
}

bool failpoint_hit(const char *name, struct bytes bytes)
{
    INVARIANT(find(bytes_of_text(name)) != NULL); /* else it could never be armed */
    bool is_dropped = false;
    for (size_t i = 0; i < armed_count; i++) {
        if (!matches(&armed[i], name, bytes))
            continue;
        (void)fprintf(stderr, "failpoint %s: %s %s\n", name, actions[armed[i].action],
                      armed[i].text);
        switch (armed[i].action) {
        case ACTION_CRASH:
            (void)raise(SIGKILL);
            break;
        case ACTION_STOP:
            (void)raise(SIGSTOP);
            break;
        case ACTION_DROP:
            is_dropped = true;
            break;
        case ACTION_ABORT:
            check_failed("INVARIANT", "a failpoint says so", __FILE__, __LINE__);
        }
    }
    return is_dropped;
}

/* ---- the setting ---- */

/* What stands before `mark`, or all of it; `rest` is left with what follows the mark. */
static struct bytes take_until(struct bytes *rest, char mark, bool *out_is_found)
{
    const uint8_t *at = rest->count == 0 ? NULL : memchr(rest->data, mark, rest->count);
    size_t count = at == NULL ? rest->count : (size_t)(at - rest->data);
    struct bytes taken = bytes_of(rest->data, count);
    size_t skip = at == NULL ? count : count + 1;
    *rest = bytes_of(rest->data + skip, rest->count - skip);
    *out_is_found = at != NULL;
    return taken;
}

static bool parse_action(struct bytes text, enum action *out_action)
{
    for (size_t i = 0; i < ARRAY_COUNT(actions); i++) {
        *out_action = (enum action)i;
        if (bytes_equal_text(text, actions[i]))
            return true;
    }
    return false;
}

static bool parse_hit(struct bytes text, unsigned long *out_hit)
{
    unsigned long hit = 0;
    for (size_t i = 0; i < text.count; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        hit = hit * 10 + (text.data[i] - '0');
    }
    *out_hit = hit;
    return hit != 0 && text.count < 10;
}

/* NULL: well-formed; else what is wrong. */
static const char *parse_one(struct bytes text, struct armed *one)
{
    bool has_action, has_hit, has_text;
    *one = (struct armed){.failpoint = find(take_until(&text, '=', &has_action))};
    if (one->failpoint == NULL)
        return "no failpoint has this name";
    struct bytes what = take_until(&text, ':', &has_text);
    struct bytes action = take_until(&what, '@', &has_hit);
    if (!parse_action(action, &one->action))
        return "the action is crash, stop, drop or abort";
    if (one->action == ACTION_DROP && one->failpoint->drop == NULL)
        return "this failpoint has nothing to drop";
    if (has_hit && !parse_hit(what, &one->hit))
        return "the hit is a number from 1";
    if (has_text && (text.count == 0 || text.count > TEXT_BYTES_MAX))
        return "the text is empty or too long";
    if (has_text)
        memcpy(one->text, text.data, text.count);
    return NULL;
}

enum status failpoint_arm(const char *setting, struct errtext *error)
{
    struct bytes rest = bytes_of_text(setting);
    size_t count = 0;
    armed_count = 0;
    failpoint_is_armed = false;
    for (bool has_more = rest.count != 0; has_more; count++) {
        struct bytes one = take_until(&rest, ',', &has_more);
        const char *wrong =
            count == ARMED_MAX ? "too many failpoints" : parse_one(one, &armed[count]);
        if (wrong != NULL) {
            errtext_set(error, "MINIKV_FAILPOINTS: \"%.*s\": %s", (int)MIN(one.count, 100),
                        (const char *)one.data, wrong);
            return ST_BAD_REQUEST;
        }
    }
    armed_count = count;
    failpoint_is_armed = count != 0;
    return ST_OK;
}

/* Before main, so that no program has to know. Taken out of the environment: it is no option, and
 * not meant for the processes that this one may start. */
__attribute__((constructor)) static void arm_from_environment(void)
{
    const char *setting = getenv("MINIKV_FAILPOINTS");
    struct errtext error;
    if (setting == NULL)
        return;
    if (failpoint_arm(setting, &error) != ST_OK) {
        (void)fprintf(stderr, "%s\n", error.text);
        _exit(EXIT_CODE_USAGE);
    }
    (void)unsetenv("MINIKV_FAILPOINTS");
}

#endif
