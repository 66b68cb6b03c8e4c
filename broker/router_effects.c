#include "broker/router_effects.h"

#include <stdlib.h>

void effect_queue_free (effect_queue_t *self)
{
    for (size_t i = self->at; i < self->count; i++) {
        blob_unref (&self->effects[i].body);
        pending_destroy (&self->effects[i].pending);
    }
    pending_destroy (&self->consumed);
    free (self->effects);
    *self = (effect_queue_t){0};
}

static void s_push (effect_queue_t *self, effect_t effect)
{
    if (self->count == self->capacity) {
        self->capacity = self->capacity ? 2 * self->capacity : 64;
        self->effects = realloc (self->effects, self->capacity * sizeof *self->effects);
        KV_ASSERT (self->effects != NULL);
    }
    self->effects[self->count++] = effect;
}

void effect_queue_to_node (effect_queue_t *self, uint32_t node, uint64_t tag, blob_t *body)
{
    s_push (self, (effect_t){.node = node, .tag = tag, .body = body});
}

void effect_queue_to_client (effect_queue_t *self, pending_t *pending)
{
    KV_ASSERT (pending->reply != NULL);
    s_push (self, (effect_t){.pending = pending});
}

bool effect_queue_next (effect_queue_t *self, router_effect_t *out)
{
    pending_destroy (&self->consumed);
    while (self->at < self->count) {
        effect_t *effect = &self->effects[self->at++];
        if (effect->body) {
            *out = (router_effect_t){.kind = ROUTER_TO_NODE,
                                     .node = effect->node,
                                     .tag = effect->tag,
                                     .body = effect->body};
            return true;
        }
        if (effect->pending) {
            self->consumed = effect->pending;
            *out = (router_effect_t){.kind = ROUTER_TO_CLIENT,
                                     .envelope = effect->pending->envelope,
                                     .body = effect->pending->reply};
            effect->pending->reply = NULL;
            return true;
        }
    }
    self->at = self->count = 0;
    return false;
}

bool effect_queue_recall (effect_queue_t *self, uint32_t node, size_t *from, uint64_t *tag)
{
    for (size_t i = *from < self->at ? self->at : *from; i < self->count; i++) {
        effect_t *effect = &self->effects[i];
        if (!effect->body || effect->node != node)
            continue;
        blob_unref (&effect->body);
        *tag = effect->tag;
        *from = i + 1;
        return true;
    }
    return false;
}
