/* Goal: the earliest deadline is always first. Method: random adds, changes and removals against an
 * unsorted array. */
#include "node/expiry_heap.h"
#include "fixture.h"

enum { ENTRIES = 500 };

typedef struct {
    entry_t *entry;
    int64_t deadline_ms;
    bool in;
} item_t;

static entry_t *s_new_entry (void)
{
    entry_t *entry = calloc (1, sizeof *entry + ENTRY_HEAP_INDEX_BYTES + 1);
    assert_non_null (entry);
    entry->value_and_flags = ENTRY_HAS_EXPIRY;
    return entry;
}

static void s_check (const expiry_heap_t *heap, const item_t *items, int64_t now_ms)
{
    size_t count = 0;
    size_t due = 0;
    int64_t least = INT64_MAX;
    for (int i = 0; i < ENTRIES; i++) {
        if (!items[i].in)
            continue;
        count++;
        due += items[i].deadline_ms <= now_ms;
        least = items[i].deadline_ms < least ? items[i].deadline_ms : least;
        assert_true (expiry_heap_deadline (heap, items[i].entry) == items[i].deadline_ms);
    }
    int64_t first_ms;
    assert_int_equal (expiry_heap_count (heap), count);
    assert_true ((expiry_heap_first (heap, &first_ms) != NULL) == (count > 0));
    if (count)
        assert_true (first_ms == least);
    assert_int_equal (expiry_heap_due (heap, now_ms), due);
    assert_true (expiry_heap_is_valid (heap)); // E1, E2
}

static void test_expiry_heap_keeps_the_earliest_first (void **state)
{
    (void)state;
    uint64_t random = fixture_seed ("expiry_heap");
    expiry_heap_t *heap = expiry_heap_new ();
    item_t items[ENTRIES] = {0};
    for (int i = 0; i < ENTRIES; i++)
        items[i].entry = s_new_entry ();
    for (int step = 0; step < 20000; step++) {
        item_t *item = &items[fixture_random (&random, ENTRIES)];
        int64_t deadline_ms = (int64_t)fixture_random (&random, 1000) - 100;
        bool remove = item->in && fixture_random (&random, 2);
        if (remove)
            expiry_heap_remove (heap, item->entry);
        else if (item->in)
            expiry_heap_change (heap, item->entry, deadline_ms);
        else
            expiry_heap_add (heap, item->entry, deadline_ms);
        item->in = !remove;
        item->deadline_ms = deadline_ms;
        if (step % 50 == 0)
            s_check (heap, items, (int64_t)fixture_random (&random, 1100) - 100);
    }
    expiry_heap_clear (heap);
    assert_int_equal (expiry_heap_count (heap), 0);
    expiry_heap_destroy (&heap);
    for (int i = 0; i < ENTRIES; i++)
        free (items[i].entry);
}

static void test_expiry_heap_follows_a_moved_entry (void **state)
{
    (void)state;
    expiry_heap_t *heap = expiry_heap_new ();
    entry_t *a = s_new_entry ();
    entry_t *b = s_new_entry ();
    entry_t *moved = s_new_entry ();
    expiry_heap_add (heap, a, 20);
    expiry_heap_add (heap, b, 10);
    entry_set_heap_index (moved, entry_heap_index (b));
    expiry_heap_moved (heap, moved);
    int64_t first_ms;
    assert_ptr_equal (expiry_heap_first (heap, &first_ms), moved);
    assert_true (expiry_heap_is_valid (heap));
    expiry_heap_destroy (&heap);
    free (a);
    free (b);
    free (moved);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_expiry_heap_keeps_the_earliest_first),
        cmocka_unit_test (test_expiry_heap_follows_a_moved_entry),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
