#include "sim_keys.h"

#include "schema/slot.h"
#include "schema/status.h"

#include <stdio.h>

static void s_add (sim_keys_t *self, sim_random_t *random, sim_kind_t kind, uint32_t shards,
                   uint32_t nodes)
{
    static const char letters[] = "rcgav";
    KV_ASSERT (self->count < SIM_KEYS_MAX);
    uint32_t index = self->count++;
    sim_key_t *key = &self->keys[index];
    *key = (sim_key_t){.kind = kind, .name_count = kind == KEY_GROUP ? SIM_GROUP_KEYS : 1};
    char tag[16] = "";
    if (kind == KEY_GROUP)
        snprintf (tag, sizeof tag, "{g%u}", index);
    else if (sim_random_percent (random, 40))
        snprintf (tag, sizeof tag, "{t%u}", (unsigned)sim_random_below (random, 2));
    for (uint32_t i = 0; i < key->name_count; i++)
        snprintf (key->names[i], sizeof key->names[i], "%s%c#%02u%.1s", tag, letters[kind], index,
                  &"\0abc"[key->name_count > 1 ? i + 1 : 0]);
    key->shard = kv_shard_of (kv_slice_text (key->names[0]), shards);
    key->node = key->shard % nodes;
    self->names += key->name_count;
}

void sim_keys_make (sim_keys_t *self, sim_random_t *random, uint32_t shards, uint32_t nodes)
{
    static const int64_t most[KEY_KINDS] = {5, 2, 2, 6, 3};
    *self = (sim_keys_t){.count = 0};
    for (int kind = 0; kind < KEY_KINDS; kind++) {
        self->first[kind] = self->count;
        self->counts[kind] = (uint32_t)sim_random_range (random, kind == KEY_REGISTER, most[kind]);
        for (uint32_t i = 0; i < self->counts[kind]; i++)
            s_add (self, random, (sim_kind_t)kind, shards, nodes);
    }
}

uint32_t sim_keys_pick (const sim_keys_t *self, sim_random_t *random, sim_kind_t kind)
{
    if (self->counts[kind] == 0)
        return UINT32_MAX;
    return self->first[kind] + (uint32_t)sim_random_below (random, self->counts[kind]);
}

bool sim_keys_find (const sim_keys_t *self, kv_slice_t name, uint32_t *key, uint32_t *member)
{
    const uint8_t *mark = name.size ? memchr (name.data, '#', name.size) : NULL;
    size_t left = mark ? name.size - (size_t)(mark - name.data) : 0;
    if (left < 3)
        return false;
    *key = (uint32_t)(mark[1] - '0') * 10 + (uint32_t)(mark[2] - '0');
    if (*key >= self->count)
        return false;
    *member = left > 3 ? (uint32_t)(mark[3] - 'a') : 0;
    return *member < self->keys[*key].name_count &&
           kv_slice_equal (name, kv_slice_text (self->keys[*key].names[*member]));
}
