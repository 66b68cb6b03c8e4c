#include "node/entry_pool.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define POOL_POISONS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOL_POISONS 1
#endif
#endif
#ifdef POOL_POISONS
#include <sanitizer/asan_interface.h>
#define POISON(at, bytes) __asan_poison_memory_region (at, bytes)
#define UNPOISON(at, bytes) __asan_unpoison_memory_region (at, bytes)
#else
#define POISON(at, bytes) ((void)(at), (void)(bytes))
#define UNPOISON(at, bytes) ((void)(at), (void)(bytes))
#endif

enum {
    SLAB_LOG2 = 18,
    SLAB_BYTES = 1 << SLAB_LOG2,
    ARENA_SLABS = 64,
    ARENA_BYTES = ARENA_SLABS * SLAB_BYTES,
    FINE_BYTES = 512, /* classes are 8 bytes apart up to here */
    FINE_CLASSES = FINE_BYTES / 8 + 1,
    CLASSES = FINE_CLASSES + 5 * 8, /* 512 doubled five times is 16 KiB */
    LARGE_OVERHEAD_BYTES = 16       /* what malloc adds, near enough */
};

_Static_assert(FINE_BYTES << 5 == ENTRY_POOL_BYTES_MAX, "five doublings reach the largest class");

typedef struct slab slab_t;
struct slab {
    slab_t *next, *previous; /* in the class's list (P1), or next in the list of unused slabs */
    uint32_t object_bytes;   /* 0: unused */
    uint32_t live;           /* objects that are out */
    uint32_t carved_bytes;   /* handed out at least once: 0 .. carved_bytes - 1 */
    uint32_t free_head;      /* offset / 8 + 1 of the first free object, 0: none */
    bool listed;             /* P1 */
};

typedef struct arena arena_t;
struct arena {
    arena_t *next;
    uint32_t in_use;           /* slabs that belong to a class */
    slab_t slabs[ARENA_SLABS]; /* slabs[0] stands for this header and is never used */
};

_Static_assert(sizeof (arena_t) <= SLAB_BYTES, "the descriptors fit into the first slab");

struct entry_pool {
    slab_t *open[CLASSES]; /* slabs with room, by class (P1) */
    slab_t *unused;        /* slabs that may serve any class */
    arena_t *arenas;       /* newest first */
    uint32_t next_slab;    /* first slab of the newest arena that was never used */
    size_t live_bytes;     /* P3 */
    size_t held_bytes;     /* carved parts of slabs, and large objects */
};

entry_pool_t *entry_pool_new (void)
{
    entry_pool_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->next_slab = ARENA_SLABS;
    return self;
}

void entry_pool_destroy (entry_pool_t **self_p)
{
    entry_pool_t *self = *self_p;
    if (!self)
        return;
    KV_ASSERT (self->live_bytes == 0); // P3
    while (self->arenas) {
        arena_t *arena = self->arenas;
        self->arenas = arena->next;
        UNPOISON (arena, ARENA_BYTES);
        int rc = munmap (arena, ARENA_BYTES);
        KV_ASSERT (rc == 0);
    }
    free (self);
    *self_p = NULL;
}

/* The class of a size up to ENTRY_POOL_BYTES_MAX, and the size of a class's objects. */
static unsigned s_class (size_t bytes)
{
    if (bytes <= FINE_BYTES)
        return (unsigned)((bytes + 7) / 8);
    size_t last = bytes - 1;
    unsigned top = 63U - (unsigned)__builtin_clzll (last);
    return FINE_CLASSES + (top - 9) * 8 + (unsigned)((last >> (top - 3)) & 7);
}

size_t entry_pool_rounded (size_t bytes)
{
    if (bytes <= FINE_BYTES)
        return (bytes + 7) & ~(size_t)7;
    if (bytes > ENTRY_POOL_BYTES_MAX)
        return ((bytes + 15) & ~(size_t)15) + LARGE_OVERHEAD_BYTES;
    size_t last = bytes - 1;
    unsigned top = 63U - (unsigned)__builtin_clzll (last);
    return ((last >> (top - 3)) + 1) << (top - 3);
}

static arena_t *s_arena_of (const void *at)
{
    /* NOLINTNEXTLINE(performance-no-int-to-ptr) */
    return (arena_t *)((uintptr_t)at & ~(uintptr_t)(ARENA_BYTES - 1));
}

static slab_t *s_slab_of (const void *object)
{
    arena_t *arena = s_arena_of (object);
    return &arena->slabs[((uintptr_t)object - (uintptr_t)arena) >> SLAB_LOG2];
}

static uint8_t *s_memory (slab_t *slab)
{
    arena_t *arena = s_arena_of (slab);
    return (uint8_t *)arena + ((size_t)(slab - arena->slabs) << SLAB_LOG2);
}

/* Maps twice the size and gives back what is around the aligned part. */
static void s_add_arena (entry_pool_t *self)
{
    uint8_t *memory = mmap (NULL, 2 * (size_t)ARENA_BYTES, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    KV_ASSERT (memory != MAP_FAILED);
    size_t before = (size_t)(-(uintptr_t)memory & (ARENA_BYTES - 1));
    size_t after = ARENA_BYTES - before;
    if (before)
        (void)munmap (memory, before);
    if (after)
        (void)munmap (memory + before + ARENA_BYTES, after);
    arena_t *arena = (arena_t *)(void *)(memory + before);
    POISON ((uint8_t *)arena + SLAB_BYTES, ARENA_BYTES - SLAB_BYTES);
    arena->next = self->arenas;
    self->arenas = arena;
    self->next_slab = 1;
}

static void s_list (entry_pool_t *self, slab_t *slab)
{
    slab_t **head = &self->open[s_class (slab->object_bytes)];
    slab->previous = NULL;
    slab->next = *head;
    if (*head)
        (*head)->previous = slab;
    *head = slab;
    slab->listed = true;
}

static void s_unlist (entry_pool_t *self, slab_t *slab)
{
    if (slab->previous)
        slab->previous->next = slab->next;
    else
        self->open[s_class (slab->object_bytes)] = slab->next;
    if (slab->next)
        slab->next->previous = slab->previous;
    slab->listed = false;
}

/* Gives a class one more slab. */
static slab_t *s_add_slab (entry_pool_t *self, size_t object_bytes)
{
    slab_t *slab = self->unused;
    if (slab) {
        self->unused = slab->next;
    } else {
        if (self->next_slab == ARENA_SLABS)
            s_add_arena (self);
        slab = &self->arenas->slabs[self->next_slab++];
    }
    *slab = (slab_t){.object_bytes = (uint32_t)object_bytes};
    s_list (self, slab);
    arena_t *arena = s_arena_of (slab);
    if (++arena->in_use == ARENA_SLABS - 1)
        (void)madvise (arena, ARENA_BYTES, MADV_HUGEPAGE); // P4
    return slab;
}

static bool s_has_room (const slab_t *slab)
{
    return slab->free_head || slab->carved_bytes + slab->object_bytes <= SLAB_BYTES;
}

static void *s_take_small (entry_pool_t *self, size_t bytes)
{
    slab_t *slab = self->open[s_class (bytes)];
    if (!slab)
        slab = s_add_slab (self, entry_pool_rounded (bytes));
    uint8_t *object;
    if (slab->free_head) {
        object = s_memory (slab) + (size_t)(slab->free_head - 1) * 8;
        UNPOISON (object, sizeof slab->free_head);
        memcpy (&slab->free_head, object, sizeof slab->free_head);
        POISON (object, sizeof slab->free_head);
    } else {
        object = s_memory (slab) + slab->carved_bytes;
        slab->carved_bytes += slab->object_bytes;
        self->held_bytes += slab->object_bytes;
    }
    UNPOISON (object, bytes);
    slab->live++;
    self->live_bytes += slab->object_bytes;
    if (!s_has_room (slab))
        s_unlist (self, slab); // P1
    return object;
}

void *entry_pool_take (entry_pool_t *self, size_t bytes)
{
    KV_ASSERT (bytes > 0);
    if (bytes <= ENTRY_POOL_BYTES_MAX)
        return s_take_small (self, bytes);
    void *object = malloc (bytes);
    KV_ASSERT (object != NULL);
    self->live_bytes += entry_pool_rounded (bytes);
    self->held_bytes += entry_pool_rounded (bytes);
    return object;
}

/* P2: an empty slab starts afresh, or leaves its class and gives its pages back. */
static void s_empty_slab (entry_pool_t *self, slab_t *slab)
{
    bool alone = !slab->previous && !slab->next;
    if (alone)
        return;
    s_unlist (self, slab);
    self->held_bytes -= slab->carved_bytes;
    arena_t *arena = s_arena_of (slab);
    if (arena->in_use-- == ARENA_SLABS - 1)
        (void)madvise (arena, ARENA_BYTES, MADV_NOHUGEPAGE); // P4
    (void)madvise (s_memory (slab), SLAB_BYTES, MADV_DONTNEED);
    *slab = (slab_t){.next = self->unused};
    self->unused = slab;
}

static void s_give_small (entry_pool_t *self, void *object)
{
    slab_t *slab = s_slab_of (object);
    KV_ASSERT (slab->live > 0);
    UNPOISON (object, sizeof slab->free_head); /* the object may be smaller */
    memcpy (object, &slab->free_head, sizeof slab->free_head);
    POISON (object, slab->object_bytes);
    slab->free_head = (uint32_t)((size_t)((uint8_t *)object - s_memory (slab)) / 8 + 1);
    slab->live--;
    self->live_bytes -= slab->object_bytes;
    if (!slab->listed)
        s_list (self, slab); // P1
    if (slab->live == 0)
        s_empty_slab (self, slab);
}

void entry_pool_give (entry_pool_t *self, void *object, size_t bytes)
{
    if (bytes <= ENTRY_POOL_BYTES_MAX) {
        KV_ASSERT (s_slab_of (object)->object_bytes == entry_pool_rounded (bytes));
        s_give_small (self, object);
        return;
    }
    free (object);
    self->live_bytes -= entry_pool_rounded (bytes);
    self->held_bytes -= entry_pool_rounded (bytes);
}

void *entry_pool_resize (entry_pool_t *self, void *object, size_t bytes, size_t wanted)
{
    bool small = bytes <= ENTRY_POOL_BYTES_MAX;
    bool stays_small = wanted <= ENTRY_POOL_BYTES_MAX;
    if (!small && wanted == bytes)
        return object; /* realloc might move it all the same */
    if (small && stays_small && s_class (bytes) == s_class (wanted)) {
        POISON (object, entry_pool_rounded (bytes));
        UNPOISON (object, wanted);
        return object;
    }
    if (!small && !stays_small) {
        void *moved = realloc (object, wanted);
        KV_ASSERT (moved != NULL);
        size_t less = entry_pool_rounded (bytes);
        self->live_bytes += entry_pool_rounded (wanted) - less;
        self->held_bytes += entry_pool_rounded (wanted) - less;
        return moved;
    }
    void *moved = entry_pool_take (self, wanted);
    memcpy (moved, object, bytes < wanted ? bytes : wanted);
    entry_pool_give (self, object, bytes);
    return moved;
}

size_t entry_pool_live_bytes (const entry_pool_t *self)
{
    return self->live_bytes;
}

size_t entry_pool_held_bytes (const entry_pool_t *self)
{
    return self->held_bytes;
}

static bool s_slab_is_valid (const slab_t *slab, size_t *live_bytes, size_t *held_bytes)
{
    *live_bytes += (size_t)slab->live * slab->object_bytes;
    *held_bytes += slab->carved_bytes;
    if (slab->object_bytes == 0)
        return slab->live == 0 && !slab->listed;
    bool fits = (size_t)slab->live * slab->object_bytes <= slab->carved_bytes;
    return fits && slab->listed == s_has_room (slab); // P1
}

bool entry_pool_is_valid (const entry_pool_t *self)
{
    size_t live_bytes = 0;
    size_t held_bytes = 0;
    for (const arena_t *arena = self->arenas; arena; arena = arena->next) {
        uint32_t end = arena == self->arenas ? self->next_slab : ARENA_SLABS;
        uint32_t in_use = 0;
        for (uint32_t i = 1; i < end; i++) {
            in_use += arena->slabs[i].object_bytes != 0;
            if (!s_slab_is_valid (&arena->slabs[i], &live_bytes, &held_bytes))
                return false;
        }
        if (in_use != arena->in_use)
            return false; // P4
    }
    /* Large objects are in neither sum, so they must account for the same difference in both. */
    if (live_bytes > self->live_bytes || held_bytes > self->held_bytes)
        return false;
    return self->live_bytes - live_bytes == self->held_bytes - held_bytes; // P3
}
