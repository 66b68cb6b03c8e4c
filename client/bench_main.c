/* bench_main - kv-bench: flags in, one line per test out.
 *
 * Exit status: 0 done, 1 some commands failed, 2 wrong usage, 3 the server does not answer. */
#include "client/bench_client.h"
#include "client/endpoint.h"
#include "client/kvdb.h"

#include "config/config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { EXIT_DONE = 0, EXIT_ERRORS = 1, EXIT_USAGE = 2, EXIT_NO_SERVER = 3 };

enum {
    REQUESTS_DEFAULT = 100000,
    CONNECTIONS_DEFAULT = 50,
    CONNECTIONS_MAX = 1000,
    CALLERS_MAX = 1024,
    THREADS_MAX = 64,
    PROBE_MS = 3000,
    FILL_PIPELINE = 64
};

/* Of one message, and of all that is in flight. */
#define MESSAGE_BYTES_MAX (INT64_C (64) << 20)
#define FLIGHT_BYTES_MAX (INT64_C (1) << 30)

typedef struct {
    char *host;
    int64_t port;
    bool direct;
    bool broker;
    int64_t connections;
    int64_t pipeline;
    int64_t requests;
    int64_t value_bytes;
    int64_t keyspace;
    char *tests;
    int64_t threads;
    int64_t callers;
    int64_t duration_s;
    int64_t timeout_s;
    bool fill;
    bool json;
} bench_flags_t;

#define NUMBER_ROW(field, flag_name, letter, least, most, preset_text, unit_text, sentence)        \
    {                                                                                              \
        .name = (flag_name), .alias = (letter), .type = KV_OPTION_NUMBER,                          \
        .offset = offsetof (bench_flags_t, field), .min = (least), .max = (most),                  \
        .preset = (preset_text), .unit = (unit_text), .command_line = 1, .help = (sentence)        \
    }

#define BOOL_ROW(field, flag_name, preset_text, sentence)                                          \
    {                                                                                              \
        .name = (flag_name), .type = KV_OPTION_BOOL, .offset = offsetof (bench_flags_t, field),    \
        .preset = (preset_text), .command_line = 1, .help = (sentence)                             \
    }

static const kv_option_t s_rows[] = {
    {.name = "kvdb.host",
     .alias = "h",
     .type = KV_OPTION_TEXT,
     .offset = offsetof (bench_flags_t, host),
     .min = 1,
     .max = KV_HOST_BYTES_MAX,
     .preset = "127.0.0.1",
     .help = "name or address of the broker"},
    {.name = "kvdb.port",
     .alias = "p",
     .type = KV_OPTION_NUMBER,
     .offset = offsetof (bench_flags_t, port),
     .min = 1,
     .max = UINT16_MAX,
     .preset = "7000",
     .help = "port of the broker"},
    BOOL_ROW (direct, "direct", "false",
              "talk to the nodes themselves, with libkvdb; host and port are the broker's"),
    BOOL_ROW (broker, "broker", "false", "talk to the broker, which is the default"),
    NUMBER_ROW (connections, "connections", "c", 0, CONNECTIONS_MAX, "0", NULL,
                "connections, each with a batch in flight; 0: 50, or 1 with --callers"),
    NUMBER_ROW (pipeline, "pipeline", "P", 1, KV_BATCH_COMMANDS_MAX, "1", NULL,
                "commands in a batch, which is one message"),
    NUMBER_ROW (requests, "requests", "n", 0, INT64_C (1) << 50, "0", NULL,
                "commands of a test, rounded up to whole batches; 0: 100000, or as many as "
                "--duration allows"),
    NUMBER_ROW (value_bytes, "value-bytes", "d", 0, MESSAGE_BYTES_MAX, "64", "bytes",
                "length of the values of SET"),
    NUMBER_ROW (keyspace, "keyspace", "r", 1, INT64_C (1000000000000), "100000", NULL,
                "how many different keys, key:000000000000 and on, are used at random"),
    {.name = "tests",
     .alias = "t",
     .type = KV_OPTION_TEXT,
     .offset = offsetof (bench_flags_t, tests),
     .min = 1,
     .max = 100,
     .preset = "get,set",
     .command_line = 1,
     .help = "tests to run, in this order: get, set, mixed (every second command a SET)"},
    NUMBER_ROW (threads, "threads", NULL, 1, THREADS_MAX, "1", NULL,
                "threads that share the connections"),
    NUMBER_ROW (callers, "callers", NULL, 0, CALLERS_MAX, "0", NULL,
                "threads that share a connection, each calling libkvdb and waiting for the reply; "
                "0: none, the connections are served by --threads"),
    NUMBER_ROW (duration_s, "duration", NULL, 0, 86400, "0", "s",
                "end a test after this time, even if -n is not reached; 0: no limit"),
    NUMBER_ROW (timeout_s, "timeout", NULL, 1, 3600, "6", "s",
                "how long a reply may take before it counts as an error"),
    BOOL_ROW (fill, "fill", "true",
              "write every key once before get and mixed, if there are a million at most"),
    BOOL_ROW (json, "json", "false", "print a JSON list with one object a test"),
    KV_OPTION_END};

static const char s_usage[] =
    "usage: kv-bench [FLAG...]    measure a KvDB server with a closed loop\n"
    "\n"
    "The latency of a command is that of its batch; percentiles are at most 0.8 % too high.\n"
    "Exit status: 0 done, 1 some commands failed, 2 wrong usage, 3 the server does not answer.\n";

static int s_misuse (const char *text)
{
    fprintf (stderr, "kv-bench: %s; kv-bench --help tells more\n", text);
    return EXIT_USAGE;
}

/* --- What was asked for --- */

/* Reads "get,set" into `tests`, which has room for any list of 100 characters. */
static bool s_parse_tests (const char *text, bench_test_t *tests, size_t *count)
{
    *count = 0;
    while (*text) {
        size_t size = strcspn (text, ",");
        unsigned test = 0;
        for (; test < BENCH_TEST_COUNT; test++) {
            const char *name = bench_test_name ((bench_test_t)test);
            if (strlen (name) == size && strncmp (name, text, size) == 0)
                break;
        }
        if (test == BENCH_TEST_COUNT)
            return false;
        tests[(*count)++] = (bench_test_t)test;
        text += size + (text[size] == ',');
    }
    return *count > 0;
}

static int s_check (bench_flags_t *flags)
{
    if (flags->connections == 0)
        flags->connections = flags->callers ? 1 : CONNECTIONS_DEFAULT;
    if (flags->direct && flags->broker)
        return s_misuse ("--direct and --broker exclude each other");
    if (flags->threads > flags->connections && !flags->callers)
        return s_misuse ("--threads must not be more than the connections (-c)");
    int64_t message_bytes = flags->pipeline * (flags->value_bytes + 32);
    if (message_bytes > MESSAGE_BYTES_MAX)
        return s_misuse ("a batch of -P commands with values of -d bytes is over 64 MiB");
    int64_t callers = flags->callers ? flags->callers : 1;
    if (callers * flags->connections > CALLERS_MAX && flags->callers)
        return s_misuse ("-c times --callers is more than 1024 threads");
    if (message_bytes * flags->connections * callers > FLIGHT_BYTES_MAX)
        return s_misuse ("all batches in flight together are over 1 GiB");
    return EXIT_DONE;
}

/* Makes sure that something of KvDB answers, before anything is measured. */
static int s_probe (const bench_flags_t *flags)
{
    static const char *const ping[] = {"PING"};
    kv_options_t options;
    kv_client_t *client;
    kv_reply_t *reply;
    kv_options_init (&options, sizeof options);
    options.host = flags->host;
    options.port = (int)flags->port;
    options.timeout_ms = PROBE_MS;
    const char *why = endpoint_lookup (flags->host);
    if (why) {
        fprintf (stderr, "kv-bench: the host '%s' has no address: %s\n", flags->host, why);
        return EXIT_NO_SERVER;
    }
    if (kv_client_new (&options, &client) != KV_OK)
        return s_misuse ("the host is neither a name nor an address");
    kv_status_t status = kv_call (client, 1, ping, NULL, &reply);
    if (status)
        fprintf (stderr, "kv-bench: %s\n", kv_client_error (client));
    kv_reply_destroy (&reply);
    kv_client_destroy (&client);
    return status ? EXIT_NO_SERVER : EXIT_DONE;
}

/* --- Running --- */

static bench_plan_t s_plan (const bench_flags_t *flags, const endpoint_t *endpoint)
{
    uint64_t requests = (uint64_t)flags->requests;
    if (requests == 0)
        requests = flags->duration_s ? UINT64_MAX / 2 : REQUESTS_DEFAULT;
    return (bench_plan_t){
        .endpoint = endpoint->text,
        .ipv6 = endpoint->ipv6,
        .connections = (uint32_t)flags->connections,
        .slots = 1,
        .pipeline = (uint32_t)flags->pipeline,
        .value_bytes = (uint32_t)flags->value_bytes,
        .requests = requests,
        .keyspace = (uint64_t)flags->keyspace,
        .duration_ms = flags->duration_s * 1000,
        .timeout_ms = flags->timeout_s * 1000,
        .workers = (uint32_t)flags->threads,
    };
}

static void s_fill (const bench_plan_t *plan, bench_result_t *scratch)
{
    bench_plan_t fill = *plan;
    fill.test = BENCH_SET;
    fill.ordered = true;
    fill.requests = plan->keyspace;
    fill.duration_ms = 0;
    fill.connections = fill.workers = 1;
    fill.pipeline = FILL_PIPELINE;
    while (fill.pipeline > 1 &&
           (int64_t)fill.pipeline * ((int64_t)fill.value_bytes + 32) > MESSAGE_BYTES_MAX)
        fill.pipeline /= 2;
    bench_run (&fill, scratch);
}

static void s_print (bool json, const bench_plan_t *plan, const bench_result_t *result, bool first)
{
    double seconds = (double)result->elapsed_ns / 1e9;
    double rate = seconds > 0 ? (double)result->replies / seconds : 0;
    static const unsigned permilles[] = {500, 990, 999};
    double us[4];
    for (size_t i = 0; i < 3; i++)
        us[i] = (double)bench_histogram_at (&result->latencies, permilles[i]) / 1e3;
    us[3] = (double)result->latencies.max_ns / 1e3;
    if (!json && first)
        printf ("%-6s %12s %10s %10s %10s %10s %8s\n", "TEST", "OPS/S", "P50_US", "P99_US",
                "P999_US", "MAX_US", "ERRORS");
    const char *format = "%-6s %12.1f %10.1f %10.1f %10.1f %10.1f %8" PRIu64 "\n";
    if (json)
        format = "{\"test\": \"%s\", \"ops_per_s\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f, "
                 "\"p999_us\": %.1f, \"max_us\": %.1f, \"errors\": %" PRIu64 "}";
    if (json)
        fputs (first ? "[" : ",\n ", stdout);
    printf (format, bench_test_name (plan->test), rate, us[0], us[1], us[2], us[3], result->errors);
    fflush (stdout);
}

static int s_run (bench_flags_t *flags)
{
    bench_test_t tests[100];
    size_t count;
    endpoint_t endpoint;
    int code = s_check (flags);
    if (code)
        return code;
    if (!s_parse_tests (flags->tests, tests, &count))
        return s_misuse ("-t is a list of get, set and mixed, with commas");
    if ((code = s_probe (flags)) != EXIT_DONE)
        return code;
    if (endpoint_make (flags->host, (int)flags->port, &endpoint) != KV_OK)
        return s_misuse ("the host is neither a name nor an address");
    bench_plan_t plan = s_plan (flags, &endpoint);
    bench_access_t access = {.host = flags->host,
                             .port = (int)flags->port,
                             .direct = flags->direct,
                             .callers = (uint32_t)flags->callers};
    bench_result_t *result = malloc (sizeof *result);
    KV_ASSERT (result != NULL);
    bool filled = !flags->fill || flags->keyspace > 1000000;
    for (size_t i = 0; i < count && code != EXIT_NO_SERVER; i++) {
        plan.test = tests[i];
        if (!filled && plan.test != BENCH_SET) {
            s_fill (&plan, result);
            filled = true;
        }
        if (access.direct || access.callers)
            bench_client_run (&plan, &access, result);
        else
            bench_run (&plan, result);
        s_print (flags->json, &plan, result, i == 0);
        if (result->lost) {
            fprintf (stderr, "kv-bench: %s stopped answering\n", endpoint.text);
            code = EXIT_NO_SERVER;
        } else if (result->errors > 0)
            code = EXIT_ERRORS;
    }
    if (flags->json)
        puts ("]");
    free (result);
    return code;
}

int main (int argc, char **argv)
{
    bench_flags_t flags = {0};
    if (argc == 2 && strcmp (argv[1], "-h") == 0)
        argv[1] = "--help"; /* no host can follow */
    config_t *config = config_new ();
    config_add (config, (config_table_t){.rows = s_rows, .target = &flags, .title = "Flags"});
    int code = EXIT_DONE;
    kv_status_t status = config_flags (config, argc, argv, NULL);
    if (status == KV_OK && config_wants_help (config)) {
        char *help = config_help (config, s_usage);
        fputs (help, stdout);
        free (help);
    } else if (status == KV_OK && config_wants_version (config))
        printf ("kv-bench %s\n", kv_version ());
    else if (status != KV_OK || config_environment (config, environ) != KV_OK) {
        fprintf (stderr, "kv-bench: %s\n", config_error (config));
        code = EXIT_USAGE;
    } else
        code = s_run (&flags);
    config_destroy (&config);
    return code;
}
