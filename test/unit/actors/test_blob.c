/* Goal: the release function of a blob runs exactly once, when the last reference goes, from
 * whatever thread (B2).
 * Method: a counting release function; references dropped by several threads at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "actors/blob.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

static void s_count (void *owner)
{
    atomic_fetch_add ((atomic_int *)owner, 1);
}

static void test_bytes_are_those_given (void **state)
{
    (void)state;
    blob_t *copy = blob_copy (kv_slice_text ("hello"));
    assert_true (kv_slice_equal (blob_bytes (copy), kv_slice_text ("hello")));
    blob_unref (&copy);
    assert_null (copy);
    blob_unref (&copy);

    copy = blob_copy (kv_slice (NULL, 0));
    assert_int_equal (blob_bytes (copy).size, 0);
    blob_unref (&copy);

    writer_t writer = writer_make (SIZE_MAX);
    writer_cstr (&writer, "text");
    const uint8_t *data = writer.data;
    blob_t *taken = blob_from_writer (&writer);
    assert_ptr_equal (blob_bytes (taken).data, data);
    assert_int_equal (blob_bytes (taken).size, 5);
    assert_null (writer.data);
    blob_unref (&taken);
}

static void test_release_runs_with_the_last_reference (void **state)
{
    (void)state;
    atomic_int released = 0;
    blob_t *first = blob_wrap (kv_slice_text ("shared"), &released, s_count);
    blob_t *second = blob_ref (first);
    assert_ptr_equal (first, second);
    blob_unref (&first);
    assert_int_equal (released, 0);
    assert_true (kv_slice_equal (blob_bytes (second), kv_slice_text ("shared")));
    blob_unref (&second);
    assert_int_equal (released, 1); // B2
}

enum { THREADS = 4, ROUNDS = 20000 };

static void *s_juggle (void *argument)
{
    blob_t *mine = argument;
    for (int i = 0; i < ROUNDS; i++) {
        blob_t *another = blob_ref (mine);
        blob_unref (&another);
    }
    blob_unref (&mine);
    return NULL;
}

static void test_release_runs_once_over_threads (void **state)
{
    (void)state;
    atomic_int released = 0;
    blob_t *blob = blob_wrap (kv_slice_text ("shared"), &released, s_count);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        pthread_create (&threads[i], NULL, s_juggle, blob_ref (blob));
    blob_unref (&blob);
    for (int i = 0; i < THREADS; i++)
        pthread_join (threads[i], NULL);
    assert_int_equal (released, 1);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_bytes_are_those_given),
        cmocka_unit_test (test_release_runs_with_the_last_reference),
        cmocka_unit_test (test_release_runs_once_over_threads),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
