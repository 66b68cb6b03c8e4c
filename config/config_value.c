#include "config/config_engine.h"

#include <inttypes.h>
#include <stdlib.h>
#include <strings.h>

/* A parsed value of any type but a list. */
typedef struct {
    bool boolean;
    int64_t number;
    int choice;
    char *text; /* owned until stored */
} value_t;

static kv_slice_t s_trim (kv_slice_t text)
{
    while (text.size > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = kv_slice (text.data + 1, text.size - 1);
    while (text.size > 0 && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t'))
        text.size--;
    return text;
}

/* Each parser gives NULL, or what is wrong, as words that go on after the value. */

static const char *s_parse_bool (kv_slice_t text, bool *out)
{
    static const char *const words[] = {"FALSE", "TRUE", "NO", "YES", "OFF", "ON", "0", "1"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (kv_slice_is_word (text, words[i])) {
            *out = i % 2 == 1;
            return NULL;
        }
    }
    return "neither true nor false";
}

/* The factor a suffix letter stands for; 0: none of them. */
static int64_t s_factor (uint8_t letter)
{
    switch (letter) {
    case 'k':
    case 'K': return INT64_C (1) << 10;
    case 'm':
    case 'M': return INT64_C (1) << 20;
    case 'g':
    case 'G': return INT64_C (1) << 30;
    default: return 0;
    }
}

static const char *s_parse_number (const kv_option_t *row, kv_slice_t text, int64_t *out)
{
    bool bytes = row->type == KV_OPTION_BYTES;
    const char *not_one = bytes ? "not a size" : "not a whole number";
    int64_t factor = 1;
    if (bytes && text.size > 0 && s_factor (text.data[text.size - 1]) > 0)
        factor = s_factor (text.data[--text.size]);
    size_t at = text.size > 0 && (text.data[0] == '-' || text.data[0] == '+') ? 1 : 0;
    int64_t sign = at == 1 && text.data[0] == '-' ? -1 : 1;
    if (at == text.size)
        return not_one;
    int64_t number = 0;
    bool overflow = false;
    for (; at < text.size; at++) {
        uint8_t c = text.data[at];
        if (c < '0' || c > '9')
            return not_one;
        overflow |= __builtin_mul_overflow (number, 10, &number);
        overflow |= __builtin_add_overflow (number, sign * (c - '0'), &number);
    }
    overflow |= __builtin_mul_overflow (number, factor, &number);
    if (overflow || number < row->min || number > row->max)
        return "out of range";
    *out = number;
    return NULL;
}

static const char *s_parse_choice (const kv_option_t *row, kv_slice_t text, int *out)
{
    const char *at = row->choices;
    for (int index = 0;; index++) {
        size_t size = strcspn (at, "|");
        if (text.size == size && strncasecmp ((const char *)text.data, at, size) == 0) {
            *out = index;
            return NULL;
        }
        if (at[size] == '\0')
            return "not one of the choices";
        at += size + 1;
    }
}

static const char *s_parse_text (const kv_option_t *row, kv_slice_t text, const char *folder_of,
                                 char **out)
{
    for (size_t i = 0; i < text.size;) {
        uint32_t code;
        size_t length = config_utf8 (text.data + i, text.size - i, &code);
        if (length == 0)
            return "not valid UTF-8";
        if (config_is_control (code))
            return "not on one line: it holds a control character";
        i += length;
    }
    if (text.size == 0 && row->min > 0)
        return "empty";
    if ((int64_t)text.size < row->min)
        return "too short";
    if ((int64_t)text.size > row->max)
        return "too long";
    char *copy = config_copy (text);
    if (row->type == KV_OPTION_PATH && folder_of && text.size > 0) {
        char *resolved = config_beside (folder_of, copy);
        free (copy);
        copy = resolved;
    }
    if (row->type == KV_OPTION_PATH && strlen (copy) > CONFIG_PATH_BYTES_MAX) {
        free (copy);
        return "too long with its folder";
    }
    *out = copy;
    return NULL;
}

static const char *s_parse (const kv_option_t *row, kv_slice_t text, const char *folder_of,
                            value_t *out)
{
    if (row->type == KV_OPTION_TEXT || row->type == KV_OPTION_PATH)
        return s_parse_text (row, text, folder_of, &out->text);
    kv_slice_t word = s_trim (text);
    if (word.size == 0)
        return "empty";
    if (row->type == KV_OPTION_BOOL)
        return s_parse_bool (word, &out->boolean);
    if (row->type == KV_OPTION_CHOICE)
        return s_parse_choice (row, word, &out->choice);
    KV_ASSERT (row->type == KV_OPTION_NUMBER || row->type == KV_OPTION_BYTES);
    return s_parse_number (row, word, &out->number);
}

/* Puts a parsed value into its member; takes value->text. */
static void s_store (const kv_option_t *row, void *base, value_t *value)
{
    void *member = config_member (row, base);
    switch (row->type) {
    case KV_OPTION_BOOL: *(bool *)member = value->boolean; break;
    case KV_OPTION_NUMBER:
    case KV_OPTION_BYTES: *(int64_t *)member = value->number; break;
    case KV_OPTION_CHOICE: *(int *)member = value->choice; break;
    case KV_OPTION_TEXT:
    case KV_OPTION_PATH:
        *(char **)member = value->text;
        value->text = NULL;
        break;
    case KV_OPTION_LIST: KV_ASSERT (row->type != KV_OPTION_LIST); /* it has no text form */
    }
}

kv_status_t config_value_set (config_t *self, const config_setting_t *setting, void *base,
                              kv_slice_t text)
{
    value_t value = {0};
    const char *wrong = s_parse (setting->row, text, setting->folder_of, &value);
    if (wrong) {
        config_text_t allowed = {0};
        config_value_allowed (setting->row, &allowed);
        config_fail (self, setting->spot, "%s%s\"%s\" is %s; allowed is %s", setting->label,
                     setting->label[0] ? ": " : "", config_shown (text).text, wrong, allowed.data);
        free (allowed.data);
        return KV_CONFIG;
    }
    if (base) {
        config_value_clear (setting->row, base);
        s_store (setting->row, base, &value);
    }
    free (value.text);
    return KV_OK;
}

void config_value_preset (const kv_option_t *row, void *base)
{
    value_t value = {0};
    if (row->type == KV_OPTION_LIST) {
        *(kv_option_list_t *)config_member (row, base) = (kv_option_list_t){0};
        return;
    }
    if (row->preset) {
        const char *wrong = s_parse (row, kv_slice_text (row->preset), NULL, &value);
        KV_ASSERT (!wrong);
    }
    s_store (row, base, &value);
}

void config_value_clear (const kv_option_t *row, void *base)
{
    void *member = config_member (row, base);
    if (row->type == KV_OPTION_TEXT || row->type == KV_OPTION_PATH) {
        free (*(char **)member);
        *(char **)member = NULL;
    } else if (row->type == KV_OPTION_LIST) {
        kv_option_list_t *list = member;
        config_items_free (row, list->items, list->count);
        *list = (kv_option_list_t){0};
    }
}

void config_items_free (const kv_option_t *row, void *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (const kv_option_t *field = row->fields; field->name; field++)
            config_value_clear (field, (char *)items + i * row->item_bytes);
    }
    free (items);
}

/* The index-th of the choices. */
static kv_slice_t s_choice (const kv_option_t *row, int index)
{
    const char *at = row->choices;
    for (; index > 0; index--)
        at += strcspn (at, "|") + 1;
    return kv_slice (at, strcspn (at, "|"));
}

void config_value_print (const kv_option_t *row, const void *base, config_text_t *out)
{
    const void *member = (const char *)base + row->offset;
    switch (row->type) {
    case KV_OPTION_BOOL: config_text_addf (out, *(const bool *)member ? "true" : "false"); break;
    case KV_OPTION_NUMBER:
    case KV_OPTION_BYTES: config_text_addf (out, "%" PRId64, *(const int64_t *)member); break;
    case KV_OPTION_CHOICE: config_text_add (out, s_choice (row, *(const int *)member)); break;
    case KV_OPTION_TEXT:
    case KV_OPTION_PATH:
        if (*(char *const *)member)
            config_text_addf (out, "%s", *(char *const *)member);
        break;
    case KV_OPTION_LIST: {
        size_t count = ((const kv_option_list_t *)member)->count;
        config_text_addf (out, "%zu item%s", count, count == 1 ? "" : "s");
    }
    }
}

bool config_value_is_preset (const kv_option_t *row, const void *base)
{
    if (!row->preset || row->type == KV_OPTION_LIST)
        return false;
    value_t value = {0};
    const char *wrong = s_parse (row, kv_slice_text (row->preset), NULL, &value);
    KV_ASSERT (!wrong);
    const void *member = (const char *)base + row->offset;
    bool same = false;
    switch (row->type) {
    case KV_OPTION_BOOL: same = *(const bool *)member == value.boolean; break;
    case KV_OPTION_NUMBER:
    case KV_OPTION_BYTES: same = *(const int64_t *)member == value.number; break;
    case KV_OPTION_CHOICE: same = *(const int *)member == value.choice; break;
    default: {
        const char *text = *(char *const *)member;
        same = text && strcmp (text, value.text) == 0;
    }
    }
    free (value.text);
    return same;
}

/* A number as people write it in a file: sizes with the largest suffix that divides them. */
static void s_print_number (const kv_option_t *row, int64_t number, config_text_t *out)
{
    static const char letters[] = "gmk";
    for (size_t i = 0; row->type == KV_OPTION_BYTES && number != 0 && letters[i]; i++) {
        int64_t factor = s_factor ((uint8_t)letters[i]);
        if (number % factor == 0) {
            config_text_addf (out, "%" PRId64 "%c", number / factor, letters[i]);
            return;
        }
    }
    config_text_addf (out, "%" PRId64, number);
}

static void s_allowed_number (const kv_option_t *row, config_text_t *out)
{
    bool bytes = row->type == KV_OPTION_BYTES;
    bool bounded = row->min > INT64_MIN || row->max < INT64_MAX;
    config_text_addf (out, bytes ? "a size" : "a number");
    if (row->min > INT64_MIN) {
        config_text_addf (out, row->max < INT64_MAX ? " from " : " of at least ");
        s_print_number (row, row->min, out);
    }
    if (row->max < INT64_MAX) {
        config_text_addf (out, row->min > INT64_MIN ? " to " : " of at most ");
        s_print_number (row, row->max, out);
    }
    if (row->unit && !bytes)
        config_text_addf (out, "%s %s", bounded ? "" : " of", row->unit);
}

static void s_allowed_choice (const kv_option_t *row, config_text_t *out)
{
    for (const char *at = row->choices;;) {
        size_t size = strcspn (at, "|");
        config_text_add (out, kv_slice (at, size));
        if (at[size] == '\0')
            return;
        at += size + 1;
        config_text_addf (out, strchr (at, '|') ? ", " : " or ");
    }
}

void config_value_allowed (const kv_option_t *row, config_text_t *out)
{
    switch (row->type) {
    case KV_OPTION_BOOL: config_text_addf (out, "true or false"); break;
    case KV_OPTION_NUMBER:
    case KV_OPTION_BYTES: s_allowed_number (row, out); break;
    case KV_OPTION_CHOICE: s_allowed_choice (row, out); break;
    case KV_OPTION_TEXT:
    case KV_OPTION_PATH:
        config_text_addf (out, row->type == KV_OPTION_TEXT ? "text of " : "a path of ");
        if (row->min == 0)
            config_text_addf (out, "up to ");
        else if (row->min < row->max)
            config_text_addf (out, "%" PRId64 " to ", row->min);
        config_text_addf (out, "%" PRId64 " bytes", row->max);
        break;
    case KV_OPTION_LIST:
        config_text_addf (out, "a list of %" PRId64 " to %" PRId64 " items with the keys", row->min,
                          row->max);
        for (const kv_option_t *field = row->fields; field->name; field++)
            config_text_addf (out, "%s %s", field == row->fields ? "" : ",", field->name);
    }
}

size_t config_row_count (const kv_option_t *rows)
{
    size_t count = 0;
    while (rows[count].name)
        count++;
    return count;
}

void config_row_check (const kv_option_t *row, bool in_list)
{
    KV_ASSERT (row->name[0] != '\0');
    KV_ASSERT (strlen (row->name) <= CONFIG_KEY_BYTES_MAX);
    KV_ASSERT (row->help);
    KV_ASSERT ((row->type == KV_OPTION_CHOICE) == (row->choices != NULL));
    if (row->type != KV_OPTION_BOOL && row->type != KV_OPTION_CHOICE)
        KV_ASSERT (row->min <= row->max);
    if (row->type == KV_OPTION_TEXT || row->type == KV_OPTION_PATH || row->type == KV_OPTION_LIST) {
        KV_ASSERT (row->min >= 0);
        KV_ASSERT (row->max > 0);
    }
    if (row->type == KV_OPTION_LIST) {
        KV_ASSERT (!in_list);
        KV_ASSERT (!row->preset);
        KV_ASSERT (row->item_bytes > 0);
        KV_ASSERT (config_row_count (row->fields) > 0);
        for (const kv_option_t *field = row->fields; field->name; field++)
            config_row_check (field, true);
    } else if (row->preset) {
        value_t value = {0};
        KV_ASSERT (!s_parse (row, kv_slice_text (row->preset), NULL, &value)); // O3
        free (value.text);
    }
}
