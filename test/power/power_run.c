#include "power_run.h"

#include "schema/slot.h"
#include "schema/writer.h"
#include "test/sim/sim_log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    SHARDS = 3,
    KEYS = 24,
    REPLIES_MOST = 4000,
    INTERVAL_US = 50000,
    LIVES_MOST = 5,
    STEPS_MOST = 120
};

/* A reply that waits. */
typedef struct {
    uint64_t gate, depends; /* what the executor says, and what the run knows, it tells of */
    uint64_t from, to;      /* the records it has made */
} reply_t_;

typedef struct {
    uint64_t seed;
    sim_random_t random;
    bool trace;
    power_stats_t *stats;
    files_t *files;
    sim_pace_t pace;
    sim_journal_t *journal;
    flush_policy_t policy;
    uint64_t segment_bytes;
    int64_t now_us, wall_ms;
    uint8_t uuid[WAL_UUID_BYTES];
    /* One life's: */
    executor_t *executor;
    sim_log_t *log;
    reply_t_ replies[REPLIES_MOST];
    size_t reply_first, reply_count;
    /* Over all lives: */
    size_t noted;                   /* records of the journal that key_lsn knows of */
    uint64_t key_lsn[SHARDS][KEYS]; /* behind the last record about the key */
} run_t;

static void s_fail (const run_t *self, const char *rule, const char *what)
{
    fprintf (stderr, "power_sim: seed %" PRIu64 ", policy %s: %s: %s\n", self->seed,
             flush_policy_name (self->policy), rule, what);
    abort ();
}

static uint64_t s_random (run_t *self, uint64_t below)
{
    return sim_random_below (&self->random, below);
}

#define TRACE(self, ...)                                                                           \
    do {                                                                                           \
        if ((self)->trace)                                                                         \
            printf (__VA_ARGS__);                                                                  \
    } while (0)

/* ---- what records tell of --------------------------------------------------------------------------- */

/* "k7" is key 7 of all shards; -1: another key. */
static int s_key_index (kv_slice_t key)
{
    char text[8] = "";
    if (key.size < 2 || key.size >= sizeof text)
        return -1;
    memcpy (text, key.data, key.size);
    return atoi (text + 1);
}

/* What the record is about was last written by it. */
static void s_note_keys (run_t *self, const record_t *record, uint64_t end_lsn)
{
    effect_t effect;
    kv_slice_t at = record->effects;
    while (effect_next (&at, &effect) == KV_OK) {
        int key = effect.key.size ? s_key_index (effect.key) : -1;
        for (int i = 0; i < KEYS; i++) {
            if (effect.kind == EFFECT_CLEAR || i == key)
                self->key_lsn[record->shard][i] = end_lsn;
        }
    }
}

static void s_note_records (run_t *self)
{
    record_t record;
    for (; self->noted < sim_journal_count (self->journal); self->noted++) {
        uint64_t lsn = sim_journal_record (self->journal, self->noted, &record);
        s_note_keys (self, &record, lsn);
    }
}

/* ---- a life ------------------------------------------------------------------------------------------ */

static void s_check_log (run_t *self)
{
    if (*sim_log_fault (self->log))
        s_fail (self, "log", sim_log_fault (self->log));
}

/* Waits until there is space, or the disk is full. What is in the buffer takes space until it is written,
 * as the node does at the end of its turn. */
static void s_make_room (run_t *self, uint64_t bytes)
{
    while (!sim_log_has_room (self->log, bytes)) {
        if (!sim_log_write (self->log, self->now_us))
            s_check_log (self);
        if (sim_log_has_room (self->log, bytes))
            return;
        if (sim_log_next_us (self->log, self->now_us) == INT64_MAX)
            s_fail (self, "space", "nobody prepares it");
        self->now_us = sim_log_next_us (self->log, self->now_us);
        sim_log_tend (self->log, self->now_us, self->wall_ms);
        s_check_log (self);
    }
}

static void s_own_all (run_t *self)
{
    uint64_t epoch = executor_highest_epoch (self->executor) + 1;
    /* A lost tail may have had higher ones: whoever gives epochs remembers them (R15). */
    for (uint32_t i = 0; i < SHARDS; i++) {
        uint64_t position = sim_journal_position (self->journal, i);
        if (position_epoch (position) >= epoch)
            epoch = position_epoch (position) + 1;
    }
    s_make_room (self, SHARDS * SHARD_OPEN_BYTES);
    for (uint32_t i = 0; i < SHARDS && sim_log_room (self->log) >= SHARD_OPEN_BYTES; i++) {
        kv_status_t status = executor_own (self->executor, i, epoch);
        KV_ASSERT (status == KV_OK);
    }
}

static void s_begin_life (run_t *self)
{
    executor_options_t executor = {.shards = SHARDS,
                                   .max_value_bytes = 4096,
                                   .secret = "a secret of 16.",
                                   .node_id = "node1",
                                   .version = "test"};
    self->executor = executor_new (&executor);
    sim_log_options_t options = {.files = self->files,
                                 .uuid = self->uuid,
                                 .pace = &self->pace,
                                 .executor = self->executor,
                                 .journal = self->journal,
                                 .policy = self->policy,
                                 .interval_us = INTERVAL_US,
                                 .segment_bytes = self->segment_bytes,
                                 .snapshot_log_bytes = 1 + s_random (self, 20000),
                                 .shards = SHARDS,
                                 .random = sim_random_fork (&self->random, 1)};
    self->log = sim_log_new (&options);
    while (sim_log_load (self->log, self->now_us) == KV_OK)
        continue;
    s_check_log (self);
    sim_log_stats_t stats = sim_log_stats (self->log);
    self->stats->snapshots_used += stats.used_snapshot;
    self->stats->lost_records += stats.loss.records;
    self->stats->lost_acknowledged += stats.loss.acknowledged;
    TRACE (self, "recovered, and %" PRIu64 " records are lost\n", stats.loss.records);
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        for (int i = 0; i < KEYS; i++) {
            if (self->key_lsn[shard][i] > sim_log_durable (self->log))
                self->key_lsn[shard][i] = 0;
        }
    }
    self->noted = sim_journal_count (self->journal);
    s_own_all (self);
}

/* What is in the buffer goes with the process. */
static void s_end_life (run_t *self)
{
    sim_log_stats_t stats = sim_log_stats (self->log);
    self->stats->snapshots += stats.snapshots;
    self->stats->snapshots_failed += stats.snapshots_failed;
    self->stats->syncs += stats.syncs;
    self->stats->segments_retired += stats.segments_retired;
    self->stats->full_disks += stats.full_disks;
    sim_log_destroy (&self->log);
    executor_destroy (&self->executor);
    self->reply_first = self->reply_count = 0;
}

/* ---- answering --------------------------------------------------------------------------------------- */

static void s_acknowledge (run_t *self, const reply_t_ *reply)
{
    self->stats->acknowledged++;
    sim_journal_acknowledged (self->journal, reply->from, reply->to, self->now_us);
    if (reply->depends)
        sim_journal_acknowledged (self->journal, reply->depends - 1, reply->depends, self->now_us);
}

static void s_release (run_t *self)
{
    uint64_t releasable = sim_log_releasable (self->log, self->now_us);
    while (self->reply_first < self->reply_count &&
           self->replies[self->reply_first].gate <= releasable)
        s_acknowledge (self, &self->replies[self->reply_first++]);
    if (self->reply_first == self->reply_count)
        self->reply_first = self->reply_count = 0;
}

/* ---- requests ---------------------------------------------------------------------------------------- */

typedef struct {
    writer_t out;
    int keys[4];
    int key_count;
} request_draft_t;

static void s_word (request_draft_t *draft, const char *text)
{
    writer_bin (&draft->out, kv_slice_text (text));
}

static void s_key (run_t *self, request_draft_t *draft)
{
    char text[16];
    int key = (int)s_random (self, KEYS);
    snprintf (text, sizeof text, "k%d", key);
    draft->keys[draft->key_count++] = key;
    s_word (draft, text);
}

static void s_value (run_t *self, request_draft_t *draft)
{
    uint8_t value[3000];
    size_t size = s_random (self, 12) ? s_random (self, 60) : s_random (self, sizeof value);
    memset (value, (int)(1 + s_random (self, 250)), size);
    writer_bin (&draft->out, kv_slice (value, size));
}

static void s_number (request_draft_t *draft, uint64_t number)
{
    writer_uint (&draft->out, number);
}

static void s_draw (run_t *self, request_draft_t *draft)
{
    switch (s_random (self, 11)) {
    case 0: writer_array (&draft->out, 2), s_word (draft, "GET"), s_key (self, draft); return;
    case 1: writer_array (&draft->out, 2), s_word (draft, "DEL"), s_key (self, draft); return;
    case 2:
        writer_array (&draft->out, 3), s_word (draft, "APPEND"), s_key (self, draft);
        s_value (self, draft);
        return;
    case 3:
        writer_array (&draft->out, 4), s_word (draft, "SETRANGE"), s_key (self, draft);
        s_number (draft, s_random (self, 200)), s_value (self, draft);
        return;
    case 4:
        writer_array (&draft->out, 5), s_word (draft, "SET"), s_key (self, draft);
        s_value (self, draft), s_word (draft, "PX"), s_number (draft, 1 + s_random (self, 400));
        return;
    case 5:
        writer_array (&draft->out, 3), s_word (draft, "PEXPIRE"), s_key (self, draft);
        s_number (draft, 1 + s_random (self, 400));
        return;
    case 6: writer_array (&draft->out, 2), s_word (draft, "INCR"), s_key (self, draft); return;
    case 7:
        writer_array (&draft->out, 5), s_word (draft, "MSET"), s_key (self, draft);
        s_value (self, draft), s_key (self, draft), s_value (self, draft);
        return;
    case 8:
        if (s_random (self, 12) == 0) {
            writer_array (&draft->out, 1), s_word (draft, "FLUSHALL");
            return;
        }
        writer_array (&draft->out, 2), s_word (draft, "EXISTS"), s_key (self, draft);
        return;
    default:
        writer_array (&draft->out, 3), s_word (draft, "SET"), s_key (self, draft);
        s_value (self, draft);
        return;
    }
}

/* The lsn that a reply about these keys tells of, whatever the executor says. */
static uint64_t s_depends (const run_t *self, const request_draft_t *draft)
{
    uint64_t depends = 0;
    for (int i = 0; i < draft->key_count; i++) {
        char text[16];
        snprintf (text, sizeof text, "k%d", draft->keys[i]);
        uint64_t lsn = self->key_lsn[kv_shard_of (kv_slice_text (text), SHARDS)][draft->keys[i]];
        depends = lsn > depends ? lsn : depends;
    }
    return depends;
}

static void s_request (run_t *self)
{
    request_draft_t draft = {.out = writer_make (SIZE_MAX)};
    writer_t reply = writer_make (1 << 20);
    request_begin (&draft.out, 1, 1, false);
    s_draw (self, &draft);
    kv_slice_t body = kv_slice (draft.out.data, draft.out.size);
    s_make_room (self, executor_bound (self->executor, body));
    uint64_t from = sim_log_appended (self->log);
    kv_status_t status = executor_run (self->executor, body, self->wall_ms, &reply);
    KV_ASSERT (status == KV_OK);
    self->stats->requests++;
    reply_t decoded;
    result_t result;
    bool refused = false;
    if (reply_decode (kv_slice (reply.data, reply.size), &decoded) == KV_OK &&
        result_next (&decoded, &result) == KV_OK && result.status != KV_OK)
        refused =
            result.status == KV_DISK_FULL || result.status == KV_BUSY || result.status == KV_MOVED;
    /* A shard whose epoch found no space when the process began is MOVED ever since. */
    if (refused && result.status != KV_MOVED && !sim_log_is_full (self->log))
        s_fail (self, "R20", "a request was refused though its space had been made");
    self->stats->refused += refused;
    s_note_records (self);
    uint64_t to = sim_log_appended (self->log);
    uint64_t depends = refused ? 0 : s_depends (self, &draft);
    if (!refused && to > from && to > depends)
        depends = to;
    uint64_t gate = executor_gate (self->executor);
    if (self->policy == FLUSH_ALWAYS && depends > sim_log_durable (self->log) && gate < depends)
        s_fail (self, "R3", "a reply would leave before what it tells of is durable");
    KV_ASSERT (self->reply_count < REPLIES_MOST);
    self->replies[self->reply_count++] = (reply_t_){gate, depends, from, to};
    if (gate) {
        sim_log_on_held (self->log);
        self->stats->held++;
    }
    writer_free (&draft.out);
    writer_free (&reply);
}

/* ---- the run ----------------------------------------------------------------------------------------- */

/* One drain of the node: some requests, one write, then replies. */
static void s_step (run_t *self)
{
    self->now_us += (int64_t)s_random (self, s_random (self, 8) ? 2000 : 40000);
    self->wall_ms = 1700000000000 + self->now_us / 1000;
    self->pace.sync_most_us = s_random (self, 10) ? 3000 : 300000;
    sim_log_tend (self->log, self->now_us, self->wall_ms);
    s_check_log (self);
    if (!executor_owns (self->executor, 0)) /* the disk was full */
        s_own_all (self);
    for (uint64_t i = s_random (self, 5); i > 0; i--)
        s_request (self);
    if (s_random (self, 3) == 0)
        (void)executor_tick (self->executor, self->wall_ms, 20);
    s_note_records (self);
    if (s_random (self, 40) == 0) { /* it dies in the middle of a drain */
        self->reply_first = self->reply_count = 0;
        return;
    }
    if (!sim_log_write (self->log, self->now_us))
        s_check_log (self);
    s_release (self);
}

static void s_die (run_t *self)
{
    bool power = s_random (self, 3) != 0;
    if (power) {
        fault_files_power_loss (self->files, s_random (self, 4) ? POWER_TEAR : POWER_LOSE);
        sim_journal_power_loss (self->journal);
    }
    self->stats->power_losses += power;
    self->stats->process_deaths += !power;
    TRACE (self, "%s\n", power ? "power is lost" : "the process dies");
}

void power_run (uint64_t seed, bool trace, power_stats_t *stats)
{
    static const flush_policy_t policies[] = {FLUSH_ALWAYS, FLUSH_INTERVAL, FLUSH_NEVER};
    run_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    *self = (run_t){.seed = seed,
                    .random = sim_random_make (seed),
                    .trace = trace,
                    .stats = stats,
                    .pace = {100, 3000},
                    .now_us = 1};
    memcpy (self->uuid, "one data director", sizeof self->uuid);
    self->policy = policies[s_random (self, 3)];
    self->segment_bytes = s_random (self, 2) ? 4096 : 32768;
    uint64_t few = 3 * self->segment_bytes + s_random (self, 8 * self->segment_bytes);
    uint64_t capacity = s_random (self, 3) ? 0 : few;
    self->files = fault_files_new (seed, capacity);
    self->journal = sim_journal_new (SHARDS);
    for (uint64_t life = 1 + s_random (self, LIVES_MOST); life > 0; life--) {
        s_begin_life (self);
        for (uint64_t i = s_random (self, STEPS_MOST); i > 0 && !(i == 1 && s_random (self, 2));
             i--)
            s_step (self);
        s_end_life (self);
        s_die (self);
    }
    s_begin_life (self);
    s_end_life (self);
    files_destroy (&self->files);
    sim_journal_destroy (&self->journal);
    free (self);
}
