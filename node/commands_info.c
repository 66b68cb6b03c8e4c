/* INFO: sections of lines name:value, with the names that tools made for Redis know. */
#include "node/call.h"
#include "schema/limits.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* A section of INFO: the executor's own lines, then the shell's under the same heading. */
typedef void (info_fn) (call_t *call, writer_t *out);

static void s_line (writer_t *out, const char *format, ...) KV_PRINTF (2, 3);

static void s_line (writer_t *out, const char *format, ...)
{
    char line[256];
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (line, sizeof line, format, arguments);
    va_end (arguments);
    writer_raw (out, kv_slice_text (line));
    writer_raw (out, kv_slice_text ("\r\n"));
}

static void s_info_server (call_t *call, writer_t *out)
{
    s_line (out, "kvdb_version:%s", call_options (call)->version);
    s_line (out, "node_id:%s", call_options (call)->node_id);
    s_line (out, "max_value_bytes:%" PRId64, call_options (call)->max_value_bytes);
}

static void s_human (writer_t *out, const char *name, uint64_t bytes)
{
    static const char units[] = "BKMGTP";
    double amount = (double)bytes;
    size_t unit = 0;
    for (; amount >= 1024 && units[unit + 1]; unit++)
        amount /= 1024;
    s_line (out, unit ? "%s_human:%.2f%c" : "%s_human:%.0f%c", name, amount, units[unit]);
}

static void s_info_memory (call_t *call, writer_t *out)
{
    executor_stats_t stats = executor_stats (call->executor);
    const executor_options_t *options = call_options (call);
    s_line (out, "used_memory:%" PRIu64, stats.bytes);
    s_human (out, "used_memory", stats.bytes);
    s_line (out, "used_memory_per_key:%" PRIu64, stats.keys ? stats.bytes / stats.keys : 0);
    s_line (out, "maxmemory:%" PRIu64, options->max_memory);
    s_human (out, "maxmemory", options->max_memory);
    s_line (out, "maxmemory_policy:%s", eviction_policy_name (options->max_memory_policy));
}

static void s_info_stats (call_t *call, writer_t *out)
{
    executor_stats_t stats = executor_stats (call->executor);
    s_line (out, "total_commands_processed:%" PRIu64, stats.commands);
    s_line (out, "total_error_replies:%" PRIu64, stats.errors);
    s_line (out, "expired_keys:%" PRIu64, stats.expired_keys);
    s_line (out, "evicted_keys:%" PRIu64, stats.evicted_keys);
    s_line (out, "keyspace_hits:%" PRIu64, stats.keyspace_hits);
    s_line (out, "keyspace_misses:%" PRIu64, stats.keyspace_misses);
}

static void s_info_keyspace (call_t *call, writer_t *out)
{
    executor_stats_t stats = executor_stats (call->executor);
    uint32_t owned = 0;
    for (uint32_t i = 0; i < call_shard_count (call); i++)
        owned += call_shard (call, i) != NULL;
    s_line (out, "shards:%" PRIu32, owned);
    s_line (out, "keys:%" PRIu64, stats.keys);
    s_line (out, "expires:%" PRIu64, stats.expiring_keys);
    if (stats.keys) /* the form that tools made for Redis look for */
        s_line (out, "db0:keys=%" PRIu64 ",expires=%" PRIu64 ",avg_ttl=0", stats.keys,
                stats.expiring_keys);
}

static void s_info_commands (call_t *call, writer_t *out)
{
    for (int i = 0; i < COMMAND_COUNT; i++) {
        const command_stats_t *stats = executor_command_stats (call->executor, (command_id_t)i);
        if (stats->calls == 0 && stats->rejected == 0)
            continue;
        char lower[KV_COMMAND_NAME_BYTES_MAX + 1] = {0};
        const char *name = command_spec ((command_id_t)i)->name;
        for (size_t c = 0; name[c]; c++)
            lower[c] = (char)(name[c] | 32);
        s_line (out,
                "cmdstat_%s:calls=%" PRIu64 ",rejected_calls=%" PRIu64 ",failed_calls=%" PRIu64,
                lower, stats->calls, stats->rejected, stats->failed);
    }
}

/* A section that nobody gets who does not ask for it, or for all. */
static const char s_commandstats[] = "Commandstats";

static const struct {
    const char *name;
    info_fn *lines;
} s_sections[] = {{"Server", s_info_server},
                  {"Memory", s_info_memory},
                  {"Stats", s_info_stats},
                  {s_commandstats, s_info_commands},
                  {"Keyspace", s_info_keyspace}};

enum { SECTIONS = sizeof s_sections / sizeof s_sections[0] };

static bool s_same_word (kv_slice_t a, kv_slice_t b)
{
    if (a.size != b.size)
        return false;
    for (size_t i = 0; i < a.size; i++) {
        uint8_t x = a.data[i] >= 'A' && a.data[i] <= 'Z' ? a.data[i] | 32 : a.data[i];
        uint8_t y = b.data[i] >= 'A' && b.data[i] <= 'Z' ? b.data[i] | 32 : b.data[i];
        if (x != y)
            return false;
    }
    return true;
}

/* Whether the client asked for a section: by its name, for all, or for none in particular. */
static bool s_wants (const call_t *call, kv_slice_t section)
{
    bool by_default = !s_same_word (section, kv_slice_text (s_commandstats));
    if (call->command->argc == 1)
        return by_default;
    for (uint32_t i = 1; i < call->command->argc; i++) {
        kv_slice_t word = call_argument (call, i);
        if (kv_slice_is_word (word, "ALL") || kv_slice_is_word (word, "EVERYTHING") ||
            (kv_slice_is_word (word, "DEFAULT") && by_default) || s_same_word (word, section))
            return true;
    }
    return false;
}

/* The next line of the shell's text, without its end; false after the last. */
static bool s_next_line (const char **at, kv_slice_t *line)
{
    if (**at == '\0')
        return false;
    size_t size = strcspn (*at, "\n");
    *line = kv_slice (*at, size > 0 && (*at)[size - 1] == '\r' ? size - 1 : size);
    *at += size + ((*at)[size] == '\n');
    return true;
}

static bool s_is_heading (kv_slice_t line, kv_slice_t *name)
{
    if (line.size < 3 || line.data[0] != '#' || line.data[1] != ' ')
        return false;
    *name = kv_slice (line.data + 2, line.size - 2);
    return true;
}

/* Copies the shell's lines below a heading. */
static void s_shell_lines (const char *info, writer_t *out, kv_slice_t section)
{
    const char *at = info;
    kv_slice_t line;
    kv_slice_t name = kv_slice ("", 0);
    while (s_next_line (&at, &line)) {
        if (s_is_heading (line, &name) || line.size == 0 || !s_same_word (name, section))
            continue;
        writer_raw (out, line);
        writer_raw (out, kv_slice_text ("\r\n"));
    }
}

static void s_heading (writer_t *out, kv_slice_t section)
{
    if (out->size)
        writer_raw (out, kv_slice_text ("\r\n"));
    writer_raw (out, kv_slice_text ("# "));
    writer_raw (out, section);
    writer_raw (out, kv_slice_text ("\r\n"));
}

static bool s_is_own_section (kv_slice_t section)
{
    for (size_t i = 0; i < SECTIONS; i++) {
        if (s_same_word (section, kv_slice_text (s_sections[i].name)))
            return true;
    }
    return false;
}

/* The sections that only the shell knows. */
static void s_shell_sections (call_t *call, const char *info, writer_t *out)
{
    const char *at = info;
    kv_slice_t line;
    kv_slice_t name;
    while (s_next_line (&at, &line)) {
        if (!s_is_heading (line, &name) || s_is_own_section (name) || !s_wants (call, name))
            continue;
        s_heading (out, name);
        s_shell_lines (info, out, name);
    }
}

void command_info (call_t *call)
{
    writer_t text = writer_make (SIZE_MAX);
    const char *info = call_info (call); /* once: it is the shell's until asked again */
    for (size_t i = 0; i < SECTIONS; i++) {
        kv_slice_t name = kv_slice_text (s_sections[i].name);
        if (!s_wants (call, name))
            continue;
        s_heading (&text, name);
        s_sections[i].lines (call, &text);
        s_shell_lines (info, &text, name);
    }
    s_shell_sections (call, info, &text);
    result_value (call->out);
    writer_text (call->out, kv_slice (text.data, text.size));
    writer_free (&text);
}
