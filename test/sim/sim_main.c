/* kvdb-sim - whole clusters under a virtual clock, one seed a run.
 *
 *   kvdb-sim --seeds N [--start S] [--require-coverage]
 *   kvdb-sim --seed S [--trace]
 *
 * Exit status: 0 clean, 1 an oracle was violated or something was never seen, 2 usage. */
#include "sim_run.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct {
    const char *name;
    const char *meaning;
    bool rare;
} s_rows[COUNTS] = {
#define SIM_COUNT(name, rare, meaning) {#name, meaning, rare},
#include "sim_coverage.def"
#undef SIM_COUNT
};

static int s_usage (void)
{
    fputs ("usage: kvdb-sim --seeds N [--start S] [--require-coverage]\n"
           "       kvdb-sim --seed S [--trace]\n"
           "\n"
           "  --seeds N            runs N seeds, from --start (default 1) on\n"
           "  --require-coverage   fails if anything the table lists was never seen\n"
           "  --seed S             runs one seed\n"
           "  --trace              prints what happens, one event a line\n"
           "\n"
           "KVDB_TEST_SCALE=full makes of --seeds N as many as the long tests ask for: 100000.\n",
           stderr);
    return 2;
}

static bool s_read_number (const char *text, uint64_t *number)
{
    char *end;
    if (!text || *text < '0' || *text > '9')
        return false;
    errno = 0;
    *number = strtoull (text, &end, 0);
    return errno == 0 && *end == '\0';
}

static void s_report (const sim_result_t *result)
{
    printf ("seed %" PRIu64 " FAILED at %.6f s, oracle '%s': %s\n", result->seed,
            (double)result->failed_us / 1e6, result->oracle, result->text);
    printf ("replay: kvdb-sim --seed %" PRIu64 " --trace\n", result->seed);
}

/* False: something was never seen that should have been. */
static bool s_print_coverage (const sim_coverage_t *coverage)
{
    bool complete = true;
    for (int i = 0; i < COUNTS; i++) {
        bool missing = coverage->counts[i] == 0 && !s_rows[i].rare;
        complete = complete && !missing;
        printf ("  %-22s %12" PRIu64 "  %s%s\n", s_rows[i].name, coverage->counts[i],
                s_rows[i].meaning, missing ? "  <-- NEVER" : "");
    }
    return complete;
}

static double s_seconds (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int s_run_many (uint64_t start, uint64_t seeds, bool require_coverage)
{
    sim_coverage_t coverage = {.counts = {0}};
    uint64_t failed = 0;
    uint64_t events = 0;
    double virtual_s = 0;
    double began_s = s_seconds ();
    uint64_t ran = 0;
    for (; ran < seeds && failed < 10; ran++) {
        sim_result_t result = sim_run (start + ran, &coverage, NULL);
        events += result.events;
        virtual_s += (double)result.ended_us / 1e6;
        if (result.failed) {
            failed++;
            s_report (&result);
            fflush (stdout);
        }
    }
    double took_s = s_seconds () - began_s;
    bool complete = s_print_coverage (&coverage);
    printf ("%" PRIu64 " seeds from %" PRIu64 ", %" PRIu64
            " failed; %.1f s, %.0f seeds/s, %.0f s of "
            "virtual time, %" PRIu64 " events\n",
            ran, start, failed, took_s, (double)ran / took_s, virtual_s, events);
    if (require_coverage && !complete)
        puts ("FAILED: the table has rows that were never seen");
    return failed || (require_coverage && !complete);
}

static int s_run_one (uint64_t seed, bool trace)
{
    sim_coverage_t coverage = {.counts = {0}};
    sim_result_t result = sim_run (seed, &coverage, trace ? stdout : NULL);
    if (result.failed)
        s_report (&result);
    printf ("seed %" PRIu64 " %s, %.6f s of virtual time, %" PRIu64 " events, digest %016" PRIx64
            "\n",
            seed, result.failed ? "failed" : "clean", (double)result.ended_us / 1e6, result.events,
            result.digest);
    return result.failed;
}

int main (int argc, char **argv)
{
    uint64_t seed = 0, seeds = 0, start = 1;
    bool one = false, trace = false, require_coverage = false, valid = true;
    for (int i = 1; i < argc; i++) {
        const char *next = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp (argv[i], "--trace") == 0)
            trace = true;
        else if (strcmp (argv[i], "--require-coverage") == 0)
            require_coverage = true;
        else if (strcmp (argv[i], "--seeds") == 0 && ++i)
            valid = valid && s_read_number (next, &seeds);
        else if (strcmp (argv[i], "--start") == 0 && ++i)
            valid = valid && s_read_number (next, &start);
        else if (strcmp (argv[i], "--seed") == 0 && ++i)
            valid = valid && (one = s_read_number (next, &seed));
        else
            valid = false;
    }
    if (!valid || one == (seeds > 0) || (trace && !one))
        return s_usage ();
    const char *scale = getenv ("KVDB_TEST_SCALE");
    if (seeds && scale && strcmp (scale, "full") == 0 && seeds < 100000)
        seeds = 100000;
    return one ? s_run_one (seed, trace) : s_run_many (start, seeds, require_coverage);
}
