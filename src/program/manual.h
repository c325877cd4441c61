/* Manual: a program describes itself once; the reader gets it as help text or as a manual page.
 *
 * The describing function calls manual_section, _item, … in order, with a writer of either form. So
 * `--help` and docs/man cannot say different things. */
#ifndef MINIKV_PROGRAM_MANUAL_H
#define MINIKV_PROGRAM_MANUAL_H

#include <stdbool.h>
#include <stdio.h>

struct manual {
    FILE *out;    /* borrowed */
    bool is_roff; /* else plain text of at most 80 columns */
};

void manual_begin(struct manual *manual, const char *program, const char *summary);
void manual_section(struct manual *manual, const char *title);
/* Running text, filled; may hold several sentences. */
void manual_paragraph(struct manual *manual, const char *text);
/* A term on a line of its own, and what it means, indented. */
void manual_item(struct manual *manual, const char *term, const char *text);
/* A line to be typed or read as it stands. */
void manual_line(struct manual *manual, const char *line);

#endif
