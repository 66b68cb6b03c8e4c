#include "actors/scatter.h"

#include "schema/limits.h"
#include "schema/slot.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* What a node is asked for RANDOMKEY if it is not the only one: ["RANDOMKEY", "WEIGHTED"]. */
static const char s_weighted[] = "\x92\xa9RANDOMKEY\xa8WEIGHTED";

enum { CURSOR_SHARD_MASK = KV_SHARDS_MAX - 1 };
_Static_assert((KV_SHARDS_MAX & CURSOR_SHARD_MASK) == 0, "a cursor's low bits name its shard");

void scatter_free (scatter_t *self)
{
    free (self->pieces);
    free (self->keys);
    *self = (scatter_t){0};
}

void scatter_reset (scatter_t *self)
{
    self->count = 0;
    self->key_count = 0;
}

static piece_t *s_add (scatter_t *self, uint32_t index, const command_t *command, uint32_t shard)
{
    if (self->count == self->capacity) {
        self->capacity = self->capacity ? 2 * self->capacity : 16;
        self->pieces = realloc (self->pieces, self->capacity * sizeof *self->pieces);
        KV_ASSERT (self->pieces != NULL);
    }
    piece_t *piece = &self->pieces[self->count++];
    *piece =
        (piece_t){.command = index, .shard = shard, .spec = command->spec, .raw = command->raw};
    return piece;
}

static uint32_t *s_claim_keys (scatter_t *self, uint32_t count)
{
    if (self->key_capacity - self->key_count < count) {
        uint32_t capacity = self->key_capacity ? self->key_capacity : 64;
        while (capacity - self->key_count < count)
            capacity *= 2;
        self->keys = realloc (self->keys, capacity * sizeof *self->keys);
        KV_ASSERT (self->keys != NULL);
        self->key_capacity = capacity;
    }
    uint32_t *keys = self->keys + self->key_count;
    self->key_count += count;
    return keys;
}

static kv_status_t s_cursor_shard (kv_slice_t cursor, uint32_t shards, uint32_t *shard)
{
    uint64_t number = 0;
    if (cursor.size == 0 || cursor.size > 20)
        return KV_BAD_VALUE;
    for (size_t i = 0; i < cursor.size; i++) {
        uint8_t digit = (uint8_t)(cursor.data[i] - '0');
        if (digit > 9 || number > (UINT64_MAX - digit) / 10)
            return KV_BAD_VALUE;
        number = number * 10 + digit;
    }
    *shard = (uint32_t)(number & CURSOR_SHARD_MASK);
    return *shard < shards ? KV_OK : KV_BAD_VALUE;
}

static kv_status_t s_check_values (const command_t *command, int64_t max_value_bytes, char *text,
                                   size_t text_bytes)
{
    if (command->spec->keys != KEYS_PAIRS)
        return KV_OK;
    for (uint32_t i = 2; i < command->argc; i += 2) {
        if (command->argv[i].size > (uint64_t)max_value_bytes) {
            snprintf (text, text_bytes, "ERR the value has %zu bytes; %" PRId64 " are allowed",
                      command->argv[i].size, max_value_bytes);
            return KV_TOO_LARGE;
        }
    }
    return KV_OK;
}

/* A small open-addressed table from shard to piece, for grouping a command's keys by shard. */
typedef struct {
    uint32_t shard; /* UINT32_MAX: free */
    uint32_t piece; /* index of its piece */
} shard_slot_t;

static uint32_t *s_piece_of (shard_slot_t *slots, uint32_t mask, uint32_t shard)
{
    uint32_t at = (shard * 2654435761U) & mask;
    while (slots[at].shard != UINT32_MAX && slots[at].shard != shard)
        at = (at + 1) & mask;
    slots[at].shard = shard;
    return &slots[at].piece;
}

static void s_split (scatter_t *self, uint32_t index, const command_t *command,
                     const uint32_t *shard_of_key, uint32_t keys, uint32_t shards)
{
    uint32_t slots_count = 16;
    uint32_t most = keys < shards ? keys : shards;
    while (slots_count < 2 * most)
        slots_count *= 2;
    shard_slot_t *slots = malloc (slots_count * sizeof *slots);
    KV_ASSERT (slots != NULL);
    for (uint32_t i = 0; i < slots_count; i++)
        slots[i] = (shard_slot_t){UINT32_MAX, UINT32_MAX};
    /* Count the keys of each piece, lay the pieces out one after the other, then fill them. */
    uint32_t first_piece = self->count;
    for (uint32_t i = 0; i < keys; i++) {
        uint32_t *piece = s_piece_of (slots, slots_count - 1, shard_of_key[i]);
        if (*piece == UINT32_MAX) {
            *piece = self->count;
            s_add (self, index, command, shard_of_key[i]);
        }
        self->pieces[*piece].key_count++;
    }
    uint32_t at = self->key_count;
    s_claim_keys (self, keys);
    for (uint32_t i = first_piece; i < self->count; i++) {
        self->pieces[i].first_key = at;
        at += self->pieces[i].key_count;
        self->pieces[i].key_count = 0;
    }
    for (uint32_t i = 0; i < keys; i++) {
        piece_t *piece = &self->pieces[*s_piece_of (slots, slots_count - 1, shard_of_key[i])];
        self->keys[piece->first_key + piece->key_count++] = i;
    }
    free (slots);
    KV_ASSERT (command_key_count (command) == keys);
}

static kv_status_t s_by_keys (scatter_t *self, uint32_t index, const command_t *command,
                              const shard_map_t *map, int64_t max_value_bytes, char *text,
                              size_t text_bytes)
{
    uint32_t keys = command_key_count (command);
    uint32_t few[64];
    uint32_t *shard_of_key = few;
    if (keys > sizeof few / sizeof few[0]) {
        shard_of_key = malloc (keys * sizeof *shard_of_key);
        KV_ASSERT (shard_of_key != NULL);
    }
    KV_ASSERT (keys > 0);
    bool one_shard = true;
    for (uint32_t i = 0; i < keys; i++) {
        shard_of_key[i] = kv_shard_of (command->argv[command_key_index (command, i)], map->shards);
        one_shard = one_shard && shard_of_key[i] == shard_of_key[0];
    }
    kv_status_t status = KV_OK;
    if (one_shard)
        s_add (self, index, command, shard_of_key[0]); // P3
    else if ((status = s_check_values (command, max_value_bytes, text, text_bytes)) == KV_OK)
        s_split (self, index, command, shard_of_key, keys, map->shards);
    if (shard_of_key != few)
        free (shard_of_key);
    return status;
}

/* P4 */
static kv_status_t s_together (scatter_t *self, uint32_t index, const command_t *command,
                               const shard_map_t *map, char *text, size_t text_bytes)
{
    uint32_t keys = command_key_count (command);
    uint32_t shard = kv_shard_of (command->argv[command_key_index (command, 0)], map->shards);
    for (uint32_t i = 1; i < keys; i++) {
        if (kv_shard_of (command->argv[command_key_index (command, i)], map->shards) != shard) {
            command_cross_shard (command, text, text_bytes);
            return KV_CROSS_SHARD;
        }
    }
    s_add (self, index, command, shard);
    return KV_OK;
}

static kv_status_t s_to_every_node (scatter_t *self, uint32_t index, const command_t *command,
                                    const shard_map_t *map, char *text, size_t text_bytes)
{
    bool pick = command->spec->merge == MERGE_PICK;
    if (pick && command->argc > 1) {
        snprintf (text, text_bytes, "ERR syntax error");
        return KV_SYNTAX;
    }
    uint32_t first = self->count;
    for (uint32_t node = 0; node < map->nodes; node++) {
        if (map->first_shards[node] < map->shards)
            s_add (self, index, command, map->first_shards[node]);
    }
    bool several = self->count - first > 1;
    for (uint32_t i = first; pick && several && i < self->count; i++)
        self->pieces[i].raw = kv_slice (s_weighted, sizeof s_weighted - 1);
    return KV_OK;
}

kv_status_t scatter_command (scatter_t *self, uint32_t index, const command_t *command,
                             const shard_map_t *map, int64_t max_value_bytes, char *text,
                             size_t text_bytes)
{
    uint32_t shard;
    switch (command->spec->keys) {
    case KEYS_FIRST:
        s_add (self, index, command, kv_shard_of (command->argv[1], map->shards));
        return KV_OK;
    case KEYS_SECOND:
        KV_ASSERT (command->argc > 2); /* else it is local */
        s_add (self, index, command, kv_shard_of (command->argv[2], map->shards));
        return KV_OK;
    case KEYS_TWO_TOGETHER:
    case KEYS_PAIRS_TOGETHER: return s_together (self, index, command, map, text, text_bytes);
    case KEYS_ALL:
    case KEYS_PAIRS:
        return s_by_keys (self, index, command, map, max_value_bytes, text, text_bytes);
    case KEYS_CURSOR:
        if (s_cursor_shard (command->argv[1], map->shards, &shard) != KV_OK) {
            snprintf (text, text_bytes, "ERR invalid cursor");
            return KV_BAD_VALUE;
        }
        s_add (self, index, command, shard);
        return KV_OK;
    case KEYS_EVERY: return s_to_every_node (self, index, command, map, text, text_bytes);
    case KEYS_NONE:
    case KEYS_COORDINATOR: break;
    }
    KV_UNREACHABLE ("a command with a place to go to");
}

void scatter_wait (scatter_t *self, uint32_t index, const command_t *command, uint32_t node)
{
    s_add (self, index, command, node);
}

void scatter_encode (const uint32_t *keys, const piece_t *piece, const command_t *command,
                     writer_t *out)
{
    if (piece->key_count == 0) {
        writer_raw (out, piece->raw);
        return;
    }
    bool pairs = command->spec->keys == KEYS_PAIRS;
    writer_array (out, 1 + piece->key_count * (pairs ? 2 : 1));
    writer_bin (out, command->argv[0]);
    for (uint32_t i = 0; i < piece->key_count; i++) {
        uint32_t at = command_key_index (command, keys[piece->first_key + i]);
        writer_bin (out, command->argv[at]);
        if (pairs)
            writer_bin (out, command->argv[at + 1]);
    }
}
