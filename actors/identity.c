#include "actors/identity.h"

#include "actors/small_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

enum { FILE_BYTES_MAX = 256, HEX_BYTES = 2 * KV_UUID_BYTES };

static const char s_form[] = "kvdb-identity 1\nuuid %s\ncluster %s\n";

void random_bytes (void *out, size_t size)
{
    uint8_t *at = out;
    while (size > 0) {
        ssize_t got = getrandom (at, size, 0);
        KV_ASSERT (got > 0 || errno == EINTR);
        at += got > 0 ? got : 0;
        size -= got > 0 ? (size_t)got : 0;
    }
}

void identity_make (identity_t *out)
{
    *out = (identity_t){.created = true};
    random_bytes (out->uuid, sizeof out->uuid);
}

static uint64_t s_checksum (const char *text, size_t size)
{
    uint64_t hash = UINT64_C (0xcbf29ce484222325);
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (uint8_t)text[i]) * UINT64_C (0x100000001b3);
    return hash;
}

static void s_to_hex (const uint8_t *bytes, char text[HEX_BYTES + 1])
{
    for (size_t i = 0; i < KV_UUID_BYTES; i++)
        snprintf (text + 2 * i, 3, "%02x", bytes[i]);
}

static int s_digit (char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool s_from_hex (const char *text, uint8_t *bytes)
{
    for (size_t i = 0; i < KV_UUID_BYTES; i++) {
        int high = s_digit (text[2 * i]);
        int low = high < 0 ? -1 : s_digit (text[2 * i + 1]);
        if (low < 0)
            return false;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return text[HEX_BYTES] == '\0';
}

/* The one text that stands for an identity. Returns its length. */
static size_t s_print (const identity_t *identity, char text[FILE_BYTES_MAX])
{
    char uuid[HEX_BYTES + 1];
    char cluster[HEX_BYTES + 1] = "-";
    s_to_hex (identity->uuid, uuid);
    if (identity->has_cluster)
        s_to_hex (identity->cluster_id, cluster);
    int size = snprintf (text, FILE_BYTES_MAX, s_form, uuid, cluster);
    uint64_t checksum = s_checksum (text, (size_t)size);
    size +=
        snprintf (text + size, FILE_BYTES_MAX - (size_t)size, "check %016" PRIx64 "\n", checksum);
    KV_ASSERT (size < FILE_BYTES_MAX);
    return (size_t)size;
}

/* I2: what is read is printed again, and must come out as it was. */
static bool s_parse (const char *text, identity_t *out)
{
    char uuid[HEX_BYTES + 1];
    char cluster[HEX_BYTES + 1];
    *out = (identity_t){.created = false};
    if (sscanf (text, "kvdb-identity 1 uuid %32s cluster %32s", uuid, cluster) != 2 ||
        strlen (uuid) != HEX_BYTES || !s_from_hex (uuid, out->uuid))
        return false;
    out->has_cluster = strcmp (cluster, "-") != 0;
    if (out->has_cluster &&
        (strlen (cluster) != HEX_BYTES || !s_from_hex (cluster, out->cluster_id)))
        return false;
    char expected[FILE_BYTES_MAX];
    s_print (out, expected);
    return strcmp (text, expected) == 0;
}

kv_status_t identity_save (const char *directory, const char *name, const identity_t *identity,
                           char *why, size_t why_bytes)
{
    char text[FILE_BYTES_MAX];
    size_t size = s_print (identity, text);
    return small_file_replace (directory, name, kv_slice (text, size), why, why_bytes); // I1
}

kv_status_t identity_load (const char *directory, const char *name, identity_t *out, char *why,
                           size_t why_bytes)
{
    char text[FILE_BYTES_MAX];
    kv_status_t status = small_file_read (directory, name, text, sizeof text, why, why_bytes);
    if (status == KV_IO)
        return status;
    if (status == KV_NOT_FOUND) {
        identity_make (out);
        return identity_save (directory, name, out, why, why_bytes);
    }
    if (status == KV_OK && s_parse (text, out))
        return KV_OK;
    snprintf (
        why, why_bytes,
        "%s/%s is damaged; restore it from a backup, or, if the data in that directory is not "
        "needed, move the directory away to start as a new member",
        directory, name);
    return KV_CORRUPT; // I2
}
