/* Records in words: one line each. */
#include "inspect/inspect.h"

#include <inttypes.h>

#include "kv/command.h"
#include "types/member.h"
#include "types/proposal.h"

enum { PREVIEW_BYTES = 40 };

static void print_identity(FILE *out, const struct client_identity *identity)
{
    if (identity->client.count == 0)
        return;
    (void)fputs(identity->kind == CLIENT_KEY ? ", idempotency key " : ", client ", out);
    inspect_print_preview(out, identity->client, LIMIT_IDEMPOTENCY_KEY_BYTES);
    if (identity->kind == CLIENT_ID && identity->sequence != 0)
        (void)fprintf(out, " sequence %" PRIu64, identity->sequence);
    if (identity->acked != 0)
        (void)fprintf(out, " acked %" PRIu64, identity->acked);
}

static void print_command(FILE *out, struct bytes data)
{
    struct proposal proposal;
    struct command command;
    if (proposal_decode(data, &proposal) != ST_OK ||
        command_decode(proposal.command, &command) != ST_OK) {
        inspect_print_preview(out, data, PREVIEW_BYTES);
        return;
    }
    (void)fprintf(out, "%s", command_op_name(command.op));
    if (command.key.count > 0) {
        (void)fputc(' ', out);
        inspect_print_preview(out, command.key, PREVIEW_BYTES);
    }
    if (command.value.count > 0)
        (void)fprintf(out, ", value of %zu bytes", command.value.count);
    if (command.member != NODE_NONE)
        (void)fprintf(out, " member %u", command.member);
    if (command.op == COMMAND_OPEN_SESSION)
        (void)fprintf(out, " nonce %016" PRIx64, command.nonce);
    if (command.op == COMMAND_EXPIRE_SESSIONS)
        (void)fprintf(out, " last used before %" PRIu64 " us", command.cutoff_us);
    if (command.op == COMMAND_EXPIRE_LEASES)
        (void)fprintf(out, " at %" PRIu64 " us", command.cutoff_us);
    if (command.op == COMMAND_COMPACT)
        (void)fprintf(out, " below revision %" PRIu64, command.revision);
    if (command.lease != 0)
        (void)fprintf(out, " lease %" PRIu64, command.lease);
    if (command.op == COMMAND_GRANT_LEASE)
        (void)fprintf(out, " for %" PRIu64 " ms", command.ttl_ms);
    print_identity(out, &command.identity);
    (void)fprintf(out, ", from node %u number %" PRIu64, proposal.origin.node,
                  proposal.origin.number);
}

static void print_config(FILE *out, const struct entry *entry)
{
    struct config config;
    if (entry_config(entry, &config) != ST_OK) {
        inspect_print_preview(out, entry_data(entry), PREVIEW_BYTES);
        return;
    }
    for (uint32_t i = 0; i < config.members_count; i++) {
        char peer[LIMIT_ADDRESS_BYTES];
        (void)fprintf(out, "%s%u=%s%s", i > 0 ? " " : "", config.members[i].id,
                      address_format(&config.members[i].peer, peer),
                      config.members[i].is_voter ? "" : " (learner)");
    }
}

static void print_entry(FILE *out, struct bytes payload)
{
    struct entry *entry;
    enum status status = wal_format_decode_entry(payload, &entry);
    INVARIANT(status == ST_OK);
    (void)fprintf(out, "entry %" PRIu64 ":%" PRIu64 " ", entry->id.term, entry->id.index);
    switch (entry->type) {
    case ENTRY_NOOP:
        (void)fputs("noop", out);
        break;
    case ENTRY_COMMAND:
        (void)fprintf(out, "command of %u bytes: ", entry->data_bytes);
        print_command(out, entry_data(entry));
        break;
    case ENTRY_CONFIG:
        (void)fputs("config ", out);
        print_config(out, entry);
        break;
    }
    (void)fputc('\n', out);
    entry_unref(entry);
}

static void print_hard_state(FILE *out, struct bytes payload)
{
    struct hard_state hard_state;
    enum status status = wal_format_decode_hard_state(payload, &hard_state);
    INVARIANT(status == ST_OK);
    (void)fprintf(out, "hard state: term %" PRIu64 ", vote %u\n", hard_state.term, hard_state.vote);
}

static void print_mark(FILE *out, struct bytes payload)
{
    struct wal_mark mark;
    enum status status = wal_format_decode_mark(payload, &mark);
    INVARIANT(status == ST_OK);
    (void)fprintf(out, "snapshot mark %" PRIu64 ":%" PRIu64 "%s\n", mark.snapshot.term,
                  mark.snapshot.index, mark.begins_anew ? ", the log begins anew" : "");
}

void inspect_print_record(FILE *out, const struct wal_record *record)
{
    switch (record->type) {
    case WAL_RECORD_ENTRY:
        print_entry(out, record->payload);
        break;
    case WAL_RECORD_HARD_STATE:
        print_hard_state(out, record->payload);
        break;
    case WAL_RECORD_SNAPSHOT:
        print_mark(out, record->payload);
        break;
    }
}
