/* Goal: whatever clients send anew, again, late and out of order, each request is executed once, and all
 * that hold the log know the same. Method: a table against a model that keeps everything in one array and
 * drops at once; beside it a follower that is given records twice over, tables loaded from a walk, and from
 * one that took its steps while things changed. The clients do what sessions.h asks of them. */
#include "node/sessions.h"
#include "fixture.h"

enum { WINDOW = 16, SESSIONS_MOST = 8, RESERVED = 2, BYTES_MOST = 2000, RESULT_MOST = 64 };

static const sessions_options_t s_options = {.window = WINDOW,
                                             .sessions_max = SESSIONS_MOST,
                                             .reserved = RESERVED,
                                             .bytes_max = BYTES_MOST,
                                             .secret = {1, 2}};

/* ---- the model ----------------------------------------------------------------------------------------- */

enum { MODEL_SESSIONS = 60, MODEL_SEQUENCES = 400, CLIENTS = 9, AHEAD = 20 };

typedef struct {
    bool is_kept, was_executed;
    int64_t expires_ms;
    uint8_t result[RESULT_MOST];
    size_t result_bytes;
} model_kept_t;

typedef struct {
    bool is_there;
    uint64_t floor;
    int64_t expires_ms;
    model_kept_t kept[MODEL_SEQUENCES];
} model_session_t;

typedef struct {
    int64_t time_ms;
    model_session_t sessions[MODEL_SESSIONS];
} model_t;

static uint64_t s_model_bytes (const model_session_t *session, uint64_t below)
{
    uint64_t bytes = 0;
    for (uint64_t i = 0; i < below; i++)
        bytes += session->kept[i].is_kept
                     ? SESSIONS_COMPLETION_BYTES + session->kept[i].result_bytes
                     : 0;
    return bytes;
}

static sessions_verdict_t s_model_admit (const model_t *self, const sessions_request_t *request)
{
    const completion_t *asked = &request->completion;
    const model_session_t *session = &self->sessions[asked->session[0]];
    uint64_t count = 0;
    uint64_t bytes = 0;
    uint64_t floor = session->floor > asked->floor ? session->floor : asked->floor;
    for (size_t i = 0; i < MODEL_SESSIONS; i++) {
        count += self->sessions[i].is_there;
        if (self->sessions[i].is_there)
            bytes += s_model_bytes (&self->sessions[i], MODEL_SEQUENCES);
    }
    if (asked->sequence >= floor + WINDOW)
        return SESSIONS_BUSY;
    if (!session->is_there &&
        count >= (request->of_broker ? SESSIONS_MOST : SESSIONS_MOST - RESERVED))
        return SESSIONS_FULL;
    bytes += SESSIONS_COMPLETION_BYTES + request->result_bytes_max;
    bytes -= session->is_there ? s_model_bytes (session, floor) : 0;
    return bytes <= BYTES_MOST ? SESSIONS_NEW : SESSIONS_BUSY;
}

static sessions_verdict_t s_model_ask (const model_t *self, const sessions_request_t *request)
{
    const completion_t *asked = &request->completion;
    const model_session_t *session = &self->sessions[asked->session[0]];
    if (asked->floor == 0 || asked->sequence < asked->floor || asked->expires_ms <= self->time_ms)
        return SESSIONS_OLD;
    if (session->is_there && asked->sequence < session->floor)
        return SESSIONS_OLD;
    if (session->is_there && session->kept[asked->sequence].is_kept)
        return SESSIONS_DUPLICATE;
    return s_model_admit (self, request);
}

static void s_model_drop (model_t *self)
{
    for (size_t i = 0; i < MODEL_SESSIONS; i++) {
        model_session_t *session = &self->sessions[i];
        if (session->expires_ms <= self->time_ms) {
            session->is_there = false;
            session->floor = 0;
            session->expires_ms = 0;
        }
        for (uint64_t j = 0; j < MODEL_SEQUENCES; j++)
            session->kept[j].is_kept = session->kept[j].is_kept && j >= session->floor &&
                                       session->kept[j].expires_ms > self->time_ms;
    }
}

static void s_model_store (model_t *self, const completion_t *completion)
{
    model_session_t *session = &self->sessions[completion->session[0]];
    session->is_there = true;
    if (session->floor < completion->floor)
        session->floor = completion->floor;
    if (session->expires_ms < completion->expires_ms)
        session->expires_ms = completion->expires_ms;
    if (completion->sequence) {
        model_kept_t *kept = &session->kept[completion->sequence];
        assert_false (kept->was_executed); /* once, for ever */
        *kept = (model_kept_t){.is_kept = true,
                               .was_executed = true,
                               .expires_ms = completion->expires_ms,
                               .result_bytes = completion->result.size};
        memcpy (kept->result, completion->result.data, completion->result.size);
    }
    s_model_drop (self);
}

/* All that a walk gives is in the model, and nothing else is there. */
static void s_check_walk (const sessions_t *sessions, const model_t *model)
{
    sessions_cursor_t cursor = {0};
    completion_t got;
    size_t heads = 0;
    size_t completions = 0;
    assert_true (sessions_time (sessions) == model->time_ms);
    while (sessions_next (sessions, &cursor, &got) == KV_OK) {
        const model_session_t *session = &model->sessions[got.session[0]];
        assert_true (session->is_there);
        assert_true (got.floor == session->floor);
        heads += got.sequence == 0;
        if (got.sequence == 0) {
            assert_true (got.expires_ms == session->expires_ms);
            assert_true (sessions_floor (sessions, got.session) == session->floor);
            continue;
        }
        const model_kept_t *kept = &session->kept[got.sequence];
        completions++;
        assert_true (kept->is_kept && kept->expires_ms == got.expires_ms);
        assert_true (kv_slice_equal (got.result, kv_slice (kept->result, kept->result_bytes)));
    }
    for (size_t i = 0; i < MODEL_SESSIONS; i++) {
        heads -= model->sessions[i].is_there;
        for (size_t j = 0; j < MODEL_SEQUENCES; j++)
            completions -= model->sessions[i].kept[j].is_kept;
    }
    assert_int_equal (heads, 0);
    assert_int_equal (completions, 0);
}

/* ---- clients ------------------------------------------------------------------------------------------- */

/* A session's id: its number, over and over. */
static const uint8_t *s_id (unsigned session)
{
    static uint8_t ids[MODEL_SESSIONS][RECORD_SESSION_BYTES];
    memset (ids[session], (int)session, RECORD_SESSION_BYTES);
    return ids[session];
}

static void s_sweep_all (sessions_t *self)
{
    while (sessions_sweep (self, 1))
        assert_true (sessions_is_valid (self));
}

/* A client as it has to be: an expiry for good for each sequence number, in rising order. */
typedef struct {
    unsigned session;
    uint64_t floor, fixed; /* expiries are fixed below */
    int64_t expires_ms[MODEL_SEQUENCES];
} client_t;

/* The table under test, those that follow it, and what was logged so far. */
typedef struct {
    uint64_t random;
    int64_t now_ms;
    unsigned sessions_begun;
    sessions_t *owner, *follower;
    sessions_t *copy; /* loaded by a walk in steps; NULL: none goes on */
    sessions_cursor_t cursor;
    model_t model;
    client_t clients[CLIENTS];
    writer_t log;
    uint64_t position;
    size_t counts[SESSIONS_FULL + 1]; /* of verdicts */
} bed_t;

static void s_begin_client (bed_t *self, client_t *client)
{
    if (self->sessions_begun == MODEL_SESSIONS)
        return;
    *client = (client_t){.session = self->sessions_begun++, .floor = 1, .fixed = 1};
}

static void s_apply (sessions_t *sessions, kv_slice_t bytes)
{
    record_t record;
    assert_int_equal (record_decode (bytes, &record), KV_OK);
    assert_int_equal (record.bytes, bytes.size);
    if (record.has_completion)
        sessions_store (sessions, &record.completion);
    if (record.time_ms)
        sessions_raise_time (sessions, record.time_ms);
}

/* What is logged reaches the model, the owner, the follower now and then twice, and a copy that goes on. */
static void s_log (bed_t *self, const completion_t *completion, int64_t time_ms)
{
    size_t start = record_begin (&self->log, 0, self->position, self->position + 1);
    self->position++;
    if (completion)
        record_completion (&self->log, start, completion);
    if (time_ms)
        record_time (&self->log, start, time_ms);
    record_end (&self->log, start, 0);
    kv_slice_t bytes = kv_slice (self->log.data + start, self->log.size - start);
    s_apply (self->owner, bytes);
    s_apply (self->follower, bytes);
    if (fixture_random (&self->random, 4) == 0)
        s_apply (self->follower, bytes);
    if (self->copy)
        s_apply (self->copy, bytes);
    if (completion)
        s_model_store (&self->model, completion);
    if (time_ms > self->model.time_ms)
        self->model.time_ms = time_ms;
    s_model_drop (&self->model);
    assert_true (sessions_is_valid (self->owner));
    assert_true (sessions_is_valid (self->follower));
}

static sessions_request_t s_request (bed_t *self, client_t *client)
{
    uint64_t least = client->floor > 5 ? client->floor - 5 : 1;
    uint64_t sequence = least + fixture_random (&self->random, AHEAD + 5);
    for (; client->fixed <= sequence; client->fixed++) {
        int64_t before = client->expires_ms[client->fixed - 1];
        int64_t expires_ms = self->now_ms + (int64_t)fixture_random (&self->random, 200);
        client->expires_ms[client->fixed] = expires_ms > before ? expires_ms : before;
    }
    return (sessions_request_t){.completion = {.session = s_id (client->session),
                                               .sequence = sequence,
                                               .floor = client->floor <= sequence
                                                            ? client->floor
                                                            : sequence, /* sent long ago */
                                               .expires_ms = client->expires_ms[sequence]},
                                .result_bytes_max = fixture_random (&self->random, RESULT_MOST + 1),
                                .of_broker = fixture_random (&self->random, 8) == 0};
}

static void s_send (bed_t *self, client_t *client)
{
    static const uint8_t bytes[2 * RESULT_MOST] = "results are parts of this and of many zeros";
    sessions_request_t request = s_request (self, client);
    completion_t *asked = &request.completion;
    kv_slice_t result;
    sessions_verdict_t verdict = sessions_ask (self->owner, &request, &result);
    sessions_verdict_t expected = s_model_ask (&self->model, &request);
    bool is_swept = sessions_earliest_ms (self->owner) > sessions_time (self->owner);
    if (is_swept || (verdict != SESSIONS_BUSY && verdict != SESSIONS_FULL))
        assert_int_equal (verdict, expected);
    self->counts[verdict]++;
    if (verdict == SESSIONS_DUPLICATE) {
        const model_kept_t *kept = &self->model.sessions[asked->session[0]].kept[asked->sequence];
        assert_true (kv_slice_equal (result, kv_slice (kept->result, kept->result_bytes)));
    } else if (verdict == SESSIONS_NEW) {
        asked->result = kv_slice (bytes + fixture_random (&self->random, RESULT_MOST),
                                  fixture_random (&self->random, request.result_bytes_max + 1));
        s_log (self, asked, fixture_random (&self->random, 8) ? 0 : self->model.time_ms);
        assert_true (sessions_bytes (self->owner) <= BYTES_MOST);
        assert_true (sessions_count (self->owner) <= SESSIONS_MOST);
    } else if (verdict == SESSIONS_BUSY) {
        uint64_t floor = sessions_floor (self->owner, asked->session);
        asked->sequence = 0;
        if (floor && floor < asked->floor)
            s_log (self, asked, 0);
    }
}

/* A table loaded from all that a walk gives, through the bytes of a copy. */
static void s_check_load (bed_t *self)
{
    writer_t out = writer_make (SIZE_MAX);
    sessions_t *loaded = sessions_new (&s_options);
    sessions_cursor_t cursor = {0};
    completion_t completion;
    while (sessions_next (self->owner, &cursor, &completion) == KV_OK)
        completion_write (&out, &completion);
    sessions_raise_time (loaded, sessions_time (self->owner));
    kv_slice_t at = kv_slice (out.data, out.size);
    while (completion_next (&at, &completion) == KV_OK)
        sessions_store (loaded, &completion);
    assert_true (sessions_is_valid (loaded));
    s_check_walk (loaded, &self->model);
    sessions_destroy (&loaded);
    writer_free (&out);
}

/* A step of a walk that goes on while things change; at its end the copy is the same. */
static void s_step_copy (bed_t *self)
{
    completion_t completion;
    if (!self->copy) {
        self->copy = sessions_new (&s_options);
        self->cursor = (sessions_cursor_t){0};
        sessions_raise_time (self->copy, sessions_time (self->owner));
    }
    if (sessions_next (self->owner, &self->cursor, &completion) == KV_OK) {
        sessions_store (self->copy, &completion);
        return;
    }
    assert_true (sessions_is_valid (self->copy));
    s_check_walk (self->copy, &self->model);
    sessions_destroy (&self->copy);
}

static void s_step (bed_t *self)
{
    client_t *client = &self->clients[fixture_random (&self->random, CLIENTS)];
    switch (fixture_random (&self->random, 40)) {
    case 0: self->now_ms += (int64_t)fixture_random (&self->random, 100); return;
    case 1:
        if (sessions_earliest_ms (self->owner) <= self->now_ms)
            s_log (self, NULL, self->now_ms);
        return;
    case 2:
        if (fixture_random (&self->random, 20) == 0 || client->floor > MODEL_SEQUENCES - 2 * AHEAD)
            s_begin_client (self, client);
        return;
    case 3: (void)sessions_sweep (self->owner, 1 + fixture_random (&self->random, 20)); return;
    case 4: s_sweep_all (fixture_random (&self->random, 2) ? self->owner : self->follower); return;
    case 5: s_check_walk (self->owner, &self->model); return;
    case 6: s_check_walk (self->follower, &self->model); return;
    case 7: s_check_load (self); return;
    case 8:
    case 9:
    case 10:
    case 11:
        if (client->floor < client->fixed && client->floor < MODEL_SEQUENCES - AHEAD - 6)
            client->floor += fixture_random (&self->random, client->fixed - client->floor + 1);
        return;
    case 12:
    case 13:
    case 14:
    case 15: s_step_copy (self); return;
    default:
        if (client->floor < MODEL_SEQUENCES - AHEAD - 6)
            s_send (self, client);
    }
}

static void test_sessions_against_a_model (void **state)
{
    (void)state;
    static bed_t bed;
    bed = (bed_t){.random = fixture_seed ("sessions"),
                  .now_ms = 1000,
                  .owner = sessions_new (&s_options),
                  .follower = sessions_new (&s_options),
                  .log = writer_make (SIZE_MAX),
                  .position = UINT64_C (1) << POSITION_N_BITS};
    for (size_t i = 0; i < CLIENTS; i++)
        s_begin_client (&bed, &bed.clients[i]);
    for (int i = 0; i < 20000; i++)
        s_step (&bed);
    printf ("new %zu, duplicate %zu, old %zu, busy %zu, full %zu; sessions %u\n",
            bed.counts[SESSIONS_NEW], bed.counts[SESSIONS_DUPLICATE], bed.counts[SESSIONS_OLD],
            bed.counts[SESSIONS_BUSY], bed.counts[SESSIONS_FULL], bed.sessions_begun);
    sessions_t *replayed = sessions_new (&s_options);
    for (kv_slice_t left = kv_slice (bed.log.data, bed.log.size); left.size;) {
        record_t record;
        assert_int_equal (record_decode (left, &record), KV_OK);
        s_apply (replayed, kv_slice (left.data, record.bytes));
        left = kv_slice (left.data + record.bytes, left.size - record.bytes);
    }
    s_check_walk (replayed, &bed.model);
    s_check_walk (bed.owner, &bed.model);
    sessions_destroy (&replayed);
    sessions_destroy (&bed.copy);
    sessions_destroy (&bed.owner);
    sessions_destroy (&bed.follower);
    writer_free (&bed.log);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_sessions_against_a_model),
    };
    return cmocka_run_group_tests_name ("node.sessions_model", tests, NULL, NULL);
}
