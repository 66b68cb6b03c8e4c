#include "actors/door_guard.h"

#include <netinet/in.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum { IDENTITY_BYTES_MAX = 255, SLOTS_MIN = 64, DESCRIPTORS_MIN = 64, SCANS_MAX = 8192 };

/* What a trusted connection may have waiting in any case, whole messages included. */
enum { FLOOD_BYTES = 256 * 1024 * 1024 };

/* Counts bytes on their way out. Outlives the guard while libzmq holds some of them (G4). */
struct door_account {
    atomic_uint references;
    atomic_size_t bytes;
    door_account_t *total; /* of the whole door; NULL: this is it */
};

typedef struct {
    int fd;
    bool announced; /* the monitor has told of it */
    bool refused;   /* over max_connections */
    bool shut_down;
    bool trusted;        /* a peer of it is */
    uint64_t cookie;     /* G2 */
    uint64_t through;    /* G3 */
    uint64_t looked;     /* bytes libzmq had read at the last look; 0: not looked closely */
    uint64_t dry_rounds; /* the door's, at the last look */
    door_peer_t *peers;  /* met through this connection */
} connection_t;

struct door_peer {
    connection_t *connection; /* NULL: gone */
    door_peer_t *next;        /* of the same connection, or in the list of the gone */
    door_account_t *account;
    size_t billed; /* G5 */
    uint64_t hash;
    bool in_table;
    uint8_t identity_bytes;
    uint8_t identity[];
};

struct door_guard {
    door_guard_options_t options;
    uint64_t key[2];            /* of the hash: identities may be chosen by outsiders */
    connection_t **connections; /* by descriptor */
    size_t descriptors;         /* room in it */
    size_t next_look;
    int64_t looked_ms;
    door_peer_t **slots; /* open addressing, a power of two, at most half full */
    size_t slot_count;
    door_peer_t *gone_first, **gone_last;
    uint64_t dry_rounds;
    door_account_t *total;
    bool is_full; /* and has been logged to be */
    door_guard_stats_t stats;
};

static door_account_t *s_account_new (door_account_t *total)
{
    door_account_t *self = malloc (sizeof *self);
    KV_ASSERT (self != NULL);
    atomic_init (&self->references, 1);
    atomic_init (&self->bytes, 0);
    self->total = total;
    if (total)
        atomic_fetch_add_explicit (&total->references, 1, memory_order_relaxed);
    return self;
}

static void s_account_unref (door_account_t *self)
{
    while (self) {
        door_account_t *total = self->total;
        if (atomic_fetch_sub_explicit (&self->references, 1, memory_order_acq_rel) > 1)
            return;
        free (self);
        self = total;
    }
}

static bool s_account_fits (const door_account_t *self, size_t bytes, int64_t most)
{
    size_t used = atomic_load_explicit (&self->bytes, memory_order_relaxed);
    return used == 0 || used + bytes <= (size_t)most;
}

bool door_guard_fits (const door_guard_t *self, const door_peer_t *peer, size_t bytes)
{
    return s_account_fits (self->total, bytes, self->options.max_total_output_bytes) &&
           (!peer || s_account_fits (peer->account, bytes, self->options.max_output_bytes));
}

size_t door_guard_bill (door_peer_t *peer, size_t bytes)
{
    peer->billed += bytes;
    size_t due = peer->billed < DOOR_BILL_BYTES ? 0 : peer->billed;
    peer->billed -= due;
    return due; // G5
}

door_account_t *door_guard_claim (door_guard_t *self, door_peer_t *peer, size_t bytes)
{
    door_account_t *account = peer ? peer->account : self->total;
    atomic_fetch_add_explicit (&account->references, 1, memory_order_relaxed);
    for (door_account_t *each = account; each; each = each->total)
        atomic_fetch_add_explicit (&each->bytes, bytes, memory_order_relaxed);
    return account;
}

void door_account_release (door_account_t *account, size_t bytes)
{
    for (door_account_t *each = account; each; each = each->total) {
        size_t before = atomic_fetch_sub_explicit (&each->bytes, bytes, memory_order_relaxed);
        KV_ASSERT (before >= bytes); // G4
    }
    s_account_unref (account);
}

static uint64_t s_rotate (uint64_t value, int bits)
{
    return (value << bits) | (value >> (64 - bits));
}

static void s_sip_round (uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = s_rotate (v[1], 13) ^ v[0];
    v[3] = s_rotate (v[3], 16) ^ v[2];
    v[0] = s_rotate (v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = s_rotate (v[1], 17) ^ v[2];
    v[3] = s_rotate (v[3], 21) ^ v[0];
    v[2] = s_rotate (v[2], 32);
}

/* SipHash-1-3 (Aumasson and Bernstein, 2012). */
static uint64_t s_hash (const door_guard_t *self, kv_slice_t bytes)
{
    uint64_t v[4] = {
        self->key[0] ^ UINT64_C (0x736f6d6570736575), self->key[1] ^ UINT64_C (0x646f72616e646f6d),
        self->key[0] ^ UINT64_C (0x6c7967656e657261), self->key[1] ^ UINT64_C (0x7465646279746573)};
    for (size_t at = 0; at <= bytes.size; at += 8) {
        size_t left = bytes.size - at;
        uint64_t word = left < 8 ? (uint64_t)bytes.size << 56 : 0;
        for (size_t i = 0; i < 8 && i < left; i++)
            word |= (uint64_t)bytes.data[at + i] << (8 * i);
        v[3] ^= word;
        s_sip_round (v);
        v[0] ^= word;
    }
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        s_sip_round (v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

door_guard_t *door_guard_new (const door_guard_options_t *options)
{
    KV_ASSERT (options->max_connections > 0);
    door_guard_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    self->options = *options;
    ssize_t got = getrandom (self->key, sizeof self->key, 0);
    KV_ASSERT (got == (ssize_t)sizeof self->key);
    self->descriptors = DESCRIPTORS_MIN;
    self->connections = calloc (self->descriptors, sizeof *self->connections);
    self->slot_count = SLOTS_MIN;
    self->slots = calloc (self->slot_count, sizeof *self->slots);
    KV_ASSERT (self->connections && self->slots);
    self->gone_last = &self->gone_first;
    self->total = s_account_new (NULL);
    return self;
}

static size_t s_home (const door_guard_t *self, uint64_t hash)
{
    return hash & (self->slot_count - 1);
}

/* The slot that holds the identity, or the free one where it would go. */
static size_t s_slot (const door_guard_t *self, uint64_t hash, kv_slice_t identity)
{
    size_t at = s_home (self, hash);
    for (;; at = (at + 1) & (self->slot_count - 1)) {
        const door_peer_t *peer = self->slots[at];
        if (!peer)
            return at;
        if (peer->hash == hash &&
            kv_slice_equal (kv_slice (peer->identity, peer->identity_bytes), identity))
            return at;
    }
}

static void s_grow (door_guard_t *self)
{
    door_peer_t **old = self->slots;
    size_t old_count = self->slot_count;
    self->slot_count *= 2;
    self->slots = calloc (self->slot_count, sizeof *self->slots);
    KV_ASSERT (self->slots != NULL);
    for (size_t i = 0; i < old_count; i++) {
        if (!old[i])
            continue;
        size_t at = s_home (self, old[i]->hash);
        while (self->slots[at])
            at = (at + 1) & (self->slot_count - 1);
        self->slots[at] = old[i];
    }
    free (old);
}

/* Takes a peer out of the table and closes the gap: peers behind it move up towards their homes. */
static void s_untable (door_guard_t *self, door_peer_t *peer)
{
    if (!peer->in_table)
        return;
    size_t mask = self->slot_count - 1;
    size_t gap = s_slot (self, peer->hash, kv_slice (peer->identity, peer->identity_bytes));
    KV_ASSERT (self->slots[gap] == peer);
    for (size_t at = (gap + 1) & mask; self->slots[at]; at = (at + 1) & mask) {
        size_t from_home = (at - s_home (self, self->slots[at]->hash)) & mask;
        if (from_home < ((at - gap) & mask))
            continue; /* its home lies behind the gap */
        self->slots[gap] = self->slots[at];
        gap = at;
    }
    self->slots[gap] = NULL;
    peer->in_table = false;
    self->stats.peers--;
}

static void s_free_peer (door_guard_t *self, door_peer_t *peer)
{
    s_untable (self, peer);
    s_account_unref (peer->account);
    free (peer);
}

static void s_gone (door_guard_t *self, door_peer_t *peer)
{
    peer->connection = NULL;
    peer->next = NULL;
    *self->gone_last = peer;
    self->gone_last = &peer->next;
}

static connection_t *s_connection (const door_guard_t *self, int fd)
{
    return fd >= 0 && (size_t)fd < self->descriptors ? self->connections[fd] : NULL;
}

void door_guard_disconnected (door_guard_t *self, int fd)
{
    connection_t *connection = s_connection (self, fd);
    if (!connection)
        return;
    while (connection->peers) {
        door_peer_t *peer = connection->peers;
        connection->peers = peer->next;
        s_gone (self, peer); // G1
    }
    if (!connection->refused)
        self->stats.connections--;
    self->connections[fd] = NULL;
    free (connection);
    if (self->stats.connections < (uint64_t)self->options.max_connections)
        self->is_full = false;
}

static uint64_t s_cookie (int fd)
{
    uint64_t cookie = 0;
    socklen_t bytes = sizeof cookie;
    return getsockopt (fd, SOL_SOCKET, SO_COOKIE, &cookie, &bytes) == 0 ? cookie : 0;
}

/* A second descriptor cannot come to mean another connection between the check and the act (G2).
 * With no lingering, libzmq's close resets the connection: else the peer, blocked in its sending,
 * would keep both kernels' buffers for minutes. */
static void s_shut_down (connection_t *connection)
{
    int fd = dup (connection->fd);
    if (fd < 0)
        return;
    if (s_cookie (fd) == connection->cookie) {
        struct linger none = {.l_onoff = 1};
        setsockopt (fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
        shutdown (fd, SHUT_RDWR);
        connection->shut_down = true;
    }
    close (fd);
}

static connection_t *s_open (door_guard_t *self, int fd)
{
    if ((size_t)fd >= self->descriptors) {
        size_t more = 2 * (size_t)fd;
        self->connections = realloc (self->connections, more * sizeof *self->connections);
        KV_ASSERT (self->connections != NULL);
        memset (self->connections + self->descriptors, 0,
                (more - self->descriptors) * sizeof *self->connections);
        self->descriptors = more;
    }
    connection_t *connection = calloc (1, sizeof *connection);
    KV_ASSERT (connection != NULL);
    connection->fd = fd;
    connection->cookie = s_cookie (fd);
    self->connections[fd] = connection;
    self->stats.accepted++;
    if (self->stats.connections < (uint64_t)self->options.max_connections) {
        self->stats.connections++;
        return connection;
    }
    connection->refused = true;
    self->stats.refused++;
    s_shut_down (connection);
    if (!self->is_full)
        log_event (self->options.log, KV_LOG_WARN, "event=connections_full door=%s connections=%d",
                   self->options.name, self->options.max_connections);
    self->is_full = true;
    return connection;
}

void door_guard_accepted (door_guard_t *self, int fd)
{
    connection_t *connection = s_connection (self, fd);
    if (connection && connection->announced) {
        door_guard_disconnected (self, fd); /* libzmq does not tell of every end */
        connection = NULL;
    }
    if (!connection)
        connection = s_open (self, fd);
    connection->announced = true;
}

door_peer_t *door_guard_find (const door_guard_t *self, kv_slice_t identity)
{
    door_peer_t *peer = self->slots[s_slot (self, s_hash (self, identity), identity)];
    return peer && peer->connection ? peer : NULL;
}

/* With several I/O threads, a message may overtake the event that tells of its connection. */
static bool s_is_ours (const door_guard_t *self, int fd)
{
    struct sockaddr_in6 address = {0}; /* its port lies where that of sockaddr_in does */
    socklen_t bytes = sizeof address;
    return fd >= 0 && getsockname (fd, (struct sockaddr *)&address, &bytes) == 0 &&
           (address.sin6_family == AF_INET || address.sin6_family == AF_INET6) &&
           ntohs (address.sin6_port) == self->options.port;
}

door_peer_t *door_guard_meet (door_guard_t *self, kv_slice_t identity, int fd)
{
    KV_ASSERT (identity.size >= 1 && identity.size <= IDENTITY_BYTES_MAX);
    uint64_t hash = s_hash (self, identity);
    door_peer_t *peer = self->slots[s_slot (self, hash, identity)];
    if (peer && peer->connection)
        return peer;
    connection_t *connection = s_connection (self, fd);
    if (!connection && s_is_ours (self, fd))
        connection = s_open (self, fd);
    if (peer && !connection)
        return peer;
    if (peer)
        s_untable (self, peer); /* gone, to be reported, and back */
    if (self->stats.peers >= 2 * (uint64_t)self->options.max_connections + SLOTS_MIN)
        return NULL;
    if (2 * (self->stats.peers + 1) > self->slot_count)
        s_grow (self);
    peer = calloc (1, sizeof *peer + identity.size);
    KV_ASSERT (peer != NULL);
    peer->hash = hash;
    peer->account = s_account_new (self->total);
    peer->identity_bytes = (uint8_t)identity.size;
    memcpy (peer->identity, identity.data, identity.size);
    peer->in_table = true;
    self->slots[s_slot (self, hash, identity)] = peer;
    self->stats.peers++;
    if (!connection) {
        s_gone (self, peer);
        return peer;
    }
    peer->connection = connection;
    peer->next = connection->peers;
    connection->peers = peer;
    return peer;
}

void door_guard_trust (door_guard_t *self, door_peer_t *peer)
{
    (void)self;
    if (peer && peer->connection)
        peer->connection->trusted = true;
}

void door_guard_delivered (door_guard_t *self, door_peer_t *peer, uint64_t bytes)
{
    connection_t *connection = peer ? peer->connection : NULL;
    if (!connection)
        return;
    connection->through += bytes;
    bool ran_dry_since = connection->dry_rounds != self->dry_rounds;
    if (ran_dry_since && connection->through < connection->looked)
        connection->through = connection->looked; // G3
}

void door_guard_dry (door_guard_t *self)
{
    self->dry_rounds++;
}

/* Bytes the kernel has received, and how many of them libzmq has not read. */
static bool s_received (int fd, uint64_t *received)
{
    struct tcp_info info = {0};
    socklen_t bytes = sizeof info;
    if (getsockopt (fd, IPPROTO_TCP, TCP_INFO, &info, &bytes) != 0)
        return false;
    *received = info.tcpi_bytes_received;
    return true;
}

static uint64_t s_unread (int fd)
{
    int unread = 0;
    return ioctl (fd, SIOCINQ, &unread) == 0 && unread > 0 ? (uint64_t)unread : 0;
}

/* What a connection may have pending. */
static uint64_t s_most (const door_guard_t *self, const connection_t *connection)
{
    bool is_stranger = self->options.max_stranger_bytes > 0 && !connection->trusted;
    return (uint64_t)(is_stranger ? self->options.max_stranger_bytes
                                  : self->options.max_pending_bytes);
}

static void s_condemn (door_guard_t *self, connection_t *connection, uint64_t pending)
{
    s_shut_down (connection); // O2
    if (!connection->shut_down)
        return;
    self->stats.shut_down++;
    log_event (self->options.log, KV_LOG_WARN,
               "event=connection_shut_down door=%s fd=%d reason=unfinished_message bytes=%llu",
               self->options.name, connection->fd, (unsigned long long)pending);
}

/* O2: what libzmq had read at the last look and has not come out although the door ran dry since is
 * the beginning of a message. What it has read by now may be whole messages that wait for us, so
 * the bound on that is far from what a client that sends fast ever has waiting. */
static void s_look_at (door_guard_t *self, connection_t *connection)
{
    int fd = connection->fd;
    uint64_t received;
    if (!s_received (fd, &received) ||
        (received < connection->through && s_cookie (fd) != connection->cookie)) {
        door_guard_disconnected (self, fd); /* closed, and nobody has told */
        return;
    }
    if (connection->through > received)
        connection->through = received;
    uint64_t most = s_most (self, connection);
    uint64_t through = connection->through;
    uint64_t looked = connection->looked;
    bool ran_dry_since = looked > 0 && connection->dry_rounds != self->dry_rounds;
    connection->looked = 0;
    if (received - through <= most / 2)
        return;
    uint64_t unread = s_unread (fd);
    uint64_t read = received > unread ? received - unread : 0;
    uint64_t pending = read > through ? read - through : 0;
    bool unfinished = ran_dry_since && looked > through && looked - through > most;
    bool stranger = most < (uint64_t)self->options.max_pending_bytes;
    bool flood = pending > 2 * most && (stranger || pending > FLOOD_BYTES);
    if ((unfinished || flood) && !connection->shut_down)
        s_condemn (self, connection, pending);
    connection->looked = read;
    connection->dry_rounds = self->dry_rounds;
}

void door_guard_look (door_guard_t *self, int64_t now_ms)
{
    if (now_ms - self->looked_ms < DOOR_LOOK_MS)
        return;
    self->looked_ms = now_ms;
    size_t looks = 0;
    size_t scans = self->descriptors < SCANS_MAX ? self->descriptors : SCANS_MAX;
    for (; scans > 0 && looks < DOOR_LOOKS_MAX; scans--) {
        if (self->next_look >= self->descriptors)
            self->next_look = 0;
        connection_t *connection = self->connections[self->next_look++];
        if (!connection)
            continue;
        s_look_at (self, connection);
        looks++;
    }
}

void door_guard_lost (door_guard_t *self, door_peer_t *peer)
{
    if (!peer->connection)
        return;
    door_peer_t **link = &peer->connection->peers;
    while (*link != peer)
        link = &(*link)->next;
    *link = peer->next;
    s_gone (self, peer); // G1
}

kv_status_t door_guard_next_gone (door_guard_t *self, uint8_t *identity, size_t *identity_bytes)
{
    door_peer_t *peer = self->gone_first;
    if (!peer)
        return KV_END;
    self->gone_first = peer->next;
    if (!self->gone_first)
        self->gone_last = &self->gone_first;
    memcpy (identity, peer->identity, peer->identity_bytes);
    *identity_bytes = peer->identity_bytes;
    s_free_peer (self, peer);
    return KV_OK;
}

door_guard_stats_t door_guard_stats (const door_guard_t *self)
{
    door_guard_stats_t stats = self->stats;
    stats.output_bytes = atomic_load_explicit (&self->total->bytes, memory_order_relaxed);
    return stats;
}

void door_guard_destroy (door_guard_t **self_p)
{
    door_guard_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (size_t fd = 0; fd < self->descriptors; fd++)
        door_guard_disconnected (self, (int)fd);
    uint8_t identity[IDENTITY_BYTES_MAX];
    size_t bytes;
    while (door_guard_next_gone (self, identity, &bytes) == KV_OK)
        continue;
    KV_ASSERT (self->stats.peers == 0);
    KV_ASSERT (self->stats.connections == 0);
    s_account_unref (self->total);
    free (self->slots);
    free (self->connections);
    free (self);
}
