#include "client/kv_command.h"

#include "client/batch.h"
#include "schema/command.h"
#include "schema/limits.h"

#include <inttypes.h>
#include <stdlib.h>

_Static_assert((int)KV_COMMAND_SMALL <= (int)KV_MESSAGE_SLACK_BYTES, "any server takes it");

enum { ARGUMENT_HEAD_BYTES = 5, WHY_BYTES = 160 };

bool kv_command_strip (size_t *argc, const char *const **argv, const size_t **lens)
{
    if (*argc == 0 || !kv_slice_is_word (kv_slice ((*argv)[0], (*lens)[0]), "KV"))
        return false;
    *argc -= 1;
    *argv += 1;
    *lens += 1;
    return true;
}

int kv_command_error (const kv_shell_t *shell, const char *prefix, const kv_reply_t *reply)
{
    fputs (prefix, shell->err);
    kv_print_reply (shell->err, shell->format, reply);
    return KV_EXIT_ERROR;
}

int kv_command_failed (const kv_shell_t *shell, kv_status_t status)
{
    if (status == KV_END) {
        fputs ("\nkv: the wait was abandoned; what was sent may have been executed\n", shell->err);
        return KV_EXIT_INTERRUPTED;
    }
    fprintf (shell->err, "kv: %s\n", kv_client_error (shell->client));
    bool unsendable = status == KV_BAD_REQUEST || status == KV_TOO_LARGE;
    return unsendable ? KV_EXIT_USAGE : KV_EXIT_NO_REPLY;
}

/* --- What the server takes --- */

kv_status_t kv_command_info (const kv_shell_t *shell, const char *section, const char *name,
                             int64_t *number)
{
    const char *const command[] = {"INFO", section};
    kv_reply_t *reply;
    kv_status_t status = kv_call (shell->client, 2, command, NULL, &reply);
    if (status)
        return status;
    bool text = kv_reply_kind (reply) != KV_REPLY_ERROR;
    const char *found = text ? strstr (kv_reply_data (reply, NULL), name) : NULL;
    if (found && found[strlen (name)] == ':')
        *number = strtoll (found + strlen (name) + 1, NULL, 10);
    else
        found = NULL;
    kv_reply_destroy (&reply);
    return found ? KV_OK : KV_NOT_FOUND;
}

size_t kv_command_bytes (size_t argc, const size_t *lens)
{
    size_t bytes = BATCH_REQUEST_BYTES_MAX;
    for (size_t i = 0; i < argc; i++)
        bytes += lens[i] + ARGUMENT_HEAD_BYTES;
    return bytes;
}

kv_status_t kv_command_limit (const kv_shell_t *shell, size_t *bytes_max)
{
    int64_t value_bytes;
    *bytes_max = SIZE_MAX;
    kv_status_t status = kv_command_info (shell, "server", "max_value_bytes", &value_bytes);
    if (status == KV_OK && value_bytes > 0)
        *bytes_max = (size_t)value_bytes + KV_MESSAGE_SLACK_BYTES;
    return status == KV_NOT_FOUND ? KV_OK : status;
}

void kv_command_too_large (size_t bytes, size_t bytes_max, char *why, size_t why_bytes)
{
    snprintf (why, why_bytes,
              "a command of %zu bytes is more than the server takes: values have %zu bytes at most "
              "(max_value_bytes)",
              bytes, bytes_max - KV_MESSAGE_SLACK_BYTES);
}

/* Refuses what the server would not answer. Returns an exit status; KV_EXIT_OK: it may be sent. */
static int s_check_size (const kv_shell_t *shell, size_t bytes, size_t *bytes_max)
{
    char why[WHY_BYTES];
    if (bytes <= KV_COMMAND_SMALL)
        return KV_EXIT_OK;
    kv_status_t status = kv_command_limit (shell, bytes_max);
    if (status)
        return kv_command_failed (shell, status);
    if (bytes <= *bytes_max)
        return KV_EXIT_OK;
    kv_command_too_large (bytes, *bytes_max, why, sizeof why);
    fprintf (shell->err, "kv: %s; nothing was sent\n", why);
    return KV_EXIT_USAGE;
}

/* Shows a person how the command is typed, if that was the mistake. */
static void s_remind (const kv_shell_t *shell, const command_spec_t *spec, kv_status_t code)
{
    bool typed_wrong = code == KV_WRONG_ARITY || code == KV_SYNTAX;
    if (typed_wrong && spec && shell->format == KV_FORMAT_TERMINAL)
        fprintf (shell->err, "usage: %s%s%s\n", spec->name, *spec->arguments ? " " : "",
                 spec->arguments);
}

int kv_command_run (const kv_shell_t *shell, size_t argc, const char *const *argv,
                    const size_t *lens)
{
    kv_reply_t *reply;
    size_t bytes = kv_command_bytes (argc, lens);
    size_t bytes_max = 0;
    int code = s_check_size (shell, bytes, &bytes_max);
    if (code)
        return code;
    kv_status_t status = kv_call (shell->client, argc, argv, lens, &reply);
    if (status == KV_TIMEOUT && bytes_max == SIZE_MAX)
        fputs ("kv: a server does not answer what is larger than its max_value_bytes and 1 MiB\n",
               shell->err);
    if (status)
        return kv_command_failed (shell, status);
    const command_spec_t *spec = command_find (kv_slice (argv[0], lens[0]));
    if (kv_reply_kind (reply) == KV_REPLY_ERROR) {
        code = kv_command_error (shell, "", reply);
        s_remind (shell, spec, kv_reply_code (reply));
    } else if (spec && spec->id == COMMAND_INFO)
        kv_print_page (shell->out, shell->format, reply);
    else
        kv_print_reply (shell->out, shell->format, reply);
    if (code == KV_EXIT_OK && spec && spec->keys == KEYS_EVERY && shell->one_node &&
        shell->format == KV_FORMAT_TERMINAL)
        fputs ("(this node alone; without --node it is the whole cluster)\n", shell->err);
    kv_reply_destroy (&reply);
    return code;
}
