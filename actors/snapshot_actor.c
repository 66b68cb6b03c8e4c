#include "actors/snapshot_actor.h"

#include "actors/handover.h"
#include "actors/process.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    LEAST_COST_BYTES = 4096, /* of a chunk towards SNAPSHOT_AHEAD_BYTES: bounds the messages too */
    SPARE_BYTES_MAX = 2 * SNAPSHOT_CHUNK_BYTES, /* larger buffers go back to the system */
    NAME_BYTES = FILES_NAME_BYTES_MAX + 1
};

static const char s_suffix[] = ".tmp";

typedef enum { BEGIN, CHUNK, FINISH, ABORT, END } command_type_t;

/* A chunk's buffer, as it goes to the thread and comes back. */
typedef struct {
    uint8_t *data; /* owned, from malloc; NULL: none */
    size_t bytes, capacity;
} buffer_t;

/* From the owner to the thread. It travels as a pointer in a frame. */
typedef struct {
    command_type_t type;
    uint64_t snapshot;        /* number of the snapshot it belongs to */
    snapshot_header_t header; /* BEGIN */
    buffer_t buffer;          /* CHUNK */
    snapshot_kind_t kind;     /* CHUNK */
    uint32_t shard;           /* CHUNK */
    uint64_t end_lsn;         /* FINISH */
    uint64_t entries;         /* FINISH */
} command_t;

/* From the thread to the owner. */
typedef struct {
    uint64_t snapshot;
    bool dropped; /* the chunk was not written: only its buffer comes back */
    snapshot_event_t event;
    buffer_t buffer;
} answer_t;

/* What the thread owns. */
typedef struct {
    files_t *files; /* borrowed */
    char name[NAME_BYTES], temporary[NAME_BYTES];
    void *lane;
    file_t *file;      /* of the snapshot under way, or NULL */
    uint64_t snapshot; /* its number */
    uint64_t bytes;    /* of the file */
    uint64_t synced;   /* of them, C3 */
    uint64_t chunks;
} worker_t;

typedef enum { IDLE, WRITING, FINISHING } state_t;

struct snapshot_actor {
    zactor_t *actor;
    void *lane;
    worker_t *worker; /* the thread's until it has ended */
    state_t state;
    uint64_t snapshot; /* number of the last one begun */
    uint64_t ahead_bytes;
    buffer_t spares[SNAPSHOT_SPARES]; /* C4 */
    size_t spare_count;
};

/* Sends a pointer; never blocks, for the lanes have no high-water mark: what is on them is bounded by
 * SNAPSHOT_AHEAD_BYTES, and one begin, finish or abort each. */
static void s_send (void *lane, void *message)
{
    handover_give (message);
    int rc = zmq_send (lane, &message, sizeof (void *), ZMQ_DONTWAIT);
    KV_ASSERT (rc == (int)sizeof (void *));
}

/* The next pointer, or NULL. */
static void *s_receive (void *lane, int flags)
{
    void *message = NULL;
    int rc;
    do
        rc = zmq_recv (lane, &message, sizeof (void *), flags);
    while (rc < 0 && errno == EINTR);
    if (rc < 0)
        return NULL;
    KV_ASSERT (rc == (int)sizeof (void *));
    handover_take (message);
    return message;
}

static void s_answer (worker_t *self, const answer_t *answer)
{
    answer_t *sent = malloc (sizeof *sent);
    KV_ASSERT (sent != NULL);
    *sent = *answer;
    sent->snapshot = self->snapshot;
    s_send (self->lane, sent);
}

/* Forgets the snapshot under way; what there is of its file goes. */
static void s_discard (worker_t *self)
{
    if (!self->file)
        return;
    file_close (&self->file);
    file_error_t error;
    /* A file that cannot be removed does no harm: it is not NAME, and the next one empties it. */
    kv_status_t status = files_remove (self->files, self->temporary, &error);
    (void)status;
}

static void s_fail (worker_t *self, const file_error_t *error)
{
    s_discard (self); // C2
    answer_t answer = {.event = {.type = SNAPSHOT_FAILED, .error = *error}};
    s_answer (self, &answer);
}

static kv_status_t s_append (worker_t *self, kv_slice_t bytes, file_error_t *error)
{
    kv_status_t status = file_write (self->file, self->bytes, bytes, error);
    if (status)
        return status;
    self->bytes += bytes.size;
    if (self->bytes - self->synced < SNAPSHOT_SYNC_BYTES)
        return KV_OK;
    self->synced = self->bytes;
    return file_sync (self->file, error); // C3
}

static void s_begin (worker_t *self, const command_t *command)
{
    s_discard (self);
    self->snapshot = command->snapshot;
    self->bytes = 0;
    self->synced = 0;
    self->chunks = 0;
    uint8_t header[SNAPSHOT_HEADER_BYTES];
    snapshot_header_encode (&command->header, header);
    file_error_t error = {0};
    kv_status_t status =
        files_open (self->files, self->temporary, FILE_CREATE, &self->file, &error);
    if (status == KV_OK)
        status = s_append (self, kv_slice (header, sizeof header), &error);
    if (status)
        s_fail (self, &error);
}

static kv_status_t s_append_chunk (worker_t *self, const command_t *command, file_error_t *error)
{
    uint8_t *data = command->buffer.data;
    size_t bytes = command->buffer.bytes;
    snapshot_chunk_seal (data, bytes, command->kind, (uint32_t)self->chunks, command->shard);
    self->chunks++;
    return s_append (self, kv_slice (data, bytes), error);
}

static void s_chunk (worker_t *self, command_t *command)
{
    answer_t answer = {.buffer = command->buffer, .dropped = !self->file};
    answer.event = (snapshot_event_t){.type = SNAPSHOT_WRITTEN, .bytes = command->buffer.bytes};
    if (self->file) {
        file_error_t error = {0};
        answer.dropped = s_append_chunk (self, command, &error) != KV_OK;
        if (answer.dropped)
            s_fail (self, &error);
    }
    s_answer (self, &answer);
}

/* Makes the file durable, and then its name (C1). */
static kv_status_t s_publish (worker_t *self, file_error_t *error)
{
    kv_status_t status = file_sync (self->file, error);
    if (status == KV_OK)
        status = files_rename (self->files, self->temporary, self->name, error);
    if (status)
        return status;
    file_close (&self->file);
    return files_sync_directory (self->files, error);
}

static void s_finish (worker_t *self, const command_t *command)
{
    if (!self->file)
        return;
    writer_t chunk = writer_make (SNAPSHOT_CHUNK_BYTES);
    snapshot_chunk_begin (&chunk);
    snapshot_end_write (&chunk, command->end_lsn, command->entries, self->chunks);
    command_t end = {.kind = SNAPSHOT_END, .buffer = {.data = chunk.data, .bytes = chunk.size}};
    file_error_t error = {0};
    kv_status_t status = s_append_chunk (self, &end, &error);
    writer_free (&chunk);
    if (status == KV_OK)
        status = s_publish (self, &error);
    if (status) {
        s_fail (self, &error);
        return;
    }
    answer_t answer = {.event = {.type = SNAPSHOT_DONE, .bytes = self->bytes}};
    s_answer (self, &answer);
}

/* Carries a command out and frees it; false at the end. */
static bool s_obey (worker_t *self, command_t *command)
{
    command_type_t type = command->type;
    switch (type) {
    case BEGIN: s_begin (self, command); break;
    case CHUNK: s_chunk (self, command); break;
    case FINISH: s_finish (self, command); break;
    case ABORT:
    case END: s_discard (self); break;
    }
    free (command);
    return type != END;
}

static void s_thread (zsock_t *pipe, void *worker)
{
    process_block_signals ();
    worker_t *self = worker;
    zsock_signal (pipe, 0);
    command_t *command = NULL;
    do
        command = s_receive (self->lane, 0);
    while (command && s_obey (self, command));
    if (!command)
        s_discard (self); /* the context was ended under us */
    handover_give (self);
}

/* A PAIR without a high-water mark, or NULL if no socket can be had. */
static void *s_lane (void)
{
    void *socket = zmq_socket (zsys_init (), ZMQ_PAIR);
    if (!socket)
        return NULL;
    int none = 0;
    zmq_setsockopt (socket, ZMQ_SNDHWM, &none, sizeof none);
    zmq_setsockopt (socket, ZMQ_RCVHWM, &none, sizeof none);
    zmq_setsockopt (socket, ZMQ_LINGER, &none, sizeof none);
    return socket;
}

/* Connects the two lanes. The name is given up at once: a socket that is closed keeps it for a while,
 * and an actor made later might get the same address. */
static bool s_connect (void *lane, void *other)
{
    char endpoint[64];
    (void)snprintf (endpoint, sizeof endpoint, "inproc://snapshot-%p", lane);
    if (zmq_bind (lane, endpoint))
        return false;
    bool connected = zmq_connect (other, endpoint) == 0;
    return zmq_unbind (lane, endpoint) == 0 && connected;
}

static worker_t *s_worker_new (files_t *files, const char *name)
{
    KV_ASSERT (strlen (name) + sizeof s_suffix <= NAME_BYTES);
    worker_t *worker = calloc (1, sizeof *worker);
    KV_ASSERT (worker != NULL);
    worker->files = files;
    (void)snprintf (worker->name, sizeof worker->name, "%s", name);
    (void)snprintf (worker->temporary, sizeof worker->temporary, "%.*s%s",
                    (int)(NAME_BYTES - sizeof s_suffix), name, s_suffix);
    return worker;
}

snapshot_actor_t *snapshot_actor_new (files_t *files, const char *name)
{
    snapshot_actor_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->worker = s_worker_new (files, name);
    file_error_t error;
    kv_status_t status = files_remove (files, self->worker->temporary, &error);
    (void)status; /* mostly there is none; and if it stays it does no harm, as in s_discard */
    self->lane = s_lane ();
    self->worker->lane = s_lane ();
    bool lanes = self->lane && self->worker->lane;
    if (lanes && s_connect (self->lane, self->worker->lane)) {
        handover_give (self->worker);
        self->actor = zactor_new (s_thread, self->worker);
    }
    if (!self->actor)
        snapshot_actor_destroy (&self);
    return self;
}

static void s_free_spares (snapshot_actor_t *self)
{
    while (self->spare_count)
        free (self->spares[--self->spare_count].data);
}

/* Takes a chunk's buffer back, to be used again if it is of use. */
static void s_take_back (snapshot_actor_t *self, buffer_t buffer)
{
    bool kept = self->state == WRITING && buffer.capacity <= SPARE_BYTES_MAX &&
                self->spare_count < SNAPSHOT_SPARES;
    if (kept)
        self->spares[self->spare_count++] = buffer; // C4
    else
        free (buffer.data);
}

static uint64_t s_cost (size_t bytes)
{
    return bytes < LEAST_COST_BYTES ? LEAST_COST_BYTES : bytes;
}

/* The next answer that is for the owner; others end here. NULL: none. */
static answer_t *s_next_answer (snapshot_actor_t *self)
{
    for (;;) {
        answer_t *answer = s_receive (self->lane, ZMQ_DONTWAIT);
        if (!answer)
            return NULL;
        if (answer->buffer.data) {
            self->ahead_bytes -= s_cost (answer->buffer.bytes);
            s_take_back (self, answer->buffer);
        }
        bool awaited = self->state != IDLE && answer->snapshot == self->snapshot;
        if (awaited && !answer->dropped)
            return answer;
        free (answer);
    }
}

void snapshot_actor_destroy (snapshot_actor_t **self_p)
{
    snapshot_actor_t *self = *self_p;
    if (!self)
        return;
    if (self->actor) {
        command_t *end = calloc (1, sizeof *end);
        KV_ASSERT (end != NULL);
        end->type = END;
        s_send (self->lane, end);
        zactor_destroy (&self->actor);
        handover_take (self->worker);
        self->state = IDLE; /* nothing of what comes is wanted */
        answer_t *answer = s_next_answer (self);
        KV_ASSERT (answer == NULL);
    }
    s_free_spares (self);
    if (self->worker->lane)
        zmq_close (self->worker->lane);
    if (self->lane)
        zmq_close (self->lane);
    free (self->worker);
    free (self);
    *self_p = NULL;
}

void *snapshot_actor_socket (const snapshot_actor_t *self)
{
    return self->lane;
}

static void s_command (snapshot_actor_t *self, command_t command)
{
    command_t *sent = malloc (sizeof *sent);
    KV_ASSERT (sent != NULL);
    *sent = command;
    sent->snapshot = self->snapshot;
    s_send (self->lane, sent);
}

void snapshot_actor_begin (snapshot_actor_t *self, const snapshot_header_t *header)
{
    KV_ASSERT (self->state == IDLE);
    self->state = WRITING;
    self->snapshot++;
    s_command (self, (command_t){.type = BEGIN, .header = *header});
}

bool snapshot_actor_has_room (const snapshot_actor_t *self)
{
    return self->ahead_bytes < SNAPSHOT_AHEAD_BYTES;
}

void snapshot_actor_chunk (snapshot_actor_t *self, snapshot_kind_t kind, uint32_t shard,
                           writer_t *chunk)
{
    KV_ASSERT (!chunk->overflow);
    if (self->state != WRITING) {
        writer_reset (chunk); // C2
        return;
    }
    buffer_t buffer = {.capacity = chunk->capacity};
    buffer.data = writer_take (chunk, &buffer.bytes);
    self->ahead_bytes += s_cost (buffer.bytes);
    s_command (self, (command_t){.type = CHUNK, .buffer = buffer, .kind = kind, .shard = shard});
    if (self->spare_count == 0)
        return;
    buffer_t spare = self->spares[self->spare_count - 1];
    if (spare.capacity > chunk->limit)
        return;
    chunk->data = spare.data;
    chunk->capacity = spare.capacity;
    self->spare_count--;
}

void snapshot_actor_finish (snapshot_actor_t *self, uint64_t end_lsn, uint64_t entries)
{
    if (self->state != WRITING)
        return; // C2
    self->state = FINISHING;
    s_command (self, (command_t){.type = FINISH, .end_lsn = end_lsn, .entries = entries});
}

void snapshot_actor_abort (snapshot_actor_t *self)
{
    if (self->state == IDLE)
        return;
    self->state = IDLE;
    s_free_spares (self);
    s_command (self, (command_t){.type = ABORT});
}

kv_status_t snapshot_actor_receive (snapshot_actor_t *self, snapshot_event_t *event)
{
    answer_t *answer = s_next_answer (self);
    if (!answer)
        return KV_NOT_FOUND;
    *event = answer->event;
    free (answer);
    if (event->type != SNAPSHOT_WRITTEN) {
        self->state = IDLE;
        s_free_spares (self);
    }
    return KV_OK;
}
