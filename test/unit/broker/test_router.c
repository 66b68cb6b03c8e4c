/* Goal: the router does what router.h says, N1 to N6, behaviour by behaviour.
 * Method: the test is the clients and the nodes. Requests and replies are written and read as text
 * (router_bed.h); every fetch of effects ends with router_is_valid.
 *
 * Six shards on three nodes. Keys by shard:
 *   node0: 0 b d f h  3 a c e g     node1: 1 ab cb eb  4 bb kb cc     node2: 2 fb ob ub  5 gb rb fc */
#include "test/unit/broker/router_bed.h"

static bed_t s_bed;

static int s_setup (void **state)
{
    *state = &s_bed;
    bed_open (&s_bed, 6, 3);
    return 0;
}

static int s_setup_open (void **state)
{
    s_setup (state);
    bed_start (&s_bed, 3);
    return 0;
}

static int s_teardown (void **state)
{
    bed_close (*state);
    return 0;
}

/* ---- on the way ------------------------------------------------------------------------------ */

static void test_whole_request_is_forwarded_uncopied (void **state)
{
    bed_t *bed = *state;
    blob_t *body = bed_body (7, "SET a 1|GET b|MGET c a", 0);
    const uint8_t *bytes = blob_bytes (body).data;
    router_request (bed->router, kv_slice_text ("me"), body, 0);
    bed_flush (bed);
    assert_int_equal (bed->sent_count, 1);
    assert_int_equal (bed->sent[0].node, 0);
    assert_string_equal (bed_sent_text (bed, 0), "SET a 1|GET b|MGET c a");
    assert_ptr_equal (blob_bytes (bed->sent[0].body).data, bytes);
    bed_reply (bed, 0, "OK|nil|(x,1)");
    assert_string_equal (bed->answers, "me:7[OK nil (x 1)];");
    assert_int_equal (router_stats (bed->router).forwarded_whole, 1);
    assert_int_equal (router_stats (bed->router).waiting_bytes, 0);
}

static void test_large_reply_is_passed_on_uncopied (void **state)
{
    bed_t *bed = *state;
    static uint8_t value[40 * 1024];
    router_effect_t effect;
    bed_ask (bed, "me", 7, "GET a");
    writer_t reply = writer_make (SIZE_MAX);
    reply_begin (&reply, 7, 1);
    result_bytes (&reply, kv_slice (value, sizeof value));
    blob_t *frame = blob_from_writer (&reply);
    router_reply (bed->router, 0, bed->sent[0].tag, frame, blob_bytes (frame));
    assert_true (router_next_effect (bed->router, &effect));
    assert_ptr_equal (blob_bytes (effect.body).data, blob_bytes (frame).data);
    blob_unref (&frame); /* the effect keeps it */
    assert_int_equal (blob_bytes (effect.body).data[blob_bytes (effect.body).size - 1], 0);
    blob_unref (&effect.body);
    bed_flush (bed);
}

static void test_batch_is_scattered_and_gathered_in_order (void **state)
{
    bed_t *bed = *state;
    bed_ask (bed, "me", 9, "GET ab|SET a 1|GET fb|GET c|PING");
    assert_int_equal (bed->sent_count, 3);
    assert_string_equal (bed_sent_text (bed, 0), "GET ab");
    assert_string_equal (bed_sent_text (bed, 1), "SET a 1|GET c");
    assert_string_equal (bed_sent_text (bed, 2), "GET fb");
    bed_reply (bed, 2, "three");
    bed_reply (bed, 1, "OK|four");
    assert_string_equal (bed->answers, "");
    bed_reply (bed, 0, "one");
    assert_string_equal (bed->answers, "me:9[one OK three four PONG];");
}

static void test_options_go_with_every_part (void **state)
{
    bed_t *bed = *state;
    bed_ask_for (bed, "me", 9, "GET ab|GET a", 1234);
    for (uint32_t i = 0; i < 2; i++) {
        request_t request;
        const char *why;
        assert_int_equal (request_decode (blob_bytes (bed->sent[i].body), &request, &why), KV_OK);
        assert_int_equal (request.deadline_ms, 1234);
        bed_reply (bed, i, "x");
    }
    assert_string_equal (bed->answers, "me:9[x x];");
}

static void test_split_commands_are_merged (void **state)
{
    bed_t *bed = *state;
    bed_ask (bed, "me", 1,
             "MGET fb a ab b c a|MSET a 1 ab 2|DEL a ab fb|EXISTS a a ab|DBSIZE|KEYS *");
    assert_int_equal (bed->sent_count, 3);
    assert_string_equal (bed_sent_text (bed, 0), "MGET fb|DEL fb|DBSIZE|KEYS *");
    assert_string_equal (bed_sent_text (bed, 1),
                         "MGET a c a|MGET b|MSET a 1|DEL a|EXISTS a a|DBSIZE|KEYS *");
    assert_string_equal (bed_sent_text (bed, 2),
                         "MGET ab|MSET ab 2|DEL ab|EXISTS ab|DBSIZE|KEYS *");
    bed_reply (bed, 0, "(v1)|#1|#10|(k1,k2)");
    bed_reply (bed, 1, "(v2,v5,v2)|(~)|OK|#0|#2|#20|(k3)");
    bed_reply (bed, 2, "(v3)|OK|#1|#0|#30|()");
    assert_string_equal (bed->answers, "me:1[(v1 v2 v3 nil v5 v2) OK 2 2 60 (k1 k2 k3)];");
}

static void test_split_command_that_fails_in_part (void **state)
{
    bed_t *bed = *state;
    bed_ask (bed, "me", 1, "MSET a 1 ab 2|MGET a ab|DBSIZE");
    bed_reply (bed, 0, "OK|!ERR|#1");
    bed_reply (bed, 1, "!RETRY|(x)|!RETRY");
    bed_reply (bed, 2, "#2");
    assert_string_equal (bed->answers, "me:1[!OUTCOME_UNKNOWN !ERR !RETRY];"); /* G3 of gather.h */
}

static void test_local_commands_need_no_node (void **state)
{
    bed_t *bed = *state;
    bed_start (bed, 0);
    bed_ask (bed, "me", 1, "PING|ECHO hello|PING");
    assert_string_equal (bed->answers, "me:1[PONG hello PONG];");
    assert_int_equal (bed->locals, 3);
}

static void test_wrong_commands_are_answered_beside_others (void **state)
{
    bed_t *bed = *state;
    bed_ask (bed, "me", 1, "NOPE|GET|GET a|SCAN x|MSET a 1 b");
    assert_string_equal (bed_sent_text (bed, 0), "GET a");
    bed_reply (bed, 0, "v");
    assert_string_equal (bed->answers,
                         "me:1[!UNKNOWN_COMMAND !WRONG_ARITY v !BAD_VALUE !WRONG_ARITY];");
}

/* ---- messages that are not requests ------------------------------------------------------------ */

static void s_raw (bed_t *bed, kv_slice_t bytes)
{
    router_request (bed->router, kv_slice_text ("me"), blob_copy (bytes), bed->now_ms);
    bed_flush (bed);
}

static void test_malformed_request_with_an_id_is_refused (void **state)
{
    bed_t *bed = *state;
    s_raw (bed, kv_slice ("\x93\x01\x05\x90", 4));                      /* no command */
    s_raw (bed, kv_slice ("\x93\x02\x06\x91\x91\xa4PING", 10));         /* version 2 */
    s_raw (bed, kv_slice ("\x93\x01\x07\x92\x92\xa3GET\xa1z\x91", 11)); /* a command without end */
    assert_string_equal (bed->answers, "me:5[!BAD_REQUEST];me:6[!BAD_VERSION];me:7[!BAD_REQUEST];");
    assert_int_equal (bed->sent_count, 0);
    assert_int_equal (router_stats (bed->router).refused_requests, 3);
}

static void test_malformed_request_without_an_id_is_dropped (void **state)
{
    bed_t *bed = *state;
    s_raw (bed, kv_slice (NULL, 0));
    s_raw (bed, kv_slice ("\xc1", 1));
    s_raw (bed, kv_slice ("\x93\x01\xa1x\x90", 5));
    assert_string_equal (bed->answers, "");
    assert_int_equal (router_stats (bed->router).dropped_requests, 3);
}

/* ---- nodes that are not there ------------------------------------------------------------------ */

static void test_held_pieces_go_out_in_order_when_the_node_opens (void **state)
{
    bed_t *bed = *state;
    bed_start (bed, 2);
    bed_ask (bed, "A", 1, "SET fb 1|GET a");
    bed_ask (bed, "B", 2, "SET fb 2");
    bed_ask (bed, "A", 3, "SET fb 3|PING");
    assert_int_equal (bed->sent_count, 1);
    bed_reply (bed, 0, "v");
    bed_forget (bed);
    router_node_open (bed->router, 2);
    bed_flush (bed);
    assert_int_equal (bed->sent_count, 3);
    assert_string_equal (bed_sent_text (bed, 0), "SET fb 1");
    assert_string_equal (bed_sent_text (bed, 1), "SET fb 2");
    assert_string_equal (bed_sent_text (bed, 2), "SET fb 3");
    bed_reply (bed, 2, "third");
    bed_reply (bed, 0, "first");
    bed_reply (bed, 1, "second");
    assert_string_equal (bed->answers, "A:3[third PONG];A:1[first v];B:2[second];");
}

static void test_hold_stops_sending_and_still_takes_replies (void **state)
{
    bed_t *bed = *state;
    bed_ask (bed, "A", 1, "GET a");
    router_node_hold (bed->router, 0);
    bed_ask (bed, "A", 2, "GET a");
    assert_int_equal (bed->sent_count, 1);
    bed_reply (bed, 0, "x");
    assert_string_equal (bed->answers, "A:1[x];");
    router_node_open (bed->router, 0);
    bed_flush (bed);
    assert_int_equal (bed->sent_count, 2);
    bed_reply (bed, 1, "y");
    assert_string_equal (bed->answers, "A:1[x];A:2[y];");
}

static void test_lost_node_reads_are_sent_again_writes_are_unknown (void **state)
{
    bed_t *bed = *state;
    bed_ask (bed, "A", 1, "GET a|SET a 1|GET b");
    bed_ask (bed, "A", 2, "GET a|GET c");
    bed_ask (bed, "A", 3, "SET a 2");
    router_node_lost (bed->router, 0);
    bed_flush (bed);
    assert_string_equal (bed->answers, "A:3[!OUTCOME_UNKNOWN];");
    bed_reply (bed, 1, "late|late"); /* from the former process */
    assert_int_equal (router_stats (bed->router).late_replies, 1);
    bed_forget (bed);
    router_node_open (bed->router, 0);
    bed_flush (bed);
    assert_int_equal (bed->sent_count, 2);
    assert_string_equal (bed_sent_text (bed, 0), "GET a|GET b"); /* N3: not the SET */
    assert_string_equal (bed_sent_text (bed, 1), "GET a|GET c");
    bed_reply (bed, 0, "x|y");
    bed_reply (bed, 1, "z|w");
    assert_string_equal (bed->answers, "A:1[x !OUTCOME_UNKNOWN y];A:2[z w];");
    assert_int_equal (router_stats (bed->router).resent_pieces, 4);
    assert_int_equal (router_stats (bed->router).unknown_outcomes, 2);
}

static void test_lost_node_before_the_effect_was_fetched_loses_nothing (void **state)
{
    bed_t *bed = *state;
    router_request (bed->router, kv_slice_text ("A"), bed_body (1, "SET a 1", 0), 0);
    router_node_lost (bed->router, 0);
    bed_flush (bed);
    assert_int_equal (bed->sent_count, 0);
    assert_string_equal (bed->answers, "");
    router_node_open (bed->router, 0);
    bed_flush (bed);
    assert_int_equal (bed->sent_count, 1);
    bed_reply (bed, 0, "OK");
    assert_string_equal (bed->answers, "A:1[OK];");
}

static void test_unsent_part_and_its_node_are_held_again (void **state)
{
    bed_t *bed = *state;
    bed_ask (bed, "A", 1, "SET a 1");
    bed_ask (bed, "A", 2, "SET a 2|SET ab 2");
    router_unsent (bed->router, bed->sent[0].tag);
    router_unsent (bed->router, bed->sent[1].tag);
    router_unsent (bed->router, 12345); /* no such part */
    bed_reply (bed, 2, "OK");
    bed_ask (bed, "A", 3, "SET a 3"); /* N2: must not overtake */
    assert_int_equal (bed->sent_count, 3);
    router_node_lost (bed->router, 0);
    bed_forget (bed);
    router_node_open (bed->router, 0);
    bed_flush (bed);
    assert_int_equal (bed->sent_count, 3);
    assert_string_equal (bed_sent_text (bed, 0), "SET a 1");
    assert_string_equal (bed_sent_text (bed, 1), "SET a 2");
    assert_string_equal (bed_sent_text (bed, 2), "SET a 3");
    for (uint32_t i = 0; i < 3; i++)
        bed_reply (bed, i, "OK");
    assert_string_equal (bed->answers, "A:1[OK];A:2[OK OK];A:3[OK];");
    assert_int_equal (router_stats (bed->router).unknown_outcomes, 0);
}

/* ---- deadlines --------------------------------------------------------------------------------- */

static void test_deadline_tells_what_was_sent_and_what_was_not (void **state)
{
    bed_t *bed = *state;
    bed_start (bed, 2);
    bed_ask (bed, "A", 1, "SET fb 1|GET fb|SET a 1|GET ab|PING");
    bed_ask_for (bed, "A", 2, "GET a", 100);
    bed_ask_for (bed, "A", 3, "MSET a 1 fb 2", 6000);
    bed_pass (bed, 99);
    assert_string_equal (bed->answers, "");
    bed_pass (bed, 9);
    assert_string_equal (bed->answers, "A:2[!UNAVAILABLE];");
    bed_pass (bed, 4900);
    assert_string_equal (bed->answers, "A:2[!UNAVAILABLE];"
                                       "A:1[!UNAVAILABLE !UNAVAILABLE !OUTCOME_UNKNOWN "
                                       "!UNAVAILABLE PONG];");
    bed->answers[0] = '\0';
    bed_pass (bed, 1000);
    assert_string_equal (bed->answers, "A:3[!OUTCOME_UNKNOWN];");
    uint32_t sent = bed->sent_count;
    router_node_open (bed->router, 2); /* what has expired is not sent any more */
    bed_flush (bed);
    assert_int_equal (bed->sent_count, sent);
    bed_reply (bed, 0, "OK");
    assert_int_equal (router_stats (bed->router).late_replies, 1);
    assert_int_equal (router_stats (bed->router).expired_requests, 3);
    assert_int_equal (router_stats (bed->router).waiting_bytes, 0);
}

/* ---- bounds ------------------------------------------------------------------------------------ */

static void test_full_shard_is_busy_and_others_are_not (void **state)
{
    bed_t *bed = *state;
    bed->options.shard_queue_commands = 2;
    bed_start (bed, 3);
    bed_ask (bed, "A", 1, "GET a|GET c");
    bed_ask (bed, "A", 2, "GET e|GET ab");
    assert_int_equal (bed->sent_count, 2);
    assert_string_equal (bed_sent_text (bed, 1), "GET ab");
    bed_reply (bed, 1, "x");
    assert_string_equal (bed->answers, "A:2[!BUSY~ x];"); /* with retry_ms */
    assert_int_equal (router_stats (bed->router).busy_commands, 1);
    bed_reply (bed, 0, "x|y");
    bed->answers[0] = '\0';
    bed_ask (bed, "A", 3, "GET e");
    bed_reply (bed, 2, "z");
    assert_string_equal (bed->answers, "A:3[z];");
}

static void test_split_command_is_refused_as_a_whole (void **state)
{
    bed_t *bed = *state;
    bed->options.shard_queue_commands = 1;
    bed_start (bed, 3);
    bed_ask (bed, "A", 1, "GET a");
    bed_ask (bed, "A", 2, "MSET ab 1 a 2 fb 3|GET ob"); // N5
    assert_int_equal (bed->sent_count, 2);
    assert_string_equal (bed_sent_text (bed, 1), "GET ob");
    bed_reply (bed, 1, "x");
    assert_string_equal (bed->answers, "A:2[!BUSY~ x];");
    bed_ask (bed, "A", 3, "GET ab"); /* nothing of the MSET was left in the queue */
    assert_string_equal (bed_sent_text (bed, 2), "GET ab");
}

static void test_full_memory_is_busy_for_all_but_local_commands (void **state)
{
    bed_t *bed = *state;
    char set[8192];
    bed->options.queue_bytes = 10000;
    bed_start (bed, 3);
    memset (set, 'x', sizeof set);
    memcpy (set, "SET a ", 6);
    set[sizeof set - 1] = '\0';
    bed_ask (bed, "A", 1, set);
    assert_int_equal (bed->sent_count, 1);
    bed_ask (bed, "A", 2, set);
    bed_ask (bed, "A", 3, "PING");
    assert_string_equal (bed->answers, "A:2[!BUSY~];A:3[PONG];");
    bed_reply (bed, 0, "OK");
    bed->answers[0] = '\0';
    bed_ask (bed, "A", 4, set);
    bed_reply (bed, 1, "OK");
    assert_string_equal (bed->answers, "A:4[OK];");
}

static void test_after_busy_for_memory_nothing_overtakes (void **state)
{
    bed_t *bed = *state;
    char mget[4096] = "MGET";
    bed->options.queue_bytes = 10000;
    bed_start (bed, 3);
    for (int i = 0; i < 400; i++)
        strcat (mget, i % 2 ? " ab" : " a");
    strcat (mget, "|GET a|PING");
    bed_ask (bed, "A", 1, "GET a"); /* so that the next one is not alone */
    bed_ask (bed, "A", 2, mget);
    assert_string_equal (bed->answers, "A:2[!BUSY~ !BUSY~ PONG];"); // I3
}

static void test_a_large_request_alone_is_let_through (void **state)
{
    bed_t *bed = *state;
    char set[8192];
    bed->options.queue_bytes = 1000;
    bed_start (bed, 0);
    memset (set, 'x', sizeof set);
    memcpy (set, "SET a ", 6);
    set[sizeof set - 1] = '\0';
    bed_ask (bed, "A", 1, set);
    assert_string_equal (bed->answers, "");
    bed_ask (bed, "A", 2, "GET a");
    assert_string_equal (bed->answers, "A:2[!BUSY~];");
}

static void test_command_that_can_never_fit_is_too_large (void **state)
{
    bed_t *bed = *state;
    char mget[4096] = "MGET";
    bed->options.queue_bytes = 2000;
    bed_start (bed, 3);
    for (int i = 0; i < 400; i++)
        strcat (mget, i % 2 ? " ab" : " a");
    bed_ask (bed, "A", 1, mget);
    assert_string_equal (bed->answers, "A:1[!TOO_LARGE];");
}

static void test_dead_node_does_not_fill_the_queue_for_others (void **state)
{
    bed_t *bed = *state;
    bed->options.queue_bytes = 8000;
    bed_start (bed, 2);
    for (uint64_t i = 0; i < 40; i++)
        bed_ask (bed, "A", i, "GET fb|PING");
    assert_int_equal (router_stats (bed->router).busy_commands > 20, 1);
    assert_true (router_stats (bed->router).waiting_bytes <= 4000); // N6
    bed->answers[0] = '\0';
    bed_ask (bed, "A", 99, "GET a");
    assert_int_equal (bed->sent_count, 1);
    bed_reply (bed, 0, "v");
    assert_string_equal (bed->answers, "A:99[v];");
}

static void test_every_command_of_a_batch_counts (void **state)
{
    bed_t *bed = *state;
    bed_start (bed, 3);
    writer_t out = writer_make (SIZE_MAX);
    request_begin (&out, 1, KV_BATCH_COMMANDS_MAX, false);
    for (uint32_t i = 0; i < KV_BATCH_COMMANDS_MAX; i++) {
        writer_array (&out, 1);
        writer_cstr (&out, "DBSIZE");
    }
    bed_t large; /* 256 nodes make 16 million pieces of half a megabyte */
    bed_open (&large, 256, 256);
    large.options.shard_queue_commands = UINT32_MAX;
    large.options.queue_bytes = 16 << 20;
    bed_start (&large, 0);
    router_request (large.router, kv_slice_text ("A"), blob_from_writer (&out), 0);
    assert_true (router_stats (large.router).waiting_bytes < 2 * large.options.queue_bytes);
    assert_true (router_stats (large.router).busy_commands > 60000);
    assert_true (router_is_valid (large.router));
    bed_close (&large);
}

static void test_pieces_of_one_request_are_bounded (void **state)
{
    (void)state;
    bed_t large;
    bed_open (&large, 256, 256);
    large.options.shard_queue_commands = UINT32_MAX;
    large.options.queue_bytes = UINT64_C (1) << 40;
    bed_start (&large, 0);
    static char commands[2000 * 7];
    for (size_t i = 0; i < 1999; i++)
        memcpy (commands + 7 * i, "DBSIZE|", 7);
    memcpy (commands + 7 * 1999, "DBSIZE", 7);
    router_request (large.router, kv_slice_text ("A"), bed_body (1, commands, 0), 0);
    router_tick (large.router, 6000);
    router_effect_t effect;
    assert_true (router_next_effect (large.router, &effect));
    reply_t reply;
    result_t result;
    assert_int_equal (reply_decode (blob_bytes (effect.body), &reply), KV_OK);
    for (uint32_t i = 0; i < 2000; i++) { /* 1024 times 256 nodes is the bound */
        assert_int_equal (result_next (&reply, &result), KV_OK);
        assert_int_equal (result.status, i < 1024 ? KV_UNAVAILABLE : KV_TOO_LARGE);
    }
    blob_unref (&effect.body);
    bed_close (&large);
}

static void test_local_results_are_bounded (void **state)
{
    bed_t *bed = *state;
    static char helps[8 * 1024];
    for (size_t i = 0; i < 1000; i++)
        memcpy (helps + 5 * i, "HELP|", 6);
    memcpy (helps + 5000, "SHUTDOWN 0", 11);
    router_request (bed->router, kv_slice_text ("A"), bed_body (1, helps, 0), 0);
    router_effect_t effect;
    assert_true (router_next_effect (bed->router, &effect)); /* and nobody was told to stop */
    assert_int_equal (effect.kind, ROUTER_TO_CLIENT);
    assert_true (blob_bytes (effect.body).size < 5 * 1024 * 1024);
    blob_unref (&effect.body);
    assert_true (bed->locals < 100);
    bed_flush (bed);
}

static void test_reply_kept_for_another_node_counts (void **state)
{
    bed_t *bed = *state;
    static char big[100 * 1024];
    bed->options.queue_bytes = 150 * 1024;
    bed_start (bed, 2);
    writer_t out = writer_make (SIZE_MAX);
    reply_begin (&out, 1, 1);
    result_bytes (&out, kv_slice (big, sizeof big));
    blob_t *frame = blob_from_writer (&out);
    bed_ask (bed, "A", 1, "GET a|GET fb");
    bed_ask (bed, "A", 2, "GET a|GET fb");
    bed_ask (bed, "A", 3, "SET a 1|GET fb");
    for (uint32_t i = 0; i < 3; i++)
        router_reply (bed->router, 0, bed->sent[i].tag, frame, blob_bytes (frame));
    assert_true (router_stats (bed->router).waiting_bytes < 150 * 1024); // N4
    blob_unref (&frame);
    router_node_open (bed->router, 2);
    bed_flush (bed);
    for (uint32_t i = 3; i < 6; i++)
        bed_reply (bed, i, "x");
    assert_non_null (strstr (bed->answers, "A:2[!BUSY~ x];A:3[!OUTCOME_UNKNOWN x];"));
    assert_null (strstr (bed->answers, "A:1[!"));
    assert_int_equal (router_stats (bed->router).waiting_bytes, 0);
}

/* A release function that tells whether the frame is gone. */
static void s_mark (void *owner)
{
    *(bool *)owner = true;
}

static void test_small_reply_does_not_pin_its_frame (void **state)
{
    bed_t *bed = *state;
    static uint8_t bytes[64 * 1024];
    bool released = false;
    blob_t *reply = bed_reply_body (1, "x");
    size_t size = blob_bytes (reply).size;
    memcpy (bytes, blob_bytes (reply).data, size);
    blob_unref (&reply);
    blob_t *frame = blob_wrap (kv_slice (bytes, sizeof bytes), &released, s_mark);
    bed_start (bed, 2);
    bed_ask (bed, "A", 1, "GET a|GET fb");
    router_reply (bed->router, 0, bed->sent[0].tag, frame, kv_slice (bytes, size));
    blob_unref (&frame);
    assert_true (released);
    router_node_open (bed->router, 2);
    bed_flush (bed);
    bed_reply (bed, 1, "y");
    assert_string_equal (bed->answers, "A:1[x y];");
}

/* ---- SHUTDOWN ---------------------------------------------------------------------------------- */

static void test_shutdown_waits_until_the_node_has_left (void **state)
{
    bed_t *bed = *state;
    bed_ask (bed, "A", 1, "SHUTDOWN 0");
    bed_ask (bed, "A", 2, "SHUTDOWN 0|GET a|SHUTDOWN 1|PING");
    router_node_hold (bed->router, 0);
    bed_reply (bed, 0, "v");
    assert_string_equal (bed->answers, "");
    router_node_left (bed->router, 0);
    bed_flush (bed);
    assert_string_equal (bed->answers, "A:1[OK];");
    router_node_left (bed->router, 1);
    bed_flush (bed);
    assert_string_equal (bed->answers, "A:1[OK];A:2[OK v OK PONG];");
}

static void test_shutdown_of_a_node_that_stays_times_out (void **state)
{
    bed_t *bed = *state;
    bed_ask_for (bed, "A", 1, "SHUTDOWN 0|SHUTDOWN 1|GET a", 200);
    bed_reply (bed, 0, "v");
    router_node_lost (bed->router, 0); /* lost is not left */
    router_node_left (bed->router, 1);
    bed_pass (bed, 220);
    assert_string_equal (bed->answers, "A:1[!TIMEOUT OK v];");
}

static void test_shutdown_of_a_node_beyond_the_shards (void **state)
{
    (void)state;
    bed_t few;
    bed_open (&few, 1, 3); /* node 2 owns nothing; owners[2] does not exist */
    bed_start (&few, 3);
    bed_ask (&few, "A", 1, "SHUTDOWN 2");
    bed_ask_for (&few, "A", 2, "SHUTDOWN 1|GET a", 100);
    router_node_lost (few.router, 0);
    router_node_open (few.router, 0);
    router_node_left (few.router, 2);
    bed_flush (&few);
    assert_string_equal (few.answers, "A:1[OK];");
    few.answers[0] = '\0';
    bed_pass (&few, 200);
    assert_string_equal (few.answers, "A:2[!TIMEOUT !UNAVAILABLE];");
    bed_close (&few);
}

static void test_many_shutdowns_in_one_batch (void **state)
{
    bed_t *bed = *state;
    bed_ask (bed, "A", 1,
             "SHUTDOWN 0|SHUTDOWN 0|SHUTDOWN 0|SHUTDOWN 0|SHUTDOWN 0|SHUTDOWN 0|"
             "SHUTDOWN 0|SHUTDOWN 0|SHUTDOWN 0|SHUTDOWN 0");
    assert_string_equal (bed->answers, "");
    router_node_left (bed->router, 0);
    bed_flush (bed);
    assert_string_equal (bed->answers, "A:1[OK OK OK OK OK OK OK OK OK OK];");
}

/* ---- replies that are not as they should be ---------------------------------------------------- */

static void test_late_foreign_and_double_replies_are_counted (void **state)
{
    bed_t *bed = *state;
    bed_ask (bed, "A", 1, "GET a");
    blob_t *frame = bed_reply_body (1, "x");
    router_reply (bed->router, 1, bed->sent[0].tag, frame, blob_bytes (frame)); /* another node */
    router_reply (bed->router, 0, bed->sent[0].tag + 1, frame, blob_bytes (frame));
    router_reply (bed->router, 0, UINT64_MAX, frame, blob_bytes (frame));
    assert_int_equal (router_stats (bed->router).late_replies, 3);
    router_reply (bed->router, 0, bed->sent[0].tag, frame, blob_bytes (frame));
    router_reply (bed->router, 0, bed->sent[0].tag, frame, blob_bytes (frame)); /* twice */
    blob_unref (&frame);
    bed_flush (bed);
    assert_int_equal (router_stats (bed->router).late_replies, 4);
    assert_string_equal (bed->answers, "A:1[x];");
    bed_ask (bed, "A", 2, "GET a"); /* takes the same slot of the table */
    bed_reply (bed, 0, "old");
    assert_string_equal (bed->answers, "A:1[x];");
    bed_reply (bed, 1, "new");
    assert_string_equal (bed->answers, "A:1[x];A:2[new];");
}

static void test_malformed_reply_to_a_whole_request (void **state)
{
    bed_t *bed = *state;
    bed_ask (bed, "A", 1, "GET a|SET a 1");
    bed_reply_frame (bed, 0, bed_reply_body (2, "x|OK")); /* another id */
    bed_ask (bed, "A", 2, "GET a|SET a 1");
    bed_reply_frame (bed, 1, bed_reply_body (2, "x|OK|OK")); /* too many */
    bed_ask (bed, "A", 3, "GET a|SET a 1");
    bed_reply_frame (bed, 2, blob_copy (kv_slice ("\xc1", 1)));
    assert_string_equal (bed->answers, "A:1[!INTERNAL !OUTCOME_UNKNOWN];"
                                       "A:2[!INTERNAL !OUTCOME_UNKNOWN];"
                                       "A:3[!INTERNAL !OUTCOME_UNKNOWN];");
}

static void test_malformed_reply_to_a_part (void **state)
{
    bed_t *bed = *state;
    static const char *const replies[] = {"x", "x|OK|OK", "(x)|#1"};
    for (uint64_t i = 0; i < 3; i++) {
        bed_forget (bed);
        bed_ask (bed, "A", i, "MGET a ab|SET a 1");
        bed_reply (bed, 0, replies[i]);
        bed_reply (bed, 1, i == 2 ? "#1" : "(y)"); /* a number for an array */
        char expected[64];
        snprintf (expected, sizeof expected, "A:%" PRIu64 "[!INTERNAL %s];", i,
                  i == 2 ? "1" : "!OUTCOME_UNKNOWN");
        assert_string_equal (bed->answers, expected);
    }
    bed_forget (bed);
    bed_ask (bed, "A", 9, "GET a|SET a 1|GET ab");
    bed_reply_frame (bed, 0, blob_copy (kv_slice ("\x93\x01\x09\x92\x92\x00\x01\x07", 8)));
    bed_reply (bed, 1, "y");
    assert_string_equal (bed->answers, "A:9[1 !OUTCOME_UNKNOWN y];");
}

static void test_part_refused_as_a_whole (void **state)
{
    bed_t *bed = *state;
    bed_ask (bed, "A", 1, "GET a|SET a 1|GET ab");
    bed_reply (bed, 0, "!RETRY");
    bed_reply (bed, 1, "y");
    assert_string_equal (bed->answers, "A:1[!RETRY !RETRY y];");
    bed->answers[0] = '\0';
    bed_ask (bed, "A", 2, "GET a|SET a 1");
    bed_reply (bed, 2, "!RETRY");
    assert_string_equal (bed->answers, "A:2[!RETRY];");
}

static void test_reply_over_its_limit_becomes_an_error (void **state)
{
    bed_t *bed = *state;
    bed->options.queue_bytes = UINT64_C (4) << 30;
    bed_start (bed, 3);
    static char commands[40 * 16];
    for (int i = 0; i < 40; i++)
        strcat (commands, i ? "|GET a" : "GET ab|GET a");
    bed_ask (bed, "A", 1, commands);
    /* 40 values of 20 MiB are more than KV_REPLY_BYTES_MAX. Pages that nobody writes cost nothing. */
    size_t each = 20 * 1024 * 1024;
    uint8_t *bytes = calloc (41, each);
    assert_non_null (bytes);
    writer_t out = writer_make (SIZE_MAX);
    reply_begin (&out, bed->sent[1].tag, 40);
    size_t at = out.size;
    memcpy (bytes, out.data, at);
    writer_free (&out);
    for (int i = 0; i < 40; i++) {
        memcpy (bytes + at, "\x92\x00\xc6\x01\x40\x00\x00", 7); /* OK, a bin of `each` bytes */
        at += 7 + each;
    }
    blob_t *frame = blob_take (bytes, at);
    router_reply (bed->router, 0, bed->sent[1].tag, frame, blob_bytes (frame));
    blob_unref (&frame);
    bed_reply (bed, 0, "x");
    assert_non_null (strstr (bed->answers, "A:1[x "));
    assert_non_null (strstr (bed->answers, "!TOO_LARGE]"));
}

/* ---- the end ------------------------------------------------------------------------------------ */

static void test_destroy_releases_what_is_under_way (void **state)
{
    bed_t *bed = *state;
    bed_start (bed, 2);
    bed_ask (bed, "A", 1, "GET a|GET fb|PING|MGET a ab fb");
    bed_ask (bed, "A", 2, "SHUTDOWN 2");
    bed_reply (bed, 0, "x|(y)");
    router_request (bed->router, kv_slice_text ("A"), bed_body (3, "PING", 0), 0);
    router_request (bed->router, kv_slice_text ("A"), bed_body (4, "GET a", 0), 0);
    /* the leak checker is the judge */
}

#define ON_CLOSED(test) cmocka_unit_test_setup_teardown (test, s_setup, s_teardown)
#define ON_OPEN(test) cmocka_unit_test_setup_teardown (test, s_setup_open, s_teardown)

int main (void)
{
    const struct CMUnitTest tests[] = {
        ON_OPEN (test_whole_request_is_forwarded_uncopied),
        ON_OPEN (test_large_reply_is_passed_on_uncopied),
        ON_OPEN (test_batch_is_scattered_and_gathered_in_order),
        ON_OPEN (test_options_go_with_every_part),
        ON_OPEN (test_split_commands_are_merged),
        ON_OPEN (test_split_command_that_fails_in_part),
        ON_CLOSED (test_local_commands_need_no_node),
        ON_OPEN (test_wrong_commands_are_answered_beside_others),
        ON_OPEN (test_malformed_request_with_an_id_is_refused),
        ON_OPEN (test_malformed_request_without_an_id_is_dropped),
        ON_CLOSED (test_held_pieces_go_out_in_order_when_the_node_opens),
        ON_OPEN (test_hold_stops_sending_and_still_takes_replies),
        ON_OPEN (test_lost_node_reads_are_sent_again_writes_are_unknown),
        ON_OPEN (test_lost_node_before_the_effect_was_fetched_loses_nothing),
        ON_OPEN (test_unsent_part_and_its_node_are_held_again),
        ON_CLOSED (test_deadline_tells_what_was_sent_and_what_was_not),
        ON_CLOSED (test_full_shard_is_busy_and_others_are_not),
        ON_CLOSED (test_split_command_is_refused_as_a_whole),
        ON_CLOSED (test_full_memory_is_busy_for_all_but_local_commands),
        ON_CLOSED (test_after_busy_for_memory_nothing_overtakes),
        ON_CLOSED (test_a_large_request_alone_is_let_through),
        ON_CLOSED (test_command_that_can_never_fit_is_too_large),
        ON_CLOSED (test_dead_node_does_not_fill_the_queue_for_others),
        ON_CLOSED (test_every_command_of_a_batch_counts),
        ON_CLOSED (test_pieces_of_one_request_are_bounded),
        ON_OPEN (test_local_results_are_bounded),
        ON_CLOSED (test_reply_kept_for_another_node_counts),
        ON_CLOSED (test_small_reply_does_not_pin_its_frame),
        ON_OPEN (test_shutdown_waits_until_the_node_has_left),
        ON_OPEN (test_shutdown_of_a_node_that_stays_times_out),
        ON_OPEN (test_shutdown_of_a_node_beyond_the_shards),
        ON_OPEN (test_many_shutdowns_in_one_batch),
        ON_OPEN (test_late_foreign_and_double_replies_are_counted),
        ON_OPEN (test_malformed_reply_to_a_whole_request),
        ON_OPEN (test_malformed_reply_to_a_part),
        ON_OPEN (test_part_refused_as_a_whole),
        ON_CLOSED (test_reply_over_its_limit_becomes_an_error),
        ON_CLOSED (test_destroy_releases_what_is_under_way),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
