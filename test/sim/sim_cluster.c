#include "sim_cluster.h"

#include "sim_trace.h"

#include "test/fault/fault_files.h"

#include <errno.h>
#include <stdlib.h>

enum {
    BROKERS_MAX = 64,
    RESTART_US_MOST = 600 * 1000,
    SYNC_US_LEAST = 60,
    SLOW_SYNC_US_LEAST = 10 * 1000,
    SLOW_SYNC_US_MOST = 500 * 1000
};

typedef struct {
    sim_node_t *node; /* owned */
    bool stale;       /* M2: was admitted, then replaced */
} process_t;

typedef struct {
    char id[24];
    files_t *disk;          /* owned */
    sim_journal_t *journal; /* owned: of what is in the directory on it */
    sim_pace_t pace;
    bool disk_failing;         /* full, or a sync is to fail: a process may end of it */
    bool stale_directory;      /* M2 */
    bool is_in_directory;      /* M1: the node's data */
    const sim_node_t *is_with; /* M1: whose memory has them; both not: they are lost */
    process_t processes[SIM_PROCESSES_MAX];
    uint32_t process_count;
    process_t *current; /* M1 */
    bool blocked[2];
} machine_t;

/* What callbacks that concern one machine need. */
typedef struct {
    sim_cluster_t *cluster;
    uint32_t machine;
} place_t;

struct sim_cluster {
    sim_t *sim;
    sim_config_t config;
    sim_random_t random;
    sim_network_t *network;
    sim_keys_t keys;
    sim_oracle_t *oracle;
    sim_clock_t clocks[SIM_NODES_MAX];
    sim_clock_t broker_clock;
    machine_t machines[SIM_NODES_MAX];
    place_t places[SIM_NODES_MAX];
    sim_broker_t *brokers[BROKERS_MAX]; /* owned: all there were */
    uint32_t broker_count;
    int64_t broker_disturbed_us;
    uint64_t losses[SIM_NODES_MAX];
    sim_client_t *clients[SIM_CLIENTS_MAX]; /* owned */
    uint32_t connections;
};

/* ---- machines ---------------------------------------------------------------------------------- */

/* M1 */
static void s_lose (sim_cluster_t *self, uint32_t index)
{
    machine_t *machine = &self->machines[index];
    if (!machine->is_in_directory && !machine->is_with)
        return;
    machine->stale_directory = machine->stale_directory || machine->is_in_directory; // M2
    machine->is_in_directory = false;
    machine->is_with = NULL;
    sim_trace (self->sim, machine->id, "", "its data are lost");
    sim_oracle_loss (self->oracle, index);
}

static void s_restart (void *context, uint64_t number)
{
    (void)number;
    place_t *place = context;
    sim_cluster_start (place->cluster, place->machine, false);
}

static void s_restart_later (sim_cluster_t *self, uint32_t index)
{
    int64_t after_us = sim_random_scale (&self->random, 1000, RESTART_US_MOST);
    sim_events_add (&self->sim->events, sim_now (self->sim) + after_us, s_restart,
                    &self->places[index], 0);
}

static void s_process_ended (sim_cluster_t *self, uint32_t index, const sim_node_t *node)
{
    machine_t *machine = &self->machines[index];
    if (machine->current && machine->current->node == node)
        machine->current = NULL;
    if (machine->is_with == node)
        s_lose (self, index);
    s_restart_later (self, index);
}

static void s_ended (void *context, sim_node_t *node, sim_end_t how)
{
    place_t *place = context;
    sim_cluster_t *self = place->cluster;
    bool may_fail = self->machines[place->machine].disk_failing;
    if (how == SIM_END_LOCKED_OUT)
        sim_count (self->sim, COUNT_NODE_LOCKED_OUT);
    if (how == SIM_END_DISK)
        sim_count (self->sim, COUNT_NODE_DISK_FAILED);
    if (how == SIM_END_GAVE_UP || (how == SIM_END_DISK && !may_fail))
        sim_fail (self->sim, "node", "%s gave up", sim_node_name (node));
    s_process_ended (self, place->machine, node);
}

static void s_ran (void *context, uint64_t incarnation, kv_slice_t body, kv_slice_t reply)
{
    place_t *place = context;
    sim_oracle_ran (place->cluster->oracle, incarnation, body, reply);
}

/* The value of one of a key's names in what was recovered, or NULL. */
static const entry_t *s_recovered_entry (const executor_t *executor, const sim_key_t *key,
                                         uint32_t member)
{
    const shard_t *shard = executor_shard (executor, key->shard);
    if (!shard)
        return NULL;
    kv_slice_t name = kv_slice_text (key->names[member]);
    const store_t *store = shard_store (shard);
    return store_find (store, name, store_hash (store, name));
}

static void s_set_back (sim_cluster_t *self, const executor_t *executor, uint32_t index)
{
    const sim_key_t *key = &self->keys.keys[index];
    const entry_t *entry = s_recovered_entry (executor, key, 0);
    kv_slice_t value = entry ? entry_value (entry) : kv_slice (NULL, 0);
    for (uint32_t i = 1; i < key->name_count; i++) {
        const entry_t *other = s_recovered_entry (executor, key, i);
        if (!other != !entry || (entry && !kv_slice_equal (entry_value (other), value)))
            sim_fail (self->sim, "recovery", "what MSET wrote to %s was recovered in part",
                      key->names[0]);
    }
    int64_t expires_ms =
        entry ? store_expires_ms (shard_store (executor_shard (executor, key->shard)), entry) : 0;
    sim_count (self->sim, COUNT_KEY_SET_BACK);
    sim_oracle_set_back (self->oracle, index, entry ? &value : NULL, expires_ms);
}

/* M1: under always nothing that anybody could know of may be lost. */
static void s_recovered (void *context, const executor_t *executor, const sim_journal_loss_t *loss)
{
    place_t *place = context;
    sim_cluster_t *self = place->cluster;
    sim_oracle_restarted (self->oracle, place->machine);
    if (!loss->power || loss->records == 0)
        return;
    sim_count (self->sim, COUNT_RECOVERED_LESS);
    if (loss->acknowledged)
        sim_count (self->sim, COUNT_ACKNOWLEDGED_LOST);
    if (self->config.policy == FLUSH_ALWAYS || !self->machines[place->machine].is_in_directory)
        return;
    for (uint32_t key = 0; key < self->keys.count; key++) {
        if (self->keys.keys[key].node == place->machine)
            s_set_back (self, executor, key);
    }
}

static void s_kill_process (sim_cluster_t *self, uint32_t index, process_t *process,
                            bool with_machine)
{
    if (!sim_node_is_alive (process->node))
        return;
    sim_node_kill (process->node, with_machine);
    s_process_ended (self, index, process->node);
}

sim_node_t *sim_cluster_process (sim_cluster_t *self, uint32_t index)
{
    machine_t *machine = &self->machines[index];
    for (uint32_t i = machine->process_count; i-- > 0;) {
        if (sim_node_is_alive (machine->processes[i].node))
            return machine->processes[i].node;
    }
    return NULL;
}

static void s_make_directory (sim_cluster_t *self, machine_t *machine)
{
    files_destroy (&machine->disk);
    sim_journal_destroy (&machine->journal);
    machine->disk = fault_files_new (sim_random_next (&self->random), 0);
    machine->journal = sim_journal_new (self->config.shards);
    machine->disk_failing = false;
    machine->stale_directory = false;
}

/* What a process to be started has for a directory (M3). */
static sim_directory_t s_directory (sim_cluster_t *self, machine_t *machine, bool there)
{
    const sim_config_t *config = &self->config;
    if (there && sim_random_percent (&self->random, 70))
        return (sim_directory_t){.policy = FLUSH_OFF};
    if (!there && machine->stale_directory) {
        s_make_directory (self, machine);
        sim_trace (self->sim, machine->id, "", "its directory is wiped");
        sim_count (self->sim, COUNT_DIRECTORY_WIPED);
    }
    return (sim_directory_t){.files = machine->disk,
                             .journal = machine->journal,
                             .pace = &machine->pace,
                             .policy = config->policy,
                             .interval_us = config->interval_us,
                             .segment_bytes = config->segment_bytes,
                             .snapshot_log_bytes = config->snapshot_log_bytes};
}

bool sim_cluster_start (sim_cluster_t *self, uint32_t index, bool second)
{
    machine_t *machine = &self->machines[index];
    bool there = sim_cluster_process (self, index) != NULL;
    if (machine->process_count == SIM_PROCESSES_MAX || (there && !second))
        return false;
    char name[32];
    snprintf (name, sizeof name, "%s/%u", machine->id, machine->process_count + 1);
    sim_node_options_t options = {.sim = self->sim,
                                  .network = self->network,
                                  .clock = &self->clocks[index],
                                  .directory = s_directory (self, machine, there),
                                  .id = machine->id,
                                  .name = name,
                                  .shards = self->config.shards,
                                  .max_value_bytes = 4096,
                                  .lanes_keep = self->config.lanes_keep,
                                  .random = sim_random_fork (&self->random, 100 + index),
                                  .ran = s_ran,
                                  .recovered = s_recovered,
                                  .ended = s_ended,
                                  .context = &self->places[index]};
    process_t *process = &machine->processes[machine->process_count++];
    *process = (process_t){.node = sim_node_new (&options)};
    sim_count (self->sim, COUNT_NODE_START);
    if (there)
        sim_count (self->sim, COUNT_NODE_SECOND);
    for (int flow = SIM_UP; flow <= SIM_DOWN; flow++)
        sim_network_block (self->network, sim_node_host (process->node), (sim_flow_t)flow,
                           machine->blocked[flow]);
    return true;
}

void sim_cluster_kill (sim_cluster_t *self, uint32_t index, bool with_machine)
{
    machine_t *machine = &self->machines[index];
    for (uint32_t i = 0; i < machine->process_count; i++)
        s_kill_process (self, index, &machine->processes[i], with_machine);
    if (!with_machine)
        return;
    fault_files_power_loss (machine->disk,
                            sim_random_percent (&self->random, 70) ? POWER_TEAR : POWER_LOSE);
    sim_journal_power_loss (machine->journal);
}

static void s_set_pace (const sim_cluster_t *self, machine_t *machine, bool slow)
{
    machine->pace = slow ? (sim_pace_t){SLOW_SYNC_US_LEAST, SLOW_SYNC_US_MOST}
                         : (sim_pace_t){SYNC_US_LEAST, self->config.sync_most_us};
}

void sim_cluster_slow_disk (sim_cluster_t *self, uint32_t index, bool slow)
{
    sim_trace (self->sim, self->machines[index].id, "",
               slow ? "its disk is slow" : "its disk is fast");
    s_set_pace (self, &self->machines[index], slow);
}

void sim_cluster_fill_disk (sim_cluster_t *self, uint32_t index, bool full)
{
    machine_t *machine = &self->machines[index];
    sim_trace (self->sim, machine->id, "", full ? "its disk is full" : "its disk has space");
    machine->disk_failing = machine->disk_failing || full;
    fault_files_set_capacity (machine->disk, full ? 1 : 0);
}

void sim_cluster_fail_sync (sim_cluster_t *self, uint32_t index)
{
    machine_t *machine = &self->machines[index];
    sim_trace (self->sim, machine->id, "", "a sync of its disk is to fail");
    machine->disk_failing = true;
    fault_files_fail (machine->disk, FAULT_SYNC, 1, EIO, 1);
}

void sim_cluster_block (sim_cluster_t *self, uint32_t index, sim_flow_t flow, bool block)
{
    machine_t *machine = &self->machines[index];
    if (machine->blocked[flow] != block)
        sim_trace (self->sim, machine->id, "", "%s %s",
                   flow == SIM_UP ? "to the broker is" : "from the broker is",
                   block ? "blocked" : "open again");
    machine->blocked[flow] = block;
    for (uint32_t i = 0; i < machine->process_count; i++) {
        if (sim_node_is_alive (machine->processes[i].node))
            sim_network_block (self->network, sim_node_host (machine->processes[i].node), flow,
                               block);
    }
}

void sim_cluster_jump (sim_cluster_t *self, uint32_t index, int64_t by_ms)
{
    sim_trace (self->sim, self->machines[index].id, "", "wall clock jumps by %lld ms",
               (long long)by_ms);
    sim_clock_jump (&self->clocks[index], sim_now (self->sim), by_ms);
}

void sim_cluster_resume (sim_cluster_t *self, uint32_t index)
{
    machine_t *machine = &self->machines[index];
    for (uint32_t i = 0; i < machine->process_count; i++)
        sim_node_pause (machine->processes[i].node, false);
}

/* ---- the broker --------------------------------------------------------------------------------- */

static void s_admits (void *context, uint32_t index, uint64_t incarnation)
{
    sim_cluster_t *self = context;
    machine_t *machine = &self->machines[index];
    process_t *process = NULL;
    for (uint32_t i = 0; i < machine->process_count; i++) {
        if (sim_node_incarnation (machine->processes[i].node) == incarnation)
            process = &machine->processes[i];
    }
    if (!process) {
        sim_fail (self->sim, "K2", "the broker admitted a process of %s that never was",
                  machine->id);
        return;
    }
    if (machine->current == process)
        return;
    if (machine->current) {
        machine->current->stale = true;
        sim_count (self->sim, COUNT_NODE_REPLACED);
        s_lose (self, index);
        machine->current = NULL;
    }
    if (!sim_node_is_alive (process->node))
        return; /* its READY has outlived it */
    bool logs = sim_node_has_log (process->node);
    if (process->stale || (logs && machine->stale_directory)) {
        sim_count (self->sim, COUNT_NODE_STALE_KILLED);
        s_kill_process (self, index, process, false); // M2
        return;
    }
    if (!logs || !machine->is_in_directory)
        s_lose (self, index);
    machine->current = process;
    machine->is_in_directory = logs;
    machine->is_with = logs ? NULL : process->node;
}

sim_broker_t *sim_cluster_broker (sim_cluster_t *self)
{
    sim_broker_t *last = self->broker_count ? self->brokers[self->broker_count - 1] : NULL;
    return last && sim_broker_is_alive (last) ? last : NULL;
}

static void s_broker_ended (void *context)
{
    sim_cluster_t *self = context;
    self->broker_disturbed_us = sim_now (self->sim);
}

void sim_cluster_start_broker (sim_cluster_t *self)
{
    const sim_config_t *config = &self->config;
    if (sim_cluster_broker (self) || self->broker_count == BROKERS_MAX)
        return;
    sim_broker_options_t options = {.sim = self->sim,
                                    .network = self->network,
                                    .clock = &self->broker_clock,
                                    .nodes = config->nodes,
                                    .shards = config->shards,
                                    .beacon_ms = config->beacon_ms,
                                    .grace_ms = config->grace_ms,
                                    .deadline_ms = config->deadline_default_ms,
                                    .max_value_bytes = 4096,
                                    .queue_bytes = config->queue_bytes,
                                    .shard_queue_commands = config->shard_queue_commands,
                                    .losses = self->losses,
                                    .random = sim_random_fork (&self->random, 50),
                                    .admits = s_admits,
                                    .ended = s_broker_ended,
                                    .context = self};
    self->brokers[self->broker_count++] = sim_broker_new (&options);
}

void sim_cluster_kill_broker (sim_cluster_t *self)
{
    sim_broker_t *broker = sim_cluster_broker (self);
    if (broker)
        sim_broker_kill (broker);
    self->broker_disturbed_us = sim_now (self->sim);
}

void sim_cluster_pause_broker (sim_cluster_t *self, bool pause)
{
    sim_broker_t *broker = sim_cluster_broker (self);
    if (broker)
        sim_broker_pause (broker, pause);
    self->broker_disturbed_us = sim_now (self->sim);
}

/* ---- clients ------------------------------------------------------------------------------------- */

static int64_t s_disturbed_us (void *context)
{
    sim_cluster_t *self = context;
    const sim_broker_t *broker = sim_cluster_broker (self);
    return broker && sim_broker_is_paused (broker) ? sim_now (self->sim)
                                                   : self->broker_disturbed_us;
}

sim_client_t *sim_cluster_client (sim_cluster_t *self, uint32_t index)
{
    return self->clients[index];
}

static void s_start_client (sim_cluster_t *self, uint32_t index)
{
    const sim_config_t *config = &self->config;
    char name[32];
    snprintf (name, sizeof name, "client%u", index + 1);
    sim_client_options_t options = {.sim = self->sim,
                                    .network = self->network,
                                    .keys = &self->keys,
                                    .oracle = self->oracle,
                                    .mix = &self->config.mix,
                                    .name = name,
                                    .random = sim_random_fork (&self->random, 200 + index),
                                    .connections = &self->connections,
                                    .requests = config->requests,
                                    .window = config->window,
                                    .think_us = config->think_us,
                                    .deadline_least_ms = config->deadline_least_ms,
                                    .deadline_most_ms = config->deadline_most_ms,
                                    .deadline_default_ms = config->deadline_default_ms,
                                    .look_by_one = config->queue_bytes < 1 << 20 ||
                                                   config->shard_queue_commands < 64,
                                    .delimiter = sim_random_percent (&self->random, 30),
                                    .losses = self->losses,
                                    .disturbed_us = s_disturbed_us,
                                    .context = self};
    self->clients[index] = sim_client_new (&options);
}

/* ---- the end -------------------------------------------------------------------------------------- */

void sim_cluster_heal (sim_cluster_t *self)
{
    for (uint32_t i = 0; i < self->config.nodes; i++) {
        sim_cluster_block (self, i, SIM_UP, false);
        sim_cluster_block (self, i, SIM_DOWN, false);
        sim_cluster_resume (self, i);
        sim_cluster_slow_disk (self, i, false);
        fault_files_heal (self->machines[i].disk);
        fault_files_set_capacity (self->machines[i].disk, 0);
        sim_cluster_start (self, i, false);
    }
    sim_cluster_pause_broker (self, false);
    sim_cluster_start_broker (self);
}

bool sim_cluster_is_whole (const sim_cluster_t *self)
{
    const sim_broker_t *broker = sim_cluster_broker ((sim_cluster_t *)self);
    for (uint32_t i = 0; broker && i < self->config.nodes; i++) {
        const process_t *current = self->machines[i].current;
        if (sim_broker_node_state (broker, i) != NODE_UP || !current ||
            !sim_node_is_serving (current->node))
            return false;
    }
    return broker != NULL && sim_network_is_settled (self->network);
}

bool sim_cluster_clients_are_done (const sim_cluster_t *self)
{
    const sim_broker_t *broker = sim_cluster_broker ((sim_cluster_t *)self);
    if (broker && sim_broker_waiting (broker))
        return false; /* what clients have given up runs into its deadline */
    for (uint32_t i = 0; i < self->config.clients; i++) {
        if (!sim_client_is_done (self->clients[i]))
            return false;
    }
    return true;
}

void sim_cluster_judge (sim_cluster_t *self)
{
    const sim_broker_t *broker = sim_cluster_broker (self);
    uint64_t waiting = broker ? sim_broker_waiting (broker) : 0;
    if (waiting)
        sim_fail (self->sim, "queues", "%llu requests wait though nobody waits for them",
                  (unsigned long long)waiting);
    for (uint32_t i = 0; i < self->config.nodes; i++) {
        for (uint32_t p = 0; p < self->machines[i].process_count; p++) {
            if (!sim_node_is_valid (self->machines[i].processes[p].node))
                sim_fail (self->sim, "store", "a table of %s is broken", self->machines[i].id);
        }
    }
    sim_oracle_judge (self->oracle);
}

/* ---- life ------------------------------------------------------------------------------------------ */

static sim_clock_t s_clock (sim_cluster_t *self)
{
    return (sim_clock_t){.offset_us = 1000 * sim_random_range (&self->random, 1000, 1000000),
                         .drift_ppm = sim_random_range (&self->random, -self->config.drift_ppm,
                                                        self->config.drift_ppm)};
}

static void s_make_machine (sim_cluster_t *self, uint32_t index)
{
    machine_t *machine = &self->machines[index];
    snprintf (machine->id, sizeof machine->id, "node%u", index + 1);
    s_make_directory (self, machine);
    s_set_pace (self, machine, false);
    self->clocks[index] = s_clock (self);
    self->places[index] = (place_t){self, index};
}

sim_cluster_t *sim_cluster_new (sim_t *sim, const sim_config_t *config)
{
    sim_cluster_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->sim = sim;
    self->config = *config;
    self->random = sim_random_fork (&sim->random, 2);
    self->network = sim_network_new (sim);
    sim_network_set_latency (self->network, config->latency_least_us, config->latency_most_us);
    sim_keys_make (&self->keys, &self->random, config->shards, config->nodes);
    sim_oracle_options_t oracle = {
        .sim = sim, .keys = &self->keys, .clocks = self->clocks, .shards = config->shards};
    self->oracle = sim_oracle_new (&oracle);
    self->broker_clock = s_clock (self);
    sim_cluster_start_broker (self);
    for (uint32_t i = 0; i < config->nodes; i++) {
        s_make_machine (self, i);
        sim_cluster_start (self, i, false);
    }
    for (uint32_t i = 0; i < config->clients; i++)
        s_start_client (self, i);
    return self;
}

void sim_cluster_destroy (sim_cluster_t **self_p)
{
    sim_cluster_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (uint32_t i = 0; i < self->config.clients; i++)
        sim_client_destroy (&self->clients[i]);
    for (uint32_t i = 0; i < self->config.nodes; i++) {
        for (uint32_t p = 0; p < self->machines[i].process_count; p++)
            sim_node_destroy (&self->machines[i].processes[p].node);
        files_destroy (&self->machines[i].disk);
        sim_journal_destroy (&self->machines[i].journal);
    }
    for (uint32_t i = 0; i < self->broker_count; i++)
        sim_broker_destroy (&self->brokers[i]);
    sim_network_destroy (&self->network);
    sim_oracle_destroy (&self->oracle);
    free (self);
}

const sim_config_t *sim_cluster_config (const sim_cluster_t *self)
{
    return &self->config;
}

sim_network_t *sim_cluster_network (sim_cluster_t *self)
{
    return self->network;
}
