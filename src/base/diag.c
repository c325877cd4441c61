#include "base/diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/check.h"

static enum diag_level level_max = DIAG_INFO;
static char name[32] = "minikv";

static const char *const level_names[] = {
    [DIAG_ERROR] = "error", [DIAG_WARN] = "warn", [DIAG_INFO] = "info", [DIAG_DEBUG] = "debug"};

void diag_set_level(enum diag_level level)
{
    level_max = level;
}

void diag_set_name(const char *text)
{
    (void)snprintf(name, sizeof name, "%s", text);
}

void diag(enum diag_level level, const char *format, ...)
{
    if (level > level_max)
        return;

    char line[1024];
    struct timespec now;
    struct tm utc;
    (void)clock_gettime(CLOCK_REALTIME, &now); /* display only */
    (void)gmtime_r(&now.tv_sec, &utc);
    size_t count = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &utc);
    count += (size_t)snprintf(line + count, sizeof line - count,
                              ".%03ldZ %-5s %s: ", now.tv_nsec / 1000000, level_names[level], name);
    va_list arguments;
    va_start(arguments, format);
    int wanted = vsnprintf(line + count, sizeof line - count - 1, format, arguments);
    va_end(arguments);
    count += wanted < 0 ? 0 : (size_t)wanted;
    if (count > sizeof line - 2)
        count = sizeof line - 2;
    line[count] = '\n';
    (void)fwrite(line, 1, count + 1, stderr); /* one write: lines of several threads stay whole */
}

void errtext_set(struct errtext *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
}

void errtext_wrap(struct errtext *error, const char *format, ...)
{
    char inner[sizeof error->text];
    (void)snprintf(inner, sizeof inner, "%s", error->text);
    va_list arguments;
    va_start(arguments, format);
    int count = vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    size_t at = count < 0 ? 0 : MIN((size_t)count, sizeof error->text - 1);
    size_t room = sizeof error->text - at;
    (void)snprintf(error->text + at, room, ": %.*s", (int)room, inner);
}
