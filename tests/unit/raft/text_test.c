/* Text of messages and of the state, as traces and scenarios show it. */
#include "raft/text.h"
#include "unit/raft/raft_fixture.h"

static void assert_text(const struct message *message, const char *want)
{
    struct buf text;
    buf_init(&text, 4096);
    message_format(message, &text);
    assert_string_equal(buf_text(&text), want);
    buf_release(&text);
}

static void a_vote_names_the_last_entry(void **state)
{
    (void)state;
    struct message message = {
        .type = MESSAGE_PRE_VOTE, .from = 1, .to = 2, .term = 3, .vote.last = {2, 9}};
    assert_text(&message, "1>2 t3 pre-vote last 2/9");
    message.type = MESSAGE_VOTE;
    message.vote.is_transfer = true;
    assert_text(&message, "1>2 t3 vote last 2/9 transfer");
}

static void an_answer_to_a_vote_says_yes_or_no(void **state)
{
    (void)state;
    struct message message = {.type = MESSAGE_VOTE_REPLY, .from = 2, .to = 1, .term = 3};
    assert_text(&message, "2>1 t3 vote-reply refused");
    message.type = MESSAGE_PRE_VOTE_REPLY;
    message.vote_reply.is_granted = true;
    assert_text(&message, "2>1 t3 pre-vote-reply granted");
}

static void an_append_names_its_first_and_last_entry(void **state)
{
    (void)state;
    struct bench *bench = mem_alloc(sizeof *bench);
    bench_open(bench, (struct bench_setup){0});
    struct entry *entries[] = {bench_sealed(bench, 3, 6), bench_sealed(bench, 3, 7)};
    struct message message = append_entries(1, 3, (struct entry_id){2, 5}, 4, entries, 0);
    message.to = 2;
    assert_text(&message, "1>2 t3 append prev 2/5 commit 4");
    message.append.entries_count = 1;
    assert_text(&message, "1>2 t3 append prev 2/5 commit 4 entries 3/6");
    message.append.entries_count = 2;
    message.append.read_round = 8;
    assert_text(&message, "1>2 t3 append prev 2/5 commit 4 round 8 entries 3/6 .. 3/7");
    bench_close(bench);
    mem_free(bench);
}

static void an_answer_to_an_append_says_how_far_or_where_not(void **state)
{
    (void)state;
    struct message message = append_accept(2, 3, 7, 8);
    message.to = 1;
    assert_text(&message, "2>1 t3 append-reply match 7 round 8");
    message = append_reject(2, 3, 9, (struct entry_id){1, 4});
    message.to = 1;
    assert_text(&message, "2>1 t3 append-reply rejected prev 9 conflict 1/4");
}

static void a_read_is_named_by_its_number(void **state)
{
    (void)state;
    struct message message = {.type = MESSAGE_READ_INDEX, .from = 2, .to = 1, .term = 3};
    message.read_index.id.number = 12;
    assert_text(&message, "2>1 t3 read-index id 12");
    message = (struct message){.type = MESSAGE_READ_INDEX_REPLY, .from = 1, .to = 2, .term = 3};
    message.read_index_reply.id.number = 12;
    message.read_index_reply.index = 7;
    assert_text(&message, "1>2 t3 read-index-reply id 12 index 7");
    message.read_index_reply.is_refused = true;
    assert_text(&message, "1>2 t3 read-index-reply id 12 refused");
    message.type = MESSAGE_TIMEOUT_NOW;
    assert_text(&message, "1>2 t3 timeout-now");
}

static void an_offer_names_the_snapshot(void **state)
{
    (void)state;
    struct message message = {.type = MESSAGE_SNAPSHOT, .from = 1, .to = 2, .term = 3};
    message.snapshot.last = (struct entry_id){2, 90};
    message.snapshot.commit = 95;
    assert_text(&message, "1>2 t3 snapshot last 2/90 commit 95");
    message.snapshot.read_round = 7;
    assert_text(&message, "1>2 t3 snapshot last 2/90 commit 95 round 7");
}

static void the_state_fits_a_line_with_a_leaders_peers(void **state)
{
    (void)state;
    struct bench *bench = mem_alloc(sizeof *bench);
    struct buf text;
    buf_init(&text, 4096);
    bench_open(bench, (struct bench_setup){.log_cache_bytes = 1});
    raft_format(bench->raft, &text);
    assert_string_equal(buf_text(&text),
                        "1 follower t1 vote 0 leader 0 last 1/1 commit 1 durable 1");

    bench_lead(bench);
    bench_applied(bench, 2);
    buf_reset(&text);
    raft_format(bench->raft, &text);
    assert_string_equal(buf_text(&text),
                        "1 leader t2 vote 1 leader 1 last 2/2 commit 2 durable 2 base 2/2"
                        " | 2 stream match 2 next 3 | 3 stream match 2 next 3");
    buf_release(&text);
    bench_close(bench);
    mem_free(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_vote_names_the_last_entry),
        cmocka_unit_test(an_answer_to_a_vote_says_yes_or_no),
        cmocka_unit_test(an_append_names_its_first_and_last_entry),
        cmocka_unit_test(an_answer_to_an_append_says_how_far_or_where_not),
        cmocka_unit_test(a_read_is_named_by_its_number),
        cmocka_unit_test(an_offer_names_the_snapshot),
        cmocka_unit_test(the_state_fits_a_line_with_a_leaders_peers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
