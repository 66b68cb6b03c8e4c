/* Goal: the coordinator does what coordinator.h says: every (state, event), K1 to K7.
 * Method: the test is the nodes; it writes their messages, and reads effects as text:
 *   "OPEN 0;" "HOLD 0;" "LOST 0;" "LEFT 0;" and "lane<-MESSAGE;" for what is sent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "broker/coordinator.h"
#include "test/unit/schema/random.h"

enum { GRACE_MS = 350, JOIN_MS = 5 * GRACE_MS };

static const uint8_t s_cluster[KV_UUID_BYTES] = "cluster-of-tests";

typedef struct {
    shard_map_t *map;
    coordinator_t *coordinator;
    int64_t now_ms;
    char effects[8192];
    char log[8192];
    kv_status_t refused_with; /* the code of the last REFUSED */
    log_t log_to;
} bed_t;

static bed_t s_bed;

static void s_write_log (void *context, log_level_t level, const char *line)
{
    bed_t *bed = context;
    (void)level;
    size_t used = strlen (bed->log);
    snprintf (bed->log + used, sizeof bed->log - used, "%s\n", line);
}

static int s_setup (void **state)
{
    s_bed = (bed_t){.map = shard_map_new (8, 3), .now_ms = 1000};
    s_bed.log_to = (log_t){.write = s_write_log, .context = &s_bed};
    coordinator_options_t options = {
        .beacon_ms = 50, .grace_ms = GRACE_MS, .log = &s_bed.log_to, .map = s_bed.map};
    memcpy (options.cluster_id, s_cluster, KV_UUID_BYTES);
    s_bed.coordinator = coordinator_new (&options);
    coordinator_add_node (s_bed.coordinator, "n0", "host0", 7100);
    coordinator_add_node (s_bed.coordinator, "n1", "::1", 7101);
    coordinator_add_node (s_bed.coordinator, "n2", "host2", 7102);
    *state = &s_bed;
    return 0;
}

static int s_teardown (void **state)
{
    bed_t *bed = *state;
    coordinator_destroy (&bed->coordinator);
    shard_map_destroy (&bed->map);
    return 0;
}

/* ---- what is seen ------------------------------------------------------------------------------ */

/* K1 and K6 */
static void s_check_nodes (const bed_t *bed)
{
    for (uint32_t i = 0; i < 3; i++) {
        const node_t *node = coordinator_node (bed->coordinator, i);
        bool there = node->state != NODE_ABSENT && node->state != NODE_DOWN;
        assert_int_equal (there, node->control.size > 0);
        assert_int_equal (there && node->state != NODE_JOINING, node->data.size > 0);
    }
}

static const char *s_effects (bed_t *bed)
{
    static const char *const names[] = {"SEND", "OPEN", "HOLD", "LOST", "LEFT"};
    coordinator_effect_t effect;
    bed->effects[0] = '\0';
    while (coordinator_next_effect (bed->coordinator, &effect)) {
        size_t used = strlen (bed->effects);
        char *at = bed->effects + used;
        size_t left = sizeof bed->effects - used;
        if (effect.kind != COORDINATOR_SEND) {
            snprintf (at, left, "%s %u;", names[effect.kind], effect.node);
            continue;
        }
        message_t message;
        assert_int_equal (message_decode (blob_bytes (effect.body), &message), KV_OK);
        snprintf (at, left, "%.*s<-%s;", effect.lane.size, (const char *)effect.lane.bytes,
                  message_name (message.type));
        if (message.type == MESSAGE_REFUSED)
            bed->refused_with = (kv_status_t)message.reason.code;
        blob_unref (&effect.body);
    }
    s_check_nodes (bed);
    return bed->effects;
}

static node_state_t s_state (const bed_t *bed, uint32_t node)
{
    return coordinator_node (bed->coordinator, node)->state;
}

/* ---- what nodes say ---------------------------------------------------------------------------- */

static void s_say (bed_t *bed, const char *lane, const message_t *message)
{
    writer_t out = writer_make (SIZE_MAX);
    message_encode (&out, message);
    coordinator_message (bed->coordinator, kv_slice_text (lane), kv_slice (out.data, out.size),
                         bed->now_ms);
    writer_free (&out);
}

static message_t s_ready_message (const char *id, uint64_t incarnation)
{
    return (message_t){.type = MESSAGE_READY,
                       .ready = {.node_id = kv_slice_text (id),
                                 .cluster_id = kv_slice (s_cluster, KV_UUID_BYTES),
                                 .data_uuid = kv_slice ("0123456789abcdef", KV_UUID_BYTES),
                                 .incarnation = incarnation,
                                 .wire_min = KV_WIRE_VERSION_MIN,
                                 .wire_max = KV_WIRE_VERSION_MAX,
                                 .disk_min = 1,
                                 .disk_max = 1,
                                 .host = kv_slice_text ("h"),
                                 .port = 1}};
}

static void s_ready (bed_t *bed, const char *lane, const char *id, uint64_t incarnation)
{
    message_t message = s_ready_message (id, incarnation);
    s_say (bed, lane, &message);
}

static void s_attach (bed_t *bed, const char *lane, const char *id, uint64_t incarnation)
{
    message_t message = {.type = MESSAGE_ATTACH,
                         .attach = {.node_id = kv_slice_text (id), .incarnation = incarnation}};
    s_say (bed, lane, &message);
}

static void s_beacon (bed_t *bed, const char *lane)
{
    message_t message = {.type = MESSAGE_BEACON, .beacon = {.sequence = 9, .keys = 5, .bytes = 55}};
    s_say (bed, lane, &message);
}

static void s_disconnect (bed_t *bed, const char *lane)
{
    message_t message = {.type = MESSAGE_DISCONNECT, .reason = {KV_OK, kv_slice_text ("bye")}};
    s_say (bed, lane, &message);
}

static void s_gone (bed_t *bed, const char *lane)
{
    coordinator_gone (bed->coordinator, kv_slice_text (lane));
}

static bool s_data (bed_t *bed, const char *lane)
{
    uint32_t node;
    return coordinator_data (bed->coordinator, kv_slice_text (lane), &node, bed->now_ms);
}

static void s_pass (bed_t *bed, int64_t ms)
{
    bed->now_ms += ms;
    coordinator_tick (bed->coordinator, bed->now_ms);
}

/* n0 is UP: process 1, lanes c and d. */
static void s_up (bed_t *bed)
{
    s_ready (bed, "c", "n0", 1);
    s_attach (bed, "d", "n0", 1);
    assert_string_equal (s_effects (bed), "c<-WELCOME;c<-SHARDS;OPEN 0;");
    assert_int_equal (s_state (bed, 0), NODE_UP);
}

static void s_suspect (bed_t *bed)
{
    s_up (bed);
    s_pass (bed, GRACE_MS + 1);
    assert_string_equal (s_effects (bed), "HOLD 0;");
    assert_int_equal (s_state (bed, 0), NODE_SUSPECT);
}

static void s_stopping (bed_t *bed)
{
    s_up (bed);
    assert_int_equal (coordinator_stop (bed->coordinator, 0), KV_OK);
    assert_string_equal (s_effects (bed), "HOLD 0;d<-SHUTDOWN;");
    assert_int_equal (s_state (bed, 0), NODE_STOPPING);
}

static void s_joining (bed_t *bed)
{
    s_ready (bed, "c", "n0", 1);
    assert_string_equal (s_effects (bed), "c<-WELCOME;c<-SHARDS;");
    assert_int_equal (s_state (bed, 0), NODE_JOINING);
}

static void s_down (bed_t *bed)
{
    s_up (bed);
    s_gone (bed, "c");
    assert_string_equal (s_effects (bed), "LEFT 0;");
    assert_int_equal (s_state (bed, 0), NODE_DOWN);
}

static void s_absent (bed_t *bed)
{
    assert_int_equal (s_state (bed, 0), NODE_ABSENT);
}

/* ---- the table ----------------------------------------------------------------------------------- */

typedef enum {
    DO_READY_AGAIN, /* same process, same lane */
    DO_READY_LANE,  /* same process, another lane */
    DO_READY_NEW,   /* another process, within a grace of the last sign of life or later */
    DO_ATTACH,
    DO_ATTACH_LANE, /* from another connection */
    DO_BEACON,
    DO_DATA,
    DO_SILENCE,
    DO_STOP,
    DO_ASK_TO_STOP, /* DISCONNECT on control */
    DO_LAST_WORD,   /* DISCONNECT on data */
    DO_GONE_CONTROL,
    DO_GONE_DATA,
    DOES
} does_t;

static void s_do (bed_t *bed, does_t what)
{
    switch (what) {
    case DO_READY_AGAIN: s_ready (bed, "c", "n0", 1); return;
    case DO_READY_LANE: s_ready (bed, "C", "n0", 1); return;
    case DO_READY_NEW: s_ready (bed, "C", "n0", 2); return;
    case DO_ATTACH: s_attach (bed, "d", "n0", 1); return;
    case DO_ATTACH_LANE: s_attach (bed, "D", "n0", 1); return;
    case DO_BEACON: s_beacon (bed, "c"); return;
    case DO_DATA: s_data (bed, "d"); return;
    case DO_SILENCE: s_pass (bed, GRACE_MS + 1); return;
    case DO_STOP: (void)!coordinator_stop (bed->coordinator, 0); return;
    case DO_ASK_TO_STOP: s_disconnect (bed, "c"); return;
    case DO_LAST_WORD: s_disconnect (bed, "d"); return;
    case DO_GONE_CONTROL: s_gone (bed, "c"); return;
    case DO_GONE_DATA: s_gone (bed, "d"); return;
    case DOES: break;
    }
    fail ();
}

#define AGAIN "c<-WELCOME;c<-SHARDS;"
#define OTHER "C<-WELCOME;C<-SHARDS;"
#define TO_C "c<-DISCONNECT;" /* say READY */
#define TO_D "d<-DISCONNECT;"

static const struct {
    void (*begin) (bed_t *bed);
    struct {
        node_state_t then;
        const char *effects;
    } after[DOES];
} s_table[] = {
    {s_absent,
     {[DO_READY_AGAIN] = {NODE_JOINING, AGAIN},
      [DO_READY_LANE] = {NODE_JOINING, OTHER},
      [DO_READY_NEW] = {NODE_JOINING, OTHER},
      [DO_ATTACH] = {NODE_ABSENT, ""},
      [DO_ATTACH_LANE] = {NODE_ABSENT, ""},
      [DO_BEACON] = {NODE_ABSENT, TO_C},
      [DO_DATA] = {NODE_ABSENT, ""},
      [DO_SILENCE] = {NODE_ABSENT, ""},
      [DO_STOP] = {NODE_ABSENT, ""},
      [DO_ASK_TO_STOP] = {NODE_ABSENT, TO_C},
      [DO_LAST_WORD] = {NODE_ABSENT, TO_D},
      [DO_GONE_CONTROL] = {NODE_ABSENT, ""},
      [DO_GONE_DATA] = {NODE_ABSENT, ""}}},
    {s_joining,
     {[DO_READY_AGAIN] = {NODE_JOINING, AGAIN},
      [DO_READY_LANE] = {NODE_JOINING, OTHER},
      [DO_READY_NEW] = {NODE_JOINING, "C<-REFUSED;"},
      [DO_ATTACH] = {NODE_UP, "OPEN 0;"},
      [DO_ATTACH_LANE] = {NODE_UP, "OPEN 0;"},
      [DO_BEACON] = {NODE_JOINING, "c<-BEACON_ACK;"},
      [DO_DATA] = {NODE_JOINING, ""},
      [DO_SILENCE] = {NODE_DOWN, "LEFT 0;"},
      [DO_STOP] = {NODE_JOINING, ""},
      [DO_ASK_TO_STOP] = {NODE_DOWN, "LEFT 0;"},
      [DO_LAST_WORD] = {NODE_JOINING, TO_D},
      [DO_GONE_CONTROL] = {NODE_DOWN, "LEFT 0;"},
      [DO_GONE_DATA] = {NODE_JOINING, ""}}},
    {s_up,
     {[DO_READY_AGAIN] = {NODE_UP, AGAIN},
      [DO_READY_LANE] = {NODE_JOINING, "LOST 0;" OTHER},
      [DO_READY_NEW] = {NODE_UP, "C<-REFUSED;"},
      [DO_ATTACH] = {NODE_UP, ""},
      [DO_ATTACH_LANE] = {NODE_UP, ""},
      [DO_BEACON] = {NODE_UP, "c<-BEACON_ACK;"},
      [DO_DATA] = {NODE_UP, ""},
      [DO_SILENCE] = {NODE_SUSPECT, "HOLD 0;"},
      [DO_STOP] = {NODE_STOPPING, "HOLD 0;d<-SHUTDOWN;"},
      [DO_ASK_TO_STOP] = {NODE_STOPPING, "HOLD 0;d<-SHUTDOWN;"},
      [DO_LAST_WORD] = {NODE_DOWN, "LEFT 0;"},
      [DO_GONE_CONTROL] = {NODE_DOWN, "LEFT 0;"},
      [DO_GONE_DATA] = {NODE_DOWN, TO_C "LEFT 0;"}}},
    {s_suspect,
     {[DO_READY_AGAIN] = {NODE_UP, "OPEN 0;" AGAIN},
      [DO_READY_LANE] = {NODE_JOINING, "LOST 0;" OTHER},
      [DO_READY_NEW] = {NODE_JOINING, "LEFT 0;" OTHER},
      [DO_ATTACH] = {NODE_SUSPECT, ""},
      [DO_ATTACH_LANE] = {NODE_SUSPECT, ""},
      [DO_BEACON] = {NODE_UP, "OPEN 0;c<-BEACON_ACK;"},
      [DO_DATA] = {NODE_UP, "OPEN 0;"},
      [DO_SILENCE] = {NODE_SUSPECT, ""},
      [DO_STOP] = {NODE_STOPPING, "d<-SHUTDOWN;"},
      [DO_ASK_TO_STOP] = {NODE_STOPPING, "d<-SHUTDOWN;"},
      [DO_LAST_WORD] = {NODE_DOWN, "OPEN 0;LEFT 0;"},
      [DO_GONE_CONTROL] = {NODE_DOWN, "LEFT 0;"},
      [DO_GONE_DATA] = {NODE_DOWN, TO_C "LEFT 0;"}}},
    {s_stopping,
     {[DO_READY_AGAIN] = {NODE_STOPPING, AGAIN},
      [DO_READY_LANE] = {NODE_JOINING, "LOST 0;" OTHER},
      [DO_READY_NEW] = {NODE_STOPPING, "C<-REFUSED;"},
      [DO_ATTACH] = {NODE_STOPPING, ""},
      [DO_ATTACH_LANE] = {NODE_STOPPING, ""},
      [DO_BEACON] = {NODE_STOPPING, "c<-BEACON_ACK;"},
      [DO_DATA] = {NODE_STOPPING, ""},
      [DO_SILENCE] = {NODE_STOPPING, ""},
      [DO_STOP] = {NODE_STOPPING, ""},
      [DO_ASK_TO_STOP] = {NODE_STOPPING, ""},
      [DO_LAST_WORD] = {NODE_DOWN, "LEFT 0;"},
      [DO_GONE_CONTROL] = {NODE_STOPPING, ""},
      [DO_GONE_DATA] = {NODE_DOWN, TO_C "LEFT 0;"}}},
    {s_down,
     {[DO_READY_AGAIN] = {NODE_JOINING, AGAIN},
      [DO_READY_LANE] = {NODE_JOINING, OTHER},
      [DO_READY_NEW] = {NODE_JOINING, OTHER},
      [DO_ATTACH] = {NODE_DOWN, ""},
      [DO_ATTACH_LANE] = {NODE_DOWN, ""},
      [DO_BEACON] = {NODE_DOWN, TO_C},
      [DO_DATA] = {NODE_DOWN, ""},
      [DO_SILENCE] = {NODE_DOWN, ""},
      [DO_STOP] = {NODE_DOWN, ""},
      [DO_ASK_TO_STOP] = {NODE_DOWN, TO_C},
      [DO_LAST_WORD] = {NODE_DOWN, TO_D},
      [DO_GONE_CONTROL] = {NODE_DOWN, ""},
      [DO_GONE_DATA] = {NODE_DOWN, ""}}},
};

static void test_every_state_takes_every_event (void **state)
{
    for (size_t i = 0; i < sizeof s_table / sizeof s_table[0]; i++) {
        for (int what = 0; what < DOES; what++) {
            s_setup (state);
            bed_t *bed = *state;
            s_table[i].begin (bed);
            assert_non_null (s_table[i].after[what].effects); /* the table is complete */
            s_do (bed, (does_t)what);
            if (strcmp (s_effects (bed), s_table[i].after[what].effects) != 0)
                print_error ("row %zu, event %d\n", i, what);
            assert_string_equal (bed->effects, s_table[i].after[what].effects);
            assert_int_equal (s_state (bed, 0), s_table[i].after[what].then);
            s_teardown (state);
        }
    }
    s_setup (state);
}

/* ---- joining ------------------------------------------------------------------------------------ */

static void test_welcome_and_shards_say_what_the_cluster_is_like (void **state)
{
    bed_t *bed = *state;
    coordinator_effect_t effect;
    message_t message;
    s_ready (bed, "c", "n1", 1);
    assert_true (coordinator_next_effect (bed->coordinator, &effect));
    assert_int_equal (message_decode (blob_bytes (effect.body), &message), KV_OK);
    assert_memory_equal (message.welcome.cluster_id.data, s_cluster, KV_UUID_BYTES);
    assert_int_equal (message.welcome.shards, 8);
    assert_int_equal (message.welcome.beacon_ms, 50);
    assert_int_equal (message.welcome.grace_ms, GRACE_MS);
    blob_unref (&effect.body);
    assert_true (coordinator_next_effect (bed->coordinator, &effect));
    assert_int_equal (message_decode (blob_bytes (effect.body), &message), KV_OK);
    assert_int_equal (message.shards.epoch, bed->map->epoch);
    assert_int_equal (message.shards.node_count, 3);
    static const char *const texts[] = {"n0", "tcp://host0:7100", "n1", "tcp://[::1]:7101",
                                        "n2", "tcp://host2:7102"};
    for (size_t i = 0; i < 6; i++) {
        kv_slice_t text;
        assert_int_equal (reader_bytes (&message.shards.nodes, &text), KV_OK);
        assert_true (kv_slice_equal (text, kv_slice_text (texts[i])));
    }
    assert_int_equal (message.shards.shard_count, 8);
    for (uint64_t shard = 0; shard < 8; shard++) {
        uint64_t epoch, owner;
        assert_int_equal (reader_uint (&message.shards.shards, &epoch), KV_OK);
        assert_int_equal (reader_uint (&message.shards.shards, &owner), KV_OK);
        assert_int_equal (epoch, shard % 3 == 1 ? 2 : 1); // K7: it was n1 that joined
        assert_int_equal (owner, shard % 3);
    }
    blob_unref (&effect.body);
}

static void test_another_process_is_refused_until_the_first_is_silent (void **state)
{
    bed_t *bed = *state; // K2
    s_up (bed);
    s_pass (bed, GRACE_MS);
    s_ready (bed, "x", "n0", 2);
    assert_string_equal (s_effects (bed), "x<-REFUSED;");
    assert_int_equal (bed->refused_with, KV_RETRY);
    s_pass (bed, 1);
    assert_string_equal (s_effects (bed), "HOLD 0;");
    s_ready (bed, "x", "n0", 2);
    assert_string_equal (s_effects (bed), "LEFT 0;x<-WELCOME;x<-SHARDS;");
    s_attach (bed, "y", "n0", 2);
    assert_string_equal (s_effects (bed), "OPEN 0;");
    s_beacon (bed, "c"); /* the first wakes up: it is nobody now */
    assert_false (s_data (bed, "d"));
    s_attach (bed, "d", "n0", 1);
    assert_string_equal (s_effects (bed), "c<-DISCONNECT;");
    s_ready (bed, "c", "n0", 1);
    assert_string_equal (s_effects (bed), "c<-REFUSED;");
}

static void test_another_process_is_welcome_once_the_connection_has_ended (void **state)
{
    bed_t *bed = *state; // K2
    s_up (bed);
    s_gone (bed, "d");
    s_ready (bed, "x", "n0", 2);
    assert_string_equal (s_effects (bed), "c<-DISCONNECT;LEFT 0;x<-WELCOME;x<-SHARDS;");
}

/* Says READY; returns the epoch that the node's shards then have. */
static uint64_t s_epoch_of (bed_t *bed, uint32_t node, uint64_t incarnation, uint64_t epoch)
{
    static const char *const ids[] = {"n0", "n1", "n2"};
    static const char *const lanes[] = {"c", "c1", "c2"};
    message_t message = s_ready_message (ids[node], incarnation);
    message.ready.epoch = epoch;
    s_say (bed, lanes[node], &message);
    for (uint32_t shard = node; shard < bed->map->shards; shard += 3)
        assert_int_equal (bed->map->epochs[shard], bed->map->epochs[node]);
    return bed->map->epochs[node];
}

static void test_each_process_gets_its_shards_under_a_new_epoch (void **state)
{
    bed_t *bed = *state; // K7
    assert_int_equal (s_epoch_of (bed, 0, 1, 0), 2);
    assert_string_equal (s_effects (bed), "c<-WELCOME;c<-SHARDS;");
    assert_int_equal (s_epoch_of (bed, 1, 1, 0), 3);
    assert_string_equal (s_effects (bed), "c<-SHARDS;c1<-WELCOME;c1<-SHARDS;");
    assert_int_equal (s_epoch_of (bed, 0, 1, 2), 2); /* the same process, which has it by now */
    assert_string_equal (s_effects (bed), "c<-WELCOME;c<-SHARDS;");
    s_gone (bed, "c");
    assert_string_equal (s_effects (bed), "LEFT 0;");
    assert_int_equal (s_epoch_of (bed, 0, 1, 2), 2); /* on another connection */
    assert_string_equal (s_effects (bed), "c<-WELCOME;c<-SHARDS;");
    s_gone (bed, "c");
    assert_int_equal (s_epoch_of (bed, 0, 2, 2), 4); /* started again: above all there were */
    assert_int_equal (s_epoch_of (bed, 2, 1, 1000), 1001);
    assert_int_equal (bed->map->epoch, 1001);
    assert_int_equal (bed->map->epochs[1], 3);
}

static void test_epochs_of_a_former_broker_are_passed (void **state)
{
    bed_t *bed = *state; // K7
    assert_int_equal (s_epoch_of (bed, 0, 1, 700), 701);
    assert_int_equal (s_epoch_of (bed, 1, 1, 3), 702);
    (void)s_effects (bed);
    /* What the former broker said comes late: READY told of no epoch, and then of a high one. */
    assert_int_equal (s_epoch_of (bed, 2, 1, 0), 703);
    assert_string_equal (s_effects (bed), "c<-SHARDS;c1<-SHARDS;c2<-WELCOME;c2<-SHARDS;");
    assert_int_equal (s_epoch_of (bed, 2, 1, 900), 901);
    assert_string_equal (s_effects (bed), "c<-SHARDS;c1<-SHARDS;c2<-WELCOME;c2<-SHARDS;");
    assert_int_equal (s_epoch_of (bed, 2, 1, 901), 901);
    assert_string_equal (s_effects (bed), "c2<-WELCOME;c2<-SHARDS;");
    assert_int_equal (bed->map->epochs[0], 701);
}

static void test_an_epoch_that_cannot_be_is_refused (void **state)
{
    bed_t *bed = *state;
    assert_int_equal (s_epoch_of (bed, 0, 1, UINT64_C (1) << 24), 1);
    assert_string_equal (s_effects (bed), "c<-REFUSED;");
    assert_int_equal (bed->refused_with, KV_CORRUPT);
    assert_int_equal (s_epoch_of (bed, 0, 1, UINT64_MAX), 1);
    assert_string_equal (s_effects (bed), "c<-REFUSED;");
    assert_int_equal (bed->map->epoch, 1);
}

static void test_strangers_are_refused (void **state)
{
    bed_t *bed = *state; // K3
    message_t message = s_ready_message ("n9", 1);
    s_say (bed, "c", &message);
    assert_string_equal (s_effects (bed), "c<-REFUSED;");
    assert_int_equal (bed->refused_with, KV_CONFIG);
    message = s_ready_message ("n0", 1);
    message.ready.cluster_id = kv_slice ("another-cluster!", KV_UUID_BYTES);
    s_say (bed, "c", &message);
    assert_string_equal (s_effects (bed), "c<-REFUSED;");
    assert_int_equal (bed->refused_with, KV_CONFIG);
    message.ready.cluster_id = kv_slice (NULL, 0); /* has not joined any */
    s_say (bed, "c", &message);
    assert_string_equal (s_effects (bed), "c<-WELCOME;c<-SHARDS;");
}

static void test_versions_must_meet (void **state)
{
    bed_t *bed = *state;
    static const struct {
        uint64_t least, most;
        bool welcome;
    } cases[] = {{1, 1, true}, {0, 9, true}, {2, 9, false}, {0, 0, false}, {9, 0, false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        message_t message = s_ready_message ("n0", 1);
        message.ready.wire_min = cases[i].least;
        message.ready.wire_max = cases[i].most;
        s_say (bed, "c", &message);
        assert_string_equal (s_effects (bed),
                             cases[i].welcome ? "c<-WELCOME;c<-SHARDS;" : "c<-REFUSED;");
        if (!cases[i].welcome)
            assert_int_equal (bed->refused_with, KV_BAD_VERSION);
    }
}

static void test_node_that_never_attaches_is_told_to_begin_again (void **state)
{
    bed_t *bed = *state;
    s_joining (bed);
    for (int64_t ms = 0; ms < JOIN_MS; ms += 50) {
        s_beacon (bed, "c");
        assert_string_equal (s_effects (bed), "c<-BEACON_ACK;");
        s_pass (bed, 50);
        assert_string_equal (s_effects (bed), "");
    }
    s_beacon (bed, "c");
    s_pass (bed, 1);
    assert_string_equal (s_effects (bed), "c<-BEACON_ACK;c<-DISCONNECT;LEFT 0;");
    s_attach (bed, "d", "n0", 1); /* too late */
    assert_int_equal (s_state (bed, 0), NODE_DOWN);
    s_ready (bed, "c", "n0", 1);
    s_attach (bed, "d", "n0", 1);
    assert_string_equal (s_effects (bed), "c<-WELCOME;c<-SHARDS;OPEN 0;");
}

static void test_nobody_takes_over_the_data_lane_of_a_node (void **state)
{
    bed_t *bed = *state; // K6
    s_up (bed);
    s_attach (bed, "thief", "n0", 1);
    assert_string_equal (s_effects (bed), "");
    assert_false (s_data (bed, "thief"));
    assert_true (s_data (bed, "d"));
}

static void test_ready_that_overtakes_attach_does_not_close_the_node (void **state)
{
    bed_t *bed = *state;
    s_up (bed);
    s_ready (bed, "c", "n0", 1); /* sent before the WELCOME had arrived */
    assert_string_equal (s_effects (bed), "c<-WELCOME;c<-SHARDS;");
    assert_int_equal (s_state (bed, 0), NODE_UP);
    assert_true (s_data (bed, "d"));
}

static void test_node_that_has_left_and_beacons_finds_its_way_back (void **state)
{
    bed_t *bed = *state;
    s_up (bed);
    s_gone (bed, "d");
    assert_string_equal (s_effects (bed), "c<-DISCONNECT;LEFT 0;");
    s_beacon (bed, "c"); /* it had not read that */
    assert_string_equal (s_effects (bed), "c<-DISCONNECT;");
    s_ready (bed, "c", "n0", 1);
    s_attach (bed, "d2", "n0", 1);
    assert_string_equal (s_effects (bed), "c<-WELCOME;c<-SHARDS;OPEN 0;");
}

/* ---- life ---------------------------------------------------------------------------------------- */

static void test_any_input_is_a_sign_of_life (void **state)
{
    bed_t *bed = *state; // K4
    s_up (bed);
    for (int i = 0; i < 10; i++) {
        s_pass (bed, GRACE_MS);
        if (i % 2)
            assert_true (s_data (bed, "d"));
        else
            s_beacon (bed, "c");
    }
    s_pass (bed, GRACE_MS);
    assert_string_equal (s_effects (bed), "c<-BEACON_ACK;c<-BEACON_ACK;c<-BEACON_ACK;"
                                          "c<-BEACON_ACK;c<-BEACON_ACK;");
    assert_int_equal (coordinator_node (bed->coordinator, 0)->keys, 5);
    assert_int_equal (coordinator_node (bed->coordinator, 0)->bytes, 55);
    s_pass (bed, 1);
    assert_string_equal (s_effects (bed), "HOLD 0;");
    assert_true (s_data (bed, "d"));
    assert_string_equal (s_effects (bed), "OPEN 0;");
}

static void test_nodes_do_not_mix (void **state)
{
    bed_t *bed = *state;
    uint32_t node = 9;
    s_up (bed);
    s_ready (bed, "c1", "n1", 1); /* incarnations need not differ between nodes */
    s_attach (bed, "d1", "n1", 1);
    assert_string_equal (s_effects (bed), "c<-SHARDS;c1<-WELCOME;c1<-SHARDS;OPEN 1;"); // K7
    assert_true (coordinator_data (bed->coordinator, kv_slice_text ("d1"), &node, bed->now_ms));
    assert_int_equal (node, 1);
    s_gone (bed, "d1");
    assert_string_equal (s_effects (bed), "c1<-DISCONNECT;LEFT 1;");
    assert_int_equal (s_state (bed, 0), NODE_UP);
    assert_true (coordinator_find (bed->coordinator, kv_slice_text ("n2"), &node));
    assert_int_equal (node, 2);
    assert_false (coordinator_find (bed->coordinator, kv_slice_text ("n"), &node));
}

/* ---- stopping ------------------------------------------------------------------------------------- */

static void test_node_asks_to_stop_and_says_its_last_word (void **state)
{
    bed_t *bed = *state;
    s_up (bed);
    s_disconnect (bed, "c");
    assert_string_equal (s_effects (bed), "HOLD 0;d<-SHUTDOWN;");
    assert_true (s_data (bed, "d")); /* the last replies */
    s_pass (bed, 10 * GRACE_MS);
    s_beacon (bed, "c");
    assert_string_equal (s_effects (bed), "c<-BEACON_ACK;");
    s_disconnect (bed, "d");
    assert_string_equal (s_effects (bed), "LEFT 0;");
    s_gone (bed, "c");
    s_gone (bed, "d");
    assert_string_equal (s_effects (bed), "");
    s_ready (bed, "x", "n0", 2); /* started again */
    s_attach (bed, "y", "n0", 2);
    assert_string_equal (s_effects (bed), "x<-WELCOME;x<-SHARDS;OPEN 0;");
}

static void test_last_replies_are_taken_though_the_control_lane_has_ended (void **state)
{
    bed_t *bed = *state;
    s_stopping (bed);
    s_gone (bed, "c"); /* both lanes end at once; this news overtakes what is on the other */
    assert_string_equal (s_effects (bed), "");
    assert_true (s_data (bed, "d"));
    s_disconnect (bed, "d");
    assert_string_equal (s_effects (bed), "LEFT 0;");
    s_gone (bed, "d");
    assert_string_equal (s_effects (bed), "");
}

static void test_end_of_the_broker_is_told_to_those_that_are_there (void **state)
{
    bed_t *bed = *state;
    s_up (bed);
    s_ready (bed, "e", "n1", 1);
    s_effects (bed);
    coordinator_close (bed->coordinator);
    assert_string_equal (s_effects (bed), "c<-DISCONNECT;e<-DISCONNECT;");
}

static void test_node_without_a_port_has_no_endpoint (void **state)
{
    bed_t *bed = *state;
    coordinator_effect_t effect;
    message_t message;
    kv_slice_t text;
    coordinator_add_node (bed->coordinator, "n3", "host3", 0);
    s_ready (bed, "c", "n3", 1);
    for (int i = 0; i < 2; i++) {
        assert_true (coordinator_next_effect (bed->coordinator, &effect));
        assert_int_equal (message_decode (blob_bytes (effect.body), &message), KV_OK);
        if (i == 0)
            blob_unref (&effect.body);
    }
    for (size_t i = 0; i < 8; i++)
        assert_int_equal (reader_bytes (&message.shards.nodes, &text), KV_OK);
    assert_int_equal (text.size, 0);
    blob_unref (&effect.body);
}

static void test_stop_is_said_once_however_many_ask (void **state)
{
    bed_t *bed = *state; // K5
    s_stopping (bed);
    for (int i = 0; i < 1000; i++)
        assert_int_equal (coordinator_stop (bed->coordinator, 0), KV_OK);
    s_disconnect (bed, "c");
    assert_string_equal (s_effects (bed), "");
}

static void test_stop_of_a_node_that_is_not_there (void **state)
{
    bed_t *bed = *state;
    assert_int_equal (coordinator_stop (bed->coordinator, 0), KV_UNAVAILABLE);
    s_joining (bed);
    assert_int_equal (coordinator_stop (bed->coordinator, 0), KV_UNAVAILABLE);
    assert_string_equal (s_effects (bed), "");
}

static void test_stopped_process_that_joins_again_is_told_again (void **state)
{
    bed_t *bed = *state; // K5
    s_stopping (bed);
    s_gone (bed, "d"); /* SHUTDOWN may have been lost with it */
    assert_string_equal (s_effects (bed), "c<-DISCONNECT;LEFT 0;");
    s_ready (bed, "c", "n0", 1);
    s_attach (bed, "d2", "n0", 1);
    assert_string_equal (s_effects (bed), "c<-WELCOME;c<-SHARDS;d2<-SHUTDOWN;");
    assert_int_equal (s_state (bed, 0), NODE_STOPPING);
    s_disconnect (bed, "d2");
    assert_string_equal (s_effects (bed), "LEFT 0;");
}

static void test_stopping_process_that_hangs_can_be_replaced (void **state)
{
    bed_t *bed = *state;
    s_stopping (bed);
    s_ready (bed, "x", "n0", 2); /* K2: it is still alive */
    assert_string_equal (s_effects (bed), "x<-REFUSED;");
    s_pass (bed, GRACE_MS + 1);
    s_ready (bed, "x", "n0", 2);
    s_attach (bed, "y", "n0", 2);
    assert_string_equal (s_effects (bed), "LEFT 0;x<-WELCOME;x<-SHARDS;OPEN 0;");
    s_disconnect (bed, "d"); /* the hanging one ends: it is nobody's last word */
    assert_string_equal (s_effects (bed), "d<-DISCONNECT;");
    assert_int_equal (s_state (bed, 0), NODE_UP);
}

/* ---- what is not as it should be ------------------------------------------------------------------ */

static void test_malformed_and_misplaced_messages_are_counted (void **state)
{
    bed_t *bed = *state;
    s_up (bed);
    coordinator_message (bed->coordinator, kv_slice_text ("c"), kv_slice (NULL, 0), bed->now_ms);
    coordinator_message (bed->coordinator, kv_slice_text ("z"), kv_slice ("\xc1", 1), bed->now_ms);
    assert_int_equal (coordinator_stats (bed->coordinator).malformed, 2);
    message_t shutdown = {.type = MESSAGE_SHUTDOWN}; /* only a broker says that */
    s_say (bed, "c", &shutdown);
    assert_int_equal (coordinator_stats (bed->coordinator).malformed, 3);
    assert_string_equal (s_effects (bed), "");
    s_say (bed, "z", &shutdown);
    assert_string_equal (s_effects (bed), "z<-DISCONNECT;");
    assert_int_equal (s_state (bed, 0), NODE_UP);
}

static void test_refusals_neither_fill_nor_forge_the_log (void **state)
{
    bed_t *bed = *state;
    for (int i = 0; i < 1000; i++)
        s_ready (bed, "c", "x\nevent=node_up node=n0", 1);
    assert_int_equal (coordinator_stats (bed->coordinator).refusals, 1000);
    int lines = 0;
    for (const char *at = bed->log; (at = strchr (at, '\n')) != NULL; at++)
        lines++;
    assert_int_equal (lines, 10);
    assert_null (strstr (bed->log, "\nevent=node_up"));
    s_effects (bed);
}

/* ---- anything ------------------------------------------------------------------------------------- */

static void s_random_message (bed_t *bed, random_t *random)
{
    static const char *const lanes[] = {"c", "d", "C", "D", "e"};
    static const char *const ids[] = {"n0", "n1", "n9"};
    const char *lane = lanes[random_below (random, 5)];
    const char *id = ids[random_below (random, 3)];
    uint64_t incarnation = random_below (random, 2);
    switch (random_below (random, 9)) {
    case 0:
    case 1: s_ready (bed, lane, id, incarnation); return;
    case 2:
    case 3: s_attach (bed, lane, id, incarnation); return;
    case 4: s_beacon (bed, lane); return;
    case 5: s_disconnect (bed, lane); return;
    case 6: s_gone (bed, lane); return;
    case 7: s_data (bed, lane); return;
    default: (void)!coordinator_stop (bed->coordinator, random_below (random, 3));
    }
}

static void s_random_bytes (bed_t *bed, random_t *random)
{
    uint8_t bytes[64];
    message_t message = s_ready_message ("n0", 1);
    writer_t out = writer_make (SIZE_MAX);
    message_encode (&out, &message);
    size_t size = random_below (random, sizeof bytes);
    memcpy (bytes, out.data, sizeof bytes);
    writer_free (&out);
    for (uint32_t i = random_below (random, 4); i > 0; i--)
        bytes[random_below (random, sizeof bytes)] = (uint8_t)random_next (random);
    coordinator_message (bed->coordinator, kv_slice_text ("c"), kv_slice (bytes, size),
                         bed->now_ms);
}

/* Follows the effects as the router would: K1, and no effect that makes no sense there. */
static void s_follow (bed_t *bed, bool open[3])
{
    coordinator_effect_t effect;
    while (coordinator_next_effect (bed->coordinator, &effect)) {
        if (effect.kind == COORDINATOR_SEND)
            assert_true (effect.lane.size > 0);
        else
            open[effect.node] = effect.kind == COORDINATOR_OPEN;
        blob_unref (&effect.body);
    }
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal (open[i], s_state (bed, i) == NODE_UP); // K1
    s_check_nodes (bed);
}

static void test_any_sequence_of_messages_leaves_a_sane_state (void **state)
{
    bed_t *bed = *state;
    random_t random = random_make ("coordinator");
    const char *scale = getenv ("KVDB_TEST_SCALE");
    uint32_t rounds = scale && strcmp (scale, "full") == 0 ? 20000 : 1000;
    uint64_t reached[NODE_DOWN + 1] = {0};
    for (uint32_t round = 0; round < rounds; round++) {
        bool open[3] = {false};
        bed->log[0] = '\0';
        for (int step = 0; step < 100; step++) {
            if (random_below (&random, 20) == 0)
                s_random_bytes (bed, &random);
            else
                s_random_message (bed, &random);
            if (random_below (&random, 3) == 0)
                s_pass (bed, random_below (&random, GRACE_MS));
            s_follow (bed, open);
            reached[s_state (bed, 0)]++;
        }
        /* From anywhere: everything falls silent, a new process comes, and it gets in. */
        s_pass (bed, GRACE_MS + 1);
        s_ready (bed, "new", "n0", 77);
        s_attach (bed, "new data", "n0", 77);
        s_follow (bed, open);
        assert_int_equal (s_state (bed, 0), NODE_UP);
        s_teardown (state);
        s_setup (state);
    }
    for (int i = 0; i <= NODE_DOWN; i++)
        assert_true (reached[i] > 0);
}

#define CASE(test) cmocka_unit_test_setup_teardown (test, s_setup, s_teardown)

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown (test_every_state_takes_every_event, s_teardown),
        CASE (test_welcome_and_shards_say_what_the_cluster_is_like),
        CASE (test_another_process_is_refused_until_the_first_is_silent),
        CASE (test_another_process_is_welcome_once_the_connection_has_ended),
        CASE (test_each_process_gets_its_shards_under_a_new_epoch),
        CASE (test_epochs_of_a_former_broker_are_passed),
        CASE (test_an_epoch_that_cannot_be_is_refused),
        CASE (test_strangers_are_refused),
        CASE (test_versions_must_meet),
        CASE (test_node_that_never_attaches_is_told_to_begin_again),
        CASE (test_nobody_takes_over_the_data_lane_of_a_node),
        CASE (test_ready_that_overtakes_attach_does_not_close_the_node),
        CASE (test_node_that_has_left_and_beacons_finds_its_way_back),
        CASE (test_any_input_is_a_sign_of_life),
        CASE (test_nodes_do_not_mix),
        CASE (test_node_asks_to_stop_and_says_its_last_word),
        CASE (test_last_replies_are_taken_though_the_control_lane_has_ended),
        CASE (test_end_of_the_broker_is_told_to_those_that_are_there),
        CASE (test_node_without_a_port_has_no_endpoint),
        CASE (test_stop_is_said_once_however_many_ask),
        CASE (test_stop_of_a_node_that_is_not_there),
        CASE (test_stopped_process_that_joins_again_is_told_again),
        CASE (test_stopping_process_that_hangs_can_be_replaced),
        CASE (test_malformed_and_misplaced_messages_are_counted),
        CASE (test_refusals_neither_fill_nor_forge_the_log),
        CASE (test_any_sequence_of_messages_leaves_a_sane_state),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
