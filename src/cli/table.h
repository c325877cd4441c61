/* Table: rows of text in columns as wide as their widest cell. */
#ifndef MINIKV_CLI_TABLE_H
#define MINIKV_CLI_TABLE_H

#include "base/buf.h"

enum { TABLE_COLUMNS_MAX = 10 };

struct table {
    struct buf cells; /* each followed by a NUL */
    size_t columns_count;
    size_t cells_count;
    size_t widths[TABLE_COLUMNS_MAX];
};

/* The first cells added are the heading. */
void table_init(struct table *table, size_t columns_count);
void table_release(struct table *table);
void table_add(struct table *table, const char *text);
void table_add_number(struct table *table, uint64_t number);
/* Bytes as table_put_escaped shows them. */
void table_add_bytes(struct table *table, struct bytes bytes, bool is_text);
void table_print(const struct table *table);

/* What would break a line or a terminal is shown as \n, \t, \\ or \xNN; of bytes that are no text,
 * everything beyond ASCII as well. */
void table_put_escaped(struct buf *out, struct bytes bytes, bool is_text);

#endif
