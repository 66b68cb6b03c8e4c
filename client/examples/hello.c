/* hello - a command, and a pipeline of two batches, with libkvdb.
 *
 *     hello [HOST [PORT]] */
#include <kvdb.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { BATCHES = 2, COMMANDS = 3 };

/* One command: the status tells of the connection, the reply of the command. */
static int s_greet (kv_client_t *client)
{
    const char *const command[] = {"SET", "greeting", "hello"};
    kv_reply_t *reply;
    if (kv_call (client, 3, command, NULL, &reply) != KV_OK) {
        fprintf (stderr, "hello: %s\n", kv_client_error (client));
        return 3;
    }
    int failed = kv_reply_kind (reply) == KV_REPLY_ERROR;
    printf ("SET: %s\n", kv_reply_data (reply, NULL));
    kv_reply_destroy (&reply);
    return failed;
}

/* Many commands: batches are sent ahead, and their replies received in the same order. */
static int s_count (kv_client_t *client)
{
    const char *const command[] = {"INCR", "visits"};
    kv_batch_t *batch = kv_batch_new ();
    kv_status_t status = KV_OK;
    for (int i = 0; i < COMMANDS && status == KV_OK; i++)
        status = kv_batch_add (batch, 2, command, NULL);
    for (int i = 0; i < BATCHES && status == KV_OK; i++)
        status = kv_send (client, batch, NULL);
    for (int i = 0; i < BATCHES && status == KV_OK; i++) {
        kv_reply_t *replies;
        status = kv_receive (client, -1, NULL, &replies);
        if (status)
            break;
        for (size_t n = 0; n < kv_reply_count (replies); n++)
            printf ("INCR: %" PRId64 "\n", kv_reply_int (kv_reply_item (replies, n)));
        kv_reply_destroy (&replies);
    }
    if (status)
        fprintf (stderr, "hello: %s\n", kv_client_error (client));
    kv_batch_destroy (&batch);
    return status ? 3 : 0;
}

int main (int argc, char **argv)
{
    kv_options_t options;
    kv_client_t *client;
    kv_options_init (&options, sizeof options);
    if (argc > 1)
        options.host = argv[1];
    if (argc > 2)
        options.port = atoi (argv[2]);
    if (kv_client_new (&options, &client) != KV_OK) {
        fputs ("hello: HOST is a name or an address, PORT a number from 1 to 65535\n", stderr);
        return 2;
    }
    int code = s_greet (client);
    if (code == 0)
        code = s_count (client);
    kv_client_destroy (&client);
    return code;
}
