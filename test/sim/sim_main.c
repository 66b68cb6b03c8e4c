/* kvdb-sim - whole clusters under a virtual clock, one seed a run.
 *
 *   kvdb-sim --seeds N [--start S] [--jobs J] [--require-coverage]
 *   kvdb-sim --seed S [--trace]
 *
 * Many seeds are run in processes of their own, so that an assertion that fails ends one of those,
 * and the seed it was at is known. What they have to tell they write into memory they share with
 * their parent.
 *
 * Exit status: 0 clean, 1 an oracle was violated, a process died, or something was never seen, 2
 * usage. */
#include "sim_run.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { JOBS_MAX = 64, FAILURES_MOST = 10, FULL_SEEDS = 100000 };

static const struct {
    const char *name;
    const char *meaning;
    bool rare;
} s_rows[COUNTS] = {
#define SIM_COUNT(name, rare, meaning) {#name, meaning, rare},
#include "sim_coverage.def"
#undef SIM_COUNT
};

typedef struct {
    uint64_t seed;  /* the only one, or the first */
    uint64_t seeds; /* 0: one, by itself */
    uint64_t jobs;
    bool trace, require_coverage;
} options_t;

/* One job's, shared with the parent. */
typedef struct {
    sim_coverage_t coverage;
    uint64_t seed; /* being run */
    uint64_t ran, failed, events;
    int64_t virtual_us;
} job_t;

static int s_usage (void)
{
    fputs ("usage: kvdb-sim --seeds N [--start S] [--jobs J] [--require-coverage]\n"
           "       kvdb-sim --seed S [--trace]\n"
           "\n"
           "  --seeds N            runs N seeds, from --start (default 1) on\n"
           "  --jobs J             in so many processes (default 1)\n"
           "  --require-coverage   fails if anything the table lists was never seen\n"
           "  --seed S             runs one seed\n"
           "  --trace              prints what happens, one event a line\n"
           "\n"
           "KVDB_TEST_SCALE=full makes 100000 seeds of any smaller number.\n",
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
    fflush (stdout);
}

/* ---- many seeds --------------------------------------------------------------------------------- */

static double s_seconds (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Every jobs-th seed, in a child. */
static void s_work (job_t *job, const options_t *options, uint64_t index)
{
    /* Memory goes back and forth between runs, not between us and the system. */
    mallopt (M_TRIM_THRESHOLD, 256 << 20);
    for (uint64_t i = index; i < options->seeds && job->failed < FAILURES_MOST;
         i += options->jobs) {
        job->seed = options->seed + i;
        sim_result_t result = sim_run (job->seed, &job->coverage, NULL);
        job->ran++;
        job->events += result.events;
        job->virtual_us += result.ended_us;
        if (result.failed) {
            job->failed++;
            s_report (&result);
        }
    }
}

/* Waits for all children; false: one of them died, or found that memory had leaked. */
static bool s_wait (const pid_t *children, const job_t *jobs, uint64_t count)
{
    bool well = true;
    for (uint64_t i = 0; i < count; i++) {
        int status;
        if (waitpid (children[i], &status, 0) < 0)
            return false;
        if (WIFEXITED (status) && WEXITSTATUS (status) == 0)
            continue;
        well = false;
        printf ("seed %" PRIu64 " FAILED: its process ended with %s %d\n", jobs[i].seed,
                WIFSIGNALED (status) ? "signal" : "status",
                WIFSIGNALED (status) ? WTERMSIG (status) : WEXITSTATUS (status));
        printf ("replay: kvdb-sim --seed %" PRIu64 " --trace\n", jobs[i].seed);
    }
    return well;
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

static void s_add (job_t *sum, const job_t *job)
{
    for (int i = 0; i < COUNTS; i++)
        sum->coverage.counts[i] += job->coverage.counts[i];
    sum->ran += job->ran;
    sum->failed += job->failed;
    sum->events += job->events;
    sum->virtual_us += job->virtual_us;
}

static int s_run_many (const options_t *options)
{
    pid_t children[JOBS_MAX];
    job_t sum = {.ran = 0};
    job_t *jobs = mmap (NULL, options->jobs * sizeof *jobs, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (jobs == MAP_FAILED) {
        perror ("kvdb-sim: mmap");
        return 1;
    }
    double began_s = s_seconds ();
    for (uint64_t i = 0; i < options->jobs; i++) {
        children[i] = fork ();
        if (children[i] == 0) {
            s_work (&jobs[i], options, i);
            exit (0);
        }
    }
    bool well = s_wait (children, jobs, options->jobs);
    double took_s = s_seconds () - began_s;
    for (uint64_t i = 0; i < options->jobs; i++)
        s_add (&sum, &jobs[i]);
    bool complete = s_print_coverage (&sum.coverage);
    printf ("%" PRIu64 " seeds from %" PRIu64 ", %" PRIu64
            " failed; %.1f s, %.0f seeds/s, %.0f s of "
            "virtual time, %" PRIu64 " events\n",
            sum.ran, options->seed, sum.failed, took_s, (double)sum.ran / took_s,
            (double)sum.virtual_us / 1e6, sum.events);
    if (options->require_coverage && !complete)
        puts ("FAILED: the table has rows that were never seen");
    return !well || sum.failed || (options->require_coverage && !complete);
}

/* ---- one seed ----------------------------------------------------------------------------------- */

static int s_run_one (const options_t *options)
{
    sim_coverage_t coverage = {.counts = {0}};
    sim_result_t result = sim_run (options->seed, &coverage, options->trace ? stdout : NULL);
    if (result.failed)
        s_report (&result);
    printf ("seed %" PRIu64 " %s, %.6f s of virtual time, %" PRIu64 " events, digest %016" PRIx64
            "\n",
            options->seed, result.failed ? "failed" : "clean", (double)result.ended_us / 1e6,
            result.events, result.digest);
    return result.failed;
}

static bool s_read_options (int argc, char **argv, options_t *out)
{
    bool valid = true, one = false;
    *out = (options_t){.seed = 1, .jobs = 1};
    for (int i = 1; i < argc; i++) {
        const char *next = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp (argv[i], "--trace") == 0)
            out->trace = true;
        else if (strcmp (argv[i], "--require-coverage") == 0)
            out->require_coverage = true;
        else if (strcmp (argv[i], "--seeds") == 0 && ++i)
            valid = valid && s_read_number (next, &out->seeds) && out->seeds > 0;
        else if (strcmp (argv[i], "--start") == 0 && ++i)
            valid = valid && s_read_number (next, &out->seed);
        else if (strcmp (argv[i], "--jobs") == 0 && ++i)
            valid = valid && s_read_number (next, &out->jobs);
        else if (strcmp (argv[i], "--seed") == 0 && ++i)
            valid = valid && (one = s_read_number (next, &out->seed));
        else
            valid = false;
    }
    return valid && one != (out->seeds > 0) && (one || !out->trace) && out->jobs >= 1 &&
           out->jobs <= JOBS_MAX;
}

int main (int argc, char **argv)
{
    options_t options;
    if (!s_read_options (argc, argv, &options))
        return s_usage ();
    const char *scale = getenv ("KVDB_TEST_SCALE");
    if (options.seeds && options.seeds < FULL_SEEDS && scale && strcmp (scale, "full") == 0)
        options.seeds = FULL_SEEDS;
    return options.seeds ? s_run_many (&options) : s_run_one (&options);
}
