#include "kv/decimal.h"

bool decimal_parse(struct bytes text, int64_t *out_number)
{
    bool is_negative = text.count > 0 && text.data[0] == '-';
    size_t digits_at = is_negative;
    if (text.count == digits_at || text.count > DECIMAL_BYTES_MAX)
        return false;
    if (text.data[digits_at] == '0' && text.count > 1) /* "01", "-0", "-01" */
        return false;

    uint64_t magnitude = 0; /* 20 digits could pass 2^64; 19, the most there can be, cannot */
    uint64_t magnitude_max = (uint64_t)INT64_MAX + is_negative;
    if (text.count - digits_at == DECIMAL_BYTES_MAX)
        return false;
    for (size_t i = digits_at; i < text.count; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        magnitude = magnitude * 10 + (uint64_t)(text.data[i] - '0');
    }
    if (magnitude > magnitude_max)
        return false;
    *out_number = is_negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

struct bytes decimal_format(int64_t number, uint8_t out[DECIMAL_BYTES_MAX])
{
    uint64_t magnitude = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    size_t at = DECIMAL_BYTES_MAX;
    do {
        out[--at] = (uint8_t)('0' + magnitude % 10);
        magnitude /= 10;
    } while (magnitude != 0);
    if (number < 0)
        out[--at] = '-';
    return bytes_of(out + at, DECIMAL_BYTES_MAX - at);
}
