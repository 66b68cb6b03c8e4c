/* config_properties - Java's properties format (java.util.Properties), less what only confuses.
 *
 *   key=value   key: value   key value       # comment   ! comment
 *   A backslash joins the next line, or begins \t \n \r \f \uXXXX, or stands for the character
 *   after it.
 *
 * Three differences from Java: the bytes are UTF-8; blanks at the end of a value are dropped unless
 * escaped; a key without any value, a key given twice and half a surrogate pair are errors.
 *
 *   P1  `at` is between characters, and line and column are those of the character there. */
#include "config/config_load.h"

enum { VALUE_BYTES_MAX = CONFIG_LINE_BYTES_MAX };

typedef struct {
    config_load_t *load;
    const uint8_t *at;
    const uint8_t *end;
    size_t line; /* P1 */
    size_t column;
} cursor_t;

/* One character of a logical line, escapes resolved. */
typedef struct {
    uint8_t bytes[4];
    size_t size; /* 0: the line has ended */
    bool escaped;
    config_spot_t spot;
} letter_t;

/* A key or value being collected. */
typedef struct {
    char *bytes;
    size_t most;
    size_t size;
    const char *what;
} part_t;

static config_spot_t s_spot (const cursor_t *self)
{
    return config_load_spot (self->load, self->line, self->column);
}

static bool s_at_line_end (const cursor_t *self)
{
    return self->at == self->end || *self->at == '\n' || *self->at == '\r';
}

/* Over one line terminator, if there is one. */
static void s_pass_line_end (cursor_t *self)
{
    if (self->at == self->end)
        return;
    bool pair = *self->at == '\r' && self->at + 1 < self->end && self->at[1] == '\n';
    self->at += pair ? 2 : 1;
    self->line++;
    self->column = 1;
}

static void s_pass_blanks (cursor_t *self)
{
    while (self->at < self->end && (*self->at == ' ' || *self->at == '\t')) {
        self->at++;
        self->column++;
    }
}

/* Copies one character as it stands; the file is known to be UTF-8. */
static void s_copy (cursor_t *self, letter_t *out)
{
    uint32_t code;
    out->size = config_utf8 (self->at, (size_t)(self->end - self->at), &code);
    KV_ASSERT (out->size > 0);
    memcpy (out->bytes, self->at, out->size);
    self->at += out->size;
    self->column++;
}

/* The four hexadecimal digits after \u, or false. */
static bool s_hex (cursor_t *self, uint32_t *unit)
{
    *unit = 0;
    for (int i = 0; i < 4; i++) {
        uint8_t c = self->at < self->end ? *self->at : 0;
        uint8_t lower = c | 0x20;
        if (c >= '0' && c <= '9')
            *unit = *unit << 4 | (uint32_t)(c - '0');
        else if (lower >= 'a' && lower <= 'f')
            *unit = *unit << 4 | (uint32_t)(lower - 'a' + 10);
        else
            return false;
        self->at++;
        self->column++;
    }
    return true;
}

static void s_encode (uint32_t code, letter_t *out)
{
    static const uint8_t first[5] = {0, 0, 0xc0, 0xe0, 0xf0};
    out->size = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = out->size; i-- > 1;) {
        out->bytes[i] = (uint8_t)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    out->bytes[0] = (uint8_t)(first[out->size] | code);
}

/* A \uXXXX, or two that make a surrogate pair; the cursor stands after the u. */
static kv_status_t s_unicode (cursor_t *self, letter_t *out)
{
    config_t *config = self->load->config;
    uint32_t high, low = 0;
    if (!s_hex (self, &high))
        return config_fail (config, out->spot,
                            "\\u is not followed by four digits; allowed is \\uXXXX, hexadecimal");
    if (high >= 0xd800 && high < 0xdc00) {
        bool more = self->end - self->at > 2 && self->at[0] == '\\' && self->at[1] == 'u';
        if (more) {
            self->at += 2;
            self->column += 2;
        }
        if (!more || !s_hex (self, &low) || low < 0xdc00 || low > 0xdfff)
            return config_fail (config, out->spot,
                                "half a surrogate pair; allowed are two \\uXXXX that belong "
                                "together");
        high = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
    } else if (high >= 0xdc00 && high < 0xe000) {
        return config_fail (config, out->spot,
                            "half a surrogate pair; allowed are two \\uXXXX that belong together");
    }
    s_encode (high, out);
    return KV_OK;
}

/* The next character of the logical line. */
static kv_status_t s_letter (cursor_t *self, letter_t *out)
{
    *out = (letter_t){.spot = s_spot (self)};
    while (self->at < self->end && *self->at == '\\') {
        out->spot = s_spot (self);
        self->at++;
        self->column++;
        if (self->at == self->end)
            return config_fail (self->load->config, out->spot,
                                "a backslash ends the file; allowed is a line after it");
        if (!s_at_line_end (self)) {
            static const char escapes[] = "t\tn\nr\rf\f";
            out->escaped = true;
            const char *found = strchr (escapes, (char)*self->at);
            if (*self->at == 'u') {
                self->at++;
                self->column++;
                return s_unicode (self, out);
            }
            s_copy (self, out);
            if (found && (found - escapes) % 2 == 0)
                out->bytes[0] = (uint8_t)found[1];
            return KV_OK;
        }
        s_pass_line_end (self);
        s_pass_blanks (self);
        out->spot = s_spot (self);
    }
    if (!s_at_line_end (self))
        s_copy (self, out);
    return KV_OK;
}

static kv_status_t s_append (cursor_t *self, part_t *part, const letter_t *letter)
{
    if (part->size + letter->size > part->most)
        return config_fail (self->load->config, letter->spot,
                            "the %s is too long; at most %zu bytes are allowed", part->what,
                            part->most);
    memcpy (part->bytes + part->size, letter->bytes, letter->size);
    part->size += letter->size;
    return KV_OK;
}

/* True if the letter is c itself, not an escaped one. */
static bool s_is (const letter_t *letter, char c)
{
    return letter->size == 1 && !letter->escaped && letter->bytes[0] == (uint8_t)c;
}

static bool s_is_blank (const letter_t *letter)
{
    return s_is (letter, ' ') || s_is (letter, '\t');
}

/* Reads the key and its separator; `letter` is then the first of the value, or the line's end. */
static kv_status_t s_key (cursor_t *self, part_t *key, letter_t *letter, bool *separated)
{
    kv_status_t status = s_letter (self, letter);
    while (status == KV_OK && letter->size > 0) {
        if (s_is (letter, '=') || s_is (letter, ':') || s_is_blank (letter))
            break;
        if (config_is_control (letter->bytes[0]) && letter->bytes[0] < 0x80)
            return config_fail (self->load->config, letter->spot,
                                "the key holds a control character; allowed is a name");
        status = s_append (self, key, letter);
        if (status == KV_OK)
            status = s_letter (self, letter);
    }
    key->bytes[key->size] = '\0';
    bool mark = false;
    while (status == KV_OK && (s_is_blank (letter) || s_is (letter, '=') || s_is (letter, ':'))) {
        if (!s_is_blank (letter) && mark)
            break; /* a second mark belongs to the value */
        mark = mark || !s_is_blank (letter);
        status = s_letter (self, letter);
    }
    *separated = mark || letter->size > 0;
    return status;
}

/* Collects the value, which begins with `letter`, without unescaped blanks at its end. */
static kv_status_t s_rest (cursor_t *self, part_t *value, letter_t *letter)
{
    size_t kept = 0;
    kv_status_t status = KV_OK;
    while (status == KV_OK && letter->size > 0) {
        status = s_append (self, value, letter);
        if (status != KV_OK)
            return status;
        if (!s_is_blank (letter))
            kept = value->size;
        status = s_letter (self, letter);
    }
    value->size = kept;
    return status;
}

static kv_status_t s_set (cursor_t *self, const char *path, config_spot_t key_spot,
                          kv_slice_t value, config_spot_t value_spot)
{
    config_key_t kind;
    config_entry_t *entry;
    kv_status_t status = config_load_key (self->load, path, key_spot, &kind, &entry);
    if (status != KV_OK || kind == CONFIG_KEY_FOREIGN)
        return status;
    if (kind == CONFIG_KEY_GROUP)
        return config_fail (self->load->config, key_spot,
                            "%s is the beginning of a key; allowed is a whole one",
                            config_shown (kv_slice_text (path)).text);
    if (entry->row->type == KV_OPTION_LIST)
        return config_fail (self->load->config, key_spot,
                            "%s is a list; allowed is it in a YAML file", path);
    return config_load_value (self->load, entry, value, value_spot);
}

/* One logical line that is neither blank nor a comment. */
static kv_status_t s_line (cursor_t *self)
{
    char key_bytes[CONFIG_KEY_BYTES_MAX + 1];
    char value_bytes[VALUE_BYTES_MAX];
    part_t key = {key_bytes, CONFIG_KEY_BYTES_MAX, 0, "key"};
    part_t value = {value_bytes, VALUE_BYTES_MAX, 0, "value"};
    config_spot_t key_spot = s_spot (self);
    letter_t letter;
    bool separated = false;
    kv_status_t status = s_key (self, &key, &letter, &separated);
    if (status != KV_OK)
        return status;
    config_spot_t value_spot = letter.spot;
    if (!separated)
        return config_fail (self->load->config, key_spot,
                            "%s has no value; allowed is `key=value` or `key: value`",
                            config_shown (kv_slice (key.bytes, key.size)).text);
    status = s_rest (self, &value, &letter);
    if (status != KV_OK)
        return status;
    return s_set (self, key.bytes, key_spot, kv_slice (value.bytes, value.size), value_spot);
}

kv_status_t config_properties_read (config_load_t *load)
{
    cursor_t cursor = {load, load->bytes.data, load->bytes.data + load->bytes.size, 1, 1};
    kv_status_t status = KV_OK;
    while (status == KV_OK && cursor.at < cursor.end) {
        s_pass_blanks (&cursor);
        if (cursor.at < cursor.end && (*cursor.at == '#' || *cursor.at == '!')) {
            while (!s_at_line_end (&cursor)) {
                letter_t passed;
                s_copy (&cursor, &passed);
            }
        } else if (!s_at_line_end (&cursor)) {
            status = s_line (&cursor);
        }
        s_pass_line_end (&cursor);
    }
    return status;
}
