#include "wire/shape.h"

#include <string.h>

void shape_put_address(const struct address *address, struct buf *out)
{
    char text[LIMIT_ADDRESS_BYTES] = "";
    if (address != NULL && address_is_set(address))
        (void)address_format(address, text);
    buf_put_u8(out, (uint8_t)strlen(text));
    buf_put_text(out, text);
}

enum status shape_take_address(struct cursor *in, struct address *out_address)
{
    struct bytes text = cursor_take(in, cursor_u8(in));
    if (in->is_short)
        return ST_SHORT;
    *out_address = (struct address){0};
    if (text.count == 0)
        return ST_OK;
    return address_decode(text, out_address) == ST_OK ? ST_OK : ST_FORMAT;
}
