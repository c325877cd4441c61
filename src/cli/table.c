#include "cli/table.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/limits.h"

void table_init(struct table *table, size_t columns_count)
{
    REQUIRE(columns_count <= TABLE_COLUMNS_MAX);
    *table = (struct table){.columns_count = columns_count};
    buf_init(&table->cells, 1024 * MIB);
}

void table_release(struct table *table)
{
    buf_release(&table->cells);
}

/* Ends the cell that begins at `start`. */
static void end_cell(struct table *table, size_t start)
{
    size_t columns = 0;
    for (size_t i = start; i < table->cells.count; i++)
        columns += (table->cells.data[i] & 0xc0) != 0x80; /* letters of UTF-8, not bytes */
    buf_put_u8(&table->cells, 0);
    size_t *width = &table->widths[table->cells_count++ % table->columns_count];
    *width = MAX(*width, columns);
}

void table_add(struct table *table, const char *text)
{
    size_t start = table->cells.count;
    buf_put_text(&table->cells, text);
    end_cell(table, start);
}

void table_add_number(struct table *table, uint64_t number)
{
    size_t start = table->cells.count;
    buf_put_decimal(&table->cells, number);
    end_cell(table, start);
}

void table_add_bytes(struct table *table, struct bytes bytes, bool is_text)
{
    size_t start = table->cells.count;
    table_put_escaped(&table->cells, bytes, is_text);
    end_cell(table, start);
}

void table_print(const struct table *table)
{
    const char *cell = (const char *)table->cells.data;
    for (size_t i = 0; i < table->cells_count; i++) {
        size_t column = i % table->columns_count;
        size_t count = strlen(cell), columns = 0;
        for (size_t j = 0; j < count; j++)
            columns += ((uint8_t)cell[j] & 0xc0) != 0x80;
        fputs(cell, stdout);
        if (column + 1 == table->columns_count)
            fputc('\n', stdout);
        else
            printf("%*s", (int)(table->widths[column] - columns + 2), "");
        cell += count + 1;
    }
}

void table_put_escaped(struct buf *out, struct bytes bytes, bool is_text)
{
    for (size_t i = 0; i < bytes.count; i++) {
        uint8_t c = bytes.data[i];
        if (c == '\\')
            buf_put_text(out, "\\\\");
        else if (c == '\n')
            buf_put_text(out, "\\n");
        else if (c == '\t')
            buf_put_text(out, "\\t");
        else if (c < 0x20 || c == 0x7f || (c >= 0x80 && !is_text))
            buf_printf(out, "\\x%02x", c);
        else
            buf_put_u8(out, c);
    }
}
