/* config_yaml - the YAML we accept, walked event by event (libyaml's parser; YAML 1.1).
 *
 *   file    = one document, a mapping (or comments only)
 *   mapping = keys, dotted or nested: `broker: {port: 1}` is `broker.port: 1`
 *   value   = a scalar for a row, a sequence of mappings for a list row
 *
 *   Y1  No anchors, aliases or tags; no second document; no key that is not a scalar.
 *   Y2  At most CONFIG_DEPTH_MAX mappings and sequences inside each other, so recursion is bounded.
 *   Y3  `event` is valid, and to be deleted, if and only if `held`. */
#include "config/config_list.h"

#include <stdlib.h>
#include <yaml.h>

typedef struct {
    config_load_t *load;
    yaml_parser_t parser;
    yaml_event_t event;
    bool held;                           /* Y3 */
    config_list_t *list;                 /* while within an item */
    unsigned depth;                      /* Y2 */
    char path[CONFIG_KEY_BYTES_MAX + 1]; /* of the key at hand, from the file's or item's top */
    size_t path_size;
} walk_t;

static kv_status_t s_value (walk_t *self, config_key_t kind, config_entry_t *entry, size_t field);

static config_spot_t s_spot (const walk_t *self)
{
    const yaml_mark_t *mark = &self->event.start_mark;
    return config_load_spot (self->load, mark->line + 1, mark->column + 1);
}

/* Fails at the current event. */
#define S_FAIL(self, ...) config_fail ((self)->load->config, s_spot (self), __VA_ARGS__)

/* The parser has stopped: says why and where. */
static kv_status_t s_syntax (walk_t *self)
{
    const yaml_parser_t *parser = &self->parser;
    config_spot_t spot = config_load_spot (self->load, parser->problem_mark.line + 1,
                                           parser->problem_mark.column + 1);
    if (parser->error == YAML_READER_ERROR)
        spot = config_load_spot (self->load, parser->mark.line + 1, parser->mark.column + 1);
    return config_fail (self->load->config, spot,
                        "not valid YAML, %s; allowed is `key: value`, indented by spaces",
                        parser->problem ? parser->problem : "no reason given");
}

/* Y1 for the current event. */
static kv_status_t s_check_event (const walk_t *self)
{
    const yaml_event_t *event = &self->event;
    const yaml_char_t *anchor = NULL;
    const yaml_char_t *tag = NULL;
    if (event->type == YAML_ALIAS_EVENT)
        return S_FAIL (self, "an alias (*) is not supported; allowed is the value itself");
    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
    }
    if (anchor)
        return S_FAIL (self, "an anchor (&) is not supported; allowed is the value alone");
    if (tag)
        return S_FAIL (self, "a tag (!) is not supported; allowed is the value alone");
    return KV_OK;
}

static void s_drop (walk_t *self)
{
    if (self->held)
        yaml_event_delete (&self->event);
    self->held = false;
}

/* Goes on to the next event. */
static kv_status_t s_next (walk_t *self)
{
    s_drop (self);
    if (!yaml_parser_parse (&self->parser, &self->event))
        return s_syntax (self);
    self->held = true;
    return s_check_event (self);
}

/* The current scalar's bytes. */
static kv_slice_t s_scalar (const walk_t *self)
{
    KV_ASSERT (self->event.type == YAML_SCALAR_EVENT);
    return kv_slice (self->event.data.scalar.value, self->event.data.scalar.length);
}

/* True for a scalar that YAML reads as null: nothing at all, ~ or null, without quotes. */
static bool s_is_null (const walk_t *self)
{
    if (self->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    kv_slice_t text = s_scalar (self);
    return text.size == 0 || kv_slice_is_word (text, "~") || kv_slice_is_word (text, "NULL");
}

static kv_status_t s_enter (walk_t *self)
{
    if (self->depth == CONFIG_DEPTH_MAX)
        return S_FAIL (self, "nested too deeply; at most %d levels are allowed", CONFIG_DEPTH_MAX);
    self->depth++;
    return KV_OK;
}

/* Passes over the value at hand, whatever it is, up to its last event. */
static kv_status_t s_skip (walk_t *self)
{
    unsigned outside = self->depth;
    for (;;) {
        yaml_event_type_t type = self->event.type;
        kv_status_t status = KV_OK;
        if (type == YAML_MAPPING_START_EVENT || type == YAML_SEQUENCE_START_EVENT)
            status = s_enter (self);
        else if (type == YAML_MAPPING_END_EVENT || type == YAML_SEQUENCE_END_EVENT)
            self->depth--;
        if (status != KV_OK || self->depth == outside)
            return status;
        status = s_next (self);
        if (status != KV_OK)
            return status;
    }
}

/* Adds the scalar at hand to the path. */
static kv_status_t s_push_key (walk_t *self)
{
    if (self->event.type != YAML_SCALAR_EVENT)
        return S_FAIL (self, "the key is a mapping or a list; allowed is a name");
    kv_slice_t key = s_scalar (self);
    size_t dot = self->path_size > 0 ? 1 : 0;
    if (self->path_size + dot + key.size > CONFIG_KEY_BYTES_MAX)
        return S_FAIL (self, "the key is too long; at most %d bytes are allowed",
                       CONFIG_KEY_BYTES_MAX);
    for (size_t i = 0; i < key.size; i++) {
        if (config_is_control (key.data[i]) && key.data[i] < 0x80)
            return S_FAIL (self, "the key holds a control character; allowed is a name");
    }
    if (dot)
        self->path[self->path_size++] = '.';
    if (key.size > 0)
        memcpy (self->path + self->path_size, key.data, key.size);
    self->path_size += key.size;
    self->path[self->path_size] = '\0';
    return KV_OK;
}

/* One key and its value; the key is at hand. */
static kv_status_t s_pair (walk_t *self)
{
    size_t outside = self->path_size;
    config_key_t kind = CONFIG_KEY_FOREIGN;
    config_entry_t *entry = NULL;
    size_t field = 0;
    kv_status_t status = s_push_key (self);
    if (status == KV_OK && self->list)
        status = config_list_key (self->list, self->path, s_spot (self), &kind, &field);
    else if (status == KV_OK)
        status = config_load_key (self->load, self->path, s_spot (self), &kind, &entry);
    if (status == KV_OK)
        status = s_next (self);
    if (status == KV_OK)
        status = s_value (self, kind, entry, field);
    self->path_size = outside;
    self->path[outside] = '\0';
    return status;
}

/* A mapping, from its start to its end event. */
static kv_status_t s_mapping (walk_t *self)
{
    kv_status_t status = s_enter (self);
    if (status != KV_OK)
        return status;
    status = s_next (self);
    while (status == KV_OK && self->event.type != YAML_MAPPING_END_EVENT) {
        status = s_pair (self);
        if (status == KV_OK)
            status = s_next (self);
    }
    self->depth--;
    return status;
}

/* The items of a list, from the sequence's start to its end event. */
static kv_status_t s_items (walk_t *self, config_list_t *list)
{
    kv_status_t status = s_enter (self);
    if (status != KV_OK)
        return status;
    status = s_next (self);
    while (status == KV_OK && self->event.type != YAML_SEQUENCE_END_EVENT) {
        if (self->event.type != YAML_MAPPING_START_EVENT)
            return S_FAIL (self, "the item is not a mapping; allowed is `- key: value`");
        status = config_list_item (list, s_spot (self));
        if (status == KV_OK)
            status = s_mapping (self);
        if (status == KV_OK)
            status = config_list_item_end (list);
        if (status == KV_OK)
            status = s_next (self);
    }
    self->depth--;
    return status;
}

static kv_status_t s_list (walk_t *self, config_entry_t *entry)
{
    config_spot_t spot = s_spot (self);
    if (self->event.type != YAML_SEQUENCE_START_EVENT)
        return S_FAIL (self, "%s is not a list; allowed is a list of items, each `- key: value`",
                       entry->row->name);
    config_list_t list = config_list_begin (self->load, entry);
    char path[sizeof self->path];
    memcpy (path, self->path, sizeof path);
    size_t path_size = self->path_size;
    self->path_size = 0;
    self->list = &list;
    kv_status_t status = s_items (self, &list);
    self->list = NULL;
    self->path_size = path_size;
    memcpy (self->path, path, sizeof path);
    if (status == KV_OK)
        status = config_list_commit (&list, spot);
    config_list_free (&list);
    return status;
}

/* The value of a group of rows. */
static kv_status_t s_group (walk_t *self)
{
    if (self->event.type == YAML_MAPPING_START_EVENT)
        return s_mapping (self);
    if (self->event.type == YAML_SCALAR_EVENT && s_is_null (self))
        return KV_OK;
    return S_FAIL (self, "%s is not a mapping; allowed are its keys, indented below it",
                   config_shown (kv_slice_text (self->path)).text);
}

/* The value at hand: of a row (entry, or field of the current item), a group or a stranger. */
static kv_status_t s_value (walk_t *self, config_key_t kind, config_entry_t *entry, size_t field)
{
    if (kind == CONFIG_KEY_FOREIGN)
        return s_skip (self);
    if (kind == CONFIG_KEY_GROUP)
        return s_group (self);
    if (entry && entry->row->type == KV_OPTION_LIST)
        return s_list (self, entry);
    const kv_option_t *row = entry ? entry->row : &self->list->entry->row->fields[field];
    if (self->event.type != YAML_SCALAR_EVENT || s_is_null (self)) {
        config_text_t allowed = {0};
        config_value_allowed (row, &allowed);
        S_FAIL (self, "%s %s; allowed is %s", row->name,
                self->event.type == YAML_SCALAR_EVENT ? "has no value" : "is not a single value",
                allowed.data);
        free (allowed.data);
        return KV_CONFIG;
    }
    if (entry)
        return config_load_value (self->load, entry, s_scalar (self), s_spot (self));
    return config_list_set (self->list, field, s_scalar (self), s_spot (self));
}

/* The whole stream. */
static kv_status_t s_stream (walk_t *self)
{
    kv_status_t status = s_next (self); /* stream start */
    if (status == KV_OK)
        status = s_next (self);
    if (status != KV_OK || self->event.type == YAML_STREAM_END_EVENT)
        return status;      /* comments only */
    status = s_next (self); /* after the document's start */
    if (status != KV_OK)
        return status;
    if (self->event.type != YAML_MAPPING_START_EVENT)
        return S_FAIL (self, "the file is not a mapping; allowed is `key: value`");
    status = s_mapping (self);
    if (status == KV_OK)
        status = s_next (self); /* document end */
    if (status == KV_OK)
        status = s_next (self);
    if (status == KV_OK && self->event.type != YAML_STREAM_END_EVENT)
        return S_FAIL (self, "a second document begins; allowed is one in a file");
    return status;
}

kv_status_t config_yaml_read (config_load_t *load)
{
    walk_t walk = {.load = load};
    if (!yaml_parser_initialize (&walk.parser))
        return config_fail (load->config, config_load_spot (load, 1, 1),
                            "out of memory for the YAML parser; free some memory");
    yaml_parser_set_encoding (&walk.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string (&walk.parser, load->bytes.data, load->bytes.size);
    kv_status_t status = s_stream (&walk);
    s_drop (&walk);
    yaml_parser_delete (&walk.parser);
    return status;
}
