/* The commands that came after the first ones, as plainly as in model.c. */
#include "model_parts.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static kv_slice_t s_value (const item_t *item)
{
    return kv_slice (item->value, item->value_bytes);
}

/* ---- expiry ---------------------------------------------------------------------------------- */

static bool s_has (run_t *run, const char *word)
{
    bool found = false;
    for (uint32_t i = 3; i < run->argc; i++)
        found = found || run_word (run->argv[i], word);
    return found;
}

static bool s_flags_are_good (run_t *run, bool nx, bool xx, bool gt, bool lt)
{
    for (uint32_t i = 3; i < run->argc; i++) {
        kv_slice_t word = run->argv[i];
        if (run_word (word, "NX") || run_word (word, "XX") || run_word (word, "GT") ||
            run_word (word, "LT"))
            continue;
        result_errorf (run->out, KV_SYNTAX, "ERR Unsupported option %.*s", (int)word.size,
                       (const char *)word.data);
        return false;
    }
    if (nx && (xx || gt || lt))
        result_error (run->out, KV_SYNTAX,
                      "ERR NX and XX, GT or LT options at the same time are not compatible");
    else if (gt && lt)
        result_error (run->out, KV_SYNTAX,
                      "ERR GT and LT options at the same time are not compatible");
    else
        return true;
    return false;
}

void run_expire (run_t *run, int unit_ms, bool absolute, const char *name)
{
    bool nx = s_has (run, "NX");
    bool xx = s_has (run, "XX");
    bool gt = s_has (run, "GT");
    bool lt = s_has (run, "LT");
    int64_t amount;
    if (!s_flags_are_good (run, nx, xx, gt, lt) || !run_argument (run, 2, &amount))
        return;
    wide_t relative_ms = (wide_t)amount * unit_ms;
    wide_t deadline_ms = relative_ms + (absolute ? 0 : run->now_ms);
    if (relative_ms > INT64_MAX || relative_ms < INT64_MIN || deadline_ms > INT64_MAX) {
        result_errorf (run->out, KV_BAD_VALUE, "ERR invalid expire time in '%s' command", name);
        return;
    }
    item_t *item = run_get (run, run->argv[1]);
    const wide_t never = (wide_t)1 << 100;
    wide_t present = item && item->deadline_ms ? item->deadline_ms : never;
    bool apply = item && !(nx && present != never) && !(xx && present == never) &&
                 !(gt && deadline_ms <= present) && !(lt && deadline_ms >= present);
    result_int (run->out, apply ? 1 : 0);
    if (apply && deadline_ms <= run->now_ms) {
        run_delete (run, run->argv[1]);
    } else if (apply) {
        item->deadline_ms = deadline_ms;
        run_changed (run, item);
    }
}

void run_expire_time (run_t *run, bool seconds)
{
    item_t *item = run_peek (run, run->argv[1]);
    if (!item)
        result_int (run->out, -2);
    else if (item->deadline_ms == 0)
        result_int (run->out, -1);
    else
        result_int (run->out,
                    (int64_t)(seconds ? (item->deadline_ms + 500) / 1000 : item->deadline_ms));
}

void run_getex (run_t *run)
{
    static const char *const units[] = {"EX", "PX", "EXAT", "PXAT"};
    const char *unit = NULL;
    kv_slice_t amount = {0};
    bool persist = false;
    bool good = true;
    for (uint32_t i = 2; i < run->argc && good; i++) {
        const char *found = NULL;
        for (int u = 0; u < 4; u++)
            found = run_word (run->argv[i], units[u]) ? units[u] : found;
        good = found ? i + 1 < run->argc && (!unit || unit == found)
                     : run_word (run->argv[i], "PERSIST");
        persist = persist || !found;
        if (found && good) {
            unit = found;
            amount = run->argv[++i];
        }
    }
    if (!good || (persist && unit)) {
        run_syntax_error (run);
        return;
    }
    item_t *item = run_get (run, run->argv[1]);
    wide_t deadline_ms = 0;
    if (item && unit && !run_deadline (run, unit, amount, "getex", &deadline_ms))
        return;
    run_write (run, item, true);
    if (item && unit && deadline_ms <= run->now_ms) {
        run_delete (run, run->argv[1]);
    } else if (item && (unit || (persist && item->deadline_ms))) {
        item->deadline_ms = deadline_ms;
        run_changed (run, item);
    }
}

void run_setex (run_t *run, const char *unit, const char *name)
{
    wide_t deadline_ms;
    if (!run_deadline (run, unit, run->argv[2], name, &deadline_ms) ||
        run_too_large (run, run->argv[3].size))
        return;
    run_put (run, run->argv[1], run->argv[3], deadline_ms);
    result_text (run->out, "OK");
}

/* ---- values ---------------------------------------------------------------------------------- */

void run_getset (run_t *run)
{
    if (run_too_large (run, run->argv[2].size))
        return;
    run_write (run, run_get (run, run->argv[1]), true);
    run_put (run, run->argv[1], run->argv[2], 0);
}

void run_getdel (run_t *run)
{
    run_write (run, run_get (run, run->argv[1]), true);
    run_delete (run, run->argv[1]);
}

void run_delifeq (run_t *run)
{
    item_t *item = run_get (run, run->argv[1]);
    bool equal = item && kv_slice_equal (s_value (item), run->argv[2]);
    result_int (run->out, equal ? 1 : 0);
    if (equal)
        run_delete (run, run->argv[1]);
}

void run_setnx (run_t *run)
{
    if (run_too_large (run, run->argv[2].size))
        return;
    bool absent = run_get (run, run->argv[1]) == NULL;
    result_int (run->out, absent ? 1 : 0);
    if (absent)
        run_put (run, run->argv[1], run->argv[2], 0);
}

void run_msetnx (run_t *run)
{
    bool absent = true;
    for (uint32_t i = 2; i < run->argc; i += 2) {
        if (run_too_large (run, run->argv[i].size))
            return;
    }
    for (uint32_t i = 1; i < run->argc && absent; i += 2)
        absent = run_get (run, run->argv[i]) == NULL;
    result_int (run->out, absent ? 1 : 0);
    for (uint32_t i = 1; i < run->argc && absent; i += 2)
        run_put (run, run->argv[i], run->argv[i + 1], 0);
}

void run_getrange (run_t *run)
{
    int64_t start;
    int64_t end;
    if (!run_argument (run, 2, &start) || !run_argument (run, 3, &end))
        return;
    const item_t *item = run_get (run, run->argv[1]);
    wide_t size = item ? (wide_t)item->value_bytes : 0;
    bool backwards = start < 0 && end < 0 && start > end;
    wide_t from = start < 0 ? (wide_t)start + size : start;
    wide_t to = end < 0 ? (wide_t)end + size : end;
    from = from < 0 ? 0 : from;
    to = to < 0 ? 0 : to;
    to = to >= size ? size - 1 : to;
    if (backwards || from > to)
        result_bytes (run->out, kv_slice ("", 0));
    else
        result_bytes (run->out, kv_slice (item->value + from, (size_t)(to - from + 1)));
}

void run_setrange (run_t *run)
{
    int64_t offset;
    kv_slice_t bytes = run->argv[3];
    if (!run_argument (run, 2, &offset))
        return;
    if (offset < 0) {
        result_error (run->out, KV_BAD_VALUE, "ERR offset is out of range");
        return;
    }
    item_t *item = run_get (run, run->argv[1]);
    size_t before = item ? item->value_bytes : 0;
    if (bytes.size == 0) {
        result_int (run->out, (int64_t)before);
        return;
    }
    size_t end = (size_t)offset + bytes.size;
    if (run_too_large (run, end))
        return;
    size_t after = end > before ? end : before;
    uint8_t *value = calloc (1, after);
    KV_ASSERT (value != NULL);
    if (before)
        memcpy (value, item->value, before);
    memcpy (value + offset, bytes.data, bytes.size);
    run_put (run, run->argv[1], kv_slice (value, after), item ? item->deadline_ms : 0);
    free (value);
    result_int (run->out, (int64_t)after);
}

static bool s_float (kv_slice_t text, long double *number)
{
    char *copy = calloc (1, text.size + 1);
    char *end;
    KV_ASSERT (copy != NULL);
    if (text.size)
        memcpy (copy, text.data, text.size);
    errno = 0;
    *number = strtold (copy, &end);
    bool range = errno == ERANGE && (isinf (*number) || *number == 0);
    bool good = text.size > 0 && text.size < 5 * 1024 && !isspace ((unsigned char)copy[0]) &&
                end == copy + text.size && !isnan (*number) && !range;
    free (copy);
    return good;
}

void run_add_float (run_t *run)
{
    item_t *item = run_get (run, run->argv[1]);
    long double before = 0;
    long double amount;
    if ((item && !s_float (s_value (item), &before)) || !s_float (run->argv[2], &amount)) {
        result_error (run->out, KV_BAD_VALUE, "ERR value is not a valid float");
        return;
    }
    if (isinf (before + amount) || isnan (before + amount)) {
        result_error (run->out, KV_BAD_VALUE, "ERR increment would produce NaN or Infinity");
        return;
    }
    static char text[8192];
    size_t size = (size_t)snprintf (text, sizeof text, "%.17Lf", before + amount);
    while (text[size - 1] == '0')
        size--;
    size -= text[size - 1] == '.';
    kv_slice_t value = kv_slice (text, size);
    if (kv_slice_equal (value, kv_slice_text ("-0")))
        value = kv_slice_text ("0");
    if (run_too_large (run, value.size))
        return;
    run_put (run, run->argv[1], value, item ? item->deadline_ms : 0);
    result_bytes (run->out, value);
}

/* ---- keys ------------------------------------------------------------------------------------ */

void run_rename (run_t *run, bool only_new)
{
    item_t *item = run_get (run, run->argv[1]);
    if (!item) {
        result_error (run->out, KV_BAD_VALUE, "ERR no such key");
        return;
    }
    bool same = kv_slice_equal (run->argv[1], run->argv[2]);
    bool taken = same || (only_new && run_get (run, run->argv[2]) != NULL);
    if (!same && !(only_new && taken)) {
        item = run_get (run, run->argv[1]);
        run_put (run, run->argv[2], s_value (item), item->deadline_ms);
        run_delete (run, run->argv[1]);
    }
    if (only_new)
        result_int (run->out, taken ? 0 : 1);
    else
        result_text (run->out, "OK");
}

void run_copy (run_t *run)
{
    bool replace = false;
    for (uint32_t i = 3; i < run->argc; i++) {
        int64_t number = 0;
        bool db = run_word (run->argv[i], "DB") && i + 1 < run->argc;
        replace = replace || run_word (run->argv[i], "REPLACE");
        if (!db && !run_word (run->argv[i], "REPLACE")) {
            run_syntax_error (run);
            return;
        }
        if (db && !run_argument (run, ++i, &number))
            return;
        if (number != 0) {
            result_error (run->out, KV_BAD_VALUE, "ERR DB index is out of range");
            return;
        }
    }
    if (run_misplaced (run, run->command))
        return;
    if (kv_slice_equal (run->argv[1], run->argv[2])) {
        result_error (run->out, KV_BAD_VALUE, "ERR source and destination objects are the same");
        return;
    }
    item_t *item = run_get (run, run->argv[1]);
    bool apply = item && (replace || !run_get (run, run->argv[2]));
    if (apply)
        run_put (run, run->argv[2], s_value (item), item->deadline_ms);
    result_int (run->out, apply ? 1 : 0);
}

model_kind_t run_getver (run_t *run)
{
    const item_t *item = run_get (run, run->argv[1]);
    if (!item) {
        result_nil (run->out);
        return MODEL_EXACT;
    }
    result_value (run->out);
    writer_array (run->out, 2);
    writer_bin (run->out, s_value (item));
    writer_uint (run->out, item->version);
    return item->version ? MODEL_EXACT : MODEL_LEARN;
}

model_kind_t run_object (run_t *run)
{
    if (run_word (run->argv[1], "HELP"))
        return MODEL_ANY;
    const item_t *item = run_peek (run, run->argv[2]);
    if (!item) {
        result_nil (run->out);
    } else if (run_word (run->argv[1], "ENCODING")) {
        result_text (run->out, "raw");
    } else if (run_word (run->argv[1], "REFCOUNT")) {
        result_int (run->out, 1);
    } else if (run_word (run->argv[1], "IDLETIME")) {
        result_int (run->out,
                    run->now_ms / 1000 > item->used_s ? run->now_ms / 1000 - item->used_s : 0);
    } else if (run_word (run->argv[1], "VERSION") && item->version) {
        result_value (run->out);
        writer_uint (run->out, item->version);
    } else {
        return run_word (run->argv[1], "VERSION") ? MODEL_LEARN : MODEL_ANY;
    }
    return MODEL_EXACT;
}

model_kind_t run_memory (run_t *run)
{
    if (run_word (run->argv[1], "HELP"))
        return MODEL_ANY;
    for (uint32_t i = 3; i < run->argc; i += 2) {
        int64_t samples = -1;
        bool good = run_word (run->argv[i], "SAMPLES") && i + 1 < run->argc;
        if (good && !run_argument (run, i + 1, &samples))
            return MODEL_EXACT;
        if (samples < 0) {
            run_syntax_error (run);
            return MODEL_EXACT;
        }
    }
    if (run_peek (run, run->argv[2]))
        return MODEL_INT;
    result_nil (run->out);
    return MODEL_EXACT;
}

void run_time (run_t *run)
{
    char text[32];
    result_value (run->out);
    writer_array (run->out, 2);
    snprintf (text, sizeof text, "%lld", (long long)(run->now_ms / 1000));
    writer_cstr (run->out, text);
    snprintf (text, sizeof text, "%lld", (long long)(run->now_ms % 1000) * 1000);
    writer_cstr (run->out, text);
}
