#include "client/kv_scan.h"

#include <errno.h>
#include <inttypes.h>

enum { CURSOR_BYTES = 64 };

static void s_print_key (const kv_shell_t *shell, const kv_reply_t *reply)
{
    size_t size;
    const char *data = kv_reply_data (reply, &size);
    kv_slice_t key = kv_slice (data, size);
    switch (shell->format) {
    case KV_FORMAT_TERMINAL: kv_print_quoted (shell->out, key); break;
    case KV_FORMAT_RAW: fwrite (data, 1, size, shell->out); break;
    case KV_FORMAT_JSON: kv_print_json_bytes (shell->out, key); break;
    }
    fputc ('\n', shell->out);
}

/* Prints the keys of one reply and takes the cursor from it. Returns an exit status. */
static int s_take (const kv_shell_t *shell, const kv_reply_t *reply, char cursor[CURSOR_BYTES])
{
    if (kv_reply_kind (reply) == KV_REPLY_ERROR)
        return kv_command_error (shell, "", reply);
    const kv_reply_t *next = kv_reply_item (reply, 0);
    const kv_reply_t *keys = kv_reply_item (reply, 1);
    size_t size = 0;
    const char *text = next ? kv_reply_data (next, &size) : "";
    if (size == 0 || size >= CURSOR_BYTES || !keys || kv_reply_kind (keys) != KV_REPLY_ARRAY) {
        fputs ("kv: the server's reply to SCAN is not [cursor, keys]\n", shell->err);
        return KV_EXIT_NO_REPLY;
    }
    snprintf (cursor, CURSOR_BYTES, "%s", text);
    for (size_t i = 0; i < kv_reply_count (keys); i++)
        s_print_key (shell, kv_reply_item (keys, i));
    return KV_EXIT_OK;
}

/* One SCAN. Returns an exit status. */
static int s_step (const kv_shell_t *shell, const kv_scan_options_t *options,
                   char cursor[CURSOR_BYTES])
{
    char count[32];
    snprintf (count, sizeof count, "%" PRId64, options->count ? options->count : SCAN_COUNT);
    const char *argv[] = {"SCAN", cursor, "COUNT", count, "MATCH", options->pattern};
    kv_reply_t *reply;
    kv_status_t status = kv_call (shell->client, options->pattern ? 6 : 4, argv, NULL, &reply);
    if (status)
        return kv_command_failed (shell, status);
    int code = s_take (shell, reply, cursor);
    kv_reply_destroy (&reply);
    return code;
}

int kv_scan_run (const kv_shell_t *shell, const kv_scan_options_t *options)
{
    char cursor[CURSOR_BYTES] = "0";
    int code;
    do {
        code = s_step (shell, options, cursor);
        if (code == KV_EXIT_OK && fflush (shell->out) != 0) {
            fprintf (shell->err, "kv: the keys cannot be written: %s\n", strerror (errno));
            code = KV_EXIT_ERROR;
        }
    } while (code == KV_EXIT_OK && strcmp (cursor, "0") != 0);
    if (code)
        fputs ("kv: the scan is incomplete\n", shell->err);
    return code;
}
