#include "schema/status.h"

#include <stdio.h>
#include <stdlib.h>

const char *kv_status_name (kv_status_t status)
{
    switch (status) {
#define KV_STATUS(name, number, meaning)                                                           \
    case KV_##name:                                                                                \
        return #name;
#include "schema/status.def"
#undef KV_STATUS
    }
    return "UNLISTED";
}

const char *kv_status_meaning (kv_status_t status)
{
    switch (status) {
#define KV_STATUS(name, number, meaning)                                                           \
    case KV_##name:                                                                                \
        return meaning;
#include "schema/status.def"
#undef KV_STATUS
    }
    return "not a status of this version";
}

_Noreturn void kv_assert_failed (const char *condition, const char *file, int line)
{
    fprintf (stderr, "event=assert_failed condition=\"%s\" at=%s:%d\n", condition, file, line);
    abort ();
}
