#include "base/status.h"

#include "base/check.h"

static const struct status_info table[] = {
#define STATUS_ROW(name, code, http, effect, retry, exit, title)                                   \
    [ST_##name] = {#name, code, title, http, EFFECT_##effect, RETRY_##retry, EXIT_CODE_##exit},
    STATUS_TABLE(STATUS_ROW)
#undef STATUS_ROW
};

const struct status_info *status_info(enum status status)
{
    REQUIRE((unsigned)status < STATUS_COUNT);
    return &table[status];
}

const char *effect_name(enum effect effect)
{
    switch (effect) {
    case EFFECT_NONE:
        return "none";
    case EFFECT_MAYBE:
        return "maybe";
    case EFFECT_APPLIED:
        return "applied";
    }
    UNREACHABLE();
}
