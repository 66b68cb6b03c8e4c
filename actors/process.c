#include "actors/process.h"

#include "actors/clock.h"
#include "actors/identity.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

enum {
    LINE_BYTES_MAX = 1200,
    SOCKETS_MAX = 4096,
    ZERO_COPY_RECEIVE = 10, /* a context option that zmq.h of 4.3.4 lists as a draft only */
    JOIN_MS = 100
};

static const int s_faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};

void process_block_signals (void)
{
    sigset_t blocked;
    sigfillset (&blocked);
    for (size_t i = 0; i < sizeof s_faults / sizeof s_faults[0]; i++)
        sigdelset (&blocked, s_faults[i]);
    pthread_sigmask (SIG_BLOCK, &blocked, NULL);
}

void process_begin (void)
{
    process_block_signals (); // S1
    struct rlimit files;
    if (getrlimit (RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit (RLIMIT_NOFILE, &files);
    }
    zsys_handler_set (NULL);
    zsys_set_max_sockets (SOCKETS_MAX);
    zsys_set_io_threads (1);
    void *context = zsys_init ();
    /* libzmq numbers its peers from a rand () that it does not seed, and czmq seeds with the time. A
     * peer that knew the next number could choose it as its identity: libzmq 4.3.4 then aborts. */
    unsigned seed;
    random_bytes (&seed, sizeof seed);
    srand (seed);
    /* Else one message kept keeps the whole block it was received in. */
    zmq_ctx_set (context, ZERO_COPY_RECEIVE, 0);
}

static void s_write (void *context, log_level_t level, const char *line)
{
    (void)context;
    int64_t now_ms = clock_wall_ms ();
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm utc;
    char when[32];
    char text[LINE_BYTES_MAX];
    gmtime_r (&seconds, &utc);
    strftime (when, sizeof when, "%Y-%m-%dT%H:%M:%S", &utc);
    int size = snprintf (text, sizeof text - 1, "%s.%03dZ %s %s", when, (int)(now_ms % 1000),
                         log_level_name (level), line);
    if (size > LINE_BYTES_MAX - 2)
        size = LINE_BYTES_MAX - 2;
    text[size] = '\n';
    /* Nothing can be done if there is nobody to read it. */
    ssize_t wrote = write (STDERR_FILENO, text, (size_t)size + 1);
    (void)wrote;
}

log_t process_log (log_level_t least)
{
    return (log_t){.write = s_write, .least = least};
}

typedef struct {
    zactor_t *actor;
    const log_t *log;
    int signals; /* a signalfd */
    bool stopping;
    bool failed;
    bool said_end; /* the actor has said that it ends */
    bool ended;    /* and its function has returned */
} run_t;

/* One message of the actor's; the last is the signal that its function has returned. */
static void s_message (run_t *self)
{
    zmsg_t *message = zmsg_recv (self->actor);
    if (!message)
        return;
    if (zmsg_signal (message) >= 0) {
        zmsg_destroy (&message);
        self->ended = true; // S2
        if (!self->said_end) {
            self->failed = true;
            log_event (self->log, KV_LOG_ERROR, "event=failed reason=\"it ended without a word\"");
        }
        return;
    }
    char *word = zmsg_popstr (message);
    char *text = zmsg_popstr (message);
    zmsg_destroy (&message);
    const char *reason = text ? text : "";
    if (word && streq (word, "READY"))
        log_event (self->log, KV_LOG_INFO, "event=ready%s%s", text ? " endpoint=" : "", reason);
    bool failed = word && streq (word, "FAILED");
    if (failed || (word && streq (word, "STOPPED"))) {
        self->said_end = true;
        self->failed = failed;
        log_event (self->log, failed ? KV_LOG_ERROR : KV_LOG_INFO, "event=%s reason=\"%s\"",
                   failed ? "failed" : "stopped", reason);
    }
    zstr_free (&word);
    zstr_free (&text);
}

static void s_signal (run_t *self)
{
    struct signalfd_siginfo signal;
    if (read (self->signals, &signal, sizeof signal) != (ssize_t)sizeof signal)
        return;
    int number = (int)signal.ssi_signo;
    if (self->stopping) {
        log_event (self->log, KV_LOG_WARN, "event=forced_exit signal=%d", number);
        _exit (128 + number);
    }
    log_event (self->log, KV_LOG_INFO, "event=stopping signal=%d", number);
    self->stopping = true;
    zstr_send (self->actor, "$TERM");
}

/* The thread has returned and its end of the pipe closes in this moment. Until it has, zactor_destroy
 * would send it another "$TERM" and wait for the signal that s_message has taken already. */
static void s_join (run_t *self)
{
    zsock_set_rcvtimeo (zactor_sock (self->actor), JOIN_MS);
    zactor_destroy (&self->actor);
}

int process_run (zactor_fn *actor, void *args, const log_t *log)
{
    sigset_t ends;
    sigemptyset (&ends);
    sigaddset (&ends, SIGTERM);
    sigaddset (&ends, SIGINT);
    sigaddset (&ends, SIGHUP);
    run_t self = {.log = log, .signals = signalfd (-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK)};
    KV_ASSERT (self.signals >= 0);
    self.actor = zactor_new (actor, args);
    KV_ASSERT (self.actor != NULL);
    zmq_pollitem_t items[] = {{zsock_resolve (self.actor), 0, ZMQ_POLLIN, 0},
                              {NULL, self.signals, ZMQ_POLLIN, 0}};
    while (!self.ended) {
        zmq_poll (items, 2, -1);
        if (items[0].revents)
            s_message (&self);
        if (items[1].revents && !self.ended)
            s_signal (&self);
    }
    s_join (&self);
    close (self.signals);
    zsys_shutdown ();
    return self.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
