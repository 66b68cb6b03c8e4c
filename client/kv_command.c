#include "client/kv_command.h"

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

int kv_command_run (const kv_shell_t *shell, size_t argc, const char *const *argv,
                    const size_t *lens)
{
    kv_reply_t *reply;
    kv_status_t status = kv_call (shell->client, argc, argv, lens, &reply);
    if (status)
        return kv_command_failed (shell, status);
    int code = KV_EXIT_OK;
    if (kv_reply_kind (reply) == KV_REPLY_ERROR)
        code = kv_command_error (shell, "", reply);
    else
        kv_print_reply (shell->out, shell->format, reply);
    kv_reply_destroy (&reply);
    return code;
}
