/* kv_main - the command line: reads flags and environment, connects, and hands over to a module.
 *
 *   kv CMD ARG...   kv_command      kv --pipe    kv_pipe
 *   kv status       kv_topology     kv --scan    kv_scan
 *   kv connect      kv_prompt */
#include "client/endpoint.h"
#include "client/kv_history.h"
#include "client/kv_pipe.h"
#include "client/kv_prompt.h"
#include "client/kv_scan.h"

#include "config/config.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

typedef struct {
    char *host;
    int64_t port;
    char *node;
    bool json;
    char *timeout;
    bool stdin_argument;
    bool pipe;
    bool scan;
    char *pattern;
    int64_t count;
    int64_t repeat;
    char *interval;
    bool no_rate;
    char *history;
} kv_flags_t;

#define TIMEOUT_SECONDS_MAX 3600
#define INTERVAL_SECONDS_MAX 86400

static const kv_option_t s_rows[] = {
    {.name = "kvdb.host",
     .alias = "h",
     .type = KV_OPTION_TEXT,
     .offset = offsetof (kv_flags_t, host),
     .min = 1,
     .max = KV_HOST_BYTES_MAX,
     .preset = "127.0.0.1",
     .help = "name or address of the broker"},
    {.name = "kvdb.port",
     .alias = "p",
     .type = KV_OPTION_NUMBER,
     .offset = offsetof (kv_flags_t, port),
     .min = 1,
     .max = UINT16_MAX,
     .preset = "7000",
     .help = "port of the broker"},
    {.name = "node",
     .type = KV_OPTION_TEXT,
     .offset = offsetof (kv_flags_t, node),
     .min = 1,
     .max = KV_HOST_BYTES_MAX + 8,
     .command_line = 1,
     .help = "HOST:PORT of a node's direct door: talk to that node alone, not to the cluster"},
    {.name = "json",
     .type = KV_OPTION_BOOL,
     .offset = offsetof (kv_flags_t, json),
     .preset = "false",
     .command_line = 1,
     .help = "print JSON; bytes that are not UTF-8 appear as {\"$base64\": \"...\"}"},
    {.name = "timeout",
     .type = KV_OPTION_TEXT,
     .offset = offsetof (kv_flags_t, timeout),
     .min = 1,
     .max = 16,
     .preset = "6",
     .unit = "s",
     .command_line = 1,
     .help = "how long to wait for a reply, up to 3600; the server gives up somewhat earlier"},
    {.name = "stdin-argument",
     .alias = "x",
     .type = KV_OPTION_BOOL,
     .offset = offsetof (kv_flags_t, stdin_argument),
     .preset = "false",
     .command_line = 1,
     .help = "read the last argument from standard input, up to its end"},
    {.name = "pipe",
     .type = KV_OPTION_BOOL,
     .offset = offsetof (kv_flags_t, pipe),
     .preset = "false",
     .command_line = 1,
     .help = "run the commands on standard input, one a line, quoted as in redis-cli"},
    {.name = "scan",
     .type = KV_OPTION_BOOL,
     .offset = offsetof (kv_flags_t, scan),
     .preset = "false",
     .command_line = 1,
     .help = "print every key, one a line"},
    {.name = "pattern",
     .type = KV_OPTION_TEXT,
     .offset = offsetof (kv_flags_t, pattern),
     .min = 1,
     .max = 1024,
     .command_line = 1,
     .help = "with --scan: only keys that match, such as user:*"},
    {.name = "count",
     .type = KV_OPTION_NUMBER,
     .offset = offsetof (kv_flags_t, count),
     .min = 1,
     .max = 1000000,
     .preset = "1000",
     .command_line = 1,
     .help = "with --scan: about how many keys to ask for at a time"},
    {.name = "repeat",
     .alias = "r",
     .type = KV_OPTION_NUMBER,
     .offset = offsetof (kv_flags_t, repeat),
     .min = -1,
     .max = INT32_MAX,
     .preset = "1",
     .command_line = 1,
     .help = "run the command so many times; -1: for ever"},
    {.name = "interval",
     .alias = "i",
     .type = KV_OPTION_TEXT,
     .offset = offsetof (kv_flags_t, interval),
     .min = 1,
     .max = 16,
     .preset = "0",
     .unit = "s",
     .command_line = 1,
     .help = "how long to wait between the runs of -r; 0.1 is possible"},
    {.name = "no-rate",
     .type = KV_OPTION_BOOL,
     .offset = offsetof (kv_flags_t, no_rate),
     .preset = "false",
     .command_line = 1,
     .help = "with status: leave out the commands a second, which take a second to count"},
    {.name = "kvdb.history",
     .type = KV_OPTION_TEXT,
     .offset = offsetof (kv_flags_t, history),
     .max = 4095,
     .help = "file of the lines typed after connect; empty: none. Else it is "
             "$XDG_STATE_HOME/kvdb/history or ~/.kvdb_history"},
    KV_OPTION_END};

static const char s_usage[] =
    "usage: kv [FLAG...] CMD ARG...      run one command, with or without a leading KV\n"
    "       kv [FLAG...] connect         a prompt: HELP, EXIT, and any command\n"
    "       kv [FLAG...] status          the cluster: its nodes, their states and what they own\n"
    "       kv [FLAG...] --scan          every key, a line each\n"
    "       kv [FLAG...] --pipe < FILE   a command a line\n"
    "\n"
    "Exit status: 0 done, 1 the reply was an error (status: or a node is not up), 2 wrong usage,\n"
    "3 no reply.\n";

static int s_misuse (const char *text)
{
    fprintf (stderr, "kv: %s; kv --help tells more\n", text);
    return KV_EXIT_USAGE;
}

/* --- What was asked for --- */

typedef enum { DO_COMMAND, DO_CONNECT, DO_STATUS, DO_PIPE, DO_SCAN } kv_deed_t;

typedef struct {
    kv_deed_t deed;
    size_t argc;
    const char **argv; /* owned array of borrowed texts; room for one more */
    size_t *lens;      /* owned */
    const char *const *command;
    const size_t *command_lens;
} kv_request_t;

static void s_take_words (kv_request_t *request, int argc, char **argv)
{
    request->argc = (size_t)argc;
    request->argv = calloc ((size_t)argc + 1, sizeof *request->argv);
    request->lens = calloc ((size_t)argc + 1, sizeof *request->lens);
    KV_ASSERT (request->argv != NULL);
    KV_ASSERT (request->lens != NULL);
    for (int i = 0; i < argc; i++) {
        request->argv[i] = argv[i];
        request->lens[i] = strlen (argv[i]);
    }
}

/* `connect` and `status` take flags behind them too. */
static kv_status_t s_parse (config_t *config, int argc, char **argv, kv_request_t *request)
{
    int at = argc;
    kv_status_t status = config_flags (config, argc, argv, &at);
    if (status || config_wants_help (config) || config_wants_version (config))
        return status;
    s_take_words (request, argc - at, argv + at);
    request->command = request->argv;
    request->command_lens = request->lens;
    int verb = at;
    if (kv_command_strip (&request->argc, &request->command, &request->command_lens))
        verb++;
    if (request->argc == 0)
        return KV_OK;
    kv_slice_t word = kv_slice_text (argv[verb]);
    if (kv_slice_is_word (word, "CONNECT"))
        request->deed = DO_CONNECT;
    else if (kv_slice_is_word (word, "STATUS"))
        request->deed = DO_STATUS;
    else
        return KV_OK;
    request->argc = 0;
    return config_flags (config, argc - verb, argv + verb, NULL);
}

/* Seconds with a fraction; false unless they are within the range. */
static bool s_seconds (const char *text, double least, double most, double *seconds)
{
    char *end;
    *seconds = strtod (text, &end);
    return end != text && *end == '\0' && isfinite (*seconds) && *seconds >= least &&
           *seconds <= most;
}

/* Flags that take the place of a command. */
static int s_check_alone (const kv_flags_t *flags, kv_request_t *request)
{
    if (!flags->pipe && !flags->scan)
        return flags->pattern ? s_misuse ("--pattern belongs to --scan") : KV_EXIT_OK;
    bool other = request->argc > 0 || request->deed != DO_COMMAND || flags->stdin_argument;
    if (flags->pipe && (other || flags->scan))
        return s_misuse ("--pipe reads its commands from standard input and takes no other");
    if (other)
        return s_misuse ("--scan takes no command");
    request->deed = flags->pipe ? DO_PIPE : DO_SCAN;
    return KV_EXIT_OK;
}

static int s_check (const kv_flags_t *flags, kv_request_t *request)
{
    double seconds;
    int code = s_check_alone (flags, request);
    if (code)
        return code;
    if (flags->stdin_argument && request->deed != DO_COMMAND)
        return s_misuse ("-x belongs to a single command");
    if (flags->repeat == 0)
        return s_misuse ("-r is a number of runs, or -1");
    if (flags->repeat != 1 && request->deed != DO_COMMAND && request->deed != DO_STATUS)
        return s_misuse ("-r belongs to a single command, or to status");
    if (!s_seconds (flags->interval, 0, INTERVAL_SECONDS_MAX, &seconds))
        return s_misuse ("--interval is a number of seconds from 0 to 86400");
    if (request->deed == DO_COMMAND && request->argc == 0) {
        fputs (s_usage, stderr);
        return KV_EXIT_USAGE;
    }
    return KV_EXIT_OK;
}

/* --- Connecting --- */

/* The server is to answer before we give up on it: its deadline is a sixth shorter, at most 1 s. */
static kv_status_t s_set_timeout (const kv_flags_t *flags, kv_options_t *options)
{
    double seconds;
    if (!s_seconds (flags->timeout, 0.001, TIMEOUT_SECONDS_MAX, &seconds))
        return KV_CONFIG;
    options->timeout_ms = (int)(seconds * 1000);
    int margin_ms = options->timeout_ms / 6;
    options->deadline_ms = options->timeout_ms - (margin_ms < 1000 ? margin_ms : 1000);
    return KV_OK;
}

static int s_connect (const kv_flags_t *flags, kv_deed_t deed, char *host, kv_options_t *options,
                      kv_client_t **client)
{
    kv_options_init (options, sizeof *options);
    options->host = flags->host;
    options->port = (int)flags->port;
    options->stop_on_signal = deed == DO_CONNECT;
    if (s_set_timeout (flags, options) != KV_OK)
        return s_misuse ("--timeout is a number of seconds from 0.001 to 3600");
    if (flags->node) {
        if (endpoint_split (flags->node, host, &options->port) != KV_OK)
            return s_misuse ("--node is HOST:PORT, an IPv6 address standing in brackets");
        options->host = host;
    }
    const char *why = endpoint_lookup (options->host);
    if (why) {
        fprintf (stderr, "kv: the host '%s' has no address: %s; nothing was sent\n", options->host,
                 why);
        return KV_EXIT_NO_REPLY;
    }
    kv_status_t status = kv_client_new (options, client);
    if (status == KV_CONFIG)
        return s_misuse ("the host is neither a name nor an address");
    if (status) {
        fprintf (stderr, "kv: cannot make a connection: %s\n", kv_status_meaning (status));
        return KV_EXIT_NO_REPLY;
    }
    return KV_EXIT_OK;
}

/* --- Running --- */

/* Reads standard input into a buffer the caller frees; NULL, with errno, if that fails. */
static char *s_read_all (size_t *size)
{
    size_t capacity = 65536;
    char *data = malloc (capacity);
    *size = 0;
    for (;;) {
        KV_ASSERT (data != NULL);
        size_t got = fread (data + *size, 1, capacity - *size, stdin);
        *size += got;
        if (got == 0)
            break;
        if (*size > KV_VALUE_BYTES_MAX) {
            errno = EFBIG;
            break;
        }
        if (*size == capacity) {
            capacity *= 2;
            data = realloc (data, capacity);
        }
    }
    if (!ferror (stdin) && *size <= KV_VALUE_BYTES_MAX)
        return data;
    free (data);
    return NULL;
}

/* Runs the command or `status` as often as -r says; the worst outcome counts. */
static int s_run_repeated (const kv_shell_t *shell, const kv_request_t *request,
                           const kv_flags_t *flags)
{
    int worst = KV_EXIT_OK;
    double seconds;
    if (!s_seconds (flags->interval, 0, INTERVAL_SECONDS_MAX, &seconds))
        return KV_EXIT_USAGE;
    struct timespec pause = {.tv_sec = (time_t)seconds};
    pause.tv_nsec = (long)((seconds - (double)pause.tv_sec) * 1e9);
    for (int64_t left = flags->repeat; left != 0; left -= left > 0) {
        int code =
            request->deed == DO_STATUS
                ? kv_topology_run (shell, !flags->no_rate)
                : kv_command_run (shell, request->argc, request->command, request->command_lens);
        worst = code > worst ? code : worst;
        if (left != 1 && fflush (stdout) != 0)
            break;
        if (left != 1)
            nanosleep (&pause, NULL);
    }
    return worst;
}

static int s_run_command (const kv_shell_t *shell, kv_request_t *request, const kv_flags_t *flags)
{
    kv_slice_t name = kv_slice (request->command[0], request->command_lens[0]);
    if (kv_slice_is_word (name, "EXIT") || kv_slice_is_word (name, "QUIT"))
        return KV_EXIT_OK;
    char *data = NULL;
    if (flags->stdin_argument) {
        size_t size;
        data = s_read_all (&size);
        if (!data) {
            fprintf (stderr, "kv: standard input: %s\n", strerror (errno));
            return KV_EXIT_USAGE;
        }
        size_t at = (size_t)(request->command - request->argv) + request->argc++;
        request->argv[at] = data;
        request->lens[at] = size;
    }
    int code = s_run_repeated (shell, request, flags);
    free (data);
    return code;
}

/* That a signal came is seen by what it interrupts. */
static void s_on_interrupt (int number)
{
    (void)number;
}

static int s_run_prompt (const kv_shell_t *shell, const kv_options_t *server,
                         const kv_flags_t *flags)
{
    bool person = isatty (STDIN_FILENO);
    struct sigaction action = {.sa_handler = s_on_interrupt};
    char *history = NULL;
    if (person) {
        sigaction (SIGINT, &action, NULL);
        history = kv_history_path (flags->history, getenv ("XDG_STATE_HOME"), getenv ("HOME"));
    }
    kv_prompt_options_t options = {
        .in = stdin, .server = server, .person = person, .history = history};
    int code = kv_prompt_run (shell, &options);
    free (history);
    return code;
}

static int s_run_scan (const kv_shell_t *shell, const kv_flags_t *flags)
{
    kv_scan_options_t options = {.pattern = flags->pattern, .count = flags->count};
    return kv_scan_run (shell, &options);
}

static int s_run (const kv_flags_t *flags, kv_request_t *request)
{
    char host[KV_HOST_BYTES_MAX + 1];
    kv_options_t options;
    kv_shell_t shell = {
        .format = KV_FORMAT_RAW, .one_node = flags->node != NULL, .out = stdout, .err = stderr};
    if (flags->json)
        shell.format = KV_FORMAT_JSON;
    else if (isatty (STDOUT_FILENO))
        shell.format = KV_FORMAT_TERMINAL;
    int code = s_check (flags, request);
    if (code == KV_EXIT_OK)
        code = s_connect (flags, request->deed, host, &options, &shell.client);
    if (code)
        return code;
    switch (request->deed) {
    case DO_COMMAND: code = s_run_command (&shell, request, flags); break;
    case DO_CONNECT: code = s_run_prompt (&shell, &options, flags); break;
    case DO_STATUS: code = s_run_repeated (&shell, request, flags); break;
    case DO_SCAN: code = s_run_scan (&shell, flags); break;
    case DO_PIPE: code = kv_pipe_run (&shell, STDIN_FILENO, isatty (STDERR_FILENO)); break;
    }
    kv_client_destroy (&shell.client);
    if (fflush (stdout) != 0 && code == KV_EXIT_OK) {
        fprintf (stderr, "kv: standard output: %s\n", strerror (errno));
        code = KV_EXIT_ERROR;
    }
    return code;
}

int main (int argc, char **argv)
{
    kv_flags_t flags = {0};
    kv_request_t request = {0};
    if (argc == 2 && strcmp (argv[1], "-h") == 0)
        argv[1] = "--help"; /* no host can follow */
    config_t *config = config_new ();
    config_add (config, (config_table_t){.rows = s_rows, .target = &flags, .title = "Flags"});
    int code = KV_EXIT_OK;
    kv_status_t status = s_parse (config, argc, argv, &request);
    if (status == KV_OK && config_wants_help (config)) {
        char *help = config_help (config, s_usage);
        fputs (help, stdout);
        free (help);
    } else if (status == KV_OK && config_wants_version (config))
        printf ("kv %s\n", kv_version ());
    else if (status != KV_OK || config_environment (config, environ) != KV_OK) {
        fprintf (stderr, "kv: %s\n", config_error (config));
        code = KV_EXIT_USAGE;
    } else
        code = s_run (&flags, &request);
    config_destroy (&config);
    free (request.argv);
    free (request.lens);
    return code;
}
