/* Goal: objects do not overlap, waste is bounded, memory goes back. Method: the class table; random
 * taking, resizing and giving with the content checked; a fill and emptying that looks at the sums. */
#include "node/entry_pool.h"
#include "fixture.h"

#include <sys/wait.h>
#include <unistd.h>

static void test_entry_pool_rounding_wastes_little (void **state)
{
    (void)state;
    for (size_t bytes = 1; bytes <= 512; bytes++)
        assert_int_equal (entry_pool_rounded (bytes), (bytes + 7) / 8 * 8);
    for (size_t bytes = 513; bytes <= ENTRY_POOL_BYTES_MAX; bytes++) {
        size_t rounded = entry_pool_rounded (bytes);
        assert_true (rounded >= bytes);
        assert_true (rounded - bytes < bytes / 8 + 1);
        assert_int_equal (entry_pool_rounded (rounded), rounded);
        assert_int_equal (rounded % 64, 0);
    }
    assert_true (entry_pool_rounded (ENTRY_POOL_BYTES_MAX + 1) > ENTRY_POOL_BYTES_MAX);
}

typedef struct {
    uint8_t *at;
    size_t bytes;
    uint8_t fill;
} object_t;

static void s_check (const object_t *object)
{
    for (size_t i = 0; i < object->bytes; i++)
        assert_int_equal (object->at[i], object->fill);
}

static size_t s_random_bytes (uint64_t *random)
{
    static const size_t most[] = {100, 100, 600, 5000, 20000, 100000};
    return 1 + fixture_random (random, most[fixture_random (random, 6)]);
}

static void test_entry_pool_objects_keep_their_content (void **state)
{
    (void)state;
    enum { OBJECTS = 2000, STEPS = 40000 };
    uint64_t random = fixture_seed ("entry_pool");
    static object_t objects[OBJECTS];
    entry_pool_t *pool = entry_pool_new ();
    for (int step = 0; step < STEPS; step++) {
        object_t *object = &objects[fixture_random (&random, OBJECTS)];
        if (object->at) {
            s_check (object);
            size_t wanted = s_random_bytes (&random);
            if (fixture_random (&random, 3) == 0) {
                object->at = entry_pool_resize (pool, object->at, object->bytes, wanted);
                object->bytes = wanted < object->bytes ? wanted : object->bytes;
                s_check (object);
                object->bytes = wanted;
                memset (object->at, object->fill, wanted);
                continue;
            }
            entry_pool_give (pool, object->at, object->bytes);
            object->at = NULL;
            continue;
        }
        object->bytes = s_random_bytes (&random);
        object->at = entry_pool_take (pool, object->bytes);
        object->fill = (uint8_t)step;
        memset (object->at, object->fill, object->bytes);
        if (step % 1000 == 0)
            assert_true (entry_pool_is_valid (pool)); // P1, P3
    }
    for (int i = 0; i < OBJECTS; i++) {
        if (objects[i].at) {
            s_check (&objects[i]);
            entry_pool_give (pool, objects[i].at, objects[i].bytes);
        }
    }
    assert_true (entry_pool_is_valid (pool));
    assert_int_equal (entry_pool_live_bytes (pool), 0);
    entry_pool_destroy (&pool);
    assert_null (pool);
}

static void test_entry_pool_gives_empty_slabs_back (void **state)
{
    (void)state;
    enum { OBJECTS = 100000, BYTES = 100, THREE_TIMES = 300 };
    static void *objects[OBJECTS];
    entry_pool_t *pool = entry_pool_new ();
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < OBJECTS; i++)
            objects[i] = entry_pool_take (pool, BYTES);
        assert_int_equal (entry_pool_live_bytes (pool), (size_t)OBJECTS * 104);
        assert_true (entry_pool_held_bytes (pool) < (size_t)OBJECTS * 104 + 262144);
        for (int i = 0; i < OBJECTS; i++)
            entry_pool_give (pool, objects[i], BYTES);
        assert_true (entry_pool_held_bytes (pool) <= 262144); // P2
        assert_true (entry_pool_is_valid (pool));
    }
    /* What one class has given back serves another. */
    for (int i = 0; i < OBJECTS; i++)
        objects[i] = entry_pool_take (pool, THREE_TIMES);
    assert_true (entry_pool_is_valid (pool));
    for (int i = 0; i < OBJECTS; i++)
        entry_pool_give (pool, objects[i], THREE_TIMES);
    entry_pool_destroy (&pool);
}

static void test_entry_pool_aligns_buckets_to_cache_lines (void **state)
{
    (void)state;
    entry_pool_t *pool = entry_pool_new ();
    void *objects[1000];
    for (int i = 0; i < 1000; i++) {
        objects[i] = entry_pool_take (pool, 64);
        assert_int_equal ((uintptr_t)objects[i] % 64, 0);
    }
    for (int i = 0; i < 1000; i++)
        entry_pool_give (pool, objects[i], 64);
    entry_pool_destroy (&pool);
}

/* Under AddressSanitizer a use after free must not go unnoticed: the child is to die of it. */
static void test_entry_pool_use_after_free_is_caught (void **state)
{
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    pid_t child = fork ();
    if (child == 0) {
        fclose (stderr);
        entry_pool_t *pool = entry_pool_new ();
        volatile uint8_t *object = entry_pool_take (pool, 40);
        (void)entry_pool_take (pool, 40);
        entry_pool_give (pool, (void *)object, 40);
        object[20] = 1;
        _exit (0);
    }
    int status;
    assert_int_equal (waitpid (child, &status, 0), child);
    assert_false (WIFEXITED (status) && WEXITSTATUS (status) == 0);
#else
    skip ();
#endif
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_entry_pool_rounding_wastes_little),
        cmocka_unit_test (test_entry_pool_objects_keep_their_content),
        cmocka_unit_test (test_entry_pool_gives_empty_slabs_back),
        cmocka_unit_test (test_entry_pool_aligns_buckets_to_cache_lines),
        cmocka_unit_test (test_entry_pool_use_after_free_is_caught),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
