#include "node/sessions.h"

#include "node/segments.h"

#include <stdlib.h>

enum {
    SESSION_LOG2 = 6,  /* a session takes a cache line */
    HERE_BYTES = 8,    /* results up to that size stand in their completion: most do */
    CAPACITY_LEAST = 4 /* completions of a session that there is room for at least */
};

#define NONE UINT32_MAX /* no place */

typedef struct {
    uint64_t sequence;
    int64_t expires_ms;
    union {
        uint8_t here[HERE_BYTES];
        uint8_t *elsewhere; /* owned: results that are larger */
    } result;
    uint32_t result_bytes;
} kept_t;

_Static_assert(sizeof (kept_t) == SESSIONS_COMPLETION_BYTES, "what a completion counts");

typedef struct {
    uint8_t id[RECORD_SESSION_BYTES];
    uint64_t floor;
    int64_t expires_ms;              /* 0: the place is free */
    kept_t *kept;                    /* owned array [capacity] */
    uint32_t first, count, capacity; /* those in use: first .. first + count - 1 */
    uint32_t next;                   /* place of the next in its bucket, or of the next free one */
} session_t;

_Static_assert(sizeof (session_t) <= 1 << SESSION_LOG2, "a session takes a cache line");

struct sessions {
    sessions_options_t options;
    segments_t places; /* of session_t: a session keeps its place for life */
    uint32_t free;     /* first free place */
    size_t count;      /* sessions */
    uint32_t *buckets; /* owned array: first place of each bucket */
    size_t bucket_count;
    int64_t time_ms;     /* T */
    uint64_t bytes;      /* S5 */
    size_t memory;       /* of arrays and results of the sessions */
    int64_t earliest_ms; /* S6 */
    int64_t round_ms; /* the earliest among what this round of sweeping has passed, or came since */
    uint32_t sweep_at; /* the round's next place; 0 between rounds */
};

/* ---- the table of sessions ------------------------------------------------------------------------- */

static session_t *s_at (const sessions_t *self, uint32_t place)
{
    return segments_at (&self->places, place);
}

static uint32_t *s_bucket (const sessions_t *self, const uint8_t *id)
{
    uint64_t hash = siphash_13 (self->options.secret, kv_slice (id, RECORD_SESSION_BYTES));
    return &self->buckets[hash & (self->bucket_count - 1)];
}

static void s_link (sessions_t *self, uint32_t place)
{
    session_t *session = s_at (self, place);
    uint32_t *bucket = s_bucket (self, session->id);
    session->next = *bucket;
    *bucket = place;
}

/* Makes as many buckets and puts every session into its own. */
static void s_rehash (sessions_t *self, size_t bucket_count)
{
    free (self->buckets);
    self->bucket_count = bucket_count;
    self->buckets = malloc (bucket_count * sizeof *self->buckets);
    KV_ASSERT (self->buckets != NULL);
    for (size_t i = 0; i < bucket_count; i++)
        self->buckets[i] = NONE;
    for (uint32_t place = 0; place < self->places.count; place++) {
        if (s_at (self, place)->expires_ms)
            s_link (self, place);
    }
}

sessions_t *sessions_new (const sessions_options_t *options)
{
    KV_ASSERT (options->window >= 1);
    KV_ASSERT (options->sessions_max >= 1);
    KV_ASSERT (options->reserved <= options->sessions_max);
    KV_ASSERT (options->bytes_max <= RECORD_RESULT_BYTES_MAX);
    sessions_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->options = *options;
    self->places = segments_make (SESSION_LOG2);
    self->free = NONE;
    self->earliest_ms = INT64_MAX;
    s_rehash (self, SEGMENTS_FIRST);
    return self;
}

/* NULL: there is none. */
static session_t *s_find (const sessions_t *self, const uint8_t *id)
{
    for (uint32_t place = *s_bucket (self, id); place != NONE;) {
        session_t *session = s_at (self, place);
        if (memcmp (session->id, id, RECORD_SESSION_BYTES) == 0)
            return session;
        place = session->next;
    }
    return NULL;
}

/* As s_find, but what T has passed is not there. */
static const session_t *s_find_live (const sessions_t *self, const uint8_t *id)
{
    const session_t *session = s_find (self, id);
    return session && session->expires_ms > self->time_ms ? session : NULL;
}

static session_t *s_add (sessions_t *self, const completion_t *completion)
{
    uint32_t place = self->free;
    if (place == NONE) {
        KV_ASSERT (self->places.count < NONE);
        place = (uint32_t)self->places.count;
        (void)segments_push (&self->places);
    } else {
        self->free = s_at (self, place)->next;
    }
    session_t *session = s_at (self, place);
    *session = (session_t){.floor = completion->floor, .expires_ms = completion->expires_ms};
    memcpy (session->id, completion->session, RECORD_SESSION_BYTES);
    s_link (self, place);
    if (++self->count > self->bucket_count)
        s_rehash (self, 2 * self->bucket_count);
    return session;
}

/* ---- what a session keeps -------------------------------------------------------------------------- */

static kept_t *s_kept (const session_t *session, uint32_t index)
{
    return &session->kept[session->first + index];
}

static kv_slice_t s_result (const kept_t *kept)
{
    bool is_here = kept->result_bytes <= HERE_BYTES;
    return kv_slice (is_here ? kept->result.here : kept->result.elsewhere, kept->result_bytes);
}

/* How many have a lower sequence number. */
static uint32_t s_below (const session_t *session, uint64_t sequence)
{
    uint32_t low = 0;
    uint32_t high = session->count;
    if (high && s_kept (session, high - 1)->sequence < sequence)
        return high; /* most come in order */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (s_kept (session, middle)->sequence < sequence)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static const kept_t *s_find_kept (const session_t *session, uint64_t sequence)
{
    uint32_t index = s_below (session, sequence);
    if (index == session->count || s_kept (session, index)->sequence != sequence)
        return NULL;
    return s_kept (session, index);
}

/* Begins the run at the front of an array that has as much room again. */
static void s_fit (sessions_t *self, session_t *session)
{
    KV_ASSERT (session->count <= (UINT32_MAX - CAPACITY_LEAST) / 2);
    uint32_t capacity = 2 * session->count + CAPACITY_LEAST;
    kept_t *kept = malloc (capacity * sizeof *kept);
    KV_ASSERT (kept != NULL);
    if (session->count)
        memcpy (kept, s_kept (session, 0), session->count * sizeof *kept);
    free (session->kept);
    self->memory += capacity * sizeof *kept;
    self->memory -= session->capacity * sizeof *kept;
    session->kept = kept;
    session->first = 0;
    session->capacity = capacity;
}

/* Behind a drop: not much room is left unused. */
static void s_shrink (sessions_t *self, session_t *session)
{
    if (session->count < session->capacity / 8)
        s_fit (self, session);
}

/* A copy of the result goes with it. */
static kept_t s_make_kept (sessions_t *self, const completion_t *completion)
{
    kv_slice_t result = completion->result;
    kept_t kept = {.sequence = completion->sequence,
                   .expires_ms = completion->expires_ms,
                   .result_bytes = (uint32_t)result.size};
    uint8_t *to = kept.result.here;
    if (result.size > HERE_BYTES) {
        to = kept.result.elsewhere = malloc (result.size);
        KV_ASSERT (to != NULL);
        self->memory += result.size;
    }
    if (result.size)
        memcpy (to, result.data, result.size);
    self->bytes += SESSIONS_COMPLETION_BYTES + result.size; // S5
    return kept;
}

static void s_free_kept (sessions_t *self, const kept_t *kept)
{
    self->bytes -= SESSIONS_COMPLETION_BYTES + kept->result_bytes; // S5
    if (kept->result_bytes > HERE_BYTES) {
        self->memory -= kept->result_bytes;
        free (kept->result.elsewhere);
    }
}

static void s_keep (sessions_t *self, session_t *session, const completion_t *completion)
{
    uint32_t index = s_below (session, completion->sequence);
    if (index < session->count && s_kept (session, index)->sequence == completion->sequence)
        return; // S4
    if (session->first + session->count == session->capacity)
        s_fit (self, session);
    kept_t *at = s_kept (session, index);
    memmove (at + 1, at, (session->count - index) * sizeof *at); // S2
    *at = s_make_kept (self, completion);
    session->count++;
}

static void s_raise_floor (sessions_t *self, session_t *session, uint64_t floor)
{
    if (floor <= session->floor)
        return; // S1
    uint32_t below = s_below (session, floor);
    for (uint32_t i = 0; i < below; i++)
        s_free_kept (self, s_kept (session, i));
    session->floor = floor;
    session->first += below;
    session->count -= below;
    s_shrink (self, session);
}

static void s_remove (sessions_t *self, session_t *session)
{
    for (uint32_t i = 0; i < session->count; i++)
        s_free_kept (self, s_kept (session, i));
    self->memory -= session->capacity * sizeof *session->kept;
    free (session->kept);
    uint32_t *link = s_bucket (self, session->id);
    while (s_at (self, *link) != session)
        link = &s_at (self, *link)->next;
    uint32_t place = *link;
    *link = session->next;
    *session = (session_t){.next = self->free};
    self->free = place;
    self->count--;
}

void sessions_destroy (sessions_t **self_p)
{
    sessions_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (uint32_t place = 0; place < self->places.count; place++) {
        if (s_at (self, place)->expires_ms)
            s_remove (self, s_at (self, place));
    }
    segments_free (&self->places);
    free (self->buckets);
    free (self);
}

/* ---- the owner's question ---------------------------------------------------------------------------- */

/* What the session would let go of under that floor, as counted (S5). */
static uint64_t s_bytes_below (const session_t *session, uint64_t floor)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0, end = s_below (session, floor); i < end; i++)
        bytes += SESSIONS_COMPLETION_BYTES + s_kept (session, i)->result_bytes;
    return bytes;
}

/* Whether the result, however large, will fit once the floor that comes with it is stored. */
static bool s_fits (const sessions_t *self, const session_t *session,
                    const sessions_request_t *request)
{
    uint64_t most = self->options.bytes_max;
    if (most < SESSIONS_COMPLETION_BYTES ||
        request->result_bytes_max > most - SESSIONS_COMPLETION_BYTES)
        return false;
    uint64_t wanted = self->bytes + SESSIONS_COMPLETION_BYTES + request->result_bytes_max;
    return wanted <= most ||
           (session && wanted - s_bytes_below (session, request->completion.floor) <= most);
}

static bool s_has_place (const sessions_t *self, bool of_broker)
{
    return self->count <
           self->options.sessions_max - (of_broker ? 0 : (size_t)self->options.reserved);
}

static sessions_verdict_t s_admit (const sessions_t *self, const session_t *session,
                                   const sessions_request_t *request)
{
    const completion_t *asked = &request->completion;
    uint64_t floor = session && session->floor > asked->floor ? session->floor : asked->floor;
    if (asked->sequence - floor >= self->options.window)
        return SESSIONS_BUSY;
    if (!session && !s_has_place (self, request->of_broker))
        return SESSIONS_FULL;
    return s_fits (self, session, request) ? SESSIONS_NEW : SESSIONS_BUSY;
}

sessions_verdict_t sessions_ask (const sessions_t *self, const sessions_request_t *request,
                                 kv_slice_t *result)
{
    const completion_t *asked = &request->completion;
    *result = kv_slice (NULL, 0);
    if (asked->floor < 1 || asked->sequence < asked->floor || asked->expires_ms <= self->time_ms)
        return SESSIONS_OLD;
    const session_t *session = s_find_live (self, asked->session);
    if (!session)
        return s_admit (self, NULL, request);
    if (asked->sequence < session->floor)
        return SESSIONS_OLD;
    const kept_t *kept = s_find_kept (session, asked->sequence);
    if (!kept)
        return s_admit (self, session, request);
    *result = s_result (kept);
    return SESSIONS_DUPLICATE;
}

/* ---- storing ----------------------------------------------------------------------------------------- */

void sessions_store (sessions_t *self, const completion_t *completion)
{
    KV_ASSERT (completion->floor >= 1);     // D4
    KV_ASSERT (completion->expires_ms > 0); // D4
    bool is_over = completion->expires_ms <= self->time_ms;
    session_t *session = s_find (self, completion->session);
    if (session && session->expires_ms <= self->time_ms) {
        s_remove (self, session); // S4: as if the sweep had been here
        session = NULL;
    }
    if (!session && is_over)
        return;
    if (!session)
        session = s_add (self, completion);
    s_raise_floor (self, session, completion->floor);
    if (is_over)
        return;
    if (completion->expires_ms > session->expires_ms)
        session->expires_ms = completion->expires_ms;
    if (completion->sequence >= session->floor)
        s_keep (self, session, completion);
    if (completion->expires_ms < self->earliest_ms)
        self->earliest_ms = completion->expires_ms; // S6
    if (completion->expires_ms < self->round_ms)
        self->round_ms = completion->expires_ms;
}

void sessions_raise_time (sessions_t *self, int64_t time_ms)
{
    if (time_ms > self->time_ms)
        self->time_ms = time_ms; // S1
}

/* ---- forgetting -------------------------------------------------------------------------------------- */

/* Of a session that stays: its completions that T has passed go. */
static void s_sweep_kept (sessions_t *self, session_t *session)
{
    uint32_t stay = 0;
    int64_t earliest_ms = session->expires_ms;
    for (uint32_t i = 0; i < session->count; i++) {
        kept_t *kept = s_kept (session, i);
        if (kept->expires_ms <= self->time_ms) {
            s_free_kept (self, kept);
            continue;
        }
        if (kept->expires_ms < earliest_ms)
            earliest_ms = kept->expires_ms;
        *s_kept (session, stay++) = *kept;
    }
    session->count = stay;
    s_shrink (self, session);
    if (earliest_ms < self->round_ms)
        self->round_ms = earliest_ms;
}

/* Returns what was looked at, in completions; the session itself is one. */
static size_t s_sweep_place (sessions_t *self, uint32_t place)
{
    session_t *session = s_at (self, place);
    size_t looked_at = 1 + (size_t)session->count;
    if (session->expires_ms == 0)
        return 1;
    if (session->expires_ms <= self->time_ms)
        s_remove (self, session); // S3
    else
        s_sweep_kept (self, session);
    return looked_at;
}

bool sessions_sweep (sessions_t *self, size_t budget)
{
    size_t looked_at = 0;
    while (self->earliest_ms <= self->time_ms && looked_at < budget) {
        if (self->sweep_at == 0)
            self->round_ms = INT64_MAX;
        looked_at += s_sweep_place (self, self->sweep_at++);
        if (self->sweep_at == self->places.count) {
            self->earliest_ms = self->round_ms; // S6
            self->sweep_at = 0;
        }
    }
    return self->earliest_ms <= self->time_ms;
}

/* ---- walking ----------------------------------------------------------------------------------------- */

/* The first completion of the session from the cursor's sequence on that T has not passed. */
static const kept_t *s_next_kept (const sessions_t *self, const session_t *session,
                                  uint64_t sequence)
{
    for (uint32_t i = s_below (session, sequence); i < session->count; i++) {
        if (s_kept (session, i)->expires_ms > self->time_ms)
            return s_kept (session, i);
    }
    return NULL;
}

/* False: the session has no more. */
static bool s_next_of (const sessions_t *self, sessions_cursor_t *cursor, completion_t *completion)
{
    const session_t *session = s_at (self, cursor->place);
    if (session->expires_ms <= self->time_ms)
        return false;
    *completion = (completion_t){
        .session = session->id, .floor = session->floor, .expires_ms = session->expires_ms};
    if (cursor->sequence == 0) {
        cursor->sequence = 1;
        return true;
    }
    const kept_t *kept = s_next_kept (self, session, cursor->sequence);
    if (!kept)
        return false;
    completion->sequence = kept->sequence;
    completion->expires_ms = kept->expires_ms;
    completion->result = s_result (kept);
    cursor->sequence = kept->sequence + 1;
    if (cursor->sequence == 0)
        cursor->place++; /* behind the highest number there is */
    return true;
}

kv_status_t sessions_next (const sessions_t *self, sessions_cursor_t *cursor,
                           completion_t *completion)
{
    for (; cursor->place < self->places.count;
         *cursor = (sessions_cursor_t){cursor->place + 1, 0}) {
        if (s_next_of (self, cursor, completion))
            return KV_OK;
    }
    return KV_END;
}

/* ---- figures ----------------------------------------------------------------------------------------- */

int64_t sessions_time (const sessions_t *self)
{
    return self->time_ms;
}

uint64_t sessions_floor (const sessions_t *self, const uint8_t session[RECORD_SESSION_BYTES])
{
    const session_t *found = s_find_live (self, session);
    return found ? found->floor : 0;
}

int64_t sessions_earliest_ms (const sessions_t *self)
{
    return self->earliest_ms;
}

size_t sessions_count (const sessions_t *self)
{
    return self->count;
}

uint64_t sessions_bytes (const sessions_t *self)
{
    return self->bytes;
}

size_t sessions_memory (const sessions_t *self)
{
    return sizeof *self + segments_bytes (&self->places) +
           self->bucket_count * sizeof *self->buckets + self->memory;
}

/* Adds what it counts to `bytes` and what it takes to `memory`. */
static bool s_is_session_valid (const sessions_t *self, const session_t *session, uint64_t *bytes,
                                size_t *memory)
{
    uint64_t least = session->floor;
    if (session->expires_ms < self->earliest_ms || // S6
        session->first + session->count > session->capacity)
        return false;
    for (uint32_t i = 0; i < session->count; i++) {
        const kept_t *kept = s_kept (session, i);
        if (kept->sequence < least || (i && kept->sequence == least)) // S2
            return false;
        if (kept->expires_ms < self->earliest_ms || kept->expires_ms > session->expires_ms) // S6
            return false;
        least = kept->sequence;
        *bytes += SESSIONS_COMPLETION_BYTES + kept->result_bytes;
        *memory += kept->result_bytes > HERE_BYTES ? kept->result_bytes : 0;
    }
    *memory += session->capacity * sizeof (kept_t);
    return true;
}

bool sessions_is_valid (const sessions_t *self)
{
    uint64_t bytes = 0;
    size_t memory = 0;
    size_t count = 0;
    size_t free_count = 0;
    for (uint32_t place = 0; place < self->places.count; place++) {
        const session_t *session = s_at (self, place);
        if (session->expires_ms == 0)
            continue;
        count++;
        if (s_find (self, session->id) != session ||
            !s_is_session_valid (self, session, &bytes, &memory))
            return false;
    }
    for (uint32_t place = self->free; place != NONE; place = s_at (self, place)->next)
        free_count++;
    return count == self->count && count + free_count == self->places.count &&
           bytes == self->bytes && memory == self->memory; // S5
}
