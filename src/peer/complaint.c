/* Complaint: see the header. */
#include "peer/complaint.h"

#include <inttypes.h>

#include "base/buf.h"

#define INTERVAL_MIN (1000 * (time_us)TIME_US_PER_MS)
#define INTERVAL_MAX (60 * INTERVAL_MIN)

/* Whether a line may be written now; counts what may not. */
static bool may_log(struct complaints *complaints, time_us now, enum complaint cause)
{
    struct complaint_history *history = &complaints->of[cause];
    bool is_first = history->seen_at == 0 || now - history->seen_at >= INTERVAL_MAX;
    history->seen_at = now;
    if (!is_first && now - history->logged_at < history->interval) {
        history->dropped_count++;
        return false;
    }
    history->interval = is_first ? INTERVAL_MIN : MIN(2 * history->interval, INTERVAL_MAX);
    history->logged_at = now;
    return true;
}

void complain(struct complaints *complaints, time_us now, enum complaint cause,
              const struct address *peer, const char *format, ...)
{
    REQUIRE(cause <= COMPLAINT_SLOW);
    if (!may_log(complaints, MAX(now, 1), cause))
        return;

    char address[LIMIT_ADDRESS_BYTES];
    struct buf what;
    va_list arguments;
    uint64_t dropped_count = complaints->of[cause].dropped_count;
    buf_init(&what, 256);
    va_start(arguments, format);
    buf_vprintf(&what, format, arguments);
    va_end(arguments);
    if (dropped_count != 0)
        buf_printf(&what, " (and %" PRIu64 " more like this)", dropped_count);
    diag(DIAG_WARN, "link with %s closed: %s", address_format(peer, address), buf_text(&what));
    buf_release(&what);
    complaints->of[cause].dropped_count = 0;
}
