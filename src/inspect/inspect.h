/* Inspect: what is in a log, a snapshot or a meta file, in words. Reads only, and as much of a
 * damaged file as can be read; says where the damage is and what follows from it. */
#ifndef MINIKV_INSPECT_INSPECT_H
#define MINIKV_INSPECT_INSPECT_H

#include <stdio.h>

#include "base/buf.h"
#include "base/status.h"
#include "storage/wal_format.h"

/* The exit code of the worst that was found: FAILURE (cannot read) < FORMAT < CORRUPT. */
enum exit_code inspect_worse(enum exit_code a, enum exit_code b);
/* The whole file, gives ownership of the buffer; false with a line on standard error. */
bool inspect_read_file(const char *path, struct buf *out);
/* The bytes as text between quotes, at most `count_max` of them, the rest escaped or left out. */
void inspect_print_preview(FILE *out, struct bytes bytes, size_t count_max);

/* A segment, a directory of segments, or a data directory with one.
 * is_brief  no frames, only damage and the sum */
enum exit_code inspect_wal(FILE *out, const char *path, bool is_brief);
/* A snapshot, or a directory with such.
 * is_brief   no blocks, only damage and the totals
 * with_keys  each key in it */
enum exit_code inspect_snapshot(FILE *out, const char *path, bool is_brief, bool with_keys);
enum exit_code inspect_meta(FILE *out, const char *path);
enum exit_code inspect_limits(FILE *out);

/* One line for one record. Requires that its payload can be decoded. */
void inspect_print_record(FILE *out, const struct wal_record *record);

#endif
