#include "actors/log.h"

#include <stdarg.h>
#include <stdio.h>

enum { LINE_BYTES = 1024 };

void log_event (const log_t *self, log_level_t level, const char *format, ...)
{
    if (!self || !self->write || level < self->least)
        return;
    char line[LINE_BYTES];
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (line, sizeof line, format, arguments);
    va_end (arguments);
    for (char *c = line; *c;
         c++) { /* what peers say is quoted: it must not make lines of its own */
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
    }
    self->write (self->context, level, line);
}

const char *log_level_name (log_level_t level)
{
    static const char *const names[] = {"DEBUG", "INFO", "WARN", "ERROR"};
    KV_ASSERT (level >= KV_LOG_DEBUG && level <= KV_LOG_ERROR);
    return names[level];
}
