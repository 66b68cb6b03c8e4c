/* server - an executor that tests talk to in text: commands as words, results as one line.
 *
 *   SET key "a b" EX 10   words part at blanks; "..." keeps blanks; @N stands for N bytes of 'x'
 *   OK  "bin"  42  nil  [a, b]  {a: b}  !CODE text */
#ifndef KVDB_TEST_UNIT_NODE_SERVER_H
#define KVDB_TEST_UNIT_NODE_SERVER_H

#include "node/executor.h"
#include "schema/request.h"
#include "fixture.h"

typedef struct {
    executor_t *executor;
    int64_t now_ms;
    writer_t request, reply;
    char shown[16384];
} server_t;

enum { SERVER_SHARDS = 4, SERVER_VALUE_BYTES_MAX = 1000 };

static inline void server_start (server_t *self, uint32_t shards, uint32_t owned)
{
    executor_options_t options = {.shards = shards,
                                  .max_value_bytes = SERVER_VALUE_BYTES_MAX,
                                  .node_id = "node1",
                                  .version = "1.2.3"};
    *self = (server_t){.now_ms = 1000000};
    self->executor = executor_new (&options);
    self->request = writer_make (SIZE_MAX);
    self->reply = writer_make (SIZE_MAX);
    for (uint32_t i = 0; i < owned; i++)
        assert_int_equal (executor_own (self->executor, i, 1), KV_OK);
}

static inline int server_set_up (void **state)
{
    server_t *self = malloc (sizeof *self);
    assert_non_null (self);
    server_start (self, SERVER_SHARDS, SERVER_SHARDS);
    *state = self;
    return 0;
}

static inline int server_tear_down (void **state)
{
    server_t *self = *state;
    assert_true (executor_is_valid (self->executor));
    executor_destroy (&self->executor);
    assert_null (self->executor);
    writer_free (&self->request);
    writer_free (&self->reply);
    free (self);
    return 0;
}

/* The next word of a command; sets `size`, passes it. */
static inline const char *server_word (const char **at, size_t *size)
{
    *at += strspn (*at, " ");
    char stop = **at == '"' ? '"' : ' ';
    const char *word = stop == '"' ? ++*at : *at;
    *size = 0;
    while (word[*size] && word[*size] != stop)
        ++*size;
    *at = word + *size + (stop == '"' ? 1 : 0);
    return word;
}

static inline void server_encode (writer_t *out, const char *command)
{
    uint32_t count = 0;
    size_t size;
    for (const char *at = command; at += strspn (at, " "), *at; count++)
        (void)server_word (&at, &size);
    writer_array (out, count);
    const char *at = command;
    for (uint32_t i = 0; i < count; i++) {
        const char *word = server_word (&at, &size);
        if (word[0] == '@') {
            size_t bytes = strtoul (word + 1, NULL, 10);
            uint8_t *fill = malloc (bytes + 1);
            assert_non_null (fill);
            memset (fill, 'x', bytes);
            writer_bin (out, kv_slice (fill, bytes));
            free (fill);
        } else {
            writer_bin (out, kv_slice (word, size));
        }
    }
}

static inline void server_add (server_t *self, const char *format, ...) KV_PRINTF (2, 3);

static inline void server_add (server_t *self, const char *format, ...)
{
    size_t used = strlen (self->shown);
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (self->shown + used, sizeof self->shown - used, format, arguments);
    va_end (arguments);
}

static inline void server_show_value (server_t *self, reader_t *at)
{
    kv_slice_t bytes = {0};
    int64_t number = 0;
    uint32_t count = 0;
    kv_status_t status = KV_OK;
    reader_type_t type = reader_peek (at);
    if (type == READER_NIL) {
        status = reader_nil (at);
        server_add (self, "nil");
    } else if (type == READER_INT) {
        uint64_t large = 0;
        status = reader_int (at, &number);
        if (status && (status = reader_uint (at, &large)) == KV_OK)
            server_add (self, "%" PRIu64, large);
        else
            server_add (self, "%" PRId64, number);
    } else if (type == READER_TEXT || type == READER_BIN) {
        status = reader_bytes (at, &bytes);
        const char *quote = type == READER_BIN ? "\"" : "";
        server_add (self, "%s%.*s%s", quote, (int)bytes.size, (const char *)bytes.data, quote);
    } else if (type == READER_MAP) {
        status = reader_map (at, &count);
        for (uint32_t i = 0; i < 2 * count; i++) {
            server_add (self, "%s", i == 0 ? "{" : i % 2 ? ": " : ", ");
            server_show_value (self, at);
        }
        server_add (self, "}");
    } else {
        status = reader_array (at, &count);
        server_add (self, "[");
        for (uint32_t i = 0; i < count; i++) {
            server_add (self, i ? ", " : "");
            server_show_value (self, at);
        }
        server_add (self, "]");
    }
    assert_int_equal (status, KV_OK);
}

/* Runs one command; the answer in text stays valid until the next. */
static inline const char *server_ask (server_t *self, const char *command)
{
    writer_reset (&self->request);
    writer_reset (&self->reply);
    request_begin (&self->request, 1, 1, false);
    server_encode (&self->request, command);
    kv_status_t status =
        executor_run (self->executor, kv_slice (self->request.data, self->request.size),
                      self->now_ms, &self->reply);
    assert_int_equal (status, KV_OK);
    reply_t reply;
    result_t result;
    status = reply_decode (kv_slice (self->reply.data, self->reply.size), &reply);
    assert_int_equal (status, KV_OK);
    assert_int_equal (reply.count, 1); // X1
    status = result_next (&reply, &result);
    assert_int_equal (status, KV_OK);
    self->shown[0] = '\0';
    if (result.status == KV_OK) {
        reader_t at = reader_make (result.value);
        server_show_value (self, &at);
    } else {
        server_add (self, "!%s %.*s", kv_status_name (result.status), (int)result.text.size,
                    (const char *)result.text.data);
    }
    return self->shown;
}

/* Runs `command` and requires the answer. */
#define EXPECT(server, command, answer) assert_string_equal (server_ask (server, command), answer)

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown (test, server_set_up, server_tear_down)

#endif
