/* kv_topology - `kv status`: the result of TOPOLOGY as a table. Absent fields show as "-", and what
 * a later server adds is passed over (it stands in the JSON). */
#include "client/kv_command.h"

#include <inttypes.h>

enum { CELL_BYTES = 320, COLUMN_COUNT = 8 };

typedef struct {
    char cells[COLUMN_COUNT][CELL_BYTES];
} row_t;

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

static void s_node_row (const kv_reply_t *node, row_t *row)
{
    static const char *const keys[COLUMN_COUNT] = {"id",     "host", "state", "incarnation",
                                                   "shards", "keys", "bytes", "beacon_age_ms"};
    for (size_t i = 0; i < COLUMN_COUNT; i++)
        s_field (node, keys[i], row->cells[i]);
    char port[CELL_BYTES];
    s_field (node, "port", port);
    const char *host = row->cells[1];
    char address[CELL_BYTES];
    bool colon = strchr (host, ':') != NULL;
    int size =
        snprintf (address, sizeof address, colon ? "[%.255s]:%.16s" : "%.255s:%.16s", host, port);
    if (size > 0 && strcmp (host, "-") != 0)
        snprintf (row->cells[1], CELL_BYTES, "%s", address);
}

static void s_print_row (FILE *out, const row_t *row, const int *widths)
{
    for (int i = 0; i < COLUMN_COUNT; i++) {
        bool number = i >= 3;
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

static void s_nodes (FILE *out, const kv_reply_t *nodes)
{
    static const row_t heading = {
        {"NODE", "ADDRESS", "STATE", "INCARNATION", "SHARDS", "KEYS", "BYTES", "BEACON_MS"}};
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

static void s_table (FILE *out, const kv_reply_t *topology)
{
    static const char *const keys[] = {"cluster", "version", "uptime_ms",
                                       "epoch",   "shards",  "replicas"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        char cell[CELL_BYTES];
        s_field (topology, keys[i], cell);
        fprintf (out, "%-10s %s\n", keys[i], cell);
    }
    const kv_reply_t *nodes = kv_reply_find (topology, "nodes");
    if (nodes && kv_reply_kind (nodes) == KV_REPLY_ARRAY) {
        fputc ('\n', out);
        s_nodes (out, nodes);
    }
}

/* As kv_print_json, but the cluster's id, 16 bytes, stands as hexadecimal digits. */
static void s_json (FILE *out, const kv_reply_t *topology)
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
    fputs ("}\n", out);
}

int kv_topology_run (const kv_shell_t *shell)
{
    static const char *const command[] = {"TOPOLOGY"};
    kv_reply_t *reply;
    kv_status_t status = kv_call (shell->client, 1, command, NULL, &reply);
    if (status)
        return kv_command_failed (shell, status);
    int code = KV_EXIT_OK;
    if (kv_reply_kind (reply) == KV_REPLY_ERROR)
        code = kv_command_error (shell, "", reply);
    else if (kv_reply_kind (reply) != KV_REPLY_MAP) {
        fputs ("kv: the server's topology is not a map\n", shell->err);
        code = KV_EXIT_NO_REPLY;
    } else if (shell->format == KV_FORMAT_JSON)
        s_json (shell->out, reply);
    else
        s_table (shell->out, reply);
    kv_reply_destroy (&reply);
    return code;
}
