/* power_sim --seeds N [--start S] | --seed S [--trace]: exit status 0 if no oracle was violated, 2 usage.
 * A violation aborts with the seed on stderr. */
#include "power_run.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void s_print (const power_stats_t *stats, uint64_t seeds, double seconds)
{
    printf ("%" PRIu64 " seeds, %.0f a second\n", seeds, (double)seeds / seconds);
    printf ("requests %" PRIu64 ", acknowledged %" PRIu64 ", of them held before %" PRIu64
            ", refused %" PRIu64 "\n",
            stats->requests, stats->acknowledged, stats->held, stats->refused);
    printf ("losses of power %" PRIu64 ", deaths of the process %" PRIu64 ", records lost %" PRIu64
            ", of them acknowledged (policies interval and never) %" PRIu64 "\n",
            stats->power_losses, stats->process_deaths, stats->lost_records,
            stats->lost_acknowledged);
    printf ("snapshots %" PRIu64 ", failed %" PRIu64 ", recovered from %" PRIu64
            ", segments retired %" PRIu64 ", syncs %" PRIu64 ", full disks %" PRIu64 "\n",
            stats->snapshots, stats->snapshots_failed, stats->snapshots_used,
            stats->segments_retired, stats->syncs, stats->full_disks);
}

int main (int argc, char **argv)
{
    uint64_t start = 1;
    uint64_t seeds = 0;
    bool trace = false;
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;
        if (strcmp (argv[i], "--seeds") == 0 && more)
            seeds = strtoull (argv[++i], NULL, 10);
        else if (strcmp (argv[i], "--start") == 0 && more)
            start = strtoull (argv[++i], NULL, 10);
        else if (strcmp (argv[i], "--seed") == 0 && more)
            start = strtoull (argv[++i], NULL, 10), seeds = 1;
        else if (strcmp (argv[i], "--trace") == 0)
            trace = true;
        else
            seeds = 0, i = argc;
    }
    if (seeds == 0) {
        fputs ("usage: power_sim --seeds N [--start S] | --seed S [--trace]\n", stderr);
        return 2;
    }
    const char *scale = getenv ("KVDB_TEST_SCALE");
    if (scale && strcmp (scale, "full") == 0 && seeds > 1)
        seeds = 100000;
    power_stats_t stats = {0};
    clock_t began = clock ();
    for (uint64_t seed = start; seed < start + seeds; seed++)
        power_run (seed, trace, &stats);
    s_print (&stats, seeds, (double)(clock () - began + 1) / CLOCKS_PER_SEC);
    return 0;
}
