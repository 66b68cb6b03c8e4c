#include "actors/data_directory.h"

#include "actors/files_disk.h"

#include <stdio.h>

kv_status_t data_directory_open (const char *directory, const char *name, files_t **files_p,
                                 identity_t *identity, char *why, size_t why_bytes)
{
    file_error_t error = {0};
    kv_status_t status = files_disk_open (directory, files_p, &error);
    if (status == KV_OK)
        status = files_lock (*files_p, "lock", &error);
    if (status)
        snprintf (why, why_bytes, "%s", error.text);
    else
        status = identity_load (directory, name, identity, why, why_bytes);
    if (status)
        files_destroy (files_p);
    return status;
}
