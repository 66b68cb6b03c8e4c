/* configurator - which configuration {epoch, owner, members} each shard has: the part of the coordinator that
 * decides who counts, who is promoted, and what is stored before anybody hears of it. It decides; whoever has
 * it carries out: stores, sends, answers with events.
 *
 *           bootstrap             stored              opened
 *   NONE ------------> STORING ----------> OPENING ----------> OPEN
 *                       ^   ^                 |                 |   asked for, the owner is lost, S is too many,
 *                       |   +-----------------+-----------------+   going home
 *     log found, force  |                     |   no member can own
 *                      LOST <-----------------+        LOST: its logs are surveyed (R12, R13)
 *
 *   FOREIGN: a node has promised a higher epoch than was ever stored here. Nothing changes until adopted (R15);
 *            then every node's log is surveyed, as in LOST.
 *
 *   D1   an epoch is given once: a configuration has the epoch after the highest stored (or adopted) one, and
 *        one at a time is being stored for a shard (R7).
 *   D2   nobody is told of a configuration before it is stored. All that change between two drains of the
 *        effects share one number, and so one fsync.
 *   D3   a change is one of: another owner among the same members; a member more, or its next life in its
 *        place; a member less; nothing but the epoch, for an owner to be rid of one who did not join; a log
 *        chosen anew. The last alone starts again from one full member.
 *   D4   the owner is never S. Promoted is a live member of the last configuration; without one, if S is in
 *        it, a log that holds the position before S's base, and so all before that, member or not (R12);
 *        without S, the highest log once every member's data has been heard of (R13).
 *   D5   from a start on, nobody is replaced for a grace (R15).
 *   D6   but for the owner's asking and a log chosen anew nobody is left alone (R11): so a promoted member
 *        keeps the lost one, until it has synced and asks to drop it.
 *   D7   when a log is chosen to go with S, S has confirmed the epoch before any node hears of it (R12).
 *   D8   of a planned move only the former owner hears, until the epoch is opened, it is lost, or
 *        move_wait_ms have passed: a reservation fences nothing (R18).
 *   D9   a route names an owner that is reachable, and that has opened an epoch which no stored one of another
 *        owner follows; during a planned move it stays with the former owner until the new one has opened.
 *   D10  a life: who is READY under another incarnation than a member's is not that member (R6). Silence ends
 *        with the next sign of life; who is gone comes back by READY alone.
 *
 * Who is told of a configuration it is not in hears whether to learn from its owner: nodes placed for the shard,
 * S while a copy is missing, and a spare node once one has been missing for rereplicate_after_ms. S has to go
 * when LEAVE comes: a configuration without it is stored and opened, and complete.
 *
 * Pure: time comes in, milliseconds. Source: PacificA (MSR-TR-2008-25), section 2; R6-R8, R10-R15, R18.
 * Owner: the broker's thread. */
#ifndef KVDB_BROKER_CONFIGURATOR_H
#define KVDB_BROKER_CONFIGURATOR_H

#include "actors/log.h"
#include "schema/configuration.h"

typedef struct configurator configurator_t;

#define CONFIGURATOR_NOBODY UINT32_MAX

typedef enum {
    SHARD_NONE,
    SHARD_STORING,
    SHARD_OPENING,
    SHARD_OPEN,
    SHARD_LOST,
    SHARD_FOREIGN
} shard_state_t;

typedef struct {
    uint32_t shards, nodes; /* as placed when the cluster was made: home = shard mod nodes */
    uint32_t replicas;  /* followers wanted; more than there are other nodes count for as many */
    bool has_secondary; /* S may join (never with the policy off) */
    member_t secondary; /* S; the same over restarts, as is what it has acknowledged (R13) */
    int64_t grace_ms;
    int64_t bootstrap_wait_ms;    /* from the start on, for those who are not READY */
    int64_t repeat_ms;            /* between tellings of what is not confirmed */
    int64_t move_wait_ms;         /* D8 */
    int64_t rereplicate_after_ms; /* a copy is missing: then a spare node learns (R12) */
    int64_t home_steady_ms; /* contact before a node goes home (R10), doubled by each flap ... */
    int64_t home_steady_most_ms; /* ... up to this; contact for so long makes its flaps forgotten */
    const log_t *log;            /* borrowed */
} configurator_options_t;

typedef enum {
    CONFIGURATOR_STORE, /* `configurations` under `number`, durably; then configurator_stored */
    CONFIGURATOR_CONFIGURE, /* tell `node`, or S, of configurations[0]; comes again until it is confirmed, for an
                               owner until it is opened */
    CONFIGURATOR_SURVEY, /* ask `node` how far its log of `shard` goes and whether `position` is in it; then
                               configurator_answered with `number` */
    CONFIGURATOR_ROUTE, /* requests for `shard` go to `node` under `epoch`; or NOBODY: hold them, and
                               `missing` is the node to bring back. The last of a drain counts */
    CONFIGURATOR_LEAVE  /* S is to forget `shard` and delete its file */
} configurator_effect_kind_t;

typedef struct {
    configurator_effect_kind_t kind;
    uint32_t shard;
    uint32_t node; /* KV_SECONDARY: S */
    uint32_t missing;
    uint64_t number, epoch, position;
    bool learn;                            /* CONFIGURE: it is to learn, if it is no member */
    const configuration_t *configurations; /* lent until the next call */
    size_t count;
} configurator_effect_t;

/* A process is there. Said again by the same one: what it was told is told again. */
typedef struct {
    uint32_t node;
    uint8_t uuid[KV_UUID_BYTES];
    uint64_t incarnation;
    const uint64_t *promised; /* one per shard: the highest epoch its data has seen; 0: none */
} configurator_ready_t;

typedef enum { ASK_ADMIT, ASK_DROP, ASK_REPLACE } configurator_ask_kind_t;

/* An owner asks to admit a member; to drop one, or one that it asked to admit and that is none; a follower, to
 * replace the owner by itself. */
typedef struct {
    configurator_ask_kind_t kind;
    uint32_t shard;
    uint64_t epoch; /* under which it is asked: compare-and-set (R7) */
    member_t asker;
    member_t member; /* ADMIT, DROP */
} configurator_ask_t;

typedef struct {
    uint32_t node, shard;
    uint64_t incarnation; /* whose log it is */
    uint64_t number;      /* of the survey */
    uint64_t last;        /* 0: empty */
    bool holds;           /* the position asked for is in it (by its history, not by comparing) */
} configurator_answer_t;

/* Asserts that the options make sense: 1 <= nodes <= KV_NODES_MAX, 1 <= shards <= KV_SHARDS_MAX. */
configurator_t *configurator_new (const configurator_options_t *options);
void configurator_destroy (configurator_t **self_p);

/* A stored configuration, before the start; of those of one shard the highest epoch counts. KV_CONFIG: it is
 * not of such a cluster. */
KV_CHECK_RESULT kv_status_t configurator_load (configurator_t *self, const configuration_t *stored);

void configurator_start (configurator_t *self, int64_t now_ms);

/* ---- nodes ---- */

void configurator_ready (configurator_t *self, const configurator_ready_t *ready, int64_t now_ms);
void configurator_heard (configurator_t *self, uint32_t node, int64_t now_ms);
void configurator_silent (configurator_t *self, uint32_t node, int64_t now_ms); /* for a grace */
void configurator_gone (configurator_t *self, uint32_t node, int64_t now_ms);

void configurator_ask (configurator_t *self, const configurator_ask_t *ask, int64_t now_ms);

/* `node` (or S) has learnt, and made durable, that epoch; its owner has committed the record that opens it, and
 * serves. Who is told of an epoch it has opened before says so again. */
void configurator_confirmed (configurator_t *self, uint32_t node, uint32_t shard, uint64_t epoch,
                             int64_t now_ms);
void configurator_opened (configurator_t *self, uint32_t node, uint32_t shard, uint64_t epoch,
                          int64_t now_ms);
void configurator_answered (configurator_t *self, const configurator_answer_t *answer,
                            int64_t now_ms);

/* ---- the coordinator's own disk ---- */

/* All up to that number is stored. */
void configurator_stored (configurator_t *self, uint64_t number, int64_t now_ms);

/* S has its base: `previous` is the position before its first record. To be said before it is asked to be
 * admitted, each time the base changes, and for each shard S has a file of, before the start. */
void configurator_based (configurator_t *self, uint32_t shard, uint64_t previous);

/* Whether S has room for more shards. It has, at first. */
void configurator_room (configurator_t *self, bool room, int64_t now_ms);

/* ---- the operator ---- */

/* Goes on with the highest log there is of a LOST or adopted shard, whatever is missing. Counted. KV_UNAVAILABLE:
 * the shard is not lost, or no node that is there has answered. */
KV_CHECK_RESULT kv_status_t configurator_force (configurator_t *self, uint32_t shard,
                                                int64_t now_ms);

/* FOREIGN shards, and those that turn out to be later in this life, are taken over: from the highest log of all
 * nodes, above the highest epoch told. */
void configurator_adopt (configurator_t *self, int64_t now_ms);

/* ---- time, effects ---- */

/* Call at least every repeat_ms. */
void configurator_tick (configurator_t *self, int64_t now_ms);

/* The next effect, oldest first; false: there is none. Drain once per wake-up: D2. */
bool configurator_next_effect (configurator_t *self, configurator_effect_t *out);

/* ---- how it stands ---- */

shard_state_t configurator_state (const configurator_t *self, uint32_t shard);
const char *shard_state_name (shard_state_t state); /* lower case: "lost" */

/* The stored configuration; NULL: there is none. */
const configuration_t *configurator_present (const configurator_t *self, uint32_t shard);

/* The node placed `rank`th for a shard: 0 its home, then its followers, which go round all other nodes. */
uint32_t configurator_placed (const configurator_t *self, uint32_t shard, uint32_t rank);

typedef struct {
    uint64_t changes; /* configurations stored */
    uint64_t failovers, moves,
        rescues;       /* of them: a member promoted, a planned move, a log chosen anew */
    uint64_t forced;   /* by an operator, with members missing */
    uint64_t refusals; /* askings that changed nothing */
} configurator_stats_t;
configurator_stats_t configurator_stats (const configurator_t *self);

/* D1, D4 and G1 to G3 by a walk over all shards; for tests and debug builds. */
bool configurator_is_valid (const configurator_t *self);

#endif
