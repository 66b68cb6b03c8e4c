/* kv_topology - `kv status`: the result of TOPOLOGY as a table. Absent fields show as "-", and what
 * a later server adds is passed over (it stands in the JSON). Owner: the main thread of kv. */
#include "client/kv_command.h"

#include "schema/limits.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

enum { CELL_BYTES = 320, COLUMN_COUNT = 8, RATE_MS = 1000 };

typedef struct {
    char cells[COLUMN_COUNT][CELL_BYTES];
} row_t;

/* --- Values as text --- */

/* An integer of a map; false if there is none. */
static bool s_number (const kv_reply_t *map, const char *key, int64_t *number)
{
    const kv_reply_t *value = kv_reply_find (map, key);
    if (!value || kv_reply_kind (value) != KV_REPLY_INT)
        return false;
    *number = kv_reply_int (value);
    return true;
}

/* The value under a key as text: "-" if it is absent or no number, text or bytes. Bytes show as
 * hexadecimal digits (the cluster's id), and text without control characters. */
static void s_field (const kv_reply_t *map, const char *key, char *cell)
{
    const kv_reply_t *value = kv_reply_find (map, key);
    size_t size = 0;
    const char *data = value ? kv_reply_data (value, &size) : "";
    snprintf (cell, CELL_BYTES, "-");
    if (!value)
        return;
    switch (kv_reply_kind (value)) {
    case KV_REPLY_INT: snprintf (cell, CELL_BYTES, "%" PRId64, kv_reply_int (value)); break;
    case KV_REPLY_TEXT:
        snprintf (cell, CELL_BYTES, "%s", data);
        for (char *at = cell; *at; at++)
            *at = (char)(*at >= ' ' && *at <= '~' ? *at : '?');
        break;
    case KV_REPLY_BYTES:
        for (size_t i = 0; i < size && 2 * i + 2 < CELL_BYTES; i++)
            snprintf (cell + 2 * i, 3, "%02x", (unsigned)(uint8_t)data[i]);
        break;
    case KV_REPLY_NIL:
    case KV_REPLY_DOUBLE:
    case KV_REPLY_BOOL:
    case KV_REPLY_ARRAY:
    case KV_REPLY_MAP:
    case KV_REPLY_ERROR: break;
    }
}

/* 1536 as "1.5 KiB". */
static void s_bytes (int64_t bytes, char *cell)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double scaled = (double)bytes;
    size_t unit = 0;
    while (scaled >= 1024 && unit + 1 < sizeof units / sizeof units[0]) {
        scaled /= 1024;
        unit++;
    }
    snprintf (cell, CELL_BYTES, unit && scaled < 100 ? "%.1f %s" : "%.0f %s", scaled, units[unit]);
}

/* The two largest units: "3 d 4 h", "12 min 5 s", "7 s", "40 ms". */
static void s_duration (int64_t ms, char *cell)
{
    static const struct {
        int64_t ms;
        const char *name;
    } units[] = {{86400000, "d"}, {3600000, "h"}, {60000, "min"}, {1000, "s"}, {1, "ms"}};
    size_t unit = 0;
    while (unit + 1 < sizeof units / sizeof units[0] && ms < units[unit].ms)
        unit++;
    int size = snprintf (cell, CELL_BYTES, "%" PRId64 " %s", ms / units[unit].ms, units[unit].name);
    int64_t rest = ms % units[unit].ms;
    if (unit < 3 && size > 0 && rest >= units[unit + 1].ms)
        snprintf (cell + size, CELL_BYTES - (size_t)size, " %" PRId64 " %s",
                  rest / units[unit + 1].ms, units[unit + 1].name);
}

/* The fields of a topology that people read with units. */
static void s_bytes_field (const kv_reply_t *map, const char *key, char *cell)
{
    int64_t number;
    s_field (map, key, cell);
    if (s_number (map, key, &number) && number >= 0)
        s_bytes (number, cell);
}

static void s_duration_field (const kv_reply_t *map, const char *key, char *cell)
{
    int64_t number;
    s_field (map, key, cell);
    if (s_number (map, key, &number) && number >= 0)
        s_duration (number, cell);
}

/* --- The nodes --- */

/* The nodes of a topology; NULL if it has none. */
static const kv_reply_t *s_nodes (const kv_reply_t *topology)
{
    const kv_reply_t *nodes = kv_reply_find (topology, "nodes");
    return nodes && kv_reply_kind (nodes) == KV_REPLY_ARRAY ? nodes : NULL;
}

static bool s_is_up (const kv_reply_t *node)
{
    const kv_reply_t *state = kv_reply_find (node, "state");
    return state && strcmp (kv_reply_data (state, NULL), "up") == 0;
}

/* Whether what the node last said of its keys is still so. A node that is gone holds none that could be
 * read. */
static bool s_counts (const kv_reply_t *node)
{
    static const char *const gone[] = {"down", "absent", "joining"};
    const kv_reply_t *state = kv_reply_find (node, "state");
    for (size_t i = 0; state && i < sizeof gone / sizeof gone[0]; i++) {
        if (strcmp (kv_reply_data (state, NULL), gone[i]) == 0)
            return false;
    }
    return true;
}

static void s_address (const kv_reply_t *node, char *cell)
{
    char host[CELL_BYTES];
    char port[CELL_BYTES];
    s_field (node, "host", host);
    s_field (node, "port", port);
    bool colon = strchr (host, ':') != NULL;
    if (strcmp (host, "-") == 0)
        snprintf (cell, CELL_BYTES, "-");
    else
        snprintf (cell, CELL_BYTES, colon ? "[%.255s]:%.16s" : "%.255s:%.16s", host, port);
}

/* What the server says, or else what owning shards makes of it. */
static void s_role (const kv_reply_t *node, char *cell)
{
    int64_t shards;
    s_field (node, "role", cell);
    if (strcmp (cell, "-") == 0 && s_number (node, "shards", &shards))
        snprintf (cell, CELL_BYTES, shards > 0 ? "owner" : "spare");
}

static void s_node_row (const kv_reply_t *node, row_t *row)
{
    int64_t age_ms = 0;
    s_field (node, "id", row->cells[0]);
    s_address (node, row->cells[1]);
    s_field (node, "state", row->cells[2]);
    s_role (node, row->cells[3]);
    s_field (node, "shards", row->cells[4]);
    s_field (node, "keys", row->cells[5]);
    s_bytes_field (node, "bytes", row->cells[6]);
    for (size_t i = 5; i <= 6 && !s_counts (node); i++)
        snprintf (row->cells[i], CELL_BYTES, "-");
    s_duration_field (node, "beacon_age_ms", row->cells[7]);
    if (s_number (node, "beacon_age_ms", &age_ms) && age_ms < 0)
        snprintf (row->cells[7], CELL_BYTES, "never");
}

static void s_print_row (FILE *out, const row_t *row, const int *widths)
{
    for (int i = 0; i < COLUMN_COUNT; i++) {
        bool number = i >= 4;
        bool last = i == COLUMN_COUNT - 1;
        fprintf (out, number ? "%*s%s" : "%-*s%s", widths[i], row->cells[i], last ? "\n" : "  ");
    }
}

static void s_widen (int *widths, const row_t *row)
{
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        int width = (int)strlen (row->cells[i]);
        widths[i] = width > widths[i] ? width : widths[i];
    }
}

static void s_node_table (FILE *out, const kv_reply_t *nodes)
{
    static const row_t heading = {
        {"NODE", "ADDRESS", "STATE", "ROLE", "SHARDS", "KEYS", "MEMORY", "BEACON"}};
    int widths[COLUMN_COUNT] = {0};
    row_t row;
    s_widen (widths, &heading);
    for (size_t i = 0; i < kv_reply_count (nodes); i++) {
        s_node_row (kv_reply_item (nodes, i), &row);
        s_widen (widths, &row);
    }
    s_print_row (out, &heading, widths);
    for (size_t i = 0; i < kv_reply_count (nodes); i++) {
        s_node_row (kv_reply_item (nodes, i), &row);
        s_print_row (out, &row, widths);
    }
}

/* --- The cluster --- */

static int64_t s_sum (const kv_reply_t *nodes, const char *key)
{
    int64_t sum = 0;
    int64_t number;
    for (size_t i = 0; i < kv_reply_count (nodes); i++) {
        const kv_reply_t *node = kv_reply_item (nodes, i);
        if (s_counts (node) && s_number (node, key, &number) && number > 0)
            sum += number;
    }
    return sum;
}

/* ", not counting node2, node3": those whose keys are none now. */
static void s_uncounted (FILE *out, const kv_reply_t *nodes)
{
    const char *divider = ", not counting ";
    for (size_t i = 0; i < kv_reply_count (nodes); i++) {
        const kv_reply_t *node = kv_reply_item (nodes, i);
        char cell[CELL_BYTES];
        s_field (node, "id", cell);
        if (!s_counts (node)) {
            fprintf (out, "%s%s", divider, cell);
            divider = ", ";
        }
    }
}

/* "64: node1 22, node2 21, node3 21", with the state of owners that are not up. */
static void s_shards (FILE *out, const kv_reply_t *topology, const kv_reply_t *nodes)
{
    int64_t counts[KV_NODES_MAX] = {0};
    const kv_reply_t *owners = kv_reply_find (topology, "owners");
    char cell[CELL_BYTES];
    s_field (topology, "shards", cell);
    fprintf (out, "%-10s %s", "shards", cell);
    for (size_t i = 0; owners && i < kv_reply_count (owners); i++) {
        int64_t owner = kv_reply_int (kv_reply_item (owners, i));
        if (owner >= 0 && owner < KV_NODES_MAX)
            counts[owner]++;
    }
    const char *divider = ": ";
    for (size_t i = 0; i < kv_reply_count (nodes) && i < KV_NODES_MAX; i++) {
        const kv_reply_t *node = kv_reply_item (nodes, i);
        if (counts[i] == 0)
            continue;
        s_field (node, "id", cell);
        fprintf (out, "%s%s %" PRId64, divider, cell, counts[i]);
        s_field (node, "state", cell);
        if (!s_is_up (node))
            fprintf (out, " (%s)", cell);
        divider = ", ";
    }
    fputc ('\n', out);
}

static void s_line (FILE *out, const char *name, const char *text)
{
    fprintf (out, "%-10s %s\n", name, text);
}

/* `rate` is negative if it is not known. */
static void s_table (const kv_shell_t *shell, const kv_reply_t *topology, double rate)
{
    static const char *const keys[] = {"cluster", "version", "epoch", "replicas"};
    FILE *out = shell->out;
    const kv_reply_t *nodes = s_nodes (topology);
    char cell[CELL_BYTES];
    s_line (out, "broker", kv_client_endpoint (shell->client));
    s_duration_field (topology, "uptime_ms", cell);
    s_line (out, "uptime", cell);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        s_field (topology, keys[i], cell);
        s_line (out, keys[i], cell);
    }
    if (nodes) {
        s_shards (out, topology, nodes);
        fprintf (out, "%-10s %" PRId64, "keys", s_sum (nodes, "keys"));
        s_uncounted (out, nodes);
        fputc ('\n', out);
        s_bytes (s_sum (nodes, "bytes"), cell);
        s_line (out, "memory", cell);
    }
    if (rate >= 0)
        fprintf (out, "%-10s %.0f through the broker\n", "ops/s", rate);
    if (nodes) {
        fputc ('\n', out);
        s_node_table (out, nodes);
    }
}

/* As kv_print_json, but the cluster's id, 16 bytes, stands as hexadecimal digits. */
static void s_json (FILE *out, const kv_reply_t *topology, double rate)
{
    size_t count = kv_reply_count (topology);
    fputc ('{', out);
    for (size_t i = 0; i < count; i++) {
        const kv_reply_t *key = kv_reply_key (topology, i);
        const kv_reply_t *value = kv_reply_item (topology, i);
        fputs (i ? ", " : "", out);
        size_t size;
        const char *name = kv_reply_data (key, &size);
        kv_print_json_bytes (out, kv_slice (name, size));
        fputs (": ", out);
        if (strcmp (name, "cluster") == 0 && kv_reply_kind (value) == KV_REPLY_BYTES) {
            char cell[CELL_BYTES];
            s_field (topology, "cluster", cell);
            fprintf (out, "\"%s\"", cell);
        } else
            kv_print_json (out, value);
    }
    if (rate >= 0) {
        fprintf (out, "%s\"ops_per_s\": ", count ? ", " : "");
        kv_print_double (out, rate);
    }
    fputs ("}\n", out);
}

/* --- Asking --- */

static double s_now_s (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Commands a second, without our own; negative if it is not known. KV_END: a signal came. */
static kv_status_t s_measure (const kv_shell_t *shell, double *rate)
{
    int64_t counts[2];
    double at_s[2];
    *rate = -1;
    for (size_t i = 0; i < 2; i++) {
        kv_status_t status =
            kv_command_info (shell, "stats", "total_commands_processed", &counts[i]);
        at_s[i] = s_now_s ();
        if (status)
            return status == KV_NOT_FOUND ? KV_OK : status;
        struct timespec pause = {RATE_MS / 1000, RATE_MS % 1000 * 1000000L};
        if (i == 0 && nanosleep (&pause, NULL) != 0)
            return KV_END;
    }
    double others = (double)(counts[1] - counts[0] - 1);
    *rate = others > 0 && at_s[1] > at_s[0] ? others / (at_s[1] - at_s[0]) : 0;
    return KV_OK;
}

static int s_show (const kv_shell_t *shell, const kv_reply_t *topology, double rate)
{
    if (kv_reply_kind (topology) == KV_REPLY_ERROR) {
        int code = kv_command_error (shell, "", topology);
        if (shell->one_node)
            fputs (
                "kv: a node knows of itself alone; without --node the broker shows the cluster\n",
                shell->err);
        return code;
    }
    if (kv_reply_kind (topology) != KV_REPLY_MAP) {
        fputs ("kv: the server's topology is not a map\n", shell->err);
        return KV_EXIT_NO_REPLY;
    }
    if (shell->format == KV_FORMAT_JSON)
        s_json (shell->out, topology, rate);
    else
        s_table (shell, topology, rate);
    const kv_reply_t *nodes = s_nodes (topology);
    for (size_t i = 0; nodes && i < kv_reply_count (nodes); i++) {
        if (!s_is_up (kv_reply_item (nodes, i)))
            return KV_EXIT_ERROR;
    }
    return KV_EXIT_OK;
}

int kv_topology_run (const kv_shell_t *shell, bool rate)
{
    static const char *const command[] = {"TOPOLOGY"};
    double measured = -1;
    kv_reply_t *reply;
    kv_status_t status = rate && !shell->one_node ? s_measure (shell, &measured) : KV_OK;
    if (status == KV_OK)
        status = kv_call (shell->client, 1, command, NULL, &reply);
    if (status)
        return kv_command_failed (shell, status);
    int code = s_show (shell, reply, measured);
    kv_reply_destroy (&reply);
    return code;
}
