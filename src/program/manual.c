#include "program/manual.h"

#include <ctype.h>
#include <string.h>

#include "base/check.h"

enum { COLUMNS_MAX = 80, INDENT = 2, INDENT_TEXT = 6 };

/* Letters, not bytes: continuation bytes of UTF-8 take no column. */
static size_t columns_of(const char *word, size_t count)
{
    size_t columns = 0;
    for (size_t i = 0; i < count; i++)
        columns += ((unsigned char)word[i] & 0xc0) != 0x80;
    return columns;
}

static void fill(FILE *out, const char *text, size_t indent)
{
    size_t column = 0;
    while (*text != '\0') {
        size_t count = strcspn(text, " ");
        size_t columns = columns_of(text, count);
        if (column != 0 && column + 1 + columns > COLUMNS_MAX) {
            fputc('\n', out);
            column = 0;
        }
        if (column == 0) {
            fprintf(out, "%*s", (int)indent, "");
            column = indent;
        } else {
            fputc(' ', out);
            column++;
        }
        fwrite(text, 1, count, out);
        column += columns;
        text += count;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

/* Text that roff would take for a request or a hyphen is escaped (groff_char(7)). */
static void put_roff(FILE *out, const char *text)
{
    if (*text == '.' || *text == '\'')
        fputs("\\&", out);
    for (; *text != '\0'; text++) {
        if (*text == '\\')
            fputs("\\e", out);
        else if (*text == '-')
            fputs("\\-", out);
        else
            fputc(*text, out);
    }
    fputc('\n', out);
}

void manual_begin(struct manual *manual, const char *program, const char *summary)
{
    REQUIRE(manual->out != NULL);
    if (!manual->is_roff) {
        fprintf(manual->out, "%s: %s\n", program, summary);
        return;
    }
    fputs(".TH ", manual->out);
    for (const char *c = program; *c != '\0'; c++)
        fputc(toupper((unsigned char)*c), manual->out);
    fprintf(manual->out, " 1 \"\" \"MiniKV %s\" \"MiniKV\"\n.SH NAME\n%s \\- %s\n", MINIKV_VERSION,
            program, summary);
}

void manual_section(struct manual *manual, const char *title)
{
    if (!manual->is_roff) {
        fprintf(manual->out, "\n%s\n", title);
        return;
    }
    fputs(".SH ", manual->out);
    for (const char *c = title; *c != '\0'; c++)
        fputc(toupper((unsigned char)*c), manual->out);
    fputc('\n', manual->out);
}

void manual_paragraph(struct manual *manual, const char *text)
{
    if (!manual->is_roff) {
        fill(manual->out, text, INDENT);
        return;
    }
    fputs(".PP\n", manual->out);
    put_roff(manual->out, text);
}

void manual_item(struct manual *manual, const char *term, const char *text)
{
    if (!manual->is_roff) {
        fprintf(manual->out, "%*s%s\n", INDENT, "", term);
        fill(manual->out, text, INDENT_TEXT);
        return;
    }
    fputs(".TP\n.B ", manual->out);
    put_roff(manual->out, term);
    put_roff(manual->out, text);
}

void manual_line(struct manual *manual, const char *line)
{
    if (!manual->is_roff) {
        fprintf(manual->out, "%*s%s\n", INDENT, "", line);
        return;
    }
    fputs(".PP\n.nf\n", manual->out);
    put_roff(manual->out, line);
    fputs(".fi\n", manual->out);
}
