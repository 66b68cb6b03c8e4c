/* Goal: a request is executed once, whatever is sent again and whatever is forgotten, and memory has bounds.
 * Method: each verdict at its bounds. Sessions of chance are in test_sessions_model.c. */
#include "node/sessions.h"
#include "fixture.h"

enum { WINDOW = 16, SESSIONS_MOST = 8, RESERVED = 2, BYTES_MOST = 2000, RESULT_MOST = 64 };

static const sessions_options_t s_options = {.window = WINDOW,
                                             .sessions_max = SESSIONS_MOST,
                                             .reserved = RESERVED,
                                             .bytes_max = BYTES_MOST,
                                             .secret = {1, 2}};

/* Ids for sessions 0 .. 255. */
static const uint8_t *s_id (unsigned session)
{
    static uint8_t ids[256][RECORD_SESSION_BYTES];
    memset (ids[session], (int)session, RECORD_SESSION_BYTES);
    return ids[session];
}

static completion_t s_completion (unsigned session, uint64_t sequence, uint64_t floor,
                                  int64_t expires_ms)
{
    return (completion_t){.session = s_id (session),
                          .sequence = sequence,
                          .floor = floor,
                          .expires_ms = expires_ms,
                          .result = kv_slice_text ("OK")};
}

static sessions_verdict_t s_ask (const sessions_t *self, completion_t asked)
{
    kv_slice_t result;
    sessions_request_t request = {.completion = asked, .result_bytes_max = RESULT_MOST};
    return sessions_ask (self, &request, &result);
}

static void s_store (sessions_t *self, completion_t completion)
{
    sessions_store (self, &completion);
    assert_true (sessions_is_valid (self));
}

static void s_sweep_all (sessions_t *self)
{
    while (sessions_sweep (self, 1))
        assert_true (sessions_is_valid (self));
}

/* ---- verdicts ------------------------------------------------------------------------------------------ */

static void test_what_was_executed_is_answered_again (void **state)
{
    (void)state;
    sessions_t *sessions = sessions_new (&s_options);
    static const char *const results[] = {"", "1", "12345678", "123456789", "a longer result"};
    enum { RESULTS = sizeof results / sizeof results[0] };
    for (uint64_t i = 0; i < RESULTS; i++) {
        completion_t completion = s_completion (1, i + 1, 1, 100);
        assert_int_equal (s_ask (sessions, completion), SESSIONS_NEW);
        completion.result = kv_slice_text (results[i]);
        s_store (sessions, completion);
    }
    for (uint64_t i = 0; i < RESULTS; i++) {
        kv_slice_t result;
        sessions_request_t request = {.completion = s_completion (1, i + 1, 1, 100)};
        assert_int_equal (sessions_ask (sessions, &request, &result), SESSIONS_DUPLICATE);
        assert_true (kv_slice_equal (result, kv_slice_text (results[i])));
        assert_int_equal (s_ask (sessions, s_completion (2, i + 1, 1, 100)), SESSIONS_NEW);
    }
    sessions_destroy (&sessions);
    assert_null (sessions);
    sessions_destroy (&sessions);
}

static void test_below_the_floor_is_old (void **state)
{
    (void)state;
    sessions_t *sessions = sessions_new (&s_options);
    assert_int_equal (sessions_floor (sessions, s_id (1)), 0);
    s_store (sessions, s_completion (1, 7, 5, 100));
    s_store (sessions, s_completion (1, 6, 4, 100)); /* a floor from before */
    assert_int_equal (sessions_floor (sessions, s_id (1)), 5);
    assert_int_equal (s_ask (sessions, s_completion (1, 4, 4, 100)), SESSIONS_OLD);
    assert_int_equal (s_ask (sessions, s_completion (1, 5, 4, 100)), SESSIONS_NEW);
    assert_int_equal (s_ask (sessions, s_completion (1, 6, 5, 100)), SESSIONS_DUPLICATE);
    completion_t floor = s_completion (1, 0, 7, 100);
    floor.result = kv_slice (NULL, 0);
    s_store (sessions, floor);
    assert_int_equal (s_ask (sessions, s_completion (1, 6, 5, 100)), SESSIONS_OLD);
    assert_int_equal (s_ask (sessions, s_completion (1, 7, 5, 100)), SESSIONS_DUPLICATE);
    assert_true (sessions_bytes (sessions) == SESSIONS_COMPLETION_BYTES + 2); // S5
    sessions_destroy (&sessions);
}

static void test_numbers_that_make_no_sense_are_old (void **state)
{
    (void)state;
    sessions_t *sessions = sessions_new (&s_options);
    assert_int_equal (s_ask (sessions, s_completion (1, 0, 0, 100)), SESSIONS_OLD);
    assert_int_equal (s_ask (sessions, s_completion (1, 1, 0, 100)), SESSIONS_OLD);
    assert_int_equal (s_ask (sessions, s_completion (1, 0, 1, 100)), SESSIONS_OLD);
    assert_int_equal (s_ask (sessions, s_completion (1, 3, 4, 100)), SESSIONS_OLD);
    assert_int_equal (s_ask (sessions, s_completion (1, 1, 1, 0)), SESSIONS_OLD);
    assert_int_equal (s_ask (sessions, s_completion (1, 1, 1, INT64_MIN)), SESSIONS_OLD);
    assert_int_equal (s_ask (sessions, s_completion (1, UINT64_MAX, UINT64_MAX, INT64_MAX)),
                      SESSIONS_NEW);
    sessions_destroy (&sessions);
}

static void test_what_time_has_passed_is_old_and_goes (void **state)
{
    (void)state;
    sessions_t *sessions = sessions_new (&s_options);
    assert_true (sessions_earliest_ms (sessions) == INT64_MAX);
    s_store (sessions, s_completion (1, 1, 1, 100));
    s_store (sessions, s_completion (1, 2, 1, 200));
    s_store (sessions, s_completion (2, 1, 1, 100));
    assert_true (sessions_earliest_ms (sessions) == 100);
    sessions_raise_time (sessions, 100);
    sessions_raise_time (sessions, 50); // S1
    assert_true (sessions_time (sessions) == 100);
    assert_int_equal (s_ask (sessions, s_completion (1, 1, 1, 100)), SESSIONS_OLD);
    assert_int_equal (s_ask (sessions, s_completion (1, 2, 1, 200)), SESSIONS_DUPLICATE);
    assert_int_equal (s_ask (sessions, s_completion (1, 3, 1, 100)), SESSIONS_OLD);
    assert_int_equal (s_ask (sessions, s_completion (2, 2, 1, 101)), SESSIONS_NEW);
    assert_int_equal (sessions_count (sessions), 2);
    s_sweep_all (sessions);
    assert_int_equal (sessions_count (sessions), 1);
    assert_true (sessions_bytes (sessions) == SESSIONS_COMPLETION_BYTES + 2);
    assert_true (sessions_earliest_ms (sessions) == 200);
    s_store (sessions, s_completion (3, 1, 1, 100)); /* replayed over a later state */
    assert_int_equal (sessions_count (sessions), 1);
    sessions_raise_time (sessions, 200);
    s_sweep_all (sessions);
    assert_int_equal (sessions_count (sessions), 0);
    assert_true (sessions_bytes (sessions) == 0);
    assert_true (sessions_earliest_ms (sessions) == INT64_MAX);
    sessions_destroy (&sessions);
}

/* Even if the client goes back: what a member remembers does not depend on how far it has swept. */
static void test_session_that_time_has_passed_begins_anew_swept_or_not (void **state)
{
    (void)state;
    for (int swept = 0; swept <= 1; swept++) {
        sessions_t *sessions = sessions_new (&s_options);
        s_store (sessions, s_completion (1, 9, 9, 100));
        sessions_raise_time (sessions, 100);
        if (swept)
            s_sweep_all (sessions);
        assert_int_equal (sessions_floor (sessions, s_id (1)), 0);
        s_store (sessions, s_completion (1, 4, 3, 200));
        assert_int_equal (sessions_floor (sessions, s_id (1)), 3);
        assert_int_equal (s_ask (sessions, s_completion (1, 9, 3, 200)), SESSIONS_NEW);
        s_store (sessions, s_completion (1, 5, 4, 100)); /* its floor counts, it is not kept */
        assert_int_equal (sessions_floor (sessions, s_id (1)), 4);
        assert_true (sessions_bytes (sessions) == SESSIONS_COMPLETION_BYTES + 2);
        assert_true (sessions_earliest_ms (sessions) <= 200);
        sessions_destroy (&sessions);
    }
}

static void test_window_ends_behind_the_highest_floor_known (void **state)
{
    (void)state;
    sessions_t *sessions = sessions_new (&s_options);
    assert_int_equal (s_ask (sessions, s_completion (1, WINDOW, 1, 100)), SESSIONS_NEW);
    assert_int_equal (s_ask (sessions, s_completion (1, WINDOW + 1, 1, 100)), SESSIONS_BUSY);
    assert_int_equal (s_ask (sessions, s_completion (1, WINDOW + 1, 2, 100)), SESSIONS_NEW);
    s_store (sessions, s_completion (1, 9, 9, 100));
    assert_int_equal (s_ask (sessions, s_completion (1, WINDOW + 8, 1, 100)), SESSIONS_NEW);
    assert_int_equal (s_ask (sessions, s_completion (1, WINDOW + 9, 1, 100)), SESSIONS_BUSY);
    assert_int_equal (s_ask (sessions, s_completion (1, UINT64_MAX, 1, 100)), SESSIONS_BUSY);
    sessions_destroy (&sessions);
}

static void test_no_room_for_a_result_is_busy_until_a_floor_makes_some (void **state)
{
    (void)state;
    static const char result[300];
    sessions_options_t options = s_options;
    kv_slice_t kept;
    options.bytes_max = 2 * (SESSIONS_COMPLETION_BYTES + sizeof result);
    sessions_t *sessions = sessions_new (&options);
    sessions_request_t request = {.completion = s_completion (1, 3, 1, 100),
                                  .result_bytes_max =
                                      options.bytes_max - SESSIONS_COMPLETION_BYTES};
    assert_int_equal (sessions_ask (sessions, &request, &kept), SESSIONS_NEW);
    request.result_bytes_max++;
    assert_int_equal (sessions_ask (sessions, &request, &kept), SESSIONS_BUSY);
    request.result_bytes_max = SIZE_MAX;
    assert_int_equal (sessions_ask (sessions, &request, &kept), SESSIONS_BUSY);
    for (uint64_t i = 1; i <= 2; i++) {
        completion_t completion = s_completion ((unsigned)i, i, 1, 100);
        completion.result = kv_slice (result, sizeof result);
        s_store (sessions, completion);
    }
    assert_true (sessions_bytes (sessions) == options.bytes_max);
    request.result_bytes_max = sizeof result;
    assert_int_equal (sessions_ask (sessions, &request, &kept), SESSIONS_BUSY);
    request.completion.floor = 2; /* of session 1, which has the first one */
    assert_int_equal (sessions_ask (sessions, &request, &kept), SESSIONS_NEW);
    request.result_bytes_max++;
    assert_int_equal (sessions_ask (sessions, &request, &kept), SESSIONS_BUSY);
    assert_true (sessions_bytes (sessions) == options.bytes_max); /* asking changes nothing */
    sessions_destroy (&sessions);
}

static void test_full_table_evicts_nobody_and_has_places_for_brokers (void **state)
{
    (void)state;
    sessions_t *sessions = sessions_new (&s_options);
    sessions_request_t broker = {.completion = s_completion (100, 1, 1, 100), .of_broker = true};
    kv_slice_t result;
    for (unsigned i = 0; i < SESSIONS_MOST - RESERVED; i++) {
        assert_int_equal (s_ask (sessions, s_completion (i, 1, 1, 100)), SESSIONS_NEW);
        s_store (sessions, s_completion (i, 1, 1, 100));
    }
    assert_int_equal (s_ask (sessions, s_completion (50, 1, 1, 100)), SESSIONS_FULL);
    for (unsigned i = 100; i < 100 + RESERVED; i++) {
        broker.completion = s_completion (i, 1, 1, 100);
        assert_int_equal (sessions_ask (sessions, &broker, &result), SESSIONS_NEW);
        s_store (sessions, broker.completion);
    }
    broker.completion = s_completion (100 + RESERVED, 1, 1, 100);
    assert_int_equal (sessions_ask (sessions, &broker, &result), SESSIONS_FULL);
    for (unsigned i = 0; i < SESSIONS_MOST - RESERVED; i++) {
        assert_int_equal (s_ask (sessions, s_completion (i, 1, 1, 100)), SESSIONS_DUPLICATE);
        assert_int_equal (s_ask (sessions, s_completion (i, 2, 1, 100)), SESSIONS_NEW);
    }
    s_store (sessions, s_completion (50, 1, 1, 100)); /* a follower stores what it is told */
    assert_int_equal (sessions_count (sessions), SESSIONS_MOST + 1);
    sessions_destroy (&sessions);
}

static void test_walk_ends_behind_the_highest_sequence (void **state)
{
    (void)state;
    sessions_t *sessions = sessions_new (&s_options);
    sessions_cursor_t cursor = {0};
    completion_t got;
    s_store (sessions, s_completion (1, UINT64_MAX, 3, 100));
    assert_int_equal (sessions_next (sessions, &cursor, &got), KV_OK);
    assert_true (got.sequence == 0 && got.floor == 3);
    assert_int_equal (sessions_next (sessions, &cursor, &got), KV_OK);
    assert_true (got.sequence == UINT64_MAX);
    assert_int_equal (sessions_next (sessions, &cursor, &got), KV_END);
    sessions_destroy (&sessions);
}

/* Neither many sessions nor long runs leave memory behind. */
static void test_memory_is_given_back (void **state)
{
    (void)state;
    enum { SESSIONS = 256, RUN = 1000 };
    static const char result[100];
    sessions_t *sessions = sessions_new (&s_options);
    for (uint64_t i = 0; i < RUN; i++) {
        for (unsigned session = 0; session < SESSIONS; session++) {
            completion_t completion = s_completion (session, RUN - i, 1, 100);
            completion.result = kv_slice (result, session % 2 ? sizeof result : 3);
            sessions_store (sessions, &completion);
        }
    }
    assert_true (sessions_is_valid (sessions));
    size_t most = sessions_memory (sessions);
    assert_true (most >= (size_t)SESSIONS * RUN * SESSIONS_COMPLETION_BYTES);
    for (unsigned session = 0; session < SESSIONS; session++) {
        completion_t completion = s_completion (session, RUN + 1, RUN, 100);
        sessions_store (sessions, &completion);
    }
    assert_true (sessions_is_valid (sessions));
    assert_true (sessions_memory (sessions) < most / 50);
    sessions_raise_time (sessions, 100);
    for (size_t left = SESSIONS; left > 0; left = sessions_count (sessions)) {
        (void)sessions_sweep (sessions, 10); /* a session counts as one, and each of its two */
        assert_true (sessions_count (sessions) + 4 >= left && sessions_count (sessions) < left);
    }
    assert_int_equal (sessions_count (sessions), 0);
    assert_true (sessions_is_valid (sessions));
    assert_true (sessions_memory (sessions) < most / 50);
    sessions_destroy (&sessions);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_what_was_executed_is_answered_again),
        cmocka_unit_test (test_below_the_floor_is_old),
        cmocka_unit_test (test_numbers_that_make_no_sense_are_old),
        cmocka_unit_test (test_what_time_has_passed_is_old_and_goes),
        cmocka_unit_test (test_session_that_time_has_passed_begins_anew_swept_or_not),
        cmocka_unit_test (test_window_ends_behind_the_highest_floor_known),
        cmocka_unit_test (test_no_room_for_a_result_is_busy_until_a_floor_makes_some),
        cmocka_unit_test (test_full_table_evicts_nobody_and_has_places_for_brokers),
        cmocka_unit_test (test_walk_ends_behind_the_highest_sequence),
        cmocka_unit_test (test_memory_is_given_back),
    };
    return cmocka_run_group_tests_name ("node.sessions", tests, NULL, NULL);
}
