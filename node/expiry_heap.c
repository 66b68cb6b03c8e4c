#include "node/expiry_heap.h"

#include "node/segments.h"

#include <stdlib.h>

enum {
    NODE_LOG2 = 4,   /* 16 bytes */
    FIRST_PLACE = 3, /* node 0 stands here, so that nodes 4i + 1 .. 4i + 4 share a cache line */
    WALK_DEPTH = 64  /* bounds the stack of expiry_heap_due: three siblings wait on each level */
};

typedef struct {
    int64_t deadline_ms;
    entry_t *entry;
} node_t;

_Static_assert(sizeof (node_t) == 1 << NODE_LOG2, "a node is 16 bytes, four to a cache line");

struct expiry_heap {
    segments_t nodes; /* FIRST_PLACE unused ones, then the heap */
};

static node_t *s_node (const expiry_heap_t *self, size_t index)
{
    return segments_at (&self->nodes, index + FIRST_PLACE);
}

static void s_prepare (expiry_heap_t *self)
{
    self->nodes = segments_make (NODE_LOG2);
    for (int i = 0; i < FIRST_PLACE; i++)
        (void)segments_push (&self->nodes);
}

expiry_heap_t *expiry_heap_new (void)
{
    expiry_heap_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    s_prepare (self);
    return self;
}

void expiry_heap_destroy (expiry_heap_t **self_p)
{
    if (!*self_p)
        return;
    segments_free (&(*self_p)->nodes);
    free (*self_p);
    *self_p = NULL;
}

void expiry_heap_clear (expiry_heap_t *self)
{
    segments_free (&self->nodes);
    s_prepare (self);
}

size_t expiry_heap_count (const expiry_heap_t *self)
{
    return self->nodes.count - FIRST_PLACE;
}

size_t expiry_heap_bytes (const expiry_heap_t *self)
{
    return segments_bytes (&self->nodes);
}

static void s_place (expiry_heap_t *self, size_t index, node_t node)
{
    *s_node (self, index) = node;
    entry_set_heap_index (node.entry, (uint32_t)index); // E2
}

/* Moves the hole at `index` up until `node` may stand in it. */
static void s_rise (expiry_heap_t *self, size_t index, node_t node)
{
    while (index > 0) {
        size_t parent = (index - 1) / 4;
        node_t above = *s_node (self, parent);
        if (above.deadline_ms <= node.deadline_ms)
            break;
        s_place (self, index, above);
        index = parent;
    }
    s_place (self, index, node);
}

/* Moves the hole at `index` down until `node` may stand in it. */
static void s_sink (expiry_heap_t *self, size_t index, node_t node)
{
    size_t count = expiry_heap_count (self);
    for (size_t child = 4 * index + 1; child < count; child = 4 * index + 1) {
        size_t end = child + 4 < count ? child + 4 : count;
        size_t least = child;
        for (size_t i = child + 1; i < end; i++) {
            if (s_node (self, i)->deadline_ms < s_node (self, least)->deadline_ms)
                least = i;
        }
        if (s_node (self, least)->deadline_ms >= node.deadline_ms)
            break;
        s_place (self, index, *s_node (self, least));
        index = least;
    }
    s_place (self, index, node);
}

/* Puts a node into the hole at `index`, wherever it then belongs. */
static void s_settle (expiry_heap_t *self, size_t index, node_t node)
{
    if (index > 0 && s_node (self, (index - 1) / 4)->deadline_ms > node.deadline_ms)
        s_rise (self, index, node);
    else
        s_sink (self, index, node); // E1
}

void expiry_heap_add (expiry_heap_t *self, entry_t *entry, int64_t deadline_ms)
{
    size_t index = expiry_heap_count (self);
    KV_ASSERT (index < UINT32_MAX);
    (void)segments_push (&self->nodes);
    s_rise (self, index, (node_t){deadline_ms, entry});
}

static size_t s_index (const expiry_heap_t *self, const entry_t *entry)
{
    size_t index = entry_heap_index (entry);
    KV_ASSERT (index < expiry_heap_count (self));
    return index;
}

void expiry_heap_remove (expiry_heap_t *self, const entry_t *entry)
{
    size_t index = s_index (self, entry);
    KV_ASSERT (s_node (self, index)->entry == entry); // E2
    node_t last = *s_node (self, expiry_heap_count (self) - 1);
    segments_pop (&self->nodes);
    if (index < expiry_heap_count (self))
        s_settle (self, index, last);
}

void expiry_heap_change (expiry_heap_t *self, const entry_t *entry, int64_t deadline_ms)
{
    size_t index = s_index (self, entry);
    node_t node = *s_node (self, index);
    KV_ASSERT (node.entry == entry); // E2
    node.deadline_ms = deadline_ms;
    s_settle (self, index, node);
}

void expiry_heap_moved (expiry_heap_t *self, entry_t *entry)
{
    s_node (self, s_index (self, entry))->entry = entry;
}

int64_t expiry_heap_deadline (const expiry_heap_t *self, const entry_t *entry)
{
    return s_node (self, s_index (self, entry))->deadline_ms;
}

void expiry_heap_prefetch (const expiry_heap_t *self, const entry_t *entry)
{
    __builtin_prefetch (s_node (self, s_index (self, entry)));
}

entry_t *expiry_heap_first (const expiry_heap_t *self, int64_t *deadline_ms)
{
    if (expiry_heap_count (self) == 0)
        return NULL;
    *deadline_ms = s_node (self, 0)->deadline_ms;
    return s_node (self, 0)->entry;
}

size_t expiry_heap_due (const expiry_heap_t *self, int64_t now_ms)
{
    size_t waiting[WALK_DEPTH] = {0};
    size_t depth = 0;
    size_t due = 0;
    size_t count = expiry_heap_count (self);
    if (count)
        waiting[depth++] = 0;
    while (depth) {
        size_t index = waiting[--depth];
        if (s_node (self, index)->deadline_ms > now_ms)
            continue; // E1: nor is any below it due
        due++;
        for (size_t child = 4 * index + 1; child <= 4 * index + 4 && child < count; child++) {
            KV_ASSERT (depth < WALK_DEPTH);
            waiting[depth++] = child;
        }
    }
    return due;
}

bool expiry_heap_is_valid (const expiry_heap_t *self)
{
    for (size_t i = 0; i < expiry_heap_count (self); i++) {
        const node_t *node = s_node (self, i);
        if (i > 0 && s_node (self, (i - 1) / 4)->deadline_ms > node->deadline_ms)
            return false; // E1
        if (!entry_has_expiry (node->entry) || entry_heap_index (node->entry) != i)
            return false; // E2
    }
    return true;
}
