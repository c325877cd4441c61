#include "audit/audit_report.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"

void audit_report_init(struct audit_report *report)
{
    *report = (struct audit_report){0};
}

void audit_report_release(struct audit_report *report)
{
    mem_free(report->findings);
    *report = (struct audit_report){0};
}

void audit_report_add(struct audit_report *report, struct audit_finding finding, const char *format,
                      ...)
{
    bool is_note = audit_kind_is_note(finding.kind);
    uint64_t *count = is_note ? &report->notes_count : &report->violations_count;
    if ((*count)++ >= AUDIT_FINDINGS_MAX)
        return;
    if (report->findings_count == report->capacity) {
        report->capacity = report->capacity * 2 + 8;
        report->findings =
            mem_realloc(report->findings, report->capacity * sizeof *report->findings);
    }
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(finding.text, sizeof finding.text, format, arguments);
    va_end(arguments);
    report->findings[report->findings_count++] = finding;
}

bool audit_kind_is_note(enum audit_kind kind)
{
    return kind == AUDIT_FORGOTTEN || kind == AUDIT_TAIL || kind == AUDIT_DAMAGED;
}

const char *audit_kind_name(enum audit_kind kind)
{
    switch (kind) {
    case AUDIT_TWICE:
        return "twice";
    case AUDIT_UNSEALED:
        return "unsealed";
    case AUDIT_UNOPENED:
        return "unopened";
    case AUDIT_INVENTED:
        return "invented";
    case AUDIT_ANSWER:
        return "answer";
    case AUDIT_REPLACED:
        return "replaced";
    case AUDIT_LOGS:
        return "logs";
    case AUDIT_STATES:
        return "states";
    case AUDIT_FORGOTTEN:
        return "forgotten";
    case AUDIT_TAIL:
        return "tail";
    case AUDIT_DAMAGED:
        return "damaged";
    }
    UNREACHABLE();
}
