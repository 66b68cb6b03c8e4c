#include "schema/reader.h"

#include "schema/limits.h"

/* One element's head, decoded: for containers and strings `value` is the count or the length. */
typedef struct {
    reader_type_t type;
    bool negative;     /* INT: value is the two's complement of a number below 0 */
    uint64_t value;    /* INT, BOOL, lengths, counts; DOUBLE: the bits of a 64-bit float */
    size_t head_bytes; /* type byte and what belongs to it, without the payload */
} head_t;

static uint64_t s_big_endian (const uint8_t *at, unsigned width)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < width; i++)
        value = value << 8 | at[i];
    return value;
}

static uint64_t s_widen_float (uint32_t bits)
{
    float narrow;
    memcpy (&narrow, &bits, sizeof narrow);
    double wide = (double)narrow;
    uint64_t wide_bits;
    memcpy (&wide_bits, &wide, sizeof wide_bits);
    return wide_bits;
}

/* What the type bytes 0xc0..0xdf mean: the type, and how many bytes of length or value follow. */
static const struct {
    uint8_t type;
    uint8_t width;
} s_heads[32] = {
    [0xc0 - 0xc0] = {READER_NIL, 0},    [0xc1 - 0xc0] = {READER_INVALID, 0},
    [0xc2 - 0xc0] = {READER_BOOL, 0},   [0xc3 - 0xc0] = {READER_BOOL, 0},
    [0xc4 - 0xc0] = {READER_BIN, 1},    [0xc5 - 0xc0] = {READER_BIN, 2},
    [0xc6 - 0xc0] = {READER_BIN, 4},    [0xc7 - 0xc0] = {READER_EXT, 1},
    [0xc8 - 0xc0] = {READER_EXT, 2},    [0xc9 - 0xc0] = {READER_EXT, 4},
    [0xca - 0xc0] = {READER_DOUBLE, 4}, [0xcb - 0xc0] = {READER_DOUBLE, 8},
    [0xcc - 0xc0] = {READER_INT, 1},    [0xcd - 0xc0] = {READER_INT, 2},
    [0xce - 0xc0] = {READER_INT, 4},    [0xcf - 0xc0] = {READER_INT, 8},
    [0xd0 - 0xc0] = {READER_INT, 1},    [0xd1 - 0xc0] = {READER_INT, 2},
    [0xd2 - 0xc0] = {READER_INT, 4},    [0xd3 - 0xc0] = {READER_INT, 8},
    [0xd4 - 0xc0] = {READER_EXT, 0},    [0xd5 - 0xc0] = {READER_EXT, 0},
    [0xd6 - 0xc0] = {READER_EXT, 0},    [0xd7 - 0xc0] = {READER_EXT, 0},
    [0xd8 - 0xc0] = {READER_EXT, 0},    [0xd9 - 0xc0] = {READER_TEXT, 1},
    [0xda - 0xc0] = {READER_TEXT, 2},   [0xdb - 0xc0] = {READER_TEXT, 4},
    [0xdc - 0xc0] = {READER_ARRAY, 2},  [0xdd - 0xc0] = {READER_ARRAY, 4},
    [0xde - 0xc0] = {READER_MAP, 2},    [0xdf - 0xc0] = {READER_MAP, 4},
};

/* The heads that fit in one byte. */
static head_t s_short_head (uint8_t byte)
{
    if (byte < 0x80)
        return (head_t){.type = READER_INT, .value = byte, .head_bytes = 1};
    if (byte < 0x90)
        return (head_t){.type = READER_MAP, .value = byte & 0x0f, .head_bytes = 1};
    if (byte < 0xa0)
        return (head_t){.type = READER_ARRAY, .value = byte & 0x0f, .head_bytes = 1};
    if (byte < 0xc0)
        return (head_t){.type = READER_TEXT, .value = byte & 0x1f, .head_bytes = 1};
    return (head_t){.type = READER_INT,
                    .negative = true,
                    .value = (uint64_t)(int64_t)(int8_t)byte,
                    .head_bytes = 1};
}

/* Ext payloads: fixext 1, 2, 4, 8, 16 (0xd4..0xd8) or a length; each has a type byte besides. */
static void s_finish_ext (head_t *head, uint8_t byte)
{
    if (byte >= 0xd4)
        head->value = UINT64_C (1) << (byte - 0xd4);
    head->value += 1;
}

static void s_finish_number (head_t *head, uint8_t byte, unsigned width)
{
    if (byte == 0xca)
        head->value = s_widen_float ((uint32_t)head->value);
    if (byte >= 0xd0 && byte <= 0xd3) {
        KV_ASSERT (width > 0);
        unsigned shift = 64 - 8 * width;
        int64_t value = (int64_t)(head->value << shift) >> shift;
        head->negative = value < 0;
        head->value = (uint64_t)value;
    }
    if (byte == 0xc2 || byte == 0xc3)
        head->value = byte & 1;
}

static head_t s_head (const reader_t *self)
{
    const head_t invalid = {.type = READER_INVALID};
    size_t left = reader_left (self);
    if (left == 0)
        return invalid; // D1
    uint8_t byte = self->at[0];
    if (byte < 0xc0 || byte >= 0xe0)
        return s_short_head (byte);
    unsigned width = s_heads[byte - 0xc0].width;
    if (left < 1 + width)
        return invalid; // D1
    head_t head = {.type = (reader_type_t)s_heads[byte - 0xc0].type,
                   .value = s_big_endian (self->at + 1, width),
                   .head_bytes = 1 + width};
    if (head.type == READER_EXT)
        s_finish_ext (&head, byte);
    else
        s_finish_number (&head, byte, width);
    return head;
}

/* Bytes that follow the head and belong to the element itself (not to nested elements). */
static uint64_t s_payload (const head_t *head)
{
    bool has = head->type == READER_TEXT || head->type == READER_BIN || head->type == READER_EXT;
    return has ? head->value : 0;
}

reader_type_t reader_peek (const reader_t *self)
{
    return s_head (self).type;
}

static kv_status_t s_take (reader_t *self, reader_type_t type, head_t *head)
{
    *head = s_head (self);
    if (head->type != type)
        return KV_BAD_REQUEST; // D4
    self->at += head->head_bytes;
    return KV_OK;
}

/* D2: each element takes a byte at least, each map entry two. */
static kv_status_t s_container (reader_t *self, reader_type_t type, uint32_t *count)
{
    reader_t start = *self;
    head_t head;
    kv_status_t status = s_take (self, type, &head);
    if (status)
        return status;
    uint64_t least = type == READER_MAP ? 2 * head.value : head.value;
    if (least > reader_left (self)) {
        *self = start;
        return KV_BAD_REQUEST;
    }
    *count = (uint32_t)head.value;
    return KV_OK;
}

kv_status_t reader_any_array (reader_t *self, uint32_t *count)
{
    return s_container (self, READER_ARRAY, count);
}

kv_status_t reader_map (reader_t *self, uint32_t *count)
{
    return s_container (self, READER_MAP, count);
}

kv_status_t reader_nil (reader_t *self)
{
    head_t head;
    return s_take (self, READER_NIL, &head);
}

kv_status_t reader_bool (reader_t *self, bool *value)
{
    head_t head;
    kv_status_t status = s_take (self, READER_BOOL, &head);
    if (status == KV_OK)
        *value = head.value != 0;
    return status;
}

kv_status_t reader_int (reader_t *self, int64_t *value)
{
    head_t head = s_head (self);
    if (head.type != READER_INT || (!head.negative && head.value > INT64_MAX))
        return KV_BAD_REQUEST;
    self->at += head.head_bytes;
    *value = (int64_t)head.value;
    return KV_OK;
}

kv_status_t reader_uint (reader_t *self, uint64_t *value)
{
    head_t head = s_head (self);
    if (head.type != READER_INT || head.negative)
        return KV_BAD_REQUEST;
    self->at += head.head_bytes;
    *value = head.value;
    return KV_OK;
}

kv_status_t reader_double (reader_t *self, double *value)
{
    head_t head;
    kv_status_t status = s_take (self, READER_DOUBLE, &head);
    if (status == KV_OK)
        memcpy (value, &head.value, sizeof *value);
    return status;
}

kv_status_t reader_any_bytes (reader_t *self, kv_slice_t *bytes)
{
    head_t head = s_head (self);
    if (head.type != READER_TEXT && head.type != READER_BIN)
        return KV_BAD_REQUEST;
    if (head.value > reader_left (self) - head.head_bytes)
        return KV_BAD_REQUEST;
    *bytes = kv_slice (self->at + head.head_bytes, (size_t)head.value);
    self->at += head.head_bytes + head.value;
    return KV_OK;
}

/* One step over an element: its own bytes are passed, `inside` is how many elements it contains. */
typedef struct {
    bool is_container;
    uint64_t inside;
} step_t;

static kv_status_t s_any_step (reader_t *self, step_t *step)
{
    head_t head = s_head (self);
    if (head.type == READER_INVALID)
        return KV_BAD_REQUEST;
    uint64_t payload = s_payload (&head);
    if (payload > reader_left (self) - head.head_bytes)
        return KV_BAD_REQUEST; // D1
    self->at += head.head_bytes + payload;
    step->is_container = head.type == READER_ARRAY || head.type == READER_MAP;
    step->inside = head.type == READER_MAP ? 2 * head.value : head.value;
    return KV_OK;
}

/* As s_any_step, with the heads of one and two bytes that a batch is made of first. */
static inline kv_status_t s_step (reader_t *self, step_t *step)
{
    size_t left = reader_left (self);
    if (left < 2)
        return s_any_step (self, step);
    uint8_t byte = self->at[0];
    size_t size;
    if (byte == 0xc4 || byte == 0xd9)
        size = 2 + (size_t)self->at[1];
    else if ((byte & 0xe0) == 0xa0)
        size = 1 + (size_t)(byte & 0x1f);
    else if ((byte & 0xf0) == 0x90) {
        self->at++;
        *step = (step_t){.is_container = true, .inside = byte & 0x0f};
        return KV_OK;
    } else
        return s_any_step (self, step);
    if (size > left)
        return KV_BAD_REQUEST; // D1
    self->at += size;
    *step = (step_t){0};
    return KV_OK;
}

kv_status_t reader_skip (reader_t *self, kv_slice_t *element)
{
    uint64_t outer[KV_DEPTH_MAX]; /* elements still to pass in the containers around this one */
    unsigned depth = 0;
    uint64_t todo = 1;
    reader_t at = *self;
    for (;;) {
        while (todo == 0 && depth)
            todo = outer[--depth];
        if (todo == 0)
            break;
        step_t step;
        if (s_step (&at, &step) != KV_OK)
            return KV_BAD_REQUEST; // D4
        todo--;
        if (step.is_container) {
            if (depth == KV_DEPTH_MAX || step.inside > reader_left (&at))
                return KV_BAD_REQUEST; // D2, D3
            outer[depth++] = todo;
            todo = step.inside;
        }
    }
    if (element)
        *element = kv_slice (self->at, (size_t)(at.at - self->at));
    *self = at;
    return KV_OK;
}
