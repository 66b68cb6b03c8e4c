#include "node/node_parts.h"

#include "actors/clock.h"
#include "actors/data_directory.h"
#include "actors/process.h"
#include "actors/wait.h"
#include "actors/wire.h"

#include <inttypes.h>

enum {
    TICK_MS = 10,   /* how often expired keys are looked for */
    STOP_MS = 2000, /* what a stopping node gives the broker */
    TEND_MS =
        100, /* how often the direct door looks after its connections, and commands are counted */
    /* Beside one largest frame: empty frames cost libzmq 32 times their bytes on the wire. */
    PENDING_SLACK_BYTES = 4 * 1024 * 1024,
    INPROC_HIGH_WATER_MARK = 10000,
    EXPIRE_BUDGET = 256,
    STALL_US = 1000,        /* how long to wait for replies to be sent */
    LOAD_US = 5000,         /* how long a turn loads data */
    SPACE_MS = 1000,        /* how long a node waits for space before it tells */
    SNAPSHOT_STEP_US = 800, /* the most a turn walks the tables for a snapshot */
    SNAPSHOT_SHARE = 10,    /* ... while there are requests, one part in so many of the time */
    IDLE_US = 10000         /* ... and there are, until none has come for so long */
};

void node_end (node_t *self, bool failed, const char *reason)
{
    self->ended = true;
    self->failed = failed;
    snprintf (self->reason, sizeof self->reason, "%s", reason);
}

/* ---- the direct door ------------------------------------------------------------------------ */

/* For INFO. */
static const char *s_make_info (void *context)
{
    node_t *self = context;
    node_info_t *info = &self->info;
    if (self->door) {
        door_stats_t stats = door_stats (self->door);
        info->connections = stats.connections;
        info->accepted = stats.accepted;
        info->refused = stats.refused;
        info->shut_down = stats.shut_down;
        info->dropped_in = stats.dropped_in;
        info->dropped_out = stats.dropped_out;
        info->output_bytes = stats.output_bytes;
    }
    info->now_ms = self->now_ms;
    node_info_write (info, self->info_text);
    if (self->persistence)
        persistence_info (self->persistence, self->info_text + strlen (self->info_text));
    return self->info_text;
}

static void s_tend (node_t *self)
{
    uint8_t identity[255];
    size_t bytes;
    if (self->door)
        door_tend (self->door);
    while (self->door && door_next_gone (self->door, identity, &bytes) == KV_OK)
        continue;
    self->info.now_ms = self->now_ms;
    node_info_rate (&self->info, executor_stats (self->executor).commands);
    self->next_tend_ms = self->now_ms + TEND_MS;
}

static kv_status_t s_open_door (node_t *self, char *why, size_t why_bytes)
{
    const kv_node_options_t *options = self->options;
    int64_t frame_bytes = options->max_value_bytes + KV_MESSAGE_SLACK_BYTES;
    int64_t slack_bytes = frame_bytes < PENDING_SLACK_BYTES ? frame_bytes : PENDING_SLACK_BYTES;
    door_options_t door = {.context = zsys_init (),
                           .name = "direct",
                           .endpoint = options->direct_endpoint,
                           .max_frame_bytes = frame_bytes,
                           .max_pending_bytes = frame_bytes + slack_bytes,
                           .max_output_bytes = options->client_output_bytes,
                           .max_total_output_bytes = options->output_bytes,
                           .max_connections = options->connections,
                           .inproc_high_water_mark = INPROC_HIGH_WATER_MARK,
                           .log = self->log};
    return options->direct_endpoint ? door_open (&door, &self->door, why, why_bytes) : KV_OK;
}

/* ---- life ---------------------------------------------------------------------------------- */

static void s_handle_pipe (node_t *self)
{
    char *command = zstr_recv_nowait (self->pipe);
    bool term = command && streq (command, "$TERM");
    zstr_free (&command);
    if (!term || self->stop_ms)
        return;
    log_event (self->log, KV_LOG_INFO, "event=node_stopping node=%s", self->options->id);
    self->stop_ms = self->now_ms + STOP_MS;
    if (!self->serving) {
        node_end (self, false, "it was asked to");
        return;
    }
    message_t ask = {.type = MESSAGE_DISCONNECT, .reason = {KV_OK, kv_slice_text ("stopping")}};
    if (node_send (self->control, &ask))
        node_end (self, false, "it was asked to, and there is no broker");
}

static void s_timers (node_t *self, bool *busy)
{
    if (self->now_ms >= self->next_call_ms) {
        if (self->serving)
            node_beacon (self);
        else if (!self->loading)
            node_call (self);
    }
    if (self->now_ms >= self->next_tick_ms || *busy) {
        size_t expired = executor_tick (self->executor, clock_wall_ms (), EXPIRE_BUDGET);
        self->next_tick_ms = self->now_ms + TICK_MS;
        *busy = *busy || expired == EXPIRE_BUDGET;
    }
    if (self->stop_ms && self->now_ms >= self->stop_ms)
        node_end (self, false, "it was asked to, and the broker did not answer");
}

/* ---- the disk ------------------------------------------------------------------------------- */

/* There is space for the records that its shards begin with, or will be in a moment; else it is told. */
static bool s_awaits_space (node_t *self)
{
    if (node_may_open (self))
        return false;
    if (self->tell_space_ms == 0)
        self->tell_space_ms = self->now_ms + SPACE_MS;
    if (self->now_ms < self->tell_space_ms)
        return true;
    self->tell_space_ms = INT64_MAX;
    log_event (
        self->log, KV_LOG_ERROR,
        "event=node_waits node=%s reason=\"the log has no space for the records that its shards "
        "begin with; free some on the disk\"",
        self->options->id);
    return true;
}

static void s_load (node_t *self)
{
    kv_status_t status = persistence_load (self->persistence, clock_us () + LOAD_US);
    if (status != KV_END || s_awaits_space (self))
        return;
    self->loading = false;
    executor_set_loading (self->executor, false);
    self->next_call_ms = self->now_ms;
}

static bool s_is_idle (const node_t *self, int64_t now_us)
{
    return now_us - self->asked_us >= IDLE_US;
}

/* Until when this turn may walk the tables for a snapshot. */
static int64_t s_snapshot_until_us (node_t *self, int64_t now_us)
{
    bool idle = s_is_idle (self, now_us);
    int64_t passed_us = now_us - self->tended_us;
    self->tended_us = now_us;
    self->spare_us += idle ? passed_us : passed_us / SNAPSHOT_SHARE;
    if (idle || self->spare_us > SNAPSHOT_STEP_US)
        self->spare_us = SNAPSHOT_STEP_US;
    return now_us + self->spare_us;
}

/* What the disk has done since, what is due to it, and what waited for it. */
static bool s_tend_disk (node_t *self)
{
    if (!self->persistence)
        return false;
    int64_t now_us = clock_us ();
    bool more =
        persistence_tend (self->persistence, self->now_ms, s_snapshot_until_us (self, now_us));
    self->spare_us -= clock_us () - now_us;
    node_release_replies (self);
    if (self->opening && persistence_flush (self->persistence))
        node_attach (self);
    const char *fault = persistence_fault (self->persistence);
    if (*fault && !self->ended)
        node_end (self, true, fault); // R20
    return more && s_is_idle (self, now_us);
}

/* How long to wait for something to happen. */
static int64_t s_patience_us (const node_t *self, bool busy)
{
    if (outbox_is_full (self->outbox))
        return STALL_US;
    if (busy)
        return 0;
    int64_t now_us = clock_us ();
    int64_t due_us = self->persistence ? persistence_due_us (self->persistence) : INT64_MAX;
    return due_us - now_us < TICK_MS * 1000 ? due_us - now_us : TICK_MS * 1000;
}

static void s_wait (node_t *self, bool busy)
{
    bool takes = !node_is_stalled (self);
    wait_item_t items[5 + PERSISTENCE_SOCKETS] = {
        {.socket = zsock_resolve (self->pipe), .wanted = true},
        {.socket = self->control, .wanted = true},
        {.socket = self->data, .wanted = takes}};
    size_t count = 3;
    void *disk[PERSISTENCE_SOCKETS];
    size_t disks = self->persistence ? persistence_sockets (self->persistence, disk) : 0;
    for (size_t i = 0; i < disks; i++)
        items[count++] = (wait_item_t){.socket = disk[i], .wanted = true};
    if (self->door) {
        items[count++] = (wait_item_t){.socket = door_socket (self->door), .wanted = takes};
        items[count++] = (wait_item_t){.socket = door_monitor (self->door), .wanted = true};
    }
    wait_for (items, count, s_patience_us (self, busy));
    if (self->door && items[count - 1].ready)
        self->next_tend_ms = 0;
}

static void s_turn (node_t *self, bool *busy)
{
    s_wait (self, *busy);
    self->now_ms = clock_ms ();
    self->blocked = false; /* the request in hand asks again */
    s_handle_pipe (self);
    node_drain_control (self);
    if (self->loading)
        s_load (self);
    *busy = node_drain_data (self);
    if (!self->opening)
        *busy = node_drain_door (self) || *busy;
    if (self->now_ms >= self->next_tend_ms)
        s_tend (self);
    if (!self->ended)
        s_timers (self, busy);
    *busy = s_tend_disk (self) || *busy || self->loading;
    if (self->opening && !self->persistence)
        node_attach (self);
    if (self->leaving && !self->ended)
        node_leave (self);
}

static kv_status_t s_open_persistence (node_t *self, char *why, size_t why_bytes)
{
    const kv_node_options_t *options = self->options;
    persistence_options_t persistence = {
        .files = self->files,
        .snapshot_path = options->snapshot_path,
        .uuid = self->identity.uuid,
        .interval_ms = options->fsync_interval_ms,
        .segment_bytes = (uint64_t)options->segment_bytes,
        .snapshot_log_bytes = (uint64_t)options->snapshot_log_bytes,
        .snapshot_interval_ms = options->snapshot_interval_s * 1000,
        .shards = options->shards,
        .executor = self->executor,
        .log = self->log};
    bool known = flush_policy_read (options->fsync, &persistence.policy);
    KV_ASSERT (known); /* node_options_new has checked it */
    if (persistence.policy == FLUSH_OFF)
        return KV_OK;
    self->loading = true;
    executor_set_loading (self->executor, true);
    return persistence_open (&persistence, &self->persistence, why, why_bytes);
}

static kv_status_t s_prepare (node_t *self, const void *given, char *why, size_t why_bytes)
{
    kv_status_t status = node_options_new (given, &self->given, why, why_bytes);
    zsock_signal (self->pipe, 0); // E2
    if (status)
        return status;
    const kv_node_options_t *options = self->options = &self->given->set;
    self->log = &self->given->log;
    self->is_inproc = strncmp (options->broker_endpoint, "inproc:", strlen ("inproc:")) == 0;
    if (options->data_dir)
        status = data_directory_open (options->data_dir, "identity", &self->files, &self->identity,
                                      why, why_bytes);
    else
        identity_make (&self->identity);
    if (status == KV_OK)
        status = node_connect (options, &self->control, &self->data, why, why_bytes);
    return status ? status : s_open_door (self, why, why_bytes);
}

static kv_status_t s_start (node_t *self, const void *given)
{
    char why[sizeof self->reason] = "";
    kv_status_t status = s_prepare (self, given, why, sizeof why);
    if (status) {
        node_end (self, true, why);
        return status;
    }
    const kv_node_options_t *options = self->options;
    executor_options_t executor = {.shards = options->shards,
                                   .max_value_bytes = options->max_value_bytes,
                                   .max_memory = (uint64_t)options->max_memory,
                                   .node_id = options->id,
                                   .version = KVDB_VERSION};
    bool known = eviction_policy_read (options->max_memory_policy, &executor.max_memory_policy);
    KV_ASSERT (known); /* node_options_new has checked it */
    random_bytes (executor.secret, sizeof executor.secret);
    random_bytes (&self->incarnation, sizeof self->incarnation);
    self->incarnation >>= 1; /* fits the signed integers of every language */
    self->executor = executor_new (&executor);
    self->outbox = outbox_new ();
    self->now_ms = clock_ms ();
    self->info = (node_info_t){.process_id = getpid (),
                               .port = options->port,
                               .started_ms = self->now_ms,
                               .rated_ms = self->now_ms};
    executor_set_info (self->executor, s_make_info, self);
    status = s_open_persistence (self, why, sizeof why);
    if (status)
        node_end (self, true, why);
    return status;
}

/* What was acknowledged goes to the disk, however long that takes. */
static void s_close_persistence (node_t *self)
{
    if (self->persistence && !self->failed)
        persistence_finish (self->persistence);
    persistence_close (&self->persistence);
    files_destroy (&self->files);
}

void kv_node_actor (zsock_t *pipe, void *options)
{
    node_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    process_block_signals (); // E3
    self->pipe = pipe;
    bool busy = false;
    kv_status_t status = s_start (self, options);
    while (status == KV_OK && !self->ended)
        s_turn (self, &busy);
    wire_close (&self->control, STOP_MS);
    wire_close (&self->data, STOP_MS);
    door_close (&self->door, STOP_MS);
    s_close_persistence (self);
    executor_destroy (&self->executor);
    node_drop_work (self);
    if (self->has_direct)
        blob_unref (&self->direct.body);
    outbox_destroy (&self->outbox);
    log_event (self->log, self->failed ? KV_LOG_ERROR : KV_LOG_INFO,
               "event=node_ended node=%s reason=\"%s\"", self->options ? self->options->id : "",
               self->reason);
    node_options_destroy (&self->given);
    zstr_sendx (pipe, self->failed ? "FAILED" : "STOPPED", self->reason, NULL);
    free (self);
}
