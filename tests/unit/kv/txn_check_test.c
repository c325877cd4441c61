/* Transactions as bytes: their form, their limits, and keys that would be changed twice. */
#include "txn_fixture.h"

static void assert_check(struct buf *txn, enum status status)
{
    assert_false(txn->is_full);
    assert_string_equal(status_info(txn_check(buf_bytes(txn)))->name, status_info(status)->name);
    buf_release(txn);
}

/* ---- form ---- */

/* Everything once: also in docs/formats/txn.md. */
static void put_example(struct buf *txn)
{
    txn_begin(txn, 2, 3, 1);
    compare_value(txn, "k", TXN_EQUAL, "v");
    txn_put_compare(txn, &(struct txn_compare){.target = TXN_MOD_REVISION,
                                               .relation = TXN_LESS,
                                               .range.prefix = BYTES_LITERAL("p"),
                                               .number = 7});
    txn_put_operation(txn, &(struct txn_operation){.op = TXN_PUT,
                                                   .key = BYTES_LITERAL("k"),
                                                   .value = BYTES_LITERAL("w"),
                                                   .lease = 9,
                                                   .wants_previous = true});
    txn_put_operation(txn, &(struct txn_operation){.op = TXN_GET,
                                                   .range = {.prefix = BYTES_LITERAL("p"),
                                                             .after = BYTES_LITERAL("pa"),
                                                             .is_descending = true},
                                                   .keys_only = true,
                                                   .items_max = 1000});
    add_nested(txn, 0, 1, 0);
    txn_put_operation(txn, &(struct txn_operation){
                               .op = TXN_DELETE,
                               .range = {.start = BYTES_LITERAL("s"), .end = BYTES_LITERAL("t")}});
    add_get(txn, "k");
}

static const uint8_t example[] = {
    2, 3, 1,                                              /* two compares, three, or one */
    1, 1, 0, 1, 0,   0, 0,   'k', 1,   0,    0, 0,   'v', /* value = "v" of k */
    4, 3, 1, 1, 0,   0, 0,   'p', 0,   0,    0, 0,   0,   /* mod_revision < 7 … */
    0, 0, 0, 7, 0,   0, 0,   0,   0,   0,    0,           /* … of the prefix p */
    1, 1, 1, 0, 0,   0, 'k',                              /* put k, with the item before */
    9, 0, 0, 0, 0,   0, 0,   0,   1,   0,    0, 0,   'w', /* on lease 9, the value w */
    2, 5, 1, 1, 0,   0, 0,   'p', 0,   0,    0, 0,   0,   /* get of a range, keys only, … */
    0, 0, 0, 2, 0,   0, 0,   'p', 'a', 0xe8, 3,           /* … descending from pa, 1000 */
    4, 0, 1, 0,                                           /* nested: no compares, one, or none */
    3, 0, 1, 0, 0,   0, 0,   1,   0,   0,    0, 's',      /* delete of a range: from s … */
    1, 0, 0, 0, 't',                                      /* … to t */
    2, 0, 0, 1, 0,   0, 0,   'k'                          /* else get k */
};

static void the_bytes_of_a_transaction_do_not_change(void **state)
{
    struct buf txn;
    put_example(&txn);
    assert_int_equal(txn.count, sizeof example);
    assert_memory_equal(txn.data, example, sizeof example);
    assert_check(&txn, ST_OK);
}

static void what_a_transaction_came_to_has_these_bytes(void **state)
{
    static const uint8_t wanted[] = {
        1, 3, 0, 0, 0,   0, 0, 0, 0, 3,               /* succeeded, revision 3, three results */
        1, 1, 1, 0, 0,   0,                           /* put, with the item before: one */
        2, 0, 0, 0, 0,   0, 0, 0,                     /* create_revision 2 */
        2, 0, 0, 0, 0,   0, 0, 0,                     /* mod_revision 2 */
        1, 0, 0, 0, 0,   0, 0, 0,                     /* version 1 */
        0, 0, 0, 0, 0,   0, 0, 0,                     /* no lease */
        1, 0, 0, 0, 'a', 1, 0, 0, 0, '1',             /* "a": "1" */
        2, 0, 0, 0, 0,   0, 0, 0, 0, 0,   0, 0, 0, 0, /* get: none of 0 */
        4, 0, 1, 3, 0,   0, 0, 0, 0, 0,   0, 0, 0, 0,
        0, 0,   /* nested, failed, one: delete, 0 keys */
        0, 0, 0 /* of which none; the ends of both */
    };
    struct kv *kv = fixture_new();
    struct buf txn;
    fixture_put(kv, "a", "1");
    txn_begin(&txn, 0, 3, 0);
    txn_put_operation(&txn, &(struct txn_operation){.op = TXN_PUT,
                                                    .key = BYTES_LITERAL("a"),
                                                    .value = BYTES_LITERAL("2"),
                                                    .wants_previous = true});
    add_get(&txn, "b");
    add_nested(&txn, 1, 0, 1);
    compare_number(&txn, "a", TXN_VERSION, TXN_EQUAL, 2);
    add_delete(&txn, "c");
    struct kv_result result = txn_run(kv, buf_bytes(&txn));
    assert_int_equal(result.status, ST_OK);
    assert_int_equal(result.results.count, sizeof wanted);
    assert_memory_equal(result.results.data, wanted, sizeof wanted);
    buf_release(&txn);
    fixture_free(kv);
}

static void what_ends_early_or_goes_on_is_no_transaction(void **state)
{
    uint8_t longer[sizeof example + 1] = {0};
    memcpy(longer, example, sizeof example);
    for (size_t count = 0; count < sizeof example; count++)
        assert_int_equal(txn_check(bytes_of(example, count)), ST_SHORT);
    assert_int_equal(txn_check(bytes_of(longer, sizeof longer)), ST_FORMAT);
}

/* Whatever is taken is written as the same bytes. */
static void write_again(struct cursor *in, struct buf *out)
{
    struct txn_head head;
    assert_int_equal(txn_take_head(in, &head), ST_OK);
    txn_put_head(out, head.compares_count, head.success_count, head.failure_count);
    for (size_t i = 0; i < head.compares_count; i++) {
        struct txn_compare compare;
        assert_int_equal(txn_take_compare(in, &compare), ST_OK);
        txn_put_compare(out, &compare);
    }
    for (size_t i = 0; i < head.success_count + head.failure_count; i++) {
        struct txn_operation operation;
        assert_int_equal(txn_take_operation(in, &operation), ST_OK);
        txn_put_operation(out, &operation);
        if (operation.op == TXN_NESTED)
            write_again(in, out);
    }
}

static void each_changed_byte_is_refused_or_means_something_else(void **state)
{
    uint8_t bytes[sizeof example];
    unsigned taken_count = 0;
    for (size_t at = 0; at < sizeof example; at++) {
        for (unsigned value = 0; value < 256; value++) {
            memcpy(bytes, example, sizeof bytes);
            bytes[at] = (uint8_t)value;
            enum status status = txn_check(bytes_of(bytes, sizeof bytes));
            if (status != ST_OK)
                continue;
            taken_count++;
            struct buf again;
            buf_init(&again, KIB);
            struct cursor in = cursor_of(bytes_of(bytes, sizeof bytes));
            write_again(&in, &again);
            assert_int_equal(again.count, sizeof bytes);
            assert_memory_equal(again.data, bytes, sizeof bytes);
            buf_release(&again);
        }
    }
    assert_true(taken_count > 1000); /* numbers, keys and values */
}

static void results_that_are_not_sound_are_told(void **state)
{
    static const uint8_t sound[] = {1, 3, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0};
    uint8_t bytes[sizeof sound];
    assert_true(txn_results_are_sound(bytes_of(sound, sizeof sound)));
    for (size_t count = 0; count < sizeof sound; count++)
        assert_false(txn_results_are_sound(bytes_of(sound, count)));
    static const struct {
        size_t at;
        uint8_t value;
    } wrong[] = {{0, 2},  {9, 1},  {9, 3},  {9, 129}, {10, 5}, {10, 0}, {11, 2},
                 {12, 1}, {16, 3}, {17, 2}, {18, 1},  {19, 1}, {20, 1}};
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        memcpy(bytes, sound, sizeof bytes);
        bytes[wrong[i].at] = wrong[i].value;
        assert_false(txn_results_are_sound(bytes_of(bytes, sizeof bytes)));
    }
}

/* ---- limits ---- */

static void lists_have_a_limit_each_and_all_together(void **state)
{
    struct buf txn;
    for (size_t extra = 0; extra <= 1; extra++) {
        txn_begin(&txn, 0, 0, 0);
        txn.data[1] = (uint8_t)(LIMIT_TXN_OPERATIONS + extra);
        for (size_t i = 0; i < LIMIT_TXN_OPERATIONS + extra; i++)
            add_get(&txn, "k");
        assert_check(&txn, extra == 0 ? ST_OK : ST_LIMIT);

        txn_begin(&txn, 0, 0, 0);
        txn.data[0] = (uint8_t)(LIMIT_TXN_COMPARES + extra);
        for (size_t i = 0; i < LIMIT_TXN_COMPARES + extra; i++)
            compare_number(&txn, "k", TXN_LEASE, TXN_LESS, 3);
        assert_check(&txn, extra == 0 ? ST_OK : ST_LIMIT);

        /* Eight nested ones and what is in them are all operations there may be, and compares. */
        assert_int_equal(LIMIT_TXN_IN_ALL, 8 * LIMIT_TXN_COMPARES);
        txn_begin(&txn, extra, 8, 0);
        if (extra != 0)
            compare_number(&txn, "k", TXN_LEASE, TXN_LESS, 3);
        for (size_t i = 0; i < 8; i++) {
            add_nested(&txn, 128, 127, 0);
            for (size_t j = 0; j < 128; j++)
                compare_number(&txn, "k", TXN_LEASE, TXN_LESS, 3);
            for (size_t j = 0; j < 127; j++)
                add_get(&txn, "k");
        }
        assert_check(&txn, extra == 0 ? ST_OK : ST_LIMIT);

        txn_begin(&txn, 0, 8, extra);
        for (size_t i = 0; i < 8; i++) {
            add_nested(&txn, 0, 127, 0);
            for (size_t j = 0; j < 127; j++)
                add_get(&txn, "k");
        }
        if (extra != 0)
            add_get(&txn, "k");
        assert_check(&txn, extra == 0 ? ST_OK : ST_LIMIT);
    }
}

static void so_many_are_in_each_other_and_no_more(void **state)
{
    for (size_t depth = LIMIT_TXN_DEPTH; depth <= LIMIT_TXN_DEPTH + 1; depth++) {
        struct buf txn;
        txn_begin(&txn, 0, depth > 1, 0);
        for (size_t i = 1; i < depth; i++)
            add_nested(&txn, 0, i + 1 < depth, 0);
        assert_check(&txn, depth == LIMIT_TXN_DEPTH ? ST_OK : ST_LIMIT);
    }
}

static void keys_values_and_pages_have_limits(void **state)
{
    static uint8_t zeros[LIMIT_VALUE_BYTES + 1];
    struct buf txn;
    txn_begin(&txn, 0, 1, 0); /* the largest put there is */
    txn_put_operation(&txn, &(struct txn_operation){.op = TXN_PUT,
                                                    .key = bytes_of(zeros, LIMIT_KEY_BYTES),
                                                    .value = bytes_of(zeros, LIMIT_VALUE_BYTES)});
    assert_check(&txn, ST_OK);

    static const struct {
        size_t at;
        uint32_t count;
    } wrong[] = {{6, 0}, {6, LIMIT_KEY_BYTES + 1}};
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        txn_begin(&txn, 0, 1, 0);
        add_get(&txn, "k");
        store_u32(txn.data + wrong[i].at, wrong[i].count);
        assert_check(&txn, ST_LIMIT);
    }
    txn_begin(&txn, 0, 1, 0);
    add_put(&txn, "k", "");
    store_u32(txn.data + txn.count - 4, LIMIT_VALUE_BYTES + 1);
    assert_check(&txn, ST_LIMIT);
    for (uint16_t items_max = 0; items_max <= 1001; items_max = (uint16_t)(items_max + 1001)) {
        txn_begin(&txn, 0, 1, 0);
        add_get_prefix(&txn, "", 1000);
        store_u16(txn.data + txn.count - 2, items_max);
        assert_check(&txn, ST_LIMIT);
    }
    txn_begin(&txn, 0, 2, 0);
    for (char key[] = "a"; key[0] <= 'b'; key[0]++)
        txn_put_operation(&txn,
                          &(struct txn_operation){.op = TXN_PUT,
                                                  .key = bytes_of(key, 1),
                                                  .value = bytes_of(zeros, LIMIT_TXN_BYTES / 2)});
    assert_check(&txn, ST_LIMIT); /* in all */
}

/* ---- keys changed twice ---- */

static void add_op(struct buf *txn, char op)
{
    switch (op) {
    case 'p':
        add_put(txn, "a/k", "v");
        return;
    case 'q':
        add_put(txn, "b", "v");
        return;
    case 'd':
        add_delete(txn, "a/k");
        return;
    case 'r':
        add_delete_prefix(txn, "a/");
        return;
    case 's':
        txn_put_operation(txn, &(struct txn_operation){.op = TXN_DELETE,
                                                       .range.prefix = BYTES_LITERAL("a/"),
                                                       .range.start = BYTES_LITERAL("a/l")});
        return;
    case 'e':
        txn_put_operation(txn, &(struct txn_operation){.op = TXN_DELETE,
                                                       .range.start = BYTES_LITERAL("a"),
                                                       .range.end = BYTES_LITERAL("a/k")});
        return;
    case 'g':
        add_get(txn, "a/k");
        return;
    }
    fail();
}

/* "p(d|q)": a put, then a nested one with a delete in its success, a put in its failure. */
static size_t add_list(struct buf *txn, const char **text, char end)
{
    size_t count = 0;
    for (; **text != end; count++) {
        if (**text != '(') {
            add_op(txn, *(*text)++);
            continue;
        }
        (*text)++;
        size_t at = txn->count + 1;
        add_nested(txn, 0, 0, 0);
        txn->data[at + 1] = (uint8_t)add_list(txn, text, '|');
        txn->data[at + 2] = (uint8_t)add_list(txn, text, ')');
    }
    (*text)++;
    return count;
}

static enum status check_text(const char *text)
{
    struct buf txn;
    txn_begin(&txn, 0, 0, 0);
    txn.data[1] = (uint8_t)add_list(&txn, &text, '|');
    txn.data[2] = (uint8_t)add_list(&txn, &text, ')');
    enum status status = txn_check(buf_bytes(&txn));
    buf_release(&txn);
    return status;
}

static void a_key_is_changed_once_by_what_may_be_carried_out_together(void **state)
{
    static const char *const fine[] = {
        "p|)",
        "pq|)",
        "p|p)",
        "pg|d)",
        "dd|)",
        "drdrs|)",
        "ps|)",
        "pe|)",
        "(p|p)|)",
        "(p|d)|(p|r))",
        "((p|d)|(r|p))|p)",
        "q(p|p)|)",
        "((p|p)|(p|p))|((p|p)|p))",
        "gg(g|p)|)",
        "|)",
    };
    static const char *const twice[] = {
        "pp|)",
        "qpp|)",
        "|pp)",
        "pd|)",
        "dp|)",
        "pr|)",
        "rp|)",
        "p(p|)|)",
        "p(|p)|)",
        "(p|)p|)",
        "(p|)(|p)|)",
        "(p|p)(q|p)|)",
        "p((|p)|)|)",
        "(d|)(|p)|)",
        "r(|(q|p))|)",
        "(p|r)(|p)|)",
        "(p|((|r)|p))(p|)|)",
        "(|)|(pp|))",
        "((p|)p|)|)",
        "p|(p|)(|d))",
    };
    for (size_t i = 0; i < ARRAY_COUNT(fine); i++)
        if (check_text(fine[i]) != ST_OK)
            fail_msg("%s is refused", fine[i]);
    for (size_t i = 0; i < ARRAY_COUNT(twice); i++)
        if (check_text(twice[i]) != ST_DUPLICATE_KEY)
            fail_msg("%s is taken", twice[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bytes_of_a_transaction_do_not_change),
        cmocka_unit_test(what_a_transaction_came_to_has_these_bytes),
        cmocka_unit_test(what_ends_early_or_goes_on_is_no_transaction),
        cmocka_unit_test(each_changed_byte_is_refused_or_means_something_else),
        cmocka_unit_test(results_that_are_not_sound_are_told),
        cmocka_unit_test(lists_have_a_limit_each_and_all_together),
        cmocka_unit_test(so_many_are_in_each_other_and_no_more),
        cmocka_unit_test(keys_values_and_pages_have_limits),
        cmocka_unit_test(a_key_is_changed_once_by_what_may_be_carried_out_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
