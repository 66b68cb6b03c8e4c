/* kvdb - the client library of KvDB, a distributed in-memory key-value store.
 *
 *     kv_client_t *client;
 *     if (kv_client_new (NULL, &client) == KV_OK) {               // 127.0.0.1:7000
 *         const char *set[] = {"SET", "greeting", "hello"};
 *         kv_reply_t *reply;
 *         if (kv_call (client, 3, set, NULL, &reply) == KV_OK) {  // the server answered
 *             if (kv_reply_kind (reply) == KV_REPLY_ERROR)        // ... with an error
 *                 fprintf (stderr, "%s\n", kv_reply_data (reply, NULL));
 *             kv_reply_destroy (&reply);
 *         }
 *         kv_client_destroy (&client);
 *     }
 *
 * Two kinds of failure are kept apart. A function's status tells whether a reply was had at all: a
 * transport failure. What the server thought of a command stands in the reply, which may be an
 * error with a code, a text and details.
 *
 *   K1  no call blocks longer than the client's timeout_ms (resolving a host name apart, which
 *       the system's resolver bounds; it happens in kv_client_new only).
 *   K2  a batch gets exactly one outcome: its replies, or a failure. A reply that comes later than
 *       its batch's timeout, or belongs to no batch, is dropped.
 *   K3  KV_UNAVAILABLE: nothing was sent, so nothing was executed. KV_TIMEOUT: the commands were
 *       sent, and may have been executed, or may yet be.
 *   K4  memory is bounded by the options: in_flight_max batches and as many replies of
 *       reply_bytes_max bytes at most, and one more of each for every thread that waits in a call.
 *   K5  the library makes no threads beside those of a ZeroMQ context, takes no signals, registers
 *       nothing with atexit and has no mutable globals, the error texts of threads apart.
 *   K6  what may have been executed and writes is never sent again by the library.
 *
 * Direct access (options.access = KV_DIRECT): the client asks the broker which node owns which
 * shard, cuts each batch up and talks to the nodes themselves; commands without a key go to the
 * broker, or without it to any node. It follows MOVED, asks the broker again, and goes on with what
 * it knows while there is no broker. Each command then has an outcome of its own, within
 * deadline_ms: UNAVAILABLE, it was not executed, or OUTCOME_UNKNOWN, it writes and was not answered,
 * stand in the replies. A batch fails as a whole only if nodes were never learnt of:
 * KV_UNAVAILABLE, or KV_NOT_SUPPORTED if the server is no broker.
 * The order of commands on one shard stays that of sending, also where shards move; but what a node
 * refuses for a moment may be overtaken by batches that were on their way behind it.
 *
 * Threads: a client and what was made of it belong to one thread at a time; several clients may be
 * used in parallel. A client with options.shared may be used by any number of threads at once; its
 * functions say what is different then. Batches and replies always belong to one thread at a time.
 * After fork the child may only exec or _exit. Out of memory aborts, except where a reply is too
 * large for it.
 *
 * Compatibility: options grow at their end only, statuses and kinds of reply get new numbers. */
#ifndef KVDB_H
#define KVDB_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define KV_MUST_CHECK __attribute__ ((warn_unused_result))
#else
#define KV_MUST_CHECK
#endif
#ifndef KV_API
#if defined(__GNUC__)
#define KV_API __attribute__ ((visibility ("default")))
#else
#define KV_API
#endif
#endif

/* The status codes, as they travel: 10..29 blame the request, 30..49 the state of the data or the
 * cluster (a retry may succeed), 50 and on the server or the machine. KvDB's own sources may have
 * them from the table this list is tested against, before or after this header. */
#ifndef KVDB_STATUS_DEFINED
#define KVDB_STATUS_DEFINED
typedef enum {
    KV_OK = 0,
    KV_NOT_FOUND = 1,
    KV_END = 2,
    KV_ERR = 10,
    KV_BAD_REQUEST = 11,
    KV_BAD_VERSION = 12,
    KV_TOO_LARGE = 13,
    KV_UNKNOWN_COMMAND = 14,
    KV_WRONG_ARITY = 15,
    KV_SYNTAX = 16,
    KV_BAD_VALUE = 17,
    KV_WRONG_TYPE = 18,
    KV_NOT_SUPPORTED = 19,
    KV_DENIED = 20,
    KV_CROSS_SHARD = 21,
    KV_BUSY = 30,
    KV_UNAVAILABLE = 31,
    KV_OUTCOME_UNKNOWN = 32,
    KV_MOVED = 33,
    KV_RETRY = 34,
    KV_LOADING = 35,
    KV_DISK_FULL = 36,
    KV_OUT_OF_MEMORY = 37,
    KV_TIMEOUT = 38,
    KV_IO = 50,
    KV_CORRUPT = 51,
    KV_INTERNAL = 52,
    KV_CONFIG = 53
} kv_status_t;

/* "BUSY"; "UNLISTED" for a number this version does not know. Static text. */
KV_API const char *kv_status_name (kv_status_t status);

/* One sentence on what the status means. Static text. */
KV_API const char *kv_status_meaning (kv_status_t status);
#endif

/* "0.1.0". Static text. */
KV_API const char *kv_version (void);

typedef struct kv_client kv_client_t; /* a connection to a broker or a node */
typedef struct kv_batch kv_batch_t;   /* commands that travel together */
typedef struct kv_reply kv_reply_t;   /* one value of a reply, perhaps with values in it */

/* --- Client ------------------------------------------------------------------------------- */

typedef enum {
    KV_VIA_BROKER, /* one connection; of a node's own door too, which answers MOVED to what it lacks */
    KV_DIRECT      /* host and port are the broker's, the commands go to the nodes */
} kv_access_t;

typedef struct {
    size_t size;             /* bytes of the struct; kv_options_init sets it */
    const char *host;        /* name, IPv4 or IPv6 address ("::1" or "[::1]"); "127.0.0.1" */
    int port;                /* 1..65535; 7000 */
    int timeout_ms;          /* 1..86400000: for the reply to a batch, or to connect; 6000 */
    int deadline_ms;         /* 1..3600000: how long the server may hold a command; 5000 */
    int in_flight_max;       /* 1..4096 batches that wait for their reply; 64 */
    int64_t reply_bytes_max; /* 1024..2^31-1: a larger reply ends the connection; 640 MiB */
    int stop_on_signal;      /* not 0: waiting ends with KV_END when a signal handler has run */
    void *zmq_context;       /* to use instead of one of its own; must outlive the client; NULL */
    const char *endpoint;    /* a ZeroMQ endpoint instead of host and port; NULL */
    int access;              /* kv_access_t; KV_VIA_BROKER */
    int retry_busy;          /* direct, not 0: BUSY is tried again until deadline_ms is over */
    int shared;              /* not 0: for many threads at once; excludes stop_on_signal */
    int window;              /* shared: 0..1024 messages on their way to a server before further
                              * calls wait, and leave together in one; 0: never together; 1 */
} kv_options_t;

/* Sets every field to its default; `size` is sizeof (kv_options_t). */
KV_API void kv_options_init (kv_options_t *options, size_t size);

/* Makes a client and starts to connect; it does not wait for the server, and reconnects whenever
 * the connection is lost. `options` (NULL: the defaults) and its texts are copied.
 * KV_OK; KV_CONFIG: an option is out of its range; KV_IO: ZeroMQ has no socket left. */
KV_API KV_MUST_CHECK kv_status_t kv_client_new (const kv_options_t *options, kv_client_t **client);

/* Closes the connection at once; batches in flight are forgotten, and the callbacks of those that
 * were submitted are called with KV_END. Not from a callback. Shared: calls of other threads end
 * with KV_END, and this one waits until they have left; none may begin once it has been called.
 * Takes NULL, and sets NULL. */
KV_API void kv_client_destroy (kv_client_t **client);

/* One sentence on the last failure of a call with this client, "" if there was none. Valid until
 * the next call. Shared: of this thread's last failure, with any shared client. */
KV_API const char *kv_client_error (const kv_client_t *client);

/* "tcp://127.0.0.1:7000". Valid as long as the client. */
KV_API const char *kv_client_endpoint (const kv_client_t *client);

/* --- One command --------------------------------------------------------------------------- */

/* Sends a command and waits for its reply. argv[0] is the name in any case; `lens` are the lengths
 * in bytes, or NULL if all of argv are C strings. Batches in flight stay so.
 * KV_OK: `reply` is the value or the error, for the caller to destroy; otherwise it is NULL.
 * KV_UNAVAILABLE or KV_TIMEOUT: see K3. KV_BUSY: in_flight_max batches are in flight.
 * KV_END: see stop_on_signal, or the client is being destroyed. KV_BAD_REQUEST, KV_TOO_LARGE: as kv_batch_add. KV_BAD_VERSION,
 * KV_CORRUPT: the reply is not of this protocol. KV_OUT_OF_MEMORY: the reply does not fit. */
KV_API KV_MUST_CHECK kv_status_t kv_call (kv_client_t *client, size_t argc, const char *const *argv,
                                          const size_t *lens, kv_reply_t **reply);

/* --- Pipelines ----------------------------------------------------------------------------- */

/* An empty batch. It belongs to no client, and may be sent again and by several. */
KV_API kv_batch_t *kv_batch_new (void);
KV_API void kv_batch_destroy (kv_batch_t **batch);

/* Forgets the commands and keeps the memory. */
KV_API void kv_batch_clear (kv_batch_t *batch);

/* Appends a copy of a command. KV_OK; KV_BAD_REQUEST: argc is 0; KV_TOO_LARGE: over 65536 commands,
 * 1048576 arguments, or 513 MiB (the server may allow less). On failure the batch is as before. */
KV_API KV_MUST_CHECK kv_status_t kv_batch_add (kv_batch_t *batch, size_t argc,
                                               const char *const *argv, const size_t *lens);

KV_API size_t kv_batch_count (const kv_batch_t *batch); /* commands */
KV_API size_t kv_batch_bytes (const kv_batch_t *batch); /* encoded */

/* Sends a batch and waits for its replies: kv_call for many commands at once. The statuses are
 * those of kv_call; KV_BAD_REQUEST: the batch is empty. `replies` as kv_receive. */
KV_API KV_MUST_CHECK kv_status_t kv_execute (kv_client_t *client, const kv_batch_t *batch,
                                             kv_reply_t **replies);

/* Sends the batch as one message; the batch stays as it is. Waits at most timeout_ms for the
 * connection (direct: to know the nodes). `ticket` (may be NULL) is the number by which kv_receive
 * names it. KV_OK, KV_UNAVAILABLE, KV_BUSY, KV_END; KV_BAD_REQUEST: the batch is empty;
 * KV_NOT_SUPPORTED: the client is shared. */
KV_API KV_MUST_CHECK kv_status_t kv_send (kv_client_t *client, const kv_batch_t *batch,
                                          uint64_t *ticket);

/* Waits for the oldest batch in flight, at most wait_ms (-1: until its timeout_ms, counted from
 * kv_send, is over). KV_OK: `replies` is an array with one value or error per command, for the
 * caller to destroy, and a server that refused the whole batch gives its error for each.
 * KV_NOT_FOUND: nothing is in flight. KV_END: wait_ms or a signal ended the waiting; the batch
 * stays in flight. Otherwise the batch is over without replies: KV_TIMEOUT, KV_BAD_VERSION,
 * KV_CORRUPT or KV_OUT_OF_MEMORY. `ticket` may be NULL. */
KV_API KV_MUST_CHECK kv_status_t kv_receive (kv_client_t *client, int wait_ms, uint64_t *ticket,
                                             kv_reply_t **replies);

/* How many batches are in flight, those of kv_submit included, and an end to waiting for those of
 * kv_send: their replies are dropped. */
KV_API size_t kv_in_flight (const kv_client_t *client);
KV_API void kv_forget (kv_client_t *client);

/* --- Callbacks, and event loops --------------------------------------------------------------- */

/* Called exactly once for each batch that kv_submit took, by kv_process, kv_cancel or
 * kv_client_destroy, in the thread that called that. KV_OK: `replies` as kv_receive, for the callback
 * to destroy; otherwise NULL: KV_UNAVAILABLE, KV_TIMEOUT and the like, or KV_END: it was cancelled, or
 * the client destroyed, and may have been executed. A callback may use the client, but not destroy
 * it. */
typedef void kv_callback_t (void *context, uint64_t ticket, kv_status_t status,
                            kv_reply_t *replies);

/* Sends the batch, or leaves it to kv_process if it cannot be sent yet; never waits. The batch stays
 * as it is. `ticket` may be NULL. KV_OK; KV_BUSY: in_flight_max batches are in flight;
 * KV_BAD_REQUEST: the batch is empty; KV_END: the client is being destroyed. Unless KV_OK the callback
 * is never called. */
KV_API KV_MUST_CHECK kv_status_t kv_submit (kv_client_t *client, const kv_batch_t *batch,
                                            kv_callback_t *callback, void *context,
                                            uint64_t *ticket);

/* Does what there is to do, and calls the callbacks of batches that are over; waits for the first of
 * them, at most wait_ms (0: not at all; -1: without a bound, since each batch has one). Nothing
 * submitted moves on but in calls with the client. `called` (may be NULL): how many callbacks.
 * KV_OK: at least one was called; KV_END: none was, and wait_ms or a signal ended the waiting;
 * KV_NOT_FOUND: nothing that was submitted is in flight. */
KV_API KV_MUST_CHECK kv_status_t kv_process (kv_client_t *client, int wait_ms, size_t *called);

/* Ends a batch that was submitted: its callback is called with KV_END before this returns.
 * KV_NOT_FOUND: it is over already, or its callback is running in another thread. */
KV_API kv_status_t kv_cancel (kv_client_t *client, uint64_t ticket);

/* A file descriptor for poll, select or epoll, -1 if there is none left. It is readable whenever
 * kv_process (client, 0, NULL) has something to do: input, a connection that came or went, a timeout, a
 * callback. So: wait until it is readable, then call kv_process until it does not return KV_OK. It may be
 * readable in vain. Unlike ZeroMQ's own it may be used level-triggered; edge-triggered too, if after
 * kv_submit, too, kv_process is called until it does not return KV_OK. Do not read, write or close it; it
 * lives as long as the client. Ask for it before the first kv_submit. */
KV_API int kv_fd (kv_client_t *client);

/* --- Replies ------------------------------------------------------------------------------- */

typedef enum {
    KV_REPLY_NIL,    /* there is no such value */
    KV_REPLY_INT,    /* kv_reply_int */
    KV_REPLY_DOUBLE, /* kv_reply_double */
    KV_REPLY_BOOL,   /* kv_reply_int: 0 or 1 */
    KV_REPLY_TEXT,   /* kv_reply_data: text of the server, such as OK */
    KV_REPLY_BYTES,  /* kv_reply_data: a user's bytes */
    KV_REPLY_ARRAY,  /* kv_reply_count values: kv_reply_item */
    KV_REPLY_MAP,    /* kv_reply_count pairs: kv_reply_key, kv_reply_item; kv_reply_find */
    KV_REPLY_ERROR   /* kv_reply_code, kv_reply_data, kv_reply_details */
} kv_reply_kind_t;

/* Frees a reply with all values in it; only for what kv_call or kv_receive gave. What the functions
 * below return lives as long. Values nest 8 deep at most. Takes NULL, and sets NULL. */
KV_API void kv_reply_destroy (kv_reply_t **reply);

KV_API kv_reply_kind_t kv_reply_kind (const kv_reply_t *reply);

/* The number; 0 for what is neither INT nor BOOL. */
KV_API int64_t kv_reply_int (const kv_reply_t *reply);

/* The number, of an INT too; 0 for all else. */
KV_API double kv_reply_double (const kv_reply_t *reply);

/* The bytes of TEXT, BYTES or ERROR, followed by a NUL that does not count; "" for all else. `size`
 * (may be NULL) receives how many they are. */
KV_API const char *kv_reply_data (const kv_reply_t *reply, size_t *size);

/* Values of an ARRAY, pairs of a MAP, 0 for all else. */
KV_API size_t kv_reply_count (const kv_reply_t *reply);

/* The n-th value of an ARRAY or MAP, the n-th key of a MAP; NULL from kv_reply_count on. */
KV_API const kv_reply_t *kv_reply_item (const kv_reply_t *reply, size_t n);
KV_API const kv_reply_t *kv_reply_key (const kv_reply_t *reply, size_t n);

/* The value of a MAP under a key of text or bytes; NULL if there is none, or no MAP. */
KV_API const kv_reply_t *kv_reply_find (const kv_reply_t *reply, const char *key);

/* The code of an ERROR (perhaps one that this version does not know); KV_OK for all else. */
KV_API kv_status_t kv_reply_code (const kv_reply_t *reply);

/* The MAP of details of an ERROR, such as {"retry_ms": 50}; NULL if there are none. */
KV_API const kv_reply_t *kv_reply_details (const kv_reply_t *reply);

#ifdef __cplusplus
}
#endif

#endif
