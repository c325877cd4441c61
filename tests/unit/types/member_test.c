/* Configurations: ordered, bounded, and the same bytes on every node. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "types/member.h"
#include "types/proposal.h"

static struct member member_of(node_id id, bool is_voter)
{
    struct member member = {.id = id, .is_voter = is_voter};
    member.peer = (struct address){.host = "127.0.0.1", .port = (uint16_t)(7000 + id % 1000)};
    return member;
}

static struct config config_of(const node_id *ids, size_t count)
{
    struct config config = {0};
    for (size_t i = 0; i < count; i++) {
        struct member member = member_of(ids[i], ids[i] % 3 != 0);
        assert_int_equal(config_add(&config, &member), ST_OK);
    }
    return config;
}

static enum status decode(struct bytes in, struct config *out)
{
    struct buf again;
    enum status status = config_decode(in, out);
    if (status != ST_OK)
        return status;
    buf_init(&again, 4096);
    config_encode(out, &again);
    assert_true(bytes_equal(buf_bytes(&again), in));
    buf_release(&again);
    return ST_OK;
}

static void members_are_kept_in_rising_order_whatever_the_order_they_came(void **state)
{
    const uint64_t seed = 4;
    struct prng prng;
    prng_init(&prng, seed);
    for (int round = 0; round < 100; round++) {
        struct config config = {0};
        while (config.members_count < LIMIT_MEMBERS) {
            struct member member = member_of((node_id)prng_below(&prng, 30) + 1, true);
            bool is_known = config_find(&config, member.id) != NULL;
            assert_int_equal(config_add(&config, &member), is_known ? ST_BAD_REQUEST : ST_OK);
            assert_non_null(config_find(&config, member.id));
        }
        for (uint32_t i = 1; i < config.members_count; i++)
            assert_true(config.members[i - 1].id < config.members[i].id);
    }
}

static void what_cannot_be_a_member_is_not_added(void **state)
{
    struct config config = {0};
    struct member none = member_of(NODE_NONE, true);
    struct member beyond = member_of(NODE_ID_MAX + 1, true);
    struct member last = member_of(NODE_ID_MAX, true);
    struct member late = member_of(LIMIT_MEMBERS + 1, true);

    assert_int_equal(config_add(&config, &none), ST_BAD_REQUEST);
    assert_int_equal(config_add(&config, &beyond), ST_BAD_REQUEST);
    assert_int_equal(config_add(&config, &last), ST_OK);
    for (node_id id = 1; id < LIMIT_MEMBERS; id++) {
        struct member member = member_of(id, true);
        assert_int_equal(config_add(&config, &member), ST_OK);
    }
    assert_int_equal(config_add(&config, &late), ST_LIMIT);
    assert_int_equal(config.members_count, LIMIT_MEMBERS);
    assert_null(config_find(&config, late.id));
}

static void voters_are_counted_without_learners(void **state)
{
    static const node_id ids[] = {1, 2, 3, 4, 6};
    struct config config = config_of(ids, 5), empty = {0};

    assert_int_equal(config_voters_count(&config), 3);
    assert_int_equal(config_voters_count(&empty), 0);
}

static void a_configuration_comes_out_as_it_went_in(void **state)
{
    static const node_id ids[] = {5, 1, 3, NODE_ID_MAX, 9, 2, 8, 4, 6};
    for (size_t count = 0; count <= ARRAY_COUNT(ids); count++) {
        struct config config = config_of(ids, count), out;
        struct buf buf;
        buf_init(&buf, 4096);
        config_encode(&config, &buf);
        assert_int_equal(decode(buf_bytes(&buf), &out), ST_OK);
        assert_int_equal(out.members_count, count);
        for (size_t i = 0; i < count; i++) {
            const struct member *member = config_find(&out, ids[i]);
            assert_non_null(member);
            assert_int_equal(member->is_voter, ids[i] % 3 != 0);
            assert_int_equal(member->peer.port, 7000 + ids[i] % 1000);
        }
        for (size_t cut = 0; cut < buf.count; cut++)
            assert_int_equal(decode(bytes_of(buf.data, cut), &out), ST_SHORT);
        buf_put_u8(&buf, 0);
        assert_int_equal(decode(buf_bytes(&buf), &out), ST_FORMAT);
        buf_release(&buf);
    }
}

/* One byte changed to all its values: what still decodes encodes to the same bytes. */
static void what_decodes_encodes_to_the_same_bytes(void **state)
{
    static const node_id ids[] = {1, 2, 3};
    struct config config = config_of(ids, 3), out;
    struct buf buf;
    buf_init(&buf, 4096);
    config_encode(&config, &buf);

    for (size_t at = 0; at < buf.count; at++) {
        uint8_t kept = buf.data[at];
        for (unsigned value = 0; value < 256; value++) {
            buf.data[at] = (uint8_t)value;
            (void)decode(buf_bytes(&buf), &out);
        }
        buf.data[at] = kept;
    }
    buf_release(&buf);
}

static void put_member(struct buf *out, node_id id, uint8_t is_voter, const char *peer)
{
    buf_put_u32(out, id);
    buf_put_u8(out, is_voter);
    buf_put_sized(out, bytes_of_text(peer));
}

static void configurations_out_of_shape_are_refused(void **state)
{
    static const struct {
        uint32_t count;
        node_id first, second;
        uint8_t is_voter;
        const char *peer;
        enum status status;
    } cases[] = {
        {2, 1, 2, 1, "h:1", ST_OK},
        {2, 2, 1, 1, "h:1", ST_FORMAT},
        {2, 1, 1, 1, "h:1", ST_FORMAT},
        {2, 0, 1, 1, "h:1", ST_FORMAT},
        {2, 1, 2, 2, "h:1", ST_FORMAT},
        {2, 1, NODE_ID_MAX + 1, 1, "h:1", ST_FORMAT},
        {2, 1, 2, 1, "h", ST_FORMAT},
        {2, 1, 2, 1, "", ST_FORMAT},
        {2, 1, 2, 1, "h:01", ST_FORMAT},
        {2, 1, 2, 1, "http://h:1", ST_FORMAT},
        {3, 1, 2, 1, "h:1", ST_SHORT},
        {1, 1, 2, 1, "h:1", ST_FORMAT},
        {LIMIT_MEMBERS + 1, 1, 2, 1, "h:1", ST_FORMAT},
        {UINT32_MAX, 1, 2, 1, "h:1", ST_FORMAT},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct config out = {.members_count = 99};
        struct buf buf;
        buf_init(&buf, 4096);
        buf_put_u32(&buf, cases[i].count);
        put_member(&buf, cases[i].first, cases[i].is_voter, cases[i].peer);
        put_member(&buf, cases[i].second, 1, "h:2");
        assert_int_equal(config_decode(buf_bytes(&buf), &out), cases[i].status);
        assert_int_equal(out.members_count, cases[i].status == ST_OK ? 2 : 99);
        buf_release(&buf);
    }
}

/* An entry's configuration stands behind the request that asked for it; every shorter one is
 * refused. */
static void a_configuration_entry_says_who_asked_and_then_who_belongs(void **state)
{
    static const node_id ids[] = {3, 1, 2};
    struct config config = config_of(ids, 3), out;
    struct buf encoded;
    buf_init(&encoded, 4096);
    config_encode(&config, &encoded);
    struct proposal head = {.origin = {2, 77, 5}, .stamp_us = 1000};
    for (size_t count = 0; count <= encoded.count; count++) {
        struct entry *entry = entry_new(ENTRY_CONFIG, PROPOSAL_HEADER_BYTES + count);
        proposal_encode_header(&head, entry->data);
        memcpy(entry->data + PROPOSAL_HEADER_BYTES, encoded.data, count);
        struct proposal proposal;

        assert_int_equal(entry_config(entry, &out), count == encoded.count ? ST_OK : ST_SHORT);
        assert_int_equal(proposal_decode(entry_data(entry), &proposal), ST_OK);
        assert_int_equal(proposal.origin.number, 5);
        entry_unref(entry);
    }

    assert_int_equal(out.members_count, 3);
    assert_int_equal(config_cluster_id(&out), config_cluster_id(&config));
    struct entry *bare = entry_new(ENTRY_CONFIG, PROPOSAL_HEADER_BYTES - 1);
    memset(bare->data, 0, PROPOSAL_HEADER_BYTES - 1);
    assert_int_equal(entry_config(bare, &out), ST_SHORT);
    entry_unref(bare);
    buf_release(&encoded);
}

static void the_cluster_id_depends_on_every_member(void **state)
{
    static const node_id ids[] = {3, 1, 2}, same[] = {1, 2, 3}, fewer[] = {1, 2};
    struct config a = config_of(ids, 3), b = config_of(same, 3), c = config_of(fewer, 2);
    struct config d = b, e = b;
    d.members[1].peer.port++;
    e.members[0].is_voter = false;

    assert_true(config_cluster_id(&a) == config_cluster_id(&b)); /* not on their order */
    assert_true(config_cluster_id(&a) != config_cluster_id(&c));
    assert_true(config_cluster_id(&a) != config_cluster_id(&d));
    assert_true(config_cluster_id(&a) != config_cluster_id(&e));
    assert_true(config_cluster_id(&a) >> 32 != 0);
    assert_true(config_cluster_id(&a) != 0);
}

/* Both halves vary, and neither follows from the other. */
static void cluster_ids_use_all_their_bits(void **state)
{
    struct config config = {.members_count = 1, .members = {member_of(1, true)}};
    uint64_t all_or = 0, all_and = UINT64_MAX;
    uint32_t differences_or = 0, first = 0;
    for (unsigned port = 1; port <= 10000; port++) {
        config.members[0].peer.port = (uint16_t)port;
        uint64_t id = config_cluster_id(&config);
        all_or |= id;
        all_and &= id;
        uint32_t halves = (uint32_t)(id >> 32) ^ (uint32_t)id;
        first = port == 1 ? halves : first;
        differences_or |= halves ^ first;
    }

    assert_true(all_or == UINT64_MAX);
    assert_true(all_and == 0);
    assert_true(differences_or == UINT32_MAX);
}

static void members_are_read_as_people_type_them(void **state)
{
    static const struct {
        const char *text, *words;
    } bad[] = {{"", "is not id=address"},
               {"1", "\"1\" is not id=address"},
               {"=h:1", "is not id=address"},
               {"0=h:1", "is not id=address"},
               {"-1=h:1", "is not id=address"},
               {"1 =h:1", "is not id=address"},
               {"4294967296=h:1", "is not id=address"},
               {"1=h:1,", "\"\" is not id=address"},
               {"1=h", "is no address"},
               {"1=:1", "other nodes cannot dial"},
               {"1=0.0.0.0:1", "other nodes cannot dial"},
               {"1=h:1,2=h:1", "members 1 and 2 have the same address h:1"},
               {"1=h:1,1=h:2", "member 1 is named twice"},
               {"1=127.0.0.1:1,2=h:1", "member 1 is at 127.0.0.1"},
               {"1=h:1,2=h:2,3=h:3,4=h:4,5=h:5,6=h:6,7=h:7,8=h:8,9=h:9,10=h:10", "more than 9"}};
    struct config config = {.members_count = 77};
    struct errtext error;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        assert_int_equal(config_parse(bad[i].text, &config, &error), ST_BAD_REQUEST);
        if (strstr(error.text, bad[i].words) == NULL)
            fail_msg("%s: got \"%s\", want \"%s\"", bad[i].text, error.text, bad[i].words);
        assert_int_equal(config.members_count, 77); /* written only on success */
    }

    assert_int_equal(config_parse("7=H:1,2=[::1]:2,3=http://h:3/", &config, &error),
                     ST_BAD_REQUEST); /* ::1 is another machine's own */
    assert_int_equal(config_parse("7=H:1,2=[fe80::1]:2,3=http://h:3/", &config, &error), ST_OK);
    assert_int_equal(config.members_count, 3);
    assert_int_equal(config.members[0].id, 2);
    assert_int_equal(config.members[2].id, 7);
    assert_string_equal(config.members[2].peer.host, "h");
    assert_int_equal(config_voters_count(&config), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_kept_in_rising_order_whatever_the_order_they_came),
        cmocka_unit_test(what_cannot_be_a_member_is_not_added),
        cmocka_unit_test(voters_are_counted_without_learners),
        cmocka_unit_test(a_configuration_comes_out_as_it_went_in),
        cmocka_unit_test(what_decodes_encodes_to_the_same_bytes),
        cmocka_unit_test(configurations_out_of_shape_are_refused),
        cmocka_unit_test(a_configuration_entry_says_who_asked_and_then_who_belongs),
        cmocka_unit_test(the_cluster_id_depends_on_every_member),
        cmocka_unit_test(members_are_read_as_people_type_them),
        cmocka_unit_test(cluster_ids_use_all_their_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
