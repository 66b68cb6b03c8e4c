#include "sim_run.h"

#include "sim_faults.h"
#include "sim_trace.h"

#include <inttypes.h>

enum {
    STEP_US = 20 * 1000,
    LAST_REQUESTS_US = 150 * 1000, /* after the last fault, clients send for so long */
    SETTLE_US = 12 * 1000 * 1000,
    EVENTS_MOST = 4000000
};

static void s_draw_faults (sim_random_t *random, sim_config_t *config)
{
    uint64_t draw = sim_random_below (random, 20);
    uint32_t faults = 0;
    for (int i = 0; i < FAULTS; i++)
        faults |= sim_random_percent (random, 35) ? UINT32_C (1) << i : 0;
    config->faults = draw == 0 ? 0 : draw <= 2 ? SIM_FAULTS_GENTLE : faults;
    config->mix.calm = config->faults == 0;
    config->mix.gentle = (config->faults & ~(uint32_t)SIM_FAULTS_GENTLE) == 0;
    config->fault_every_us = sim_random_scale (random, 12 * 1000, 150 * 1000);
    config->faults_end_us = sim_random_scale (random, 120 * 1000, 1200 * 1000);
}

static void s_draw_mix (sim_random_t *random, sim_config_t *config)
{
    sim_mix_t *mix = &config->mix;
    for (int kind = 0; kind < KEY_KINDS; kind++)
        mix->weights[kind] = (uint32_t)sim_random_range (random, kind == KEY_REGISTER, 8);
    mix->flushes = sim_random_percent (random, 40);
    mix->shutdowns = sim_random_percent (random, 50) && !mix->calm;
    mix->nodes = config->nodes;
    mix->shards = config->shards;
}

static void s_draw_limits (sim_random_t *random, sim_config_t *config)
{
    bool small = sim_random_percent (random, 30) && !config->mix.calm;
    config->queue_bytes = small ? (uint64_t)sim_random_scale (random, 2000, 100000) : 1 << 24;
    config->shard_queue_commands = sim_random_percent (random, 30) && !config->mix.calm
                                       ? (uint32_t)sim_random_scale (random, 1, 30)
                                       : 65536;
    config->deadline_least_ms = config->mix.gentle ? 2500 : 10;
    config->deadline_most_ms = config->mix.gentle ? 3000 : 1200;
    config->deadline_default_ms =
        config->mix.gentle ? 3000 : (uint32_t)sim_random_range (random, 100, 1000);
}

static void s_draw_disks (sim_random_t *random, sim_config_t *config)
{
    config->policy = (flush_policy_t)sim_random_range (random, FLUSH_ALWAYS, FLUSH_OFF);
    config->interval_us = sim_random_scale (random, 10 * 1000, 400 * 1000);
    config->segment_bytes = UINT64_C (4096) << sim_random_below (random, 4);
    config->snapshot_log_bytes = (uint64_t)sim_random_scale (random, 500, 40000);
    config->sync_most_us = sim_random_scale (random, 100, 20 * 1000);
}

static sim_config_t s_draw_config (sim_random_t *random)
{
    static const uint32_t shards[] = {1, 1, 1, 2, 2, 3,  3,  4,  4,  4,  5,  5,
                                      6, 7, 8, 8, 8, 13, 16, 16, 32, 64, 128};
    static const uint32_t beacons[] = {20, 50, 50, 100};
    sim_config_t config = {.nodes = (uint32_t)sim_random_scale (random, 1, SIM_NODES_MAX),
                           .shards =
                               shards[sim_random_below (random, sizeof shards / sizeof shards[0])],
                           .clients = (uint32_t)sim_random_range (random, 1, SIM_CLIENTS_MAX - 1),
                           .beacon_ms = beacons[sim_random_below (random, 4)],
                           .latency_least_us = sim_random_scale (random, 20, 200)};
    s_draw_faults (random, &config);
    s_draw_mix (random, &config);
    s_draw_limits (random, &config);
    s_draw_disks (random, &config);
    config.grace_ms = config.beacon_ms * (uint32_t)sim_random_range (random, 5, 7);
    config.latency_most_us =
        config.latency_least_us + sim_random_scale (random, 50, config.mix.gentle ? 1000 : 8000);
    config.lanes_keep = sim_random_percent (random, 25);
    config.drift_ppm = sim_random_percent (random, 50) ? SIM_DRIFT_PPM_MAX : 200;
    config.window = (uint32_t)sim_random_range (random, 1, 4);
    config.requests = (uint32_t)sim_random_scale (random, 6, 40) / config.clients + 3;
    config.think_us = config.faults_end_us / config.requests;
    return config;
}

static void s_trace_config (sim_t *sim, const sim_config_t *config)
{
    sim_trace (
        sim, "run", "",
        "%u nodes, %u shards, %u clients of %u requests, %u in flight; beacon %u ms, grace "
        "%u ms; queues of %" PRIu64 " bytes, %u commands a shard; faults %x until %.3f s; policy "
        "%s, interval %.3f s, segments of %" PRIu64 " bytes",
        config->nodes, config->shards, config->clients, config->requests, config->window,
        config->beacon_ms, config->grace_ms, config->queue_bytes, config->shard_queue_commands,
        config->faults, (double)config->faults_end_us / 1e6, flush_policy_name (config->policy),
        (double)config->interval_us / 1e6, config->segment_bytes);
    sim_count (sim, (sim_count_t)(COUNT_POLICY_ALWAYS + config->policy));
}

/* Lets virtual time pass; false: the run has failed. */
static bool s_pass (sim_t *sim, int64_t until_us)
{
    while (!sim->failed && sim->events.count && sim->events.heap[0].at_us <= until_us)
        sim_events_step (&sim->events);
    if (sim->events.added > EVENTS_MOST)
        sim_fail (sim, "liveness", "no end of events");
    if (!sim->failed)
        sim->events.now_us = until_us;
    return !sim->failed;
}

static void s_settle (sim_t *sim, sim_cluster_t *cluster)
{
    int64_t most_us = sim_now (sim) + SETTLE_US;
    while (!sim_cluster_is_whole (cluster) || !sim_cluster_clients_are_done (cluster)) {
        if (sim_now (sim) >= most_us) {
            sim_fail (sim, "liveness", "%.1f s after the last fault %s", (double)SETTLE_US / 1e6,
                      sim_cluster_is_whole (cluster) ? "a client still waits"
                                                     : "not all nodes are up");
            return;
        }
        if (!s_pass (sim, sim_now (sim) + STEP_US))
            return;
    }
}

static void s_look (sim_t *sim, sim_cluster_t *cluster)
{
    int64_t most_us = sim_now (sim) + SETTLE_US;
    sim_client_t *client = sim_cluster_client (cluster, 0);
    while (!sim_client_look (client)) {
        if (sim_now (sim) >= most_us)
            sim_fail (sim, "liveness", "a client does not get a connection");
        if (!s_pass (sim, sim_now (sim) + STEP_US))
            return;
    }
    while (!sim_client_has_looked (client)) {
        if (sim_now (sim) >= most_us)
            sim_fail (sim, "liveness", "the last look does not end");
        if (!s_pass (sim, sim_now (sim) + STEP_US))
            return;
    }
}

static void s_play (sim_t *sim, sim_cluster_t *cluster)
{
    const sim_config_t *config = sim_cluster_config (cluster);
    if (!s_pass (sim, config->faults_end_us + 2 * config->fault_every_us + LAST_REQUESTS_US))
        return;
    for (uint32_t i = 0; i < config->clients; i++)
        sim_client_stop (sim_cluster_client (cluster, i));
    s_settle (sim, cluster);
    if (!sim->failed)
        s_look (sim, cluster);
    if (!sim->failed)
        s_pass (sim, sim_now (sim) + STEP_US);
    if (!sim->failed)
        sim_cluster_judge (cluster);
}

sim_result_t sim_run (uint64_t seed, sim_coverage_t *coverage, FILE *trace)
{
    sim_t sim = {.random = sim_random_make (seed), .coverage = coverage, .trace = trace};
    sim_config_t config = s_draw_config (&sim.random);
    s_trace_config (&sim, &config);
    if (config.mix.calm)
        sim_count (&sim, COUNT_SEED_CALM);
    else if (config.mix.gentle)
        sim_count (&sim, COUNT_SEED_GENTLE);
    sim_cluster_t *cluster = sim_cluster_new (&sim, &config);
    sim_faults_t *faults = sim_faults_new (&sim, cluster);
    s_play (&sim, cluster);
    sim_result_t result = {.seed = seed,
                           .failed = sim.failed,
                           .failed_us = sim.failed_us,
                           .ended_us = sim_now (&sim),
                           .events = sim.events.added,
                           .digest = sim.digest};
    memcpy (result.oracle, sim.oracle, sizeof result.oracle);
    memcpy (result.text, sim.text, sizeof result.text);
    sim.trace = NULL; /* what follows is no part of the run */
    sim_cluster_destroy (&cluster);
    sim_faults_destroy (&faults);
    sim_events_free (&sim.events);
    if (sim.failed && !result.failed) {
        result.failed = true;
        memcpy (result.oracle, sim.oracle, sizeof result.oracle);
        memcpy (result.text, sim.text, sizeof result.text);
    }
    return result;
}
