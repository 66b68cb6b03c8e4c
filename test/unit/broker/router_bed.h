/* router_bed - a router on a test bed: requests written as text, replies read as text, effects in
 * queues. Three nodes and six shards unless a test says otherwise. */
#ifndef KVDB_TEST_UNIT_BROKER_ROUTER_BED_H
#define KVDB_TEST_UNIT_BROKER_ROUTER_BED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "broker/router.h"
#include "schema/limits.h"
#include "schema/request.h"
#include "schema/slot.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { BED_SENT_MAX = 256 };

typedef struct {
    uint32_t node;
    uint64_t tag;
    blob_t *body; /* owned by the bed */
} bed_sent_t;

typedef struct {
    shard_map_t *map;
    router_options_t options;
    router_t *router;
    int64_t now_ms;
    int locals;                    /* calls of `local` */
    char long_text[64 * 1024];     /* what HELP says */
    bed_sent_t sent[BED_SENT_MAX]; /* to nodes, in order, since bed_flush or bed_forget */
    uint32_t sent_count;
    char answers[16384]; /* to clients, in order: "connection:reply;" */
} bed_t;

static router_local_t bed_local (void *context, const command_t *command, writer_t *result,
                                 uint32_t *node)
{
    bed_t *bed = context;
    bed->locals++;
    if (command->spec->id == COMMAND_SHUTDOWN) {
        *node = (uint32_t)(command->argv[1].data[0] - '0');
        return ROUTER_LOCAL_WAITS;
    }
    if (command->spec->id == COMMAND_ECHO)
        result_bytes (result, command->argv[1]);
    else if (command->spec->id == COMMAND_HELP)
        result_bytes (result, kv_slice (bed->long_text, sizeof bed->long_text));
    else
        result_text (result, "PONG");
    return ROUTER_LOCAL_DONE;
}

static inline const char *bed_node_name (void *context, uint32_t node)
{
    static const char *const names[] = {"node0", "node1", "node2"};
    (void)context;
    return node < 3 ? names[node] : "node";
}

static inline void bed_open (bed_t *bed, uint32_t shards, uint32_t nodes)
{
    *bed = (bed_t){.map = shard_map_new (shards, nodes)};
    bed->options = (router_options_t){.map = bed->map,
                                      .max_value_bytes = 1 << 20,
                                      .queue_bytes = 1 << 20,
                                      .shard_queue_commands = 100,
                                      .deadline_ms = 5000,
                                      .local = bed_local,
                                      .node_name = bed_node_name,
                                      .context = bed};
}

/* Makes the router, once a test has set its options; opens nodes 0 .. open - 1. */
static inline void bed_start (bed_t *bed, uint32_t open)
{
    bed->router = router_new (&bed->options, bed->now_ms);
    for (uint32_t node = 0; node < open; node++)
        router_node_open (bed->router, node);
}

static inline void bed_forget (bed_t *bed)
{
    for (uint32_t i = 0; i < bed->sent_count; i++)
        blob_unref (&bed->sent[i].body);
    bed->sent_count = 0;
    bed->answers[0] = '\0';
}

static inline void bed_close (bed_t *bed)
{
    bed_forget (bed);
    router_destroy (&bed->router);
    shard_map_destroy (&bed->map);
}

/* ---- text for replies: [v nil 3 (a nil) !BUSY] ----------------------------------------------- */

static inline void bed_describe_value (reader_t *at, char *text, size_t bytes)
{
    kv_slice_t slice;
    int64_t number;
    uint32_t count;
    size_t used = strlen (text);
    if (reader_nil (at) == KV_OK) {
        snprintf (text + used, bytes - used, "nil");
    } else if (reader_int (at, &number) == KV_OK) {
        snprintf (text + used, bytes - used, "%" PRId64, number);
    } else if (reader_bytes (at, &slice) == KV_OK) {
        int shown = slice.size > 40 ? 40 : (int)slice.size;
        snprintf (text + used, bytes - used, "%.*s", shown, (const char *)slice.data);
    } else if (reader_array (at, &count) == KV_OK) {
        snprintf (text + used, bytes - used, "(");
        for (uint32_t i = 0; i < count; i++) {
            used = strlen (text);
            snprintf (text + used, bytes - used, "%s", i ? " " : "");
            bed_describe_value (at, text, bytes);
        }
        used = strlen (text);
        snprintf (text + used, bytes - used, ")");
    } else {
        fail_msg ("a value of another kind");
    }
}

/* "id[result result]"; an error is !CODE, with ~ if it has details. */
static inline void bed_describe (kv_slice_t bytes, char *text, size_t text_bytes)
{
    reply_t reply;
    result_t result;
    assert_int_equal (reply_decode (bytes, &reply), KV_OK);
    size_t used = strlen (text);
    snprintf (text + used, text_bytes - used, "%" PRIu64 "[", reply.id);
    for (uint32_t i = 0; i < reply.count; i++) {
        assert_int_equal (result_next (&reply, &result), KV_OK);
        used = strlen (text);
        if (i)
            snprintf (text + used, text_bytes - used, " ");
        used = strlen (text);
        if (result.status == KV_OK) {
            reader_t at = reader_make (result.value);
            bed_describe_value (&at, text, text_bytes);
        } else {
            snprintf (text + used, text_bytes - used, "!%s%s", kv_status_name (result.status),
                      result.details.size ? "~" : "");
        }
    }
    assert_int_equal (result_next (&reply, &result), KV_END); // N1: as many as announced
    used = strlen (text);
    snprintf (text + used, text_bytes - used, "]");
}

/* Fetches all effects into `sent` and `answers`. */
static inline void bed_flush (bed_t *bed)
{
    router_effect_t effect;
    while (router_next_effect (bed->router, &effect)) {
        if (effect.kind == ROUTER_TO_NODE) {
            assert_true (bed->sent_count < BED_SENT_MAX);
            bed->sent[bed->sent_count++] = (bed_sent_t){effect.node, effect.tag, effect.body};
            continue;
        }
        size_t used = strlen (bed->answers);
        snprintf (bed->answers + used, sizeof bed->answers - used,
                  "%.*s:", (int)effect.envelope.size, (const char *)effect.envelope.data);
        bed_describe (blob_bytes (effect.body), bed->answers, sizeof bed->answers);
        used = strlen (bed->answers);
        snprintf (bed->answers + used, sizeof bed->answers - used, ";");
        blob_unref (&effect.body);
    }
    assert_true (router_is_valid (bed->router));
}

/* ---- requests from text: commands parted by '|', words by ' ' --------------------------------- */

static inline uint32_t bed_words (const char *text, const char *end)
{
    uint32_t words = 1;
    for (; text < end; text++)
        words += *text == ' ';
    return words;
}

static inline void bed_write_command (writer_t *out, const char *text, const char *end)
{
    writer_array (out, bed_words (text, end));
    while (text <= end) {
        const char *space = text;
        while (space < end && *space != ' ')
            space++;
        writer_bin (out, kv_slice (text, (size_t)(space - text)));
        text = space + 1;
    }
}

static inline blob_t *bed_body (uint64_t id, const char *commands, uint32_t deadline_ms)
{
    writer_t out = writer_make (SIZE_MAX);
    uint32_t count = 1;
    for (const char *at = commands; *at; at++)
        count += *at == '|';
    request_begin (&out, id, count, deadline_ms > 0);
    for (const char *at = commands;; at++) {
        const char *end = at;
        while (*end && *end != '|')
            end++;
        bed_write_command (&out, at, end);
        at = end;
        if (!*end)
            break;
    }
    if (deadline_ms) {
        writer_map (&out, 1);
        writer_cstr (&out, "deadline_ms");
        writer_uint (&out, deadline_ms);
    }
    return blob_from_writer (&out);
}

static inline void bed_ask_for (bed_t *bed, const char *connection, uint64_t id,
                                const char *commands, uint32_t deadline_ms)
{
    router_request (bed->router, kv_slice_text (connection), bed_body (id, commands, deadline_ms),
                    bed->now_ms);
    bed_flush (bed);
}

static inline void bed_ask (bed_t *bed, const char *connection, uint64_t id, const char *commands)
{
    bed_ask_for (bed, connection, id, commands, 0);
}

/* What the n-th effect told its node to do: "GET a|SET b 1". */
static inline const char *bed_sent_text (const bed_t *bed, uint32_t n)
{
    static char text[4096];
    request_t request;
    const char *why;
    command_t command = command_make ();
    assert_true (n < bed->sent_count);
    assert_int_equal (request_decode (blob_bytes (bed->sent[n].body), &request, &why), KV_OK);
    text[0] = '\0';
    for (uint32_t i = 0; i < request.command_count; i++) {
        assert_int_equal (command_read (&command, &request.commands, &why), KV_OK);
        for (uint32_t arg = 0; arg < command.argc; arg++) {
            size_t used = strlen (text);
            snprintf (text + used, sizeof text - used, "%s%.*s",
                      arg ? " "
                      : i ? "|"
                          : "",
                      (int)command.argv[arg].size, (const char *)command.argv[arg].data);
        }
    }
    command_free (&command);
    return text;
}

/* A reply from text: results parted by '|': "nil", "#3" a number, "(a,b)" an array with ~ for nil,
 * "!BUSY" an error, else bytes. */
static inline void bed_write_result (writer_t *out, const char *text, size_t size)
{
    char word[256];
    snprintf (word, sizeof word, "%.*s", (int)size, text);
    if (strcmp (word, "nil") == 0) {
        result_nil (out);
    } else if (word[0] == '#') {
        result_int (out, strtoll (word + 1, NULL, 10));
    } else if (word[0] == '!') {
        result_error (out, strcmp (word, "!RETRY") == 0 ? KV_RETRY : KV_ERR, "ERR as told");
    } else if (word[0] == '(') {
        uint32_t count = word[1] != ')';
        for (const char *at = word; *at; at++)
            count += *at == ',';
        result_value (out);
        writer_array (out, count);
        char *rest = NULL;
        for (char *item = strtok_r (word, "(),", &rest); item;
             item = strtok_r (NULL, "(),", &rest)) {
            if (strcmp (item, "~") == 0)
                writer_nil (out);
            else
                writer_bin (out, kv_slice_text (item));
        }
    } else {
        result_bytes (out, kv_slice_text (word));
    }
}

static inline blob_t *bed_reply_body (uint64_t id, const char *results)
{
    writer_t out = writer_make (SIZE_MAX);
    uint32_t count = 1;
    for (const char *at = results; *at; at++)
        count += *at == '|';
    reply_begin (&out, id, count);
    for (const char *at = results;;) {
        size_t size = strcspn (at, "|");
        bed_write_result (&out, at, size);
        if (!at[size])
            break;
        at += size + 1;
    }
    return blob_from_writer (&out);
}

static inline uint64_t bed_sent_id (const bed_t *bed, uint32_t n)
{
    request_t request;
    const char *why;
    assert_true (n < bed->sent_count);
    assert_int_equal (request_decode (blob_bytes (bed->sent[n].body), &request, &why), KV_OK);
    return request.id;
}

/* Hands a frame as the answer to the n-th effect; drops it. */
static inline void bed_reply_frame (bed_t *bed, uint32_t n, blob_t *frame)
{
    router_reply (bed->router, bed->sent[n].node, bed->sent[n].tag, frame, blob_bytes (frame));
    blob_unref (&frame);
    bed_flush (bed);
}

static inline void bed_reply (bed_t *bed, uint32_t n, const char *results)
{
    bed_reply_frame (bed, n, bed_reply_body (bed_sent_id (bed, n), results));
}

static inline void bed_pass (bed_t *bed, int64_t ms)
{
    bed->now_ms += ms;
    router_tick (bed->router, bed->now_ms);
    bed_flush (bed);
}

#endif
