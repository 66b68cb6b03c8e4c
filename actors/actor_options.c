#include "actors/actor_options.h"

#include "actors/cluster_options.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void option_check_fault (option_check_t *self, const char *format, ...)
{
    if (self->status)
        return; // A1
    self->status = KV_CONFIG;
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (self->why, self->why_bytes, format, arguments);
    va_end (arguments);
}

static const kv_option_t *s_row (const kv_option_t *rows, const char *field)
{
    for (; rows->name; rows++) {
        const char *dot = strrchr (rows->name, '.');
        if (strcmp (dot ? dot + 1 : rows->name, field) == 0)
            return rows;
    }
    KV_UNREACHABLE ("a number without a row");
}

int64_t option_check_number (option_check_t *self, const kv_option_t *rows, const char *field,
                             int64_t value, int64_t preset)
{
    const kv_option_t *row = s_row (rows, field);
    if (value == 0)
        return preset;
    if (value < row->min || value > row->max)
        option_check_fault (
            self, "%s is %" PRId64 "; it is %" PRId64 " to %" PRId64 ", or 0 for %" PRId64, field,
            value, row->min, row->max, preset);
    return value;
}

static const char s_tcp[] = "tcp://";
static const char s_inproc[] = "inproc://";

static bool s_begins (const char *text, const char *with)
{
    return strncmp (text, with, strlen (with)) == 0;
}

void option_check_endpoint (option_check_t *self, const char *field, const char *endpoint,
                            char out[OPTION_ENDPOINT_BYTES])
{
    out[0] = '\0';
    if (!endpoint) {
        option_check_fault (self, "%s is required", field);
        return;
    }
    const char *port = strrchr (endpoint, ':');
    bool is_tcp = s_begins (endpoint, s_tcp) && port > endpoint + strlen (s_tcp) && port[1];
    bool is_inproc = s_begins (endpoint, s_inproc) && endpoint[strlen (s_inproc)];
    if (!is_tcp && !is_inproc)
        option_check_fault (self,
                            "%s is \"%.100s\"; it has the form tcp://ADDRESS:PORT or inproc://NAME",
                            field, endpoint);
    else if (strlen (endpoint) > KV_ENDPOINT_BYTES_MAX)
        option_check_fault (self, "%s is longer than %d bytes", field, KV_ENDPOINT_BYTES_MAX);
    else
        memcpy (out, endpoint, strlen (endpoint) + 1);
}

void option_check_loopback (option_check_t *self, const char *field, const char *endpoint)
{
    char host[OPTION_ENDPOINT_BYTES];
    if (!s_begins (endpoint, s_tcp))
        return;
    snprintf (host, sizeof host, "%s", endpoint + strlen (s_tcp));
    *strrchr (host, ':') = '\0';
    if (!cluster_is_loopback (host))
        option_check_fault (self,
                            "%s is %s, which is no loopback address, and clients are not "
                            "authenticated; bind 127.0.0.1, or set allow_unauthenticated",
                            field, endpoint);
}

char *option_copy_text (const char *text)
{
    if (!text)
        return NULL;
    size_t bytes = strlen (text) + 1;
    char *copy = malloc (bytes);
    KV_ASSERT (copy != NULL);
    memcpy (copy, text, bytes);
    return copy;
}
