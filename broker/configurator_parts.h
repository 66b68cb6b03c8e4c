/* configurator_parts - what the parts of the configurator share: configurator.c has its events and its store,
 * configurator_rules.c decides, configurator_tell.c tells. Not for others. */
#ifndef KVDB_BROKER_CONFIGURATOR_PARTS_H
#define KVDB_BROKER_CONFIGURATOR_PARTS_H

#include "broker/configurator.h"

/* What one recipient was told of one shard. */
typedef struct {
    uint64_t told, confirmed; /* epochs */
    int64_t told_ms;
    bool again; /* what it is to do has changed under the same epoch */
} notice_t;

typedef struct {
    uint64_t promised; /* as its READY said */
    notice_t notice;
    uint64_t asked, answered; /* numbers of surveys; last and holds belong to the answered one */
    int64_t asked_ms;
    uint64_t last;
    bool holds;
} report_t;

typedef struct {
    member_t life; /* incarnation of its READY */
    bool known;    /* there was one */
    bool reachable;
    bool gone;         /* that life is over */
    int64_t steady_ms; /* reachable since */
    uint32_t flaps;
    report_t *reports; /* owned, one per shard; NULL: it was never READY */
} peer_t;

typedef struct {
    configuration_t present; /* stored; epoch 0: none */
    configuration_t next;    /* being stored; epoch 0: none */
    uint64_t next_number;    /* 0: not handed out yet */
    bool opened;             /* present is */
    bool lost;
    bool fence, next_fence; /* S is told first (D7) */
    uint64_t survey;        /* of the present loss */
    uint32_t missing;       /* lost: whom to bring back */
    member_t former;        /* planned: who hands over; node CONFIGURATOR_NOBODY: nobody */
    int64_t stored_ms;      /* present */
    uint64_t foreign;     /* the highest epoch a node has told that was not stored here; 0: none */
    bool lacking;         /* opened, and a copy is missing */
    int64_t lacking_ms;   /* since then */
    uint32_t spare;       /* learns, or stands, for the missing copy; CONFIGURATOR_NOBODY: nobody */
    bool secondary_there; /* S learns or is a member */
    notice_t secondary;
    uint64_t base; /* the position before S's first record */
    bool based;
    member_t routed; /* node CONFIGURATOR_NOBODY: nobody, and `routed_missing` */
    uint32_t routed_missing;
    bool was_routed;
} shard_configuration_t;

struct configurator {
    configurator_options_t options;
    uint32_t wanted; /* full members a shard is to have */
    int64_t started_ms;
    bool started, adopting, room;
    peer_t *peers;                  /* options.nodes */
    shard_configuration_t *shards;  /* options.shards */
    uint64_t number;                /* of the last batch handed out */
    uint64_t survey;                /* the last survey's */
    bool batch_open;                /* there are changes without a number */
    configuration_t *batch;         /* lent to the effect; options.shards */
    configurator_effect_t *effects; /* a queue: effects[effect_at..effect_count) */
    size_t effect_at, effect_count, effect_capacity;
    configurator_stats_t stats;
};

static inline bool has_secondary (const configuration_t *configuration)
{
    for (uint32_t i = 0; i < configuration->count; i++)
        if (configuration->members[i].node == KV_SECONDARY)
            return true;
    return false;
}

/* The index of the member of that node; count: there is none. */
static inline uint32_t member_index (const configuration_t *configuration, uint32_t node)
{
    uint32_t i = 0;
    while (i < configuration->count && configuration->members[i].node != node)
        i++;
    return i;
}

/* Whether that very life is reachable (D10). S is not asked for: it is where the coordinator is. */
static inline bool is_live (const configurator_t *self, const member_t *member)
{
    return member->node < self->options.nodes && self->peers[member->node].reachable &&
           member_equal (&self->peers[member->node].life, member);
}

static inline bool is_placed (const configurator_t *self, uint32_t shard, uint32_t node)
{
    for (uint32_t rank = 0; rank < self->wanted; rank++)
        if (configurator_placed (self, shard, rank) == node)
            return true;
    return false;
}

static inline const member_t *owner_of (const configuration_t *configuration)
{
    return &configuration->members[configuration->owner];
}

/* Full members whose lives are reachable. */
uint32_t rules_live_count (const configurator_t *self, const configuration_t *configuration);

/* Whether a node has told of a higher epoch, and nobody has adopted it (R15). */
bool rules_frozen (const configurator_t *self, const shard_configuration_t *shard);

/* Decides for one shard: a change to be stored, a survey, or nothing. */
void rules_review (configurator_t *self, uint32_t shard, int64_t now_ms);

/* The change that is asked for; false: none, the present configuration is the answer. */
bool rules_ask (configurator_t *self, const configurator_ask_t *ask, int64_t now_ms);

/* Planned moves, one node at a time (R18). */
void rules_go_home (configurator_t *self, int64_t now_ms);

/* Tells of the present configuration whoever is due; where requests go. */
void tell_review (configurator_t *self, uint32_t shard, int64_t now_ms);

/* Repeats it to a node that asked, unless it may not be told yet (D7, D8). */
void tell_again (configurator_t *self, uint32_t shard, uint32_t node, int64_t now_ms);

/* --force. False: there is no log to go on with. */
bool rules_force (configurator_t *self, uint32_t shard);

configurator_effect_t *configurator_push (configurator_t *self, configurator_effect_kind_t kind,
                                          uint32_t shard);

#endif
