#include "http/txn_body.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/base64.h"
#include "base/check.h"
#include "base/limits.h"
#include "http/body.h"
#include "kv/leases.h"
#include "kv/txn.h"

struct txn_parse {
    struct buf *out;
    struct buf store; /* owned: what was base64; has room for all there can be, and does not move */
    struct problem *problem;
    size_t depth;
    size_t compares_count, operations_count; /* in all */
    char place[192];                         /* of what is looked at; "": the outermost */
    size_t place_count;
};

static const char example[] =
    "{\"compare\":[{\"key\":\"k\",\"target\":\"version\",\"op\":\"=\",\"value\":0}],"
    "\"success\":[{\"put\":{\"key\":\"k\",\"value\":\"v\"}}],\"failure\":[{\"get\":{\"key\":\"k\"}}"
    "]}";

/* ---- places ---- */

/* Goes into a part of what is looked at; returns where it was, for leave. Every name below the
 * greatest depth fits: "success[127].txn." eight times, and a field. */
__attribute__((format(printf, 2, 3))) static size_t enter(struct txn_parse *parse,
                                                          const char *format, ...)
{
    size_t before = parse->place_count;
    va_list arguments;
    va_start(arguments, format);
    int count = vsnprintf(parse->place + before, sizeof parse->place - before, format, arguments);
    va_end(arguments);
    INVARIANT(count >= 0);
    INVARIANT(before + (size_t)count < sizeof parse->place);
    parse->place_count = before + (size_t)count;
    return before;
}

static void leave(struct txn_parse *parse, size_t before)
{
    parse->place_count = before;
    parse->place[before] = '\0';
}

/* Refuses a field of what is looked at; `field` NULL: itself. Always false. */
__attribute__((format(printf, 4, 5))) static bool
refuse(struct txn_parse *parse, enum status status, const char *field, const char *format, ...)
{
    struct errtext why;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(why.text, sizeof why.text, format, arguments);
    va_end(arguments);
    const char *dot = field != NULL && parse->place_count != 0 ? "." : "";
    const char *whole = field == NULL && parse->place_count == 0 ? "the body" : "";
    problem_set(parse->problem, status, "%s%s%s%s %s", parse->place, dot,
                field != NULL ? field : "", whole, why.text);
    return false;
}

/* ---- fields ---- */

/* An object with no other fields than `names`. */
static bool check_object(struct txn_parse *parse, const json_t *object, const char *const *names)
{
    const char *field;
    json_t *value;
    if (!json_is_object(object))
        return refuse(parse, ST_BAD_FIELD, NULL, "must be an object");
    json_object_foreach((json_t *)object, field, value)
    {
        size_t i = 0;
        while (names[i] != NULL && strcmp(names[i], field) != 0)
            i++;
        if (names[i] == NULL)
            return refuse(parse, ST_BAD_FIELD, NULL, "has an unknown field \"%.64s\"", field);
    }
    return true;
}

static struct bytes string_of(const json_t *string)
{
    return bytes_of(json_string_value(string), json_string_length(string));
}

static bool take_base64(struct txn_parse *parse, const char *name, const json_t *base64,
                        struct bytes *out)
{
    size_t start = parse->store.count;
    if (base64_decode(string_of(base64), &parse->store) != ST_OK)
        return refuse(parse, ST_BAD_ENCODING, name,
                      "is not base64 of the standard alphabet, with padding");
    INVARIANT(!parse->store.is_full);
    *out = bytes_of(parse->store.data + start, parse->store.count - start);
    return true;
}

/* Bytes as a string, or under name_base64; `out_given` false: neither is there. */
static bool take_bytes(struct txn_parse *parse, const json_t *object, const char *name,
                       size_t count_max, struct bytes *out, bool *out_given)
{
    char twin[32];
    (void)snprintf(twin, sizeof twin, "%s_base64", name);
    const json_t *text = json_object_get(object, name);
    const json_t *base64 = json_object_get(object, twin);
    *out_given = text != NULL || base64 != NULL;
    if (!*out_given)
        return true;
    if (text != NULL && base64 != NULL)
        return refuse(parse, ST_BAD_FIELD, name, "and %s are the same: send one of them", twin);
    const char *given = text != NULL ? name : twin;
    if (!json_is_string(text != NULL ? text : base64))
        return refuse(parse, ST_BAD_FIELD, given, "must be a string");
    if (text != NULL)
        *out = string_of(text);
    else if (!take_base64(parse, twin, base64, out))
        return false;
    bool is_value = strcmp(name, "value") == 0;
    if (out->count > count_max)
        return refuse(parse, is_value ? ST_VALUE_TOO_LONG : ST_KEY_TOO_LONG, given,
                      "has %zu bytes; at most %zu are taken", out->count, count_max);
    return true;
}

static bool take_flag(struct txn_parse *parse, const json_t *object, const char *name, bool *out)
{
    const json_t *flag = json_object_get(object, name);
    if (flag != NULL && !json_is_boolean(flag))
        return refuse(parse, ST_BAD_FIELD, name, "must be true or false");
    *out = json_is_true(flag);
    return true;
}

/* Left out: stays as it is. */
static bool take_number(struct txn_parse *parse, const json_t *object, const char *name,
                        uint64_t number_min, uint64_t number_max, uint64_t *out)
{
    const json_t *number = json_object_get(object, name);
    if (number == NULL)
        return true;
    if (!json_is_integer(number) || json_integer_value(number) < 0 ||
        (uint64_t)json_integer_value(number) < number_min ||
        (uint64_t)json_integer_value(number) > number_max)
        return refuse(parse, ST_BAD_FIELD, name, "must be a number from %llu to %llu",
                      (unsigned long long)number_min, (unsigned long long)number_max);
    *out = (uint64_t)json_integer_value(number);
    return true;
}

/* A key, or a range. */
static bool take_place(struct txn_parse *parse, const json_t *object, struct bytes *out_key,
                       struct kv_range *out_range)
{
    bool has_key, has_prefix, has_start, has_end;
    if (!take_bytes(parse, object, "key", LIMIT_KEY_BYTES, out_key, &has_key) ||
        !take_bytes(parse, object, "prefix", LIMIT_KEY_BYTES, &out_range->prefix, &has_prefix) ||
        !take_bytes(parse, object, "start", LIMIT_KEY_BYTES, &out_range->start, &has_start) ||
        !take_bytes(parse, object, "end", LIMIT_KEY_BYTES, &out_range->end, &has_end))
        return false;
    bool has_range = has_prefix || has_start || has_end;
    if (has_key && has_range)
        return refuse(parse, ST_BAD_FIELD, NULL, "names a key and a range: send one of them");
    if (!has_key && !has_range)
        return refuse(parse, ST_BAD_FIELD, NULL,
                      "must have a key, or prefix, start or end; \"prefix\":\"\" means all keys");
    if (has_key && out_key->count == 0)
        return refuse(parse, ST_KEY_EMPTY, "key", "is empty; keys have 1 to 4096 bytes");
    return true;
}

/* ---- compares ---- */

/* The number of a word among words, from 1; 0: it is none of them. */
static int number_of_word(const json_t *word, const char *const *words, size_t words_count)
{
    const char *text = json_string_value(word);
    for (size_t i = 0; text != NULL && i < words_count; i++)
        if (strcmp(text, words[i]) == 0)
            return (int)i + 1;
    return 0;
}

static bool take_operand(struct txn_parse *parse, const json_t *object, struct txn_compare *compare)
{
    bool has_value;
    if (compare->target == TXN_VALUE)
        return take_bytes(parse, object, "value", LIMIT_VALUE_BYTES, &compare->value, &has_value) &&
               (has_value || refuse(parse, ST_BAD_FIELD, "value", "is missing"));
    if (!json_is_integer(json_object_get(object, "value")))
        return refuse(parse, ST_BAD_FIELD, "value", "must be a number, as the target is one");
    if (json_object_get(object, "value_base64") != NULL)
        return refuse(parse, ST_BAD_FIELD, "value_base64", "goes with the target value only");
    return take_number(parse, object, "value", 0, INT64_MAX, &compare->number);
}

static bool parse_compare(struct txn_parse *parse, const json_t *object)
{
    /* In the order of their enums. */
    static const char *const targets[] = {"value", "version", "create_revision", "mod_revision",
                                          "lease"};
    static const char *const relations[] = {"=", "!=", "<", ">"};
    static const char *const names[] = {"key",   "key_base64",   "prefix", "prefix_base64",
                                        "start", "start_base64", "end",    "end_base64",
                                        "value", "value_base64", "target", "op",
                                        NULL};
    struct txn_compare compare = {.value = bytes_of(NULL, 0)};
    if (!check_object(parse, object, names) ||
        !take_place(parse, object, &compare.key, &compare.range))
        return false;
    int target = number_of_word(json_object_get(object, "target"), targets, ARRAY_COUNT(targets));
    if (target == 0)
        return refuse(parse, ST_BAD_FIELD, "target",
                      "must be value, version, create_revision, mod_revision or lease");
    int relation = number_of_word(json_object_get(object, "op"), relations, ARRAY_COUNT(relations));
    if (relation == 0)
        return refuse(parse, ST_BAD_FIELD, "op", "must be one of =, !=, < and >");
    compare.target = (enum txn_target)target;
    compare.relation = (enum txn_relation)relation;
    if (!take_operand(parse, object, &compare))
        return false;
    txn_put_compare(parse->out, &compare);
    return true;
}

/* ---- operations ---- */

static bool parse_put(struct txn_parse *parse, const json_t *object)
{
    static const char *const names[] = {"key",   "key_base64", "value", "value_base64",
                                        "lease", "prev",       NULL};
    struct txn_operation put = {.op = TXN_PUT};
    bool has_key, has_value;
    if (!check_object(parse, object, names) ||
        !take_bytes(parse, object, "key", LIMIT_KEY_BYTES, &put.key, &has_key) ||
        !take_bytes(parse, object, "value", LIMIT_VALUE_BYTES, &put.value, &has_value) ||
        !take_number(parse, object, "lease", 0, LEASE_ID_MAX, &put.lease) ||
        !take_flag(parse, object, "prev", &put.wants_previous))
        return false;
    if (!has_key || !has_value)
        return refuse(parse, ST_BAD_FIELD, has_key ? "value" : "key", "is missing");
    if (put.key.count == 0)
        return refuse(parse, ST_KEY_EMPTY, "key", "is empty; keys have 1 to 4096 bytes");
    txn_put_operation(parse->out, &put);
    return true;
}

static bool take_order(struct txn_parse *parse, const json_t *object, bool *out_is_descending)
{
    static const char *const orders[] = {"asc", "desc"};
    const json_t *order = json_object_get(object, "order");
    int number = number_of_word(order, orders, ARRAY_COUNT(orders));
    if (order != NULL && number == 0)
        return refuse(parse, ST_BAD_FIELD, "order", "is asc or desc");
    *out_is_descending = number == 2;
    return true;
}

/* What only ranges have. */
static bool take_page(struct txn_parse *parse, const json_t *object, struct txn_operation *get)
{
    static const char *const names[] = {"limit", "after", "after_base64", "order"};
    bool has_after;
    for (size_t i = 0; get->key.count != 0 && i < ARRAY_COUNT(names); i++)
        if (json_object_get(object, names[i]) != NULL)
            return refuse(parse, ST_BAD_FIELD, names[i], "goes with a range only");
    get->items_max = LIMIT_LIST_ITEMS;
    return take_number(parse, object, "limit", 1, LIMIT_LIST_ITEMS, &get->items_max) &&
           take_bytes(parse, object, "after", LIMIT_KEY_BYTES, &get->range.after, &has_after) &&
           take_order(parse, object, &get->range.is_descending);
}

static bool parse_get(struct txn_parse *parse, const json_t *object)
{
    static const char *const names[] = {"key",       "key_base64",   "prefix", "prefix_base64",
                                        "start",     "start_base64", "end",    "end_base64",
                                        "after",     "after_base64", "limit",  "order",
                                        "keys_only", "count_only",   NULL};
    struct txn_operation get = {.op = TXN_GET};
    if (!check_object(parse, object, names) || !take_place(parse, object, &get.key, &get.range) ||
        !take_page(parse, object, &get) || !take_flag(parse, object, "keys_only", &get.keys_only) ||
        !take_flag(parse, object, "count_only", &get.count_only))
        return false;
    txn_put_operation(parse->out, &get);
    return true;
}

static bool parse_delete(struct txn_parse *parse, const json_t *object)
{
    static const char *const names[] = {
        "key",          "key_base64", "prefix",     "prefix_base64", "start",
        "start_base64", "end",        "end_base64", "prev",          NULL};
    struct txn_operation operation = {.op = TXN_DELETE};
    if (!check_object(parse, object, names) ||
        !take_place(parse, object, &operation.key, &operation.range) ||
        !take_flag(parse, object, "prev", &operation.wants_previous))
        return false;
    txn_put_operation(parse->out, &operation);
    return true;
}

static bool parse_txn(struct txn_parse *parse, const json_t *object);

static bool parse_nested(struct txn_parse *parse, const json_t *object)
{
    static const char *const names[] = {"compare", "success", "failure", NULL};
    if (!check_object(parse, object, names))
        return false;
    if (parse->depth == LIMIT_TXN_DEPTH)
        return refuse(parse, ST_TXN_TOO_LARGE, NULL,
                      "is too deep: %d transactions may be in each other", LIMIT_TXN_DEPTH);
    txn_put_operation(parse->out, &(struct txn_operation){.op = TXN_NESTED});
    return parse_txn(parse, object);
}

static bool parse_operation(struct txn_parse *parse, const json_t *object)
{
    static const struct {
        const char *name;
        bool (*parse)(struct txn_parse *parse, const json_t *object);
    } ops[] = {
        {"put", parse_put}, {"get", parse_get}, {"delete", parse_delete}, {"txn", parse_nested}};
    static const char *const names[] = {"put", "get", "delete", "txn", NULL};
    if (!check_object(parse, object, names))
        return false;
    if (json_object_size(object) != 1)
        return refuse(parse, ST_BAD_FIELD, NULL, "must have one of put, get, delete and txn");
    size_t i = 0;
    while (json_object_get(object, ops[i].name) == NULL)
        i++;
    size_t before = enter(parse, ".%s", ops[i].name);
    bool is_ok = ops[i].parse(parse, json_object_get(object, ops[i].name));
    leave(parse, before);
    return is_ok;
}

/* ---- lists ---- */

/* A list of a transaction; left out, it is empty. */
struct txn_list {
    const char *name;
    const json_t *array; /* NULL: left out */
    size_t count;
};

static bool take_list(struct txn_parse *parse, const json_t *object, const char *name,
                      size_t count_max, size_t *count_in_all, struct txn_list *out_list)
{
    const json_t *array = json_object_get(object, name);
    *out_list = (struct txn_list){.name = name, .array = array, .count = json_array_size(array)};
    if (array != NULL && !json_is_array(array))
        return refuse(parse, ST_BAD_FIELD, name, "must be a list");
    *count_in_all += out_list->count;
    if (out_list->count > count_max)
        return refuse(parse, ST_TXN_TOO_LARGE, name, "has %zu entries; at most %zu are taken",
                      out_list->count, count_max);
    if (*count_in_all > LIMIT_TXN_IN_ALL)
        return refuse(parse, ST_TXN_TOO_LARGE, name,
                      "makes it too large: all lists of a kind together have at most %d entries",
                      LIMIT_TXN_IN_ALL);
    return true;
}

static bool parse_list(struct txn_parse *parse, const struct txn_list *list,
                       bool (*parse_entry)(struct txn_parse *parse, const json_t *object))
{
    bool is_ok = true;
    for (size_t i = 0; i < list->count && is_ok; i++) {
        size_t before =
            enter(parse, "%s%s[%zu]", parse->place_count != 0 ? "." : "", list->name, i);
        is_ok = parse_entry(parse, json_array_get(list->array, i));
        leave(parse, before);
    }
    return is_ok;
}

/* The fields have been checked. */
static bool parse_txn(struct txn_parse *parse, const json_t *object)
{
    struct txn_list compares, success, failure;
    if (!take_list(parse, object, "compare", LIMIT_TXN_COMPARES, &parse->compares_count,
                   &compares) ||
        !take_list(parse, object, "success", LIMIT_TXN_OPERATIONS, &parse->operations_count,
                   &success) ||
        !take_list(parse, object, "failure", LIMIT_TXN_OPERATIONS, &parse->operations_count,
                   &failure))
        return false;
    txn_put_head(parse->out, compares.count, success.count, failure.count);
    parse->depth++;
    bool is_ok = parse_list(parse, &compares, parse_compare) &&
                 parse_list(parse, &success, parse_operation) &&
                 parse_list(parse, &failure, parse_operation);
    parse->depth--;
    return is_ok;
}

/* What can be said of all of it only. */
static bool check_whole(struct txn_parse *parse, struct bytes txn)
{
    if (txn.count > LIMIT_TXN_BYTES)
        return refuse(parse, ST_TXN_TOO_LARGE, NULL, "makes a transaction of %zu bytes; at most %d",
                      txn.count, LIMIT_TXN_BYTES);
    enum status status = txn_check(txn);
    INVARIANT(status == ST_OK || status == ST_DUPLICATE_KEY); /* all else has been seen above */
    if (status == ST_DUPLICATE_KEY)
        problem_set(parse->problem, status, "%s", "");
    return status == ST_OK;
}

bool txn_body_parse(struct bytes body, struct buf *out_txn, struct problem *problem)
{
    static const char *const names[] = {"compare", "success", "failure", NULL};
    struct json_t *root = body_load_object(body, names, example, problem);
    if (root == NULL)
        return false;
    struct txn_parse parse = {.out = out_txn, .problem = problem};
    size_t start = out_txn->count;
    buf_init(&parse.store, LIMIT_BODY_BYTES);
    (void)buf_reserve(&parse.store, body.count);
    bool is_ok = parse_txn(&parse, root);
    INVARIANT(!out_txn->is_full);
    if (is_ok)
        is_ok = check_whole(&parse, bytes_of(out_txn->data + start, out_txn->count - start));
    buf_release(&parse.store);
    json_decref(root);
    return is_ok;
}
