/* Goal: a history tells of any position whether the log has it, and of two logs where they part. Method:
 * logs as plain lists of positions that grow out of each other at random, and what a walk over them says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "actors/epoch_history.h"
#include "test/unit/schema/random.h"

enum { LOGS = 12, LENGTH_MOST = 200, ROUNDS = 300 };

static uint64_t s_at (uint64_t epoch, uint64_t n)
{
    return epoch << POSITION_N_BITS | n;
}

typedef struct {
    uint64_t positions[LENGTH_MOST + 1]; /* from index 1 on; its n is the index */
    size_t length;
    epoch_history_t history;
} log_t_;

static uint64_t s_last (const log_t_ *log)
{
    return log->positions[log->length];
}

static void s_push (log_t_ *log, uint64_t epoch)
{
    uint64_t previous = s_last (log);
    uint64_t position = s_at (epoch, log->length + 1);
    if (position_epoch (previous) != epoch)
        assert_int_equal (epoch_history_add (&log->history, position, previous), KV_OK);
    log->positions[++log->length] = position;
}

static bool s_has (const log_t_ *log, uint64_t position)
{
    for (size_t i = 0; i <= log->length; i++) {
        if (log->positions[i] == position)
            return true;
    }
    return false;
}

static uint64_t s_fork (const log_t_ *a, const log_t_ *b)
{
    size_t i = 0;
    while (i < a->length && i < b->length && a->positions[i + 1] == b->positions[i + 1])
        i++;
    return a->positions[i];
}

/* A log that begins as another does, and goes on under an epoch that no other log has. */
static void s_grow (random_t *random, log_t_ *log, const log_t_ *from, uint64_t epoch)
{
    epoch_history_t history = log->history;
    size_t keep = random_below (random, (uint32_t)from->length + 1);
    if (log != from)
        memcpy (log->positions, from->positions, sizeof log->positions);
    epoch_history_copy (&history, &from->history);
    log->history = history;
    log->length = keep;
    epoch_history_cut (&log->history, log->positions[keep]);
    size_t more = random_below (random, 20);
    while (more-- && log->length < LENGTH_MOST)
        s_push (log, epoch);
}

static void s_check (const log_t_ *a, const log_t_ *b)
{
    assert_int_equal (epoch_history_fork (&a->history, s_last (a), &b->history, s_last (b)),
                      s_fork (a, b));
    for (size_t i = 0; i <= b->length; i++)
        assert_int_equal (epoch_history_has (&a->history, s_last (a), b->positions[i]),
                          s_has (a, b->positions[i]));
}

static void test_histories_tell_what_a_walk_tells (void **state)
{
    (void)state;
    random_t random = random_make (__func__);
    static log_t_ logs[LOGS];
    memset (logs, 0, sizeof logs);
    for (uint64_t epoch = 1; epoch <= ROUNDS; epoch++) {
        log_t_ *log = &logs[random_below (&random, LOGS)];
        s_grow (&random, log, &logs[random_below (&random, LOGS)], epoch);
        for (size_t i = 0; i < LOGS; i++) {
            s_check (log, &logs[i]);
            s_check (&logs[i], log);
        }
    }
    for (size_t i = 0; i < LOGS; i++)
        epoch_history_free (&logs[i].history);
}

static void test_history_comes_back_whole_or_its_end (void **state)
{
    (void)state;
    log_t_ log = {.length = 0};
    for (uint64_t epoch = 1; epoch <= 40; epoch++) {
        for (uint64_t i = 0; i < epoch % 4 + 1; i++)
            s_push (&log, epoch);
    }
    epoch_history_t back = {.opens = NULL};
    for (size_t most = 0; most <= 41; most++) {
        writer_t bytes = writer_make (4096);
        epoch_history_encode (&bytes, &log.history, most);
        reader_t at = reader_make (kv_slice (bytes.data, bytes.size));
        assert_int_equal (epoch_history_decode (&at, &back), KV_OK);
        assert_int_equal (reader_left (&at), 0);
        assert_int_equal (back.count, most < 40 ? most : 40);
        uint64_t fork = epoch_history_fork (&log.history, s_last (&log), &back, s_last (&log));
        assert_int_equal (fork, most ? s_last (&log) : 0);
        for (size_t size = 0; size < bytes.size; size++) {
            at = reader_make (kv_slice (bytes.data, size));
            assert_int_equal (epoch_history_decode (&at, &back), KV_BAD_REQUEST);
        }
        writer_free (&bytes);
    }
    epoch_history_free (&back);
    epoch_history_free (&log.history);
}

static void test_history_refuses_what_cannot_follow (void **state)
{
    (void)state;
    epoch_history_t history = {.opens = NULL};
    assert_int_equal (epoch_history_add (&history, s_at (1, 2), 0), KV_CORRUPT);
    assert_int_equal (epoch_history_add (&history, s_at (0, 1), 0), KV_CORRUPT);
    assert_int_equal (epoch_history_add (&history, s_at (3, 1), 0), KV_OK);
    assert_int_equal (epoch_history_add (&history, s_at (3, 9), s_at (3, 8)), KV_CORRUPT);
    assert_int_equal (epoch_history_add (&history, s_at (2, 9), s_at (1, 8)), KV_CORRUPT);
    assert_int_equal (epoch_history_add (&history, s_at (4, 9), s_at (3, 7)), KV_CORRUPT);
    assert_int_equal (epoch_history_add (&history, s_at (4, 9), s_at (2, 8)), KV_CORRUPT);
    assert_int_equal (epoch_history_add (&history, s_at (4, 9), s_at (3, 8)), KV_OK);
    assert_int_equal (history.count, 2);
    epoch_history_free (&history);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_histories_tell_what_a_walk_tells),
        cmocka_unit_test (test_history_comes_back_whole_or_its_end),
        cmocka_unit_test (test_history_refuses_what_cannot_follow),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
