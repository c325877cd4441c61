#include "endurance/ledger.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "base/mem.h"

enum { PRINTED_MAX = 20 };

void ledger_init(struct ledger *ledger, uint32_t increments_count)
{
    *ledger = (struct ledger){.increments_count = increments_count};
    ledger->revisions = mem_alloc_array(increments_count, sizeof *ledger->revisions);
}

void ledger_release(struct ledger *ledger)
{
    mem_free(ledger->revisions);
    ledger->revisions = NULL;
}

void ledger_violation(struct ledger *ledger, const char *client, uint64_t sequence,
                      const char *format, ...)
{
    if (++ledger->violations_count > PRINTED_MAX)
        return;
    fprintf(stderr, "VIOLATION %s/%" PRIu64 ": ", client, sequence);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

void ledger_record(struct ledger *ledger, const char *client, uint64_t sequence, uint64_t floor,
                   const struct answer *answer)
{
    char text[256];
    uint64_t value, revision;
    ledger->answered_count++;
    if (!answer_number(answer, &value, &revision)) {
        ledger_violation(ledger, client, sequence, "not carried out: %s",
                         answer_format(answer, text));
        return;
    }
    if (value < 1 || value > ledger->increments_count) {
        ledger_violation(ledger, client, sequence, "the counter is at %" PRIu64 " of %" PRIu32,
                         value, ledger->increments_count);
        return;
    }
    if (ledger->revisions[value - 1] != 0)
        ledger_violation(ledger, client, sequence, "value %" PRIu64 " was another write's", value);
    if (value <= floor)
        ledger_violation(ledger, client, sequence,
                         "value %" PRIu64 ", but %" PRIu64 " was known before it was sent", value,
                         floor);
    ledger->revisions[value - 1] = revision;
    ledger->value_max = MAX(ledger->value_max, value);
}

void ledger_close(struct ledger *ledger)
{
    uint64_t last = 0;
    for (uint32_t i = 0; i < ledger->increments_count; i++) {
        uint64_t revision = ledger->revisions[i];
        if (revision == 0)
            ledger_violation(ledger, "value", i + 1, "no write got it");
        else if (revision <= last)
            ledger_violation(ledger, "value", i + 1, "revision %" PRIu64 " after revision %" PRIu64,
                             revision, last);
        last = MAX(last, revision);
    }
}
