#include "sim_node_parts.h"

#include "sim_trace.h"

#include <stdlib.h>

/* As in node/node_actor.c. */
enum {
    TICK_MS = 10,
    STOP_MS = 2000,
    EXPIRE_BUDGET = 256,
    WAKE_US_MOST = 80, /* from the arrival of a message to the turn that takes it */
    LOAD_US_LEAST = 100,
    LOAD_US_MOST = 30000 /* for a step of loading */
};

/* ---- the end -------------------------------------------------------------------------------------- */

static void s_count_log (const sim_node_t *self)
{
    sim_t *sim = self->options.sim;
    sim_log_stats_t stats = sim_log_stats (self->log);
    sim->coverage->counts[COUNT_LOG_SYNC] += stats.syncs;
    sim->coverage->counts[COUNT_LOG_SEGMENT] += stats.segments;
    sim->coverage->counts[COUNT_LOG_RETIRED] += stats.segments_retired;
    sim->coverage->counts[COUNT_LOG_FULL] += stats.full_disks;
    sim->coverage->counts[COUNT_LOG_HAS_SPACE] += stats.space_again;
    sim->coverage->counts[COUNT_SNAPSHOT_DONE] += stats.snapshots;
    sim->coverage->counts[COUNT_SNAPSHOT_FAILED] += stats.snapshots_failed;
}

static void s_close_directory (sim_node_t *self)
{
    if (self->log && self->loading)
        sim_count (self->options.sim, COUNT_ENDED_LOADING);
    if (self->log && sim_log_is_violated (self->log))
        sim_fail (self->options.sim, "recovery", "%s: %s", self->name, sim_log_fault (self->log));
    if (self->log)
        s_count_log (self);
    sim_log_destroy (&self->log);
    if (self->locks)
        fault_files_unlock (self->options.directory.files);
    self->locks = false;
}

static void s_end (sim_node_t *self, sim_wire_end_t how, const char *reason)
{
    if (self->ended)
        return;
    self->ended = true;
    sim_trace (self->options.sim, self->name, "", "ends: %s", reason);
    sim_wire_close (&self->control, how);
    sim_wire_close (&self->data, how);
    sim_node_drop_work (self);
    if (!executor_is_valid (self->executor))
        sim_fail (self->options.sim, "store", "%s: a table or the pool is broken", self->name);
    s_close_directory (self);
    executor_destroy (&self->executor);
    writer_free (&self->replies);
    reply_gate_destroy (&self->gate);
    free (self->held.items);
}

void sim_node_end (sim_node_t *self, sim_end_t how, const char *reason)
{
    if (self->ended)
        return;
    if (self->log && how == SIM_END_STOPPED)
        sim_log_finish (self->log, self->now_us);
    s_end (self, SIM_WIRE_LINGERS, reason);
    self->options.ended (self->options.context, self, how);
}

/* ---- turns ---------------------------------------------------------------------------------------- */

static void s_turn (void *context, uint64_t number);

static void s_turn_at (sim_node_t *self, int64_t at_us)
{
    if (self->ended || at_us >= self->turn_us)
        return;
    self->turn_us = at_us;
    sim_events_add (&self->options.sim->events, at_us, s_turn, self, ++self->turn_number);
}

static void s_wake (void *context)
{
    sim_node_t *self = context;
    int64_t after_us = sim_random_range (&self->random, 1, WAKE_US_MOST);
    s_turn_at (self, sim_now (self->options.sim) + after_us);
}

static void s_set_time (sim_node_t *self)
{
    self->now_us = sim_clock_local_us (self->options.clock, sim_now (self->options.sim));
    self->now_ms = self->now_us / 1000;
}

static int64_t s_wall_ms (const sim_node_t *self)
{
    return sim_clock_wall_ms (self->options.clock, sim_now (self->options.sim));
}

/* ---- the directory -------------------------------------------------------------------------------- */

static void s_open_log (sim_node_t *self)
{
    const sim_directory_t *directory = &self->options.directory;
    sim_log_options_t options = {.files = directory->files,
                                 .uuid = self->identity.uuid,
                                 .pace = directory->pace,
                                 .executor = self->executor,
                                 .journal = directory->journal,
                                 .policy = directory->policy,
                                 .interval_us = directory->interval_us,
                                 .segment_bytes = directory->segment_bytes,
                                 .snapshot_log_bytes = directory->snapshot_log_bytes,
                                 .shards = self->options.shards,
                                 .random = sim_random_fork (&self->random, 7)};
    self->log = sim_log_new (&options);
    self->loading = true;
    executor_set_loading (self->executor, true);
}

static void s_open_directory (sim_node_t *self)
{
    const sim_directory_t *directory = &self->options.directory;
    file_error_t error;
    self->opened = true;
    if (!directory->files) {
        sim_random_bytes (&self->random, self->identity.uuid, sizeof self->identity.uuid);
        return;
    }
    if (files_lock (directory->files, "lock", &error)) {
        sim_node_end (self, SIM_END_LOCKED_OUT, "another process is in its directory"); // S4
        return;
    }
    self->locks = true;
    kv_status_t status = sim_identity_load (directory->files, &self->random, &self->identity);
    if (status == KV_CORRUPT)
        sim_fail (self->options.sim, "identity", "%s finds its identity torn", self->name);
    if (status)
        sim_node_end (self, SIM_END_DISK, "its identity cannot be read or made");
    else if (directory->policy != FLUSH_OFF)
        s_open_log (self);
}

static void s_disk_failed (sim_node_t *self)
{
    sim_node_end (self, sim_log_is_violated (self->log) ? SIM_END_GAVE_UP : SIM_END_DISK,
                  sim_log_fault (self->log));
}

/* Told even if the log cannot be opened then: the next process finds the same. */
static void s_tell_recovered (sim_node_t *self)
{
    sim_t *sim = self->options.sim;
    sim_log_stats_t stats = sim_log_stats (self->log);
    if (!stats.judged)
        return;
    sim_trace (sim, self->name, "",
               "has recovered; %llu records are lost, %llu of them acknowledged",
               (unsigned long long)stats.loss.records, (unsigned long long)stats.loss.acknowledged);
    sim_count (sim, COUNT_RECOVERED);
    sim->coverage->counts[COUNT_RECOVERED_SNAPSHOT] += stats.used_snapshot;
    sim->coverage->counts[COUNT_RECOVERED_TORN] += stats.torn_tail;
    self->options.recovered (self->options.context, self->executor, &stats.loss);
}

static void s_load (sim_node_t *self)
{
    if (!self->loaded && self->now_us < self->load_us)
        return;
    kv_status_t status = self->loaded ? KV_END : sim_log_load (self->log, self->now_us);
    self->load_us = self->now_us + sim_random_scale (&self->random, LOAD_US_LEAST, LOAD_US_MOST);
    if (status == KV_OK)
        return;
    if (!self->loaded)
        s_tell_recovered (self);
    if (status != KV_END) {
        s_disk_failed (self);
        return;
    }
    self->loaded = true;
    if (!sim_node_may_open (self))
        return;
    self->loading = false;
    executor_set_loading (self->executor, false);
    self->next_call_ms = self->now_ms;
}

/* What the disk has done since, what is due to it, and what waited for it. */
static void s_tend_disk (sim_node_t *self)
{
    if (self->loading && !self->loaded)
        return;
    sim_log_tend (self->log, self->now_us, s_wall_ms (self));
    sim_node_release_replies (self);
    if (self->opening && sim_log_flush (self->log, self->now_us))
        sim_node_attach (self);
    if (*sim_log_fault (self->log))
        s_disk_failed (self); // R20
}

/* ---- life ----------------------------------------------------------------------------------------- */

static void s_timers (sim_node_t *self)
{
    if (self->now_ms >= self->next_call_ms) {
        if (self->serving)
            sim_node_beacon (self);
        else if (!self->loading)
            sim_node_call (self);
    }
    if (self->now_ms >= self->next_tick_ms) {
        executor_tick (self->executor, s_wall_ms (self), EXPIRE_BUDGET);
        self->next_tick_ms = self->now_ms + TICK_MS;
    }
    if (self->stop_ms && self->now_ms >= self->stop_ms)
        sim_node_end (self, SIM_END_STOPPED, "it was asked to, and the broker did not answer");
}

/* The actor polls every TICK_MS; here there is a turn only when there is something to do, so that
 * expired keys may wait for the next beacon. */
static void s_next_turn (sim_node_t *self)
{
    const sim_clock_t *clock = self->options.clock;
    int64_t next_us = self->loading ? self->load_us : self->next_call_ms * 1000;
    if (self->stop_ms && self->stop_ms * 1000 < next_us)
        next_us = self->stop_ms * 1000;
    if (self->log && sim_log_next_us (self->log, self->now_us) < next_us)
        next_us = sim_log_next_us (self->log, self->now_us);
    s_turn_at (self, sim_clock_when_local_us (clock, next_us));
}

static void s_turn (void *context, uint64_t number)
{
    sim_node_t *self = context;
    if (number != self->turn_number || self->ended)
        return;
    self->turn_us = SIM_NEVER_US;
    if (self->paused)
        return; // S2
    s_set_time (self);
    self->blocked = false; /* the request in hand asks again */
    if (!self->opened)
        s_open_directory (self);
    if (!self->ended)
        sim_node_drain_control (self);
    if (!self->ended && self->loading)
        s_load (self);
    bool busy = !self->ended && sim_node_drain_data (self);
    if (!self->ended)
        s_timers (self);
    if (!self->ended && self->log)
        s_tend_disk (self);
    if (!self->ended && self->opening && !self->log)
        sim_node_attach (self);
    if (!self->ended && self->leaving)
        sim_node_leave (self);
    if (self->ended)
        return;
    if (busy)
        s_wake (self);
    s_next_turn (self);
}

sim_node_t *sim_node_new (const sim_node_options_t *options)
{
    sim_node_t *self = malloc (sizeof *self);
    KV_ASSERT (self != NULL);
    memset (self, 0, offsetof (sim_node_t, parts));
    self->options = *options;
    self->random = options->random;
    snprintf (self->id, sizeof self->id, "%s", options->id);
    snprintf (self->name, sizeof self->name, "%s", options->name);
    self->turn_us = SIM_NEVER_US;
    self->host = sim_network_add_host (options->network);
    self->incarnation = sim_random_next (&self->random) >> 1;
    executor_options_t executor = {.shards = options->shards,
                                   .max_value_bytes = options->max_value_bytes,
                                   .node_id = self->id,
                                   .version = "simulated"};
    sim_random_bytes (&self->random, executor.secret, sizeof executor.secret);
    self->executor = executor_new (&executor);
    self->replies = writer_make (KV_REPLY_BYTES_MAX);
    self->gate = reply_gate_new ();
    sim_ears_t ears = {.wake = s_wake, .context = self};
    char lane[40];
    snprintf (lane, sizeof lane, "%s.control", self->name);
    self->control = sim_wire_open (options->network, self->host, SIM_NODES_DOOR, lane, ears);
    snprintf (lane, sizeof lane, "%s.data", self->name);
    self->data = sim_wire_open (options->network, self->host, SIM_NODES_DOOR, lane, ears);
    sim_wire_set_keeps (self->control, options->lanes_keep);
    sim_wire_set_keeps (self->data, options->lanes_keep);
    sim_trace (options->sim, self->name, "", "starts");
    s_wake (self);
    return self;
}

void sim_node_destroy (sim_node_t **self_p)
{
    sim_node_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    s_end (self, SIM_WIRE_DIES, "the run is over");
    free (self);
}

void sim_node_kill (sim_node_t *self, bool with_machine)
{
    s_end (self, with_machine ? SIM_WIRE_VANISHES : SIM_WIRE_DIES,
           with_machine ? "its machine lost power" : "it was killed");
}

void sim_node_terminate (sim_node_t *self)
{
    if (self->ended || self->paused || self->stop_ms)
        return;
    s_set_time (self);
    self->stop_ms = self->now_ms + STOP_MS;
    sim_trace (self->options.sim, self->name, "", "is asked to stop");
    if (!self->serving) {
        sim_node_end (self, SIM_END_STOPPED, "it was asked to");
        return;
    }
    message_t ask = {.type = MESSAGE_DISCONNECT, .reason = {KV_OK, kv_slice_text ("stopping")}};
    sim_node_send (self->control, &ask);
    s_turn_at (self, sim_clock_when_us (self->options.clock, self->stop_ms));
}

void sim_node_pause (sim_node_t *self, bool pause)
{
    if (self->ended || self->paused == pause)
        return;
    self->paused = pause;
    sim_trace (self->options.sim, self->name, "", pause ? "is paused" : "goes on");
    sim_network_freeze (self->options.network, self->host, pause);
    if (!pause)
        s_wake (self);
}

bool sim_node_is_alive (const sim_node_t *self)
{
    return !self->ended;
}

bool sim_node_is_paused (const sim_node_t *self)
{
    return self->paused && !self->ended;
}

bool sim_node_is_serving (const sim_node_t *self)
{
    return self->serving && !self->ended;
}

uint64_t sim_node_incarnation (const sim_node_t *self)
{
    return self->incarnation;
}

uint32_t sim_node_host (const sim_node_t *self)
{
    return self->host;
}

const char *sim_node_name (const sim_node_t *self)
{
    return self->name;
}

bool sim_node_has_log (const sim_node_t *self)
{
    const sim_directory_t *directory = &self->options.directory;
    return directory->files && directory->policy != FLUSH_OFF;
}

sim_wire_t *sim_node_lane (sim_node_t *self, bool data)
{
    return data ? self->data : self->control;
}

bool sim_node_is_valid (const sim_node_t *self)
{
    return self->ended || executor_is_valid (self->executor);
}
