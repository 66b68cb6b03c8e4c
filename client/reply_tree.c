#include "client/reply_tree.h"

#include "schema/limits.h"
#include "schema/request.h"

#include <stdlib.h>

struct kv_reply {
    uint32_t kind; /* kv_reply_kind_t */
    int32_t code;  /* ERROR */
    size_t size;   /* TEXT, BYTES: bytes; ARRAY: values; MAP: pairs; ERROR: 2 */
    union {
        int64_t integer;
        double real;
        const char *data;
        const kv_reply_t *items; /* ERROR: its text, then its details or nil */
    } as;
};

/* What a reply takes, and where the next piece of it goes. */
typedef struct {
    size_t node_count;
    size_t string_bytes;
    kv_reply_t *next_node;
    char *next_string;
} builder_t;

/* Counts one value with all in it. Flat: what is still to be read is a number, not a stack. */
static kv_status_t s_measure (builder_t *self, kv_slice_t value)
{
    reader_t at = reader_make (value);
    for (uint64_t left = 1; left > 0; left--) {
        uint32_t count;
        kv_slice_t bytes;
        kv_status_t status = KV_OK;
        self->node_count++;
        switch (reader_peek (&at)) {
        case READER_ARRAY:
            if ((status = reader_array (&at, &count)) == KV_OK)
                left += count;
            break;
        case READER_MAP:
            if ((status = reader_map (&at, &count)) == KV_OK)
                left += 2 * (uint64_t)count;
            break;
        case READER_TEXT:
        case READER_BIN:
            if ((status = reader_bytes (&at, &bytes)) == KV_OK)
                self->string_bytes += bytes.size + 1;
            break;
        case READER_NIL:
        case READER_BOOL:
        case READER_INT:
        case READER_DOUBLE: status = reader_skip (&at, NULL); break;
        case READER_EXT:
        case READER_INVALID: return KV_CORRUPT;
        }
        if (status)
            return KV_CORRUPT;
    }
    return KV_OK;
}

static void s_string (builder_t *self, kv_reply_t *node, kv_reply_kind_t kind, kv_slice_t bytes)
{
    *node = (kv_reply_t){.kind = kind, .size = bytes.size, .as.data = self->next_string};
    if (bytes.size)
        memcpy (self->next_string, bytes.data, bytes.size);
    self->next_string[bytes.size] = '\0';
    self->next_string += bytes.size + 1;
}

static kv_reply_t *s_claim (builder_t *self, size_t count)
{
    kv_reply_t *nodes = self->next_node;
    self->next_node += count; // T2
    return nodes;
}

static kv_status_t s_scalar (builder_t *self, reader_t *at, kv_reply_t *node, reader_type_t type)
{
    kv_slice_t bytes;
    bool flag = false;
    kv_status_t status;
    switch (type) {
    case READER_TEXT:
    case READER_BIN:
        status = reader_bytes (at, &bytes);
        if (status == KV_OK)
            s_string (self, node, type == READER_TEXT ? KV_REPLY_TEXT : KV_REPLY_BYTES, bytes);
        return status;
    case READER_INT: node->kind = KV_REPLY_INT; return reader_int (at, &node->as.integer);
    case READER_DOUBLE: node->kind = KV_REPLY_DOUBLE; return reader_double (at, &node->as.real);
    case READER_BOOL:
        node->kind = KV_REPLY_BOOL;
        status = reader_bool (at, &flag);
        node->as.integer = flag;
        return status;
    case READER_NIL: node->kind = KV_REPLY_NIL; return reader_nil (at);
    case READER_ARRAY:
    case READER_MAP:
    case READER_EXT:
    case READER_INVALID: break;
    }
    return KV_CORRUPT;
}

/* Fills a node of the value at the cursor; recursion ends at KV_DEPTH_MAX. */
static kv_status_t s_fill (builder_t *self, reader_t *at, kv_reply_t *node, unsigned depth)
{
    *node = (kv_reply_t){0};
    reader_type_t type = reader_peek (at);
    if (type != READER_ARRAY && type != READER_MAP)
        return s_scalar (self, at, node, type);
    uint32_t count;
    kv_status_t status = type == READER_ARRAY ? reader_array (at, &count) : reader_map (at, &count);
    if (status || depth == KV_DEPTH_MAX)
        return KV_CORRUPT;
    size_t children = type == READER_ARRAY ? count : 2 * (size_t)count;
    kv_reply_t *items = s_claim (self, children);
    *node = (kv_reply_t){.kind = type == READER_ARRAY ? KV_REPLY_ARRAY : KV_REPLY_MAP,
                         .size = count,
                         .as.items = items};
    for (size_t i = 0; i < children; i++) {
        if (s_fill (self, at, &items[i], depth + 1) != KV_OK)
            return KV_CORRUPT;
    }
    return KV_OK;
}

static kv_status_t s_fill_result (builder_t *self, const result_t *result, kv_reply_t *node)
{
    if (result->status == KV_OK) {
        reader_t at = reader_make (result->value);
        return s_fill (self, &at, node, 0);
    }
    kv_reply_t *items = s_claim (self, 2);
    *node = (kv_reply_t){
        .kind = KV_REPLY_ERROR, .code = (int32_t)result->status, .size = 2, .as.items = items};
    s_string (self, &items[0], KV_REPLY_TEXT, result->text);
    items[1] = (kv_reply_t){.kind = KV_REPLY_NIL};
    if (result->details.size == 0)
        return KV_OK;
    reader_t at = reader_make (result->details);
    return s_fill (self, &at, &items[1], 1);
}

static kv_status_t s_measure_result (builder_t *self, const result_t *result)
{
    if (result->status == KV_OK)
        return s_measure (self, result->value);
    self->node_count += 3;
    self->string_bytes += result->text.size + 1;
    return result->details.size ? s_measure (self, result->details) : KV_OK;
}

static kv_status_t s_measure_all (builder_t *self, reply_t reply)
{
    result_t result;
    for (uint32_t i = 0; i < reply.count; i++) {
        if (result_next (&reply, &result) != KV_OK || s_measure_result (self, &result) != KV_OK)
            return KV_CORRUPT;
    }
    return KV_OK;
}

/* Fills `count` nodes of as many results, or all of them of a single refusal. */
static kv_status_t s_fill_all (builder_t *self, reply_t reply, kv_reply_t *nodes, size_t count)
{
    result_t result;
    for (uint32_t i = 0; i < reply.count; i++) {
        if (result_next (&reply, &result) != KV_OK)
            return KV_CORRUPT;
        if (s_fill_result (self, &result, &nodes[i]) != KV_OK)
            return KV_CORRUPT;
    }
    if (reply.count == count)
        return KV_OK;
    if (nodes[0].kind != KV_REPLY_ERROR)
        return KV_CORRUPT;
    for (size_t i = 1; i < count; i++)
        nodes[i] = nodes[0]; /* the text and the details are shared */
    return KV_OK;
}

static kv_status_t s_build (reply_t reply, uint32_t commands, bool single, kv_reply_t **root)
{
    *root = NULL;
    if (reply.count != commands && reply.count != 1)
        return KV_CORRUPT;
    builder_t builder = {.node_count = 1 + (commands - reply.count)};
    if (s_measure_all (&builder, reply) != KV_OK)
        return KV_CORRUPT;
    size_t node_bytes = builder.node_count * sizeof (kv_reply_t);
    kv_reply_t *nodes = malloc (node_bytes + builder.string_bytes); // T1
    if (!nodes)
        return KV_OUT_OF_MEMORY;
    builder.next_node = nodes;
    builder.next_string = (char *)nodes + node_bytes;
    kv_reply_t *first = s_claim (&builder, 1);
    if (!single) {
        kv_reply_t *items = s_claim (&builder, commands);
        *first = (kv_reply_t){.kind = KV_REPLY_ARRAY, .size = commands, .as.items = items};
        first = items;
    }
    kv_status_t status = s_fill_all (&builder, reply, first, commands);
    KV_ASSERT (builder.next_node <= nodes + builder.node_count);
    KV_ASSERT (builder.next_string <= (char *)nodes + node_bytes + builder.string_bytes);
    if (status) {
        free (nodes);
        return KV_CORRUPT;
    }
    *root = nodes;
    return KV_OK;
}

static kv_status_t s_decode (kv_slice_t body, uint32_t commands, bool single, kv_reply_t **root)
{
    reply_t reply;
    *root = NULL;
    kv_status_t status = reply_decode (body, &reply);
    if (status)
        return status == KV_BAD_VERSION ? status : KV_CORRUPT;
    return s_build (reply, commands, single, root);
}

kv_status_t reply_tree_batch (kv_slice_t body, uint32_t commands, kv_reply_t **root)
{
    return s_decode (body, commands, false, root);
}

kv_status_t reply_tree_single (kv_slice_t body, kv_reply_t **root)
{
    return s_decode (body, 1, true, root);
}

kv_status_t reply_tree_results (kv_slice_t results, uint32_t count, uint32_t commands, bool single,
                                kv_reply_t **root)
{
    reply_t reply = {.count = count, .results = reader_make (results)};
    return s_build (reply, commands, single, root);
}

bool reply_tree_id (kv_slice_t body, uint64_t *id)
{
    reader_t at = reader_make (body);
    uint32_t count;
    uint64_t version;
    return reader_array (&at, &count) == KV_OK && count >= 2 &&
           reader_uint (&at, &version) == KV_OK && reader_uint (&at, id) == KV_OK;
}

void kv_reply_destroy (kv_reply_t **reply)
{
    if (reply) {
        free (*reply);
        *reply = NULL;
    }
}

kv_reply_kind_t kv_reply_kind (const kv_reply_t *reply)
{
    return (kv_reply_kind_t)reply->kind;
}

int64_t kv_reply_int (const kv_reply_t *reply)
{
    bool has = reply->kind == KV_REPLY_INT || reply->kind == KV_REPLY_BOOL;
    return has ? reply->as.integer : 0;
}

double kv_reply_double (const kv_reply_t *reply)
{
    if (reply->kind == KV_REPLY_INT)
        return (double)reply->as.integer;
    return reply->kind == KV_REPLY_DOUBLE ? reply->as.real : 0;
}

const char *kv_reply_data (const kv_reply_t *reply, size_t *size)
{
    if (reply->kind == KV_REPLY_ERROR)
        reply = &reply->as.items[0];
    bool has = reply->kind == KV_REPLY_TEXT || reply->kind == KV_REPLY_BYTES;
    if (size)
        *size = has ? reply->size : 0;
    return has ? reply->as.data : "";
}

size_t kv_reply_count (const kv_reply_t *reply)
{
    bool has = reply->kind == KV_REPLY_ARRAY || reply->kind == KV_REPLY_MAP;
    return has ? reply->size : 0;
}

const kv_reply_t *kv_reply_item (const kv_reply_t *reply, size_t n)
{
    if (n >= kv_reply_count (reply))
        return NULL;
    return reply->kind == KV_REPLY_MAP ? &reply->as.items[2 * n + 1] : &reply->as.items[n];
}

const kv_reply_t *kv_reply_key (const kv_reply_t *reply, size_t n)
{
    bool has = reply->kind == KV_REPLY_MAP && n < reply->size;
    return has ? &reply->as.items[2 * n] : NULL;
}

const kv_reply_t *kv_reply_find (const kv_reply_t *reply, const char *key)
{
    if (reply->kind != KV_REPLY_MAP)
        return NULL;
    for (size_t i = 0; i < reply->size; i++) {
        size_t size;
        const kv_reply_t *candidate = &reply->as.items[2 * i];
        const char *data = kv_reply_data (candidate, &size);
        bool named = candidate->kind == KV_REPLY_TEXT || candidate->kind == KV_REPLY_BYTES;
        if (named && kv_slice_equal (kv_slice (data, size), kv_slice_text (key)))
            return &reply->as.items[2 * i + 1];
    }
    return NULL;
}

kv_status_t kv_reply_code (const kv_reply_t *reply)
{
    return reply->kind == KV_REPLY_ERROR ? (kv_status_t)reply->code : KV_OK;
}

const kv_reply_t *kv_reply_details (const kv_reply_t *reply)
{
    bool has = reply->kind == KV_REPLY_ERROR && reply->as.items[1].kind == KV_REPLY_MAP;
    return has ? &reply->as.items[1] : NULL;
}
