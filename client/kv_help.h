/* kv_help - HELP as the prompt gives it, and the words that only the prompt knows.
 *
 * HELP alone lists every command by its group; HELP command and HELP @group show rows of the table
 * this program was built with (schema/commands.def). */
#ifndef KVDB_CLIENT_KV_HELP_H
#define KVDB_CLIENT_KV_HELP_H

#include "schema/slice.h"

#include <stdio.h>

/* A word the prompt answers itself. */
typedef struct {
    const char *name; /* upper case */
    const char *arguments;
    const char *summary;
} kv_local_t;

/* The n-th of them, sorted by name; NULL past the last. */
const kv_local_t *kv_help_local (size_t n);

/* Prints help on `what`: a command, "@group", or everything if it is empty. False, with nothing
 * printed: there is no such command or group here. */
bool kv_help_print (FILE *out, kv_slice_t what);

#endif
