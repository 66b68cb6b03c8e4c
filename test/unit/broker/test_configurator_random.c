/* Goal: whatever dies, is cut off, restarts or asks, the coordinator's disk and process included,
 *   - what was committed is a prefix of the log of everyone who commits after it;
 *   - an epoch is of one configuration for ever, told only once stored (D1, D2), a change is one step (D3, D4),
 *     nobody is left alone unasked (D6) or replaced within the grace (D5), S is fenced first (D7), and leaves
 *     only behind an opened configuration;
 *   and once all is calm every shard is at home, with its followers, without S.
 * Method: nodes are modelled as logs of positions and what they were told; owners stream, commit and ask as the
 * rules say; messages are lost, late and out of order. The seed is printed; KVDB_TEST_SEED=n runs it alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "broker/configurator.h"
#include "schema/record.h"
#include "test/unit/schema/random.h"

#include <time.h>

enum {
    NODES = 4,
    SHARDS = 5,
    STEPS = 4000,
    LOG_MAX = 4096,
    EPOCHS_MAX = 2048,
    MESSAGES_MAX = 256,
    GRACE = 350,
    MS_PER_RUN = 6000
};

typedef struct {
    uint64_t at[LOG_MAX];
    uint32_t count;
} line_t;

/* What one node, or S, has of a shard. */
typedef struct {
    line_t log;
    uint64_t promised;
    configuration_t known;    /* of this life; epoch 0: none */
    configuration_t handover; /* a planned one, as its former owner */
    member_t joiner;          /* asked for under known.epoch; node UINT32_MAX: none */
    bool begun, opened;       /* its open record is logged, committed */
    bool learns;              /* as told last */
    bool from_secondary;      /* S's log is to be taken first */
} copy_t;

typedef struct {
    member_t life;
    bool alive, cut_off; /* from the coordinator */
    bool introduced;     /* this coordinator has had the READY of this life */
    copy_t copies[SHARDS];
} fake_node_t;

typedef enum { M_CONFIGURE, M_SURVEY, M_ASK, M_CONFIRMED, M_OPENED, M_ANSWER } message_kind_t;

typedef struct {
    message_kind_t kind;
    uint32_t node, shard;
    uint64_t incarnation, epoch, number, position;
    bool learn;
    configuration_t configuration;
    configurator_ask_t ask;
    configurator_answer_t answer;
} fake_message_t;

typedef struct {
    random_t random;
    configurator_t *configurator;
    configurator_options_t options;
    int64_t now_ms, started_ms;
    bool calm, wipes;
    uint32_t trouble; /* of 1000 steps */
    fake_node_t nodes[NODES];
    copy_t secondary[SHARDS];
    uint64_t base[SHARDS];
    bool based[SHARDS];
    line_t committed[SHARDS];
    configuration_t stored[SHARDS];               /* the disk */
    configuration_t of_epoch[SHARDS][EPOCHS_MAX]; /* all that was ever told */
    bool opened[SHARDS][EPOCHS_MAX];
    uint64_t routed[SHARDS];             /* the epoch of the route; 0: nobody */
    bool drop_asked[SHARDS][EPOCHS_MAX]; /* under that epoch */
    configuration_t storing[64 * SHARDS];
    uint64_t storing_number[64 * SHARDS];
    uint32_t storing_count;
    fake_message_t messages[MESSAGES_MAX];
    uint32_t message_count;
    uint64_t commits, lives;
    configurator_stats_t total; /* over all runs and coordinators */
    uint64_t with_secondary;    /* rescues by log + S */
} world_t;

static world_t s_world;

static bool s_chance (world_t *w, uint32_t percent)
{
    return random_below (&w->random, 100) < percent;
}

/* ---- logs ------------------------------------------------------------------------------------------ */

static uint64_t s_last (const line_t *log)
{
    return log->count ? log->at[log->count - 1] : 0;
}

/* The number of records up to a position; UINT32_MAX: it is not in the log. */
static uint32_t s_find (const line_t *log, uint64_t position)
{
    if (position == 0)
        return 0;
    for (uint32_t i = 0; i < log->count; i++)
        if (log->at[i] == position)
            return i + 1;
    return UINT32_MAX;
}

static void s_append (line_t *log, uint64_t epoch)
{
    assert_true (log->count < LOG_MAX);
    log->at[log->count] = epoch << POSITION_N_BITS | (log->count + 1);
    log->count++;
}

static void s_copy (line_t *to, const line_t *from)
{
    memcpy (to->at, from->at, from->count * sizeof from->at[0]);
    to->count = from->count;
}

static bool s_starts_with (const line_t *log, const line_t *prefix)
{
    return log->count >= prefix->count &&
           memcmp (log->at, prefix->at, prefix->count * sizeof prefix->at[0]) == 0;
}

/* ---- messages --------------------------------------------------------------------------------------- */

static fake_message_t *s_send (world_t *w, message_kind_t kind, uint32_t node, uint32_t shard)
{
    if (w->message_count == MESSAGES_MAX) /* the oldest is lost */
        memmove (w->messages, w->messages + 1, --w->message_count * sizeof w->messages[0]);
    fake_message_t *message = &w->messages[w->message_count++];
    *message = (fake_message_t){.kind = kind, .node = node, .shard = shard};
    if (node < NODES)
        message->incarnation = w->nodes[node].life.incarnation;
    return message;
}

static copy_t *s_copy_of (world_t *w, uint32_t node, uint32_t shard)
{
    return node == KV_SECONDARY ? &w->secondary[shard] : &w->nodes[node].copies[shard];
}

/* Whether that life takes part in what node a does. S is where the coordinator is. */
static bool s_reaches (const world_t *w, uint32_t a, uint32_t shard, const member_t *to)
{
    if (to->node == KV_SECONDARY)
        return !w->nodes[a].cut_off && w->based[shard];
    return w->nodes[to->node].alive && member_equal (&w->nodes[to->node].life, to);
}

static bool s_is_member (const configuration_t *configuration, const member_t *life)
{
    for (uint32_t i = 0; i < configuration->count; i++)
        if (member_equal (&configuration->members[i], life))
            return true;
    return false;
}

static bool s_has_secondary (const configuration_t *configuration)
{
    return configuration->count && s_is_member (configuration, &s_world.options.secondary);
}

/* A node, or S, learns of a configuration; the former owner of a planned one hands over later. */
static void s_learn (world_t *w, uint32_t node, const configuration_t *told, bool relinquished)
{
    copy_t *copy = s_copy_of (w, node, told->shard);
    member_t life = node == KV_SECONDARY ? w->options.secondary : w->nodes[node].life;
    if (told->epoch < copy->promised || told->epoch <= copy->known.epoch)
        return;
    bool owns = copy->known.epoch && member_equal (&copy->known.members[copy->known.owner], &life);
    if (told->planned && owns && told->epoch == copy->known.epoch + 1 && !relinquished) {
        copy->handover = *told;
        return;
    }
    bool was_member = s_is_member (&copy->known, &life);
    bool goes_on = owns && member_equal (&told->members[told->owner], &life);
    copy->from_secondary =
        (!was_member || copy->from_secondary) && s_has_secondary (told) && !goes_on;
    copy->promised = told->epoch;
    copy->known = *told;
    copy->handover.epoch = 0;
    copy->joiner.node = UINT32_MAX;
    copy->begun = copy->opened = false;
}

/* ---- the coordinator's effects ------------------------------------------------------------------------ */

/* D3 to D6, of one stored configuration and the next. */
static void s_check_step (world_t *w, const configuration_t *was, const configuration_t *next)
{
    assert_int_not_equal (next->members[next->owner].node, KV_SECONDARY);
    assert_true (next->epoch == was->epoch + 1);
    if (was->epoch == 0)
        return;
    uint32_t more = 0, less = 0;
    for (uint32_t i = 0; i < next->count; i++)
        more += !s_is_member (was, &next->members[i]);
    for (uint32_t i = 0; i < was->count; i++)
        less += !s_is_member (next, &was->members[i]);
    bool same_owner = member_equal (&was->members[was->owner], &next->members[next->owner]);
    bool anew = next->count == 1u + s_has_secondary (next) && !same_owner && more;
    if (!anew) {
        assert_true (more + less == 0 || same_owner);
        assert_true (more <= 1);
        assert_true (less <= 1);
        assert_true (s_is_member (was, &next->members[next->owner]));
        if (next->count == 1 && was->count > 1)
            assert_true (w->drop_asked[next->shard][was->epoch]); // D6
    } else if (s_has_secondary (was)) {
        assert_true (s_has_secondary (next));
        w->with_secondary++;
    }
    if (!same_owner && !next->planned)
        assert_true (w->now_ms - w->started_ms >= GRACE); // D5
}

static void s_on_configure (world_t *w, const configurator_effect_t *effect)
{
    const configuration_t *told = &effect->configurations[0];
    assert_true (told->epoch < EPOCHS_MAX);
    configuration_t *first = &w->of_epoch[told->shard][told->epoch];
    if (first->epoch == 0)
        *first = *told;
    assert_memory_equal (first, told, sizeof *told);                   // D1
    assert_memory_equal (&w->stored[told->shard], told, sizeof *told); // D2
    const configuration_t *was = &w->of_epoch[told->shard][told->epoch - 1];
    bool anew = was->epoch && !s_is_member (was, &told->members[told->owner]);
    if (anew && s_has_secondary (told) && effect->node != KV_SECONDARY)
        assert_true (w->secondary[told->shard].promised >= told->epoch); // D7
    s_send (w, M_CONFIGURE, effect->node, told->shard)->configuration = *told;
    w->messages[w->message_count - 1].learn = effect->learn;
}

/* D9 */
static void s_check_routes (const world_t *w)
{
    for (uint32_t i = 0; i < SHARDS; i++) {
        const configuration_t *under = &w->of_epoch[i][w->routed[i]];
        const configuration_t *stored = &w->stored[i];
        if (w->routed[i] == 0)
            continue;
        assert_true (w->opened[i][w->routed[i]]);
        assert_true (stored->planned ||
                     member_equal (&under->members[under->owner], &stored->members[stored->owner]));
    }
}

static void s_drain (world_t *w)
{
    configurator_effect_t effect;
    while (configurator_next_effect (w->configurator, &effect)) {
        switch (effect.kind) {
        case CONFIGURATOR_STORE:
            for (size_t i = 0; i < effect.count; i++) {
                s_check_step (w, &w->stored[effect.configurations[i].shard],
                              &effect.configurations[i]);
                w->storing[w->storing_count] = effect.configurations[i];
                w->storing_number[w->storing_count++] = effect.number;
            }
            break;
        case CONFIGURATOR_CONFIGURE: s_on_configure (w, &effect); break;
        case CONFIGURATOR_SURVEY: {
            fake_message_t *message = s_send (w, M_SURVEY, effect.node, effect.shard);
            message->number = effect.number;
            message->position = effect.position;
            break;
        }
        case CONFIGURATOR_LEAVE: {
            const configuration_t *stored = &w->stored[effect.shard];
            assert_false (s_has_secondary (stored));
            assert_true (w->opened[effect.shard][stored->epoch]);
            w->secondary[effect.shard].log.count = 0;
            w->based[effect.shard] = false;
            break;
        }
        case CONFIGURATOR_ROUTE:
            w->routed[effect.shard] = effect.node == CONFIGURATOR_NOBODY ? 0 : effect.epoch;
            break;
        }
    }
    s_check_routes (w);
    assert_true (configurator_is_valid (w->configurator));
}

/* Part of what is to be stored is. */
static void s_store (world_t *w, bool tell)
{
    if (w->storing_count == 0)
        return;
    uint64_t number = w->storing_number[0];
    uint32_t count = 0;
    while (count < w->storing_count && w->storing_number[count] == number) {
        w->stored[w->storing[count].shard] = w->storing[count];
        count++;
    }
    w->storing_count -= count;
    memmove (w->storing, w->storing + count, w->storing_count * sizeof w->storing[0]);
    memmove (w->storing_number, w->storing_number + count,
             w->storing_count * sizeof w->storing_number[0]);
    if (tell)
        configurator_stored (w->configurator, number, w->now_ms);
}

/* ---- what happens to nodes and the coordinator ------------------------------------------------------- */

static void s_introduce (world_t *w, uint32_t index)
{
    fake_node_t *node = &w->nodes[index];
    uint64_t promised[SHARDS];
    for (uint32_t i = 0; i < SHARDS; i++)
        promised[i] = node->copies[i].promised;
    configurator_ready_t ready = {
        .node = index, .incarnation = node->life.incarnation, .promised = promised};
    memcpy (ready.uuid, node->life.uuid, KV_UUID_BYTES);
    node->introduced = true;
    configurator_ready (w->configurator, &ready, w->now_ms);
}

static void s_reconnect (world_t *w, uint32_t index)
{
    fake_node_t *node = &w->nodes[index];
    node->cut_off = false;
    if (!node->alive)
        configurator_gone (w->configurator, index, w->now_ms);
    else if (node->introduced)
        configurator_heard (w->configurator, index, w->now_ms);
    else
        s_introduce (w, index);
}

static void s_kill (world_t *w, uint32_t index)
{
    w->nodes[index].alive = false;
    if (!w->nodes[index].cut_off)
        configurator_gone (w->configurator, index, w->now_ms);
}

static void s_restart (world_t *w, uint32_t index, bool wiped)
{
    fake_node_t *node = &w->nodes[index];
    node->alive = true;
    node->introduced = false;
    node->life.node = index;
    node->life.incarnation = ++w->lives;
    if (wiped)
        memcpy (node->life.uuid, &w->lives, sizeof w->lives);
    for (uint32_t i = 0; i < SHARDS; i++) {
        copy_t *copy = &node->copies[i];
        copy->known = copy->handover = (configuration_t){0};
        copy->joiner.node = UINT32_MAX;
        copy->learns = copy->from_secondary = copy->begun = copy->opened = false;
        if (wiped)
            copy->log.count = 0;
        if (wiped)
            copy->promised = 0;
    }
    if (!node->cut_off)
        s_introduce (w, index);
}

static void s_end_coordinator (world_t *w)
{
    if (!w->configurator)
        return;
    configurator_stats_t stats = configurator_stats (w->configurator);
    w->total.failovers += stats.failovers;
    w->total.moves += stats.moves;
    w->total.rescues += stats.rescues;
    w->total.refusals += stats.refusals;
    configurator_destroy (&w->configurator);
}

static void s_restart_coordinator (world_t *w)
{
    while (w->storing_count && s_chance (w, 50))
        s_store (w, false);
    w->storing_count = w->message_count = 0;
    s_end_coordinator (w);
    w->configurator = configurator_new (&w->options);
    for (uint32_t i = 0; i < SHARDS; i++) {
        if (w->stored[i].epoch)
            assert_int_equal (configurator_load (w->configurator, &w->stored[i]), KV_OK);
        if (w->based[i])
            configurator_based (w->configurator, i, w->base[i]);
        w->secondary[i].known = (configuration_t){0};
    }
    w->started_ms = w->now_ms;
    configurator_start (w->configurator, w->now_ms);
    for (uint32_t i = 0; i < NODES; i++) {
        w->nodes[i].introduced = false;
        if (w->nodes[i].alive && !w->nodes[i].cut_off)
            s_introduce (w, i);
    }
}

static void s_happen (world_t *w)
{
    uint32_t index = random_below (&w->random, NODES);
    fake_node_t *node = &w->nodes[index];
    uint32_t what = random_below (&w->random, 20);
    if (what == 0) {
        s_restart_coordinator (w);
    } else if (what < 7) {
        if (node->alive)
            s_kill (w, index);
        else
            s_restart (w, index, w->wipes && s_chance (w, 10));
    } else if (what < 12 && !node->alive) {
        s_restart (w, index, false);
    } else if (what < 14 && node->alive) {
        s_restart (w, index, false); /* quick: nobody saw it die */
    } else if (node->cut_off) {
        s_reconnect (w, index);
    } else if (what < 17) {
        node->cut_off = true;
        configurator_silent (w->configurator, index, w->now_ms);
    }
}

/* ---- what owners and followers do ---------------------------------------------------------------------- */

/* Streams to one copy; false: it does not have all of the log now. */
static bool s_stream (world_t *w, uint32_t owner, uint32_t shard, const member_t *to)
{
    copy_t *own = &w->nodes[owner].copies[shard];
    copy_t *copy = s_copy_of (w, to->node, shard);
    if (!s_reaches (w, owner, shard, to) || copy->promised > own->known.epoch)
        return false;
    if (to->node == KV_SECONDARY)
        assert_int_not_equal (s_find (&own->log, w->base[shard]), UINT32_MAX);
    copy->promised = own->known.epoch;
    s_copy (&copy->log, &own->log);
    return true;
}

/* Streams to all who are required, and commits if all have it. */
static bool s_commit (world_t *w, uint32_t owner, uint32_t shard)
{
    copy_t *own = &w->nodes[owner].copies[shard];
    bool all = own->begun;
    for (uint32_t i = 0; all && i < own->known.count; i++)
        if (i != own->known.owner)
            all = s_stream (w, owner, shard, &own->known.members[i]);
    if (all && own->joiner.node != UINT32_MAX)
        all = s_stream (w, owner, shard, &own->joiner);
    if (!all)
        return false;
    line_t *committed = &w->committed[shard];
    assert_true (s_starts_with (&own->log, committed));
    s_copy (committed, &own->log);
    w->commits++;
    own->opened = true;
    w->opened[shard][own->known.epoch] = true;
    return true;
}

static void s_open (world_t *w, uint32_t owner, uint32_t shard)
{
    copy_t *own = &w->nodes[owner].copies[shard];
    if (own->from_secondary) { /* log + S: to S's end, its chain (R12) */
        copy_t *secondary = &w->secondary[shard];
        if (w->nodes[owner].cut_off || secondary->promised != own->known.epoch || !w->based[shard])
            return;
        assert_int_not_equal (s_find (&own->log, w->base[shard]), UINT32_MAX);
        s_copy (&own->log, &secondary->log);
        own->from_secondary = false;
    }
    s_append (&own->log, own->known.epoch);
    own->begun = true;
}

static void s_hand_over (world_t *w, uint32_t owner, uint32_t shard)
{
    copy_t *own = &w->nodes[owner].copies[shard];
    if (!s_commit (w, owner, shard))
        return;
    configuration_t next = own->handover;
    for (uint32_t i = 0; i < next.count; i++)
        if (s_reaches (w, owner, shard, &next.members[i]) && !s_chance (w, 20))
            s_learn (w, next.members[i].node, &next, true);
    s_learn (w, owner, &next, true);
}

static void s_ask (world_t *w, uint32_t asker, uint32_t shard, configurator_ask_kind_t kind,
                   const member_t *member)
{
    uint64_t epoch = w->nodes[asker].copies[shard].known.epoch;
    if (kind == ASK_DROP)
        w->drop_asked[shard][epoch] = true;
    fake_message_t *message = s_send (w, M_ASK, asker, shard);
    message->ask = (configurator_ask_t){
        .kind = kind, .shard = shard, .epoch = epoch, .asker = w->nodes[asker].life};
    if (member)
        message->ask.member = *member;
}

/* Who learns from this owner: S, or a node that was told. The base of S is anything committed. */
static void s_admit (world_t *w, uint32_t owner, uint32_t shard, uint32_t node)
{
    copy_t *own = &w->nodes[owner].copies[shard];
    copy_t *copy = s_copy_of (w, node, shard);
    member_t life = node == KV_SECONDARY ? w->options.secondary : w->nodes[node].life;
    if (own->joiner.node != UINT32_MAX) {
        s_ask (w, owner, shard, ASK_ADMIT, &own->joiner);
        return;
    }
    if (node == owner || copy->known.epoch != own->known.epoch || !own->opened || !copy->learns ||
        s_is_member (&own->known, &life))
        return;
    if (node == KV_SECONDARY && !w->nodes[owner].cut_off) {
        uint32_t behind = random_below (&w->random, w->committed[shard].count + 1);
        w->base[shard] = behind ? w->committed[shard].at[behind - 1] : 0;
        w->based[shard] = true;
        configurator_based (w->configurator, shard, w->base[shard]);
    }
    if (!s_stream (w, owner, shard, &life))
        return;
    own->joiner = life;
    s_ask (w, owner, shard, ASK_ADMIT, &life);
}

static void s_own (world_t *w, uint32_t owner, uint32_t shard)
{
    copy_t *own = &w->nodes[owner].copies[shard];
    if (!own->begun) {
        s_open (w, owner, shard);
        return;
    }
    const member_t *member = &own->joiner; /* or a member: who is to be left out */
    if (member->node == UINT32_MAX || s_chance (w, 50))
        member = &own->known.members[random_below (&w->random, own->known.count)];
    uint32_t what = random_below (&w->random, 8);
    if (what == 0 && own->log.count < LOG_MAX / 4)
        s_append (&own->log, own->known.epoch);
    else if (what <= 3 && s_commit (w, owner, shard))
        s_send (w, M_OPENED, owner, shard)->epoch = own->known.epoch;
    else if (what == 4 && own->handover.epoch)
        s_hand_over (w, owner, shard);
    else if (what == 5 && !member_equal (member, &w->nodes[owner].life) &&
             (!s_reaches (w, owner, shard, member) || (!w->calm && s_chance (w, 5))))
        s_ask (w, owner, shard, ASK_DROP, member);
    else if (what == 6)
        s_admit (w, owner, shard, random_below (&w->random, NODES));
    else if (what == 7)
        s_admit (w, owner, shard, KV_SECONDARY);
}

static void s_work (world_t *w)
{
    uint32_t index = random_below (&w->random, NODES);
    uint32_t shard = random_below (&w->random, SHARDS);
    fake_node_t *node = &w->nodes[index];
    copy_t *copy = &node->copies[shard];
    if (!node->alive || !copy->known.epoch || copy->promised > copy->known.epoch)
        return;
    const member_t *owner = &copy->known.members[copy->known.owner];
    if (member_equal (owner, &node->life))
        s_own (w, index, shard);
    else if (s_is_member (&copy->known, &node->life) &&
             (!s_reaches (w, index, shard, owner) || (!w->calm && s_chance (w, 3))))
        s_ask (w, index, shard, ASK_REPLACE, NULL);
}

/* ---- delivery ------------------------------------------------------------------------------------------- */

static void s_to_node (world_t *w, const fake_message_t *message)
{
    copy_t *copy = s_copy_of (w, message->node, message->shard);
    if (message->kind == M_CONFIGURE) {
        if (message->configuration.epoch >= copy->known.epoch)
            copy->learns = message->learn;
        s_learn (w, message->node, &message->configuration, false);
        bool handed = copy->handover.epoch == message->configuration.epoch;
        s_send (w, M_CONFIRMED, message->node, message->shard)->epoch =
            handed ? copy->handover.epoch : copy->known.epoch;
        if (copy->opened && copy->known.epoch == message->configuration.epoch)
            s_send (w, M_OPENED, message->node, message->shard)->epoch = copy->known.epoch;
        return;
    }
    fake_message_t *answer = s_send (w, M_ANSWER, message->node, message->shard);
    answer->answer = (configurator_answer_t){.node = message->node,
                                             .shard = message->shard,
                                             .incarnation = answer->incarnation,
                                             .number = message->number,
                                             .last = s_last (&copy->log)};
    answer->answer.holds = s_find (&copy->log, message->position) != UINT32_MAX;
}

static void s_deliver (world_t *w)
{
    if (w->message_count == 0)
        return;
    uint32_t at = random_below (&w->random, w->message_count);
    fake_message_t message = w->messages[at];
    memmove (w->messages + at, w->messages + at + 1,
             (--w->message_count - at) * sizeof w->messages[0]);
    if (message.node < NODES) {
        const fake_node_t *node = &w->nodes[message.node];
        if (!node->alive || node->cut_off || node->life.incarnation != message.incarnation ||
            (!w->calm && s_chance (w, 10)))
            return;
    }
    switch (message.kind) {
    case M_CONFIGURE:
    case M_SURVEY: s_to_node (w, &message); break;
    case M_ASK: configurator_ask (w->configurator, &message.ask, w->now_ms); break;
    case M_CONFIRMED:
        configurator_confirmed (w->configurator, message.node, message.shard, message.epoch,
                                w->now_ms);
        break;
    case M_OPENED:
        configurator_opened (w->configurator, message.node, message.shard, message.epoch,
                             w->now_ms);
        break;
    case M_ANSWER: configurator_answered (w->configurator, &message.answer, w->now_ms); break;
    }
}

/* ---- runs ------------------------------------------------------------------------------------------------- */

static void s_step (world_t *w)
{
    uint32_t what = random_below (&w->random, 100);
    if (!w->calm && random_below (&w->random, 1000) < w->trouble)
        s_happen (w);
    else if (what < 45)
        s_deliver (w);
    else if (what < 85)
        s_work (w);
    else if (what < 93)
        s_store (w, true);
    else {
        w->now_ms += random_below (&w->random, 40);
        configurator_tick (w->configurator, w->now_ms);
    }
    if (s_chance (w, 70)) /* a wake-up ends */
        s_drain (w);
}

/* All who are placed for it, and nobody else. */
static bool s_is_placed (const world_t *w, const configuration_t *configuration)
{
    uint32_t placed = 0;
    for (uint32_t rank = 0; rank <= w->options.replicas; rank++)
        for (uint32_t i = 0; i < configuration->count; i++)
            placed += configuration->members[i].node ==
                      configurator_placed (w->configurator, configuration->shard, rank);
    return placed == configuration->count && placed == 1 + w->options.replicas;
}

static bool s_is_settled (const world_t *w)
{
    for (uint32_t i = 0; i < SHARDS; i++) {
        const configuration_t *present = configurator_present (w->configurator, i);
        if (configurator_state (w->configurator, i) != SHARD_OPEN ||
            present->members[present->owner].node != i % NODES || !s_is_placed (w, present) ||
            s_has_secondary (present))
            return false;
    }
    return true;
}

static void s_make (world_t *w, uint64_t seed)
{
    configurator_stats_t total = w->total;
    uint64_t with_secondary = w->with_secondary;
    memset (w, 0, sizeof *w);
    w->total = total;
    w->with_secondary = with_secondary;
    w->random = (random_t){seed};
    w->now_ms = 1000;
    w->wipes = s_chance (w, 30);
    w->trouble = 1 + random_below (&w->random, s_chance (w, 30) ? 30 : 6);
    w->options = (configurator_options_t){.shards = SHARDS,
                                          .nodes = NODES,
                                          .replicas = 1 + random_below (&w->random, 2),
                                          .has_secondary = s_chance (w, 80),
                                          .secondary = {.node = KV_SECONDARY, .incarnation = 1},
                                          .grace_ms = GRACE,
                                          .bootstrap_wait_ms = 1000,
                                          .repeat_ms = 20,
                                          .move_wait_ms = 200,
                                          .rereplicate_after_ms = 100,
                                          .home_steady_ms = 300,
                                          .home_steady_most_ms = 2000};
    w->options.secondary.uuid[0] = 255;
    for (uint32_t i = 0; i < NODES; i++) {
        w->nodes[i].life.uuid[0] = (uint8_t)(i + 1);
        w->nodes[i].cut_off = true; /* until the coordinator is there */
        s_restart (w, i, false);
        w->nodes[i].cut_off = s_chance (w, 20);
    }
    s_restart_coordinator (w);
}

static void s_run (uint64_t seed)
{
    world_t *w = &s_world;
    s_make (w, seed);
    for (uint32_t i = 0; i < STEPS; i++)
        s_step (w);
    w->calm = true;
    for (uint32_t i = 0; i < NODES; i++) {
        if (!w->nodes[i].alive)
            s_restart (w, i, false);
        if (w->nodes[i].cut_off)
            s_reconnect (w, i);
    }
    uint32_t rounds = 0;
    while (!w->wipes && !s_is_settled (w) && rounds++ < 40 * STEPS)
        s_step (w);
    if (!w->wipes && !s_is_settled (w)) {
        for (uint32_t i = 0; i < SHARDS; i++) {
            const configuration_t *present = configurator_present (w->configurator, i);
            printf ("shard %u home %u %s", i, i % NODES,
                    shard_state_name (configurator_state (w->configurator, i)));
            for (uint32_t j = 0; present && j < present->count; j++)
                printf (" %u.%u%s", present->members[j].node,
                        (unsigned)present->members[j].incarnation, j == present->owner ? "*" : "");
            printf (" epoch %u\n", present ? (unsigned)present->epoch : 0);
        }
        fail_msg ("not settled");
    }
    assert_true (w->commits > 0 || w->wipes);
    s_end_coordinator (w);
}

static int64_t s_now_ms (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void test_any_order_of_events (void **state)
{
    (void)state;
    const char *scale = getenv ("KVDB_TEST_SCALE");
    int64_t until_ms = s_now_ms () + (scale && strcmp (scale, "full") == 0 ? 10 : 1) * MS_PER_RUN;
    uint64_t seed = random_make ("configurator").state;
    uint64_t runs = 0;
    do {
        printf ("KVDB_TEST_SEED=%" PRIu64 "\n", seed);
        fflush (stdout);
        s_run (seed);
        runs++;
        seed++;
    } while (!getenv ("KVDB_TEST_SEED") && s_now_ms () < until_ms);
    const world_t *w = &s_world;
    printf ("%" PRIu64 " runs: %" PRIu64 " failovers, %" PRIu64 " moves, %" PRIu64
            " rescues, %" PRIu64 " of them with S, %" PRIu64 " refusals\n",
            runs, w->total.failovers, w->total.moves, w->total.rescues, w->with_secondary,
            w->total.refusals);
    if (runs < 20)
        return;
    assert_true (w->total.failovers > 0);
    assert_true (w->total.moves > 0);
    assert_true (w->total.rescues > w->with_secondary);
    assert_true (w->with_secondary > 0);
}

int main (void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test (test_any_order_of_events)};
    return cmocka_run_group_tests (tests, NULL, NULL);
}
