#include "http/etag.h"

#include "base/check.h"

/* "digits" with the quotes: what this server puts into ETag. */
static bool parse_quoted_revision(struct bytes value, uint64_t *out_revision)
{
    if (value.count < 3 || value.count > 21 || value.data[0] != '"' ||
        value.data[value.count - 1] != '"')
        return false;
    if (value.data[1] == '0' && value.count > 3)
        return false; /* tags are compared as text: "07" is not "7" */
    uint64_t revision = 0;
    for (size_t i = 1; i + 1 < value.count; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return false;
        revision = revision * 10 + (uint64_t)(value.data[i] - '0');
    }
    *out_revision = revision;
    return true;
}

enum status condition_parse(enum etag_header header, struct bytes value,
                            enum condition *out_condition, uint64_t *out_revision,
                            struct errtext *error)
{
    const char *name = header == ETAG_IF_MATCH ? "If-Match" : "If-None-Match";
    uint64_t revision = 0;
    if (bytes_equal_text(value, "*")) {
        *out_condition = header == ETAG_IF_MATCH ? CONDITION_EXISTS : CONDITION_ABSENT;
        *out_revision = 0;
        return ST_OK;
    }
    if (parse_quoted_revision(value, &revision)) {
        *out_condition = header == ETAG_IF_MATCH ? CONDITION_REVISION : CONDITION_NOT_REVISION;
        *out_revision = revision;
        return ST_OK;
    }
    if (bytes_has_prefix(value, BYTES_LITERAL("W/")))
        errtext_set(error, "%s: weak tags cannot be compared here; send \"<mod_revision>\"", name);
    else if (value.count != 0 && memchr(value.data, ',', value.count) != NULL)
        errtext_set(error, "%s: one tag, not a list; send \"<mod_revision>\" or *", name);
    else
        errtext_set(error, "%s: send \"<mod_revision>\" with the quotes, as in ETag, or *", name);
    return ST_BAD_CONDITION;
}

bool condition_holds(enum condition condition, uint64_t condition_revision, uint64_t mod_revision)
{
    switch (condition) {
    case CONDITION_NONE:
        return true;
    case CONDITION_REVISION:
        return mod_revision != 0 && mod_revision == condition_revision;
    case CONDITION_EXISTS:
        return mod_revision != 0;
    case CONDITION_ABSENT:
        return mod_revision == 0;
    case CONDITION_NOT_REVISION:
        return mod_revision == 0 || mod_revision != condition_revision;
    }
    UNREACHABLE();
}
