/* Shape: the ranges that every field from the wire is held against. */
#ifndef MINIKV_WIRE_SHAPE_H
#define MINIKV_WIRE_SHAPE_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/cursor.h"
#include "base/status.h"
#include "types/address.h"
#include "types/ids.h"

/* Terms and indexes end far below the top of their type: adding one to a number that came from
 * outside never wraps. */
#define SHAPE_NUMBER_MAX ((uint64_t)INT64_MAX)

static inline bool shape_is_node(uint32_t id)
{
    return id != NODE_NONE && id <= NODE_ID_MAX;
}

static inline bool shape_is_number(uint64_t number)
{
    return number <= SHAPE_NUMBER_MAX;
}

/* Before the first entry both are 0; every entry has a term and an index. */
static inline bool shape_is_entry_id(struct entry_id id)
{
    return shape_is_number(id.term) && shape_is_number(id.index) &&
           (id.term == 0) == (id.index == 0);
}

/* One byte that counts the text behind it, in the one form that address_format gives it; none: the
 * address is not set. `address` NULL: the same as unset. */
void shape_put_address(const struct address *address, struct buf *out);
/* return   ST_OK; ST_SHORT; ST_FORMAT for another form */
MUST_CHECK enum status shape_take_address(struct cursor *in, struct address *out_address);

#endif
