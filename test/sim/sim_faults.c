#include "sim_faults.h"

#include "sim_trace.h"

#include <stdlib.h>

enum {
    SHORT_US = 5 * 1000,
    LONG_US = 1200 * 1000, /* beyond any grace and heartbeat */
    BROKER_PAUSE_US = 500 * 1000,
    FLAPS_MOST = 8
};

typedef struct {
    sim_faults_t *faults;
    uint32_t machine;
    uint32_t flaps; /* left */
    sim_flow_t flow;
    bool both;
} partition_t;

struct sim_faults {
    sim_t *sim;
    sim_cluster_t *cluster;
    sim_random_t random;
    partition_t partitions[SIM_NODES_MAX];
    bool over;
};

static void s_after (sim_faults_t *self, int64_t after_us, sim_event_fn *happens, void *context,
                     uint64_t number)
{
    sim_events_add (&self->sim->events, sim_now (self->sim) + after_us, happens, context, number);
}

static int64_t s_a_while (sim_faults_t *self)
{
    return sim_random_scale (&self->random, SHORT_US, LONG_US);
}

static uint32_t s_machine (sim_faults_t *self)
{
    return (uint32_t)sim_random_below (&self->random, sim_cluster_config (self->cluster)->nodes);
}

static sim_wire_t *s_lane (sim_faults_t *self)
{
    sim_node_t *node = sim_cluster_process (self->cluster, s_machine (self));
    return node ? sim_node_lane (node, sim_random_percent (&self->random, 60)) : NULL;
}

/* ---- the network ---------------------------------------------------------------------------------- */

static void s_drop (sim_faults_t *self)
{
    sim_wire_t *lane = s_lane (self);
    bool tell_wire = sim_random_percent (&self->random, 60);
    bool tell_door = sim_random_percent (&self->random, 60);
    if (!lane || !sim_wire_drop (lane, tell_wire, tell_door))
        return;
    sim_trace (self->sim, "fault", "", "a lane drops");
    sim_count (self->sim, tell_wire && tell_door   ? COUNT_DROP_TOLD
                          : tell_wire || tell_door ? COUNT_DROP_HALF_TOLD
                                                   : COUNT_DROP_UNTOLD);
}

static void s_drop_client (sim_faults_t *self)
{
    uint64_t index = sim_random_below (&self->random, sim_cluster_config (self->cluster)->clients);
    sim_wire_t *wire = sim_client_wire (sim_cluster_client (self->cluster, (uint32_t)index));
    bool tell_wire = sim_random_percent (&self->random, 70);
    bool tell_door = sim_random_percent (&self->random, 50);
    if (sim_wire_drop (wire, tell_wire, tell_door))
        sim_count (self->sim, COUNT_DROP_CLIENT);
}

static void s_slow (sim_faults_t *self)
{
    sim_wire_t *lane = s_lane (self);
    if (!lane)
        return;
    sim_count (self->sim, COUNT_SLOW_LINK);
    sim_trace (self->sim, "fault", "", "a lane is slow");
    sim_wire_slow (lane, sim_random_scale (&self->random, 1000, 400 * 1000),
                   sim_now (self->sim) + s_a_while (self));
}

static void s_partition_turns (void *context, uint64_t block)
{
    partition_t *partition = context;
    sim_faults_t *self = partition->faults;
    if (self->over)
        return;
    for (int flow = SIM_UP; flow <= SIM_DOWN; flow++) {
        if (partition->both || partition->flow == (sim_flow_t)flow)
            sim_cluster_block (self->cluster, partition->machine, (sim_flow_t)flow, block);
    }
    if (block || partition->flaps-- > 0)
        s_after (self, partition->flaps ? s_a_while (self) / 4 : s_a_while (self),
                 s_partition_turns, partition, !block);
}

static void s_partition (sim_faults_t *self, bool flaps)
{
    uint32_t machine = s_machine (self);
    partition_t *partition = &self->partitions[machine];
    sim_cluster_block (self->cluster, machine, SIM_UP, false);
    sim_cluster_block (self->cluster, machine, SIM_DOWN, false);
    *partition = (partition_t){
        .faults = self,
        .machine = machine,
        .flaps = flaps ? (uint32_t)sim_random_range (&self->random, 1, FLAPS_MOST) : 0,
        .flow = sim_random_percent (&self->random, 50) ? SIM_UP : SIM_DOWN,
        .both = sim_random_percent (&self->random, 40)};
    sim_count (self->sim, partition->both             ? COUNT_PARTITION_BOTH
                          : partition->flow == SIM_UP ? COUNT_PARTITION_UP
                                                      : COUNT_PARTITION_DOWN);
    if (flaps)
        sim_count (self->sim, COUNT_PARTITION_FLAP);
    s_partition_turns (partition, true);
}

/* ---- nodes ------------------------------------------------------------------------------------------ */

static void s_crash (sim_faults_t *self, bool with_machine)
{
    uint32_t machine = s_machine (self);
    if (!sim_cluster_process (self->cluster, machine))
        return;
    sim_count (self->sim, with_machine ? COUNT_NODE_POWER_LOSS : COUNT_NODE_CRASH);
    sim_cluster_kill (self->cluster, machine, with_machine);
}

static void s_go_on (void *context, uint64_t machine)
{
    sim_faults_t *self = context;
    sim_cluster_resume (self->cluster, (uint32_t)machine);
}

static void s_pause (sim_faults_t *self)
{
    uint32_t machine = s_machine (self);
    sim_node_t *node = sim_cluster_process (self->cluster, machine);
    if (!node || sim_node_is_paused (node))
        return;
    sim_count (self->sim, COUNT_NODE_PAUSE);
    sim_node_pause (node, true);
    s_after (self, s_a_while (self), s_go_on, self, machine);
}

static void s_stop (sim_faults_t *self)
{
    sim_node_t *node = sim_cluster_process (self->cluster, s_machine (self));
    if (!node)
        return;
    sim_count (self->sim, COUNT_NODE_SIGTERM);
    sim_node_terminate (node);
}

static void s_set_wall (sim_faults_t *self)
{
    bool ahead = sim_random_percent (&self->random, 50);
    int64_t by_ms = sim_random_scale (&self->random, 1, 5000);
    sim_count (self->sim, ahead ? COUNT_WALL_FORWARD : COUNT_WALL_BACK);
    sim_cluster_jump (self->cluster, s_machine (self), ahead ? by_ms : -by_ms);
}

/* ---- disks ------------------------------------------------------------------------------------------- */

static void s_disk_is_fast (void *context, uint64_t machine)
{
    sim_faults_t *self = context;
    sim_cluster_slow_disk (self->cluster, (uint32_t)machine, false);
}

static void s_slow_disk (sim_faults_t *self)
{
    uint32_t machine = s_machine (self);
    sim_count (self->sim, COUNT_DISK_SLOW);
    sim_cluster_slow_disk (self->cluster, machine, true);
    s_after (self, s_a_while (self), s_disk_is_fast, self, machine);
}

static void s_disk_has_space (void *context, uint64_t machine)
{
    sim_faults_t *self = context;
    sim_cluster_fill_disk (self->cluster, (uint32_t)machine, false);
}

static void s_fill_disk (sim_faults_t *self)
{
    uint32_t machine = s_machine (self);
    sim_count (self->sim, COUNT_DISK_FULL);
    sim_cluster_fill_disk (self->cluster, machine, true);
    s_after (self, s_a_while (self), s_disk_has_space, self, machine);
}

static void s_fail_sync (sim_faults_t *self)
{
    sim_count (self->sim, COUNT_DISK_SYNC_FAILS);
    sim_cluster_fail_sync (self->cluster, s_machine (self));
}

/* ---- the broker -------------------------------------------------------------------------------------- */

static void s_broker_starts (void *context, uint64_t number)
{
    sim_faults_t *self = context;
    if (sim_cluster_broker (self->cluster))
        s_after (self, SHORT_US, s_broker_starts, self, number); /* it is still stopping */
    else
        sim_cluster_start_broker (self->cluster);
}

static void s_end_broker (sim_faults_t *self, bool killed)
{
    sim_broker_t *broker = sim_cluster_broker (self->cluster);
    if (!broker || sim_broker_is_paused (broker))
        return;
    sim_count (self->sim, killed ? COUNT_BROKER_CRASH : COUNT_BROKER_STOP);
    if (killed)
        sim_cluster_kill_broker (self->cluster);
    else
        sim_broker_terminate (broker);
    s_after (self, s_a_while (self) / 2, s_broker_starts, self, 0);
}

static void s_broker_goes_on (void *context, uint64_t number)
{
    (void)number;
    sim_faults_t *self = context;
    sim_cluster_pause_broker (self->cluster, false);
}

static void s_pause_broker (sim_faults_t *self)
{
    if (!sim_cluster_broker (self->cluster))
        return;
    sim_count (self->sim, COUNT_BROKER_PAUSE);
    sim_cluster_pause_broker (self->cluster, true);
    s_after (self, sim_random_scale (&self->random, SHORT_US, BROKER_PAUSE_US), s_broker_goes_on,
             self, 0);
}

/* ---- the phase ---------------------------------------------------------------------------------------- */

static void s_strike (sim_faults_t *self, sim_fault_t fault)
{
    switch (fault) {
    case FAULT_DROP: s_drop (self); return;
    case FAULT_DROP_CLIENT: s_drop_client (self); return;
    case FAULT_PARTITION: s_partition (self, false); return;
    case FAULT_FLAP: s_partition (self, true); return;
    case FAULT_SLOW: s_slow (self); return;
    case FAULT_CRASH: s_crash (self, false); return;
    case FAULT_POWER: s_crash (self, true); return;
    case FAULT_PAUSE: s_pause (self); return;
    case FAULT_SECOND: sim_cluster_start (self->cluster, s_machine (self), true); return;
    case FAULT_STOP: s_stop (self); return;
    case FAULT_WALL: s_set_wall (self); return;
    case FAULT_BROKER_CRASH: s_end_broker (self, true); return;
    case FAULT_BROKER_STOP: s_end_broker (self, false); return;
    case FAULT_BROKER_PAUSE: s_pause_broker (self); return;
    case FAULT_DISK_SLOW: s_slow_disk (self); return;
    case FAULT_DISK_FULL: s_fill_disk (self); return;
    case FAULT_DISK_SYNC: s_fail_sync (self); return;
    case FAULTS: break;
    }
    KV_UNREACHABLE ("a kind of fault");
}

static void s_next (void *context, uint64_t number)
{
    (void)number;
    sim_faults_t *self = context;
    const sim_config_t *config = sim_cluster_config (self->cluster);
    if (sim_now (self->sim) >= config->faults_end_us) {
        self->over = true;
        sim_trace (self->sim, "fault", "", "no more faults");
        sim_cluster_heal (self->cluster);
        return;
    }
    sim_fault_t fault = (sim_fault_t)sim_random_below (&self->random, FAULTS);
    while (config->faults && !(config->faults >> fault & 1))
        fault = (sim_fault_t)((fault + 1) % FAULTS);
    if (config->faults)
        s_strike (self, fault);
    s_after (self, sim_random_range (&self->random, 1, 2 * config->fault_every_us), s_next, self,
             0);
}

sim_faults_t *sim_faults_new (sim_t *sim, sim_cluster_t *cluster)
{
    sim_faults_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->sim = sim;
    self->cluster = cluster;
    self->random = sim_random_fork (&sim->random, 3);
    s_after (self, sim_cluster_config (cluster)->fault_every_us, s_next, self, 0);
    return self;
}

void sim_faults_destroy (sim_faults_t **self_p)
{
    free (*self_p);
    *self_p = NULL;
}
