/* INCR, DECR, INCRBY, DECRBY, INCRBYFLOAT. */
#include "node/call.h"
#include "node/decimal.h"

#include <ctype.h>
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void s_add (call_t *call, int64_t amount)
{
    entry_t *entry = call_find (call);
    int64_t before = 0;
    if (entry && !decimal_read (entry_value (entry), &before)) {
        result_error (call->out, KV_BAD_VALUE, "ERR value is not an integer or out of range");
        return;
    }
    int64_t after;
    if (__builtin_add_overflow (before, amount, &after)) {
        result_error (call->out, KV_BAD_VALUE, "ERR increment or decrement would overflow");
        return;
    }
    char text[DECIMAL_TEXT_BYTES];
    kv_slice_t value = kv_slice (text, decimal_write (text, after));
    if (!call_check_value (call, value.size))
        return;
    if (entry)
        shard_set_value (call->key.shard, entry, value);
    else
        shard_put (call->key.shard, call_argument (call, 1), call->key.hash, value, 0);
    result_int (call->out, after);
}

void command_incr (call_t *call)
{
    s_add (call, 1);
}

void command_decr (call_t *call)
{
    s_add (call, -1);
}

void command_incrby (call_t *call)
{
    int64_t amount;
    if (call_integer (call, 2, &amount))
        s_add (call, amount);
}

void command_decrby (call_t *call)
{
    int64_t amount;
    if (!call_integer (call, 2, &amount))
        return;
    if (amount == INT64_MIN)
        result_error (call->out, KV_BAD_VALUE, "ERR decrement would overflow");
    else
        s_add (call, -amount);
}

/* ---- INCRBYFLOAT ----------------------------------------------------------------------------- */

/* Long doubles as Redis takes and prints them: what strtold reads, but no blanks in front, no NaN; 17
 * places after the point, the zeros at their end left out. */
enum {
    FLOAT_TEXT_READ_MAX = 5 * 1024 - 1,
    FLOAT_TEXT_BYTES = LDBL_MAX_10_EXP + 32 /* sign, digits, point, 17 places, NUL */
};

_Static_assert((int)FLOAT_TEXT_BYTES <= (int)CALL_MADE_BYTES_MAX,
               "the log has space for any of them");

static bool s_read_float (kv_slice_t text, long double *number)
{
    char copy[FLOAT_TEXT_READ_MAX + 1];
    if (text.size == 0 || text.size > FLOAT_TEXT_READ_MAX || isspace (text.data[0]))
        return false;
    memcpy (copy, text.data, text.size);
    copy[text.size] = '\0';
    char *end;
    errno = 0;
    *number = strtold (copy, &end);
    if ((size_t)(end - copy) != text.size || isnan (*number))
        return false;
    return errno != ERANGE || (*number != 0 && !isinf (*number));
}

static size_t s_write_float (char text[FLOAT_TEXT_BYTES], long double number)
{
    int printed = snprintf (text, FLOAT_TEXT_BYTES, "%.17Lf", number);
    KV_ASSERT (printed > 0 && printed < FLOAT_TEXT_BYTES);
    size_t size = (size_t)printed;
    while (text[size - 1] == '0')
        size--;
    if (text[size - 1] == '.')
        size--;
    if (size == 2 && text[0] == '-' && text[1] == '0') {
        text[0] = '0';
        size = 1;
    }
    return size;
}

void command_incrbyfloat (call_t *call)
{
    entry_t *entry = call_find (call);
    long double before = 0;
    long double amount;
    if ((entry && !s_read_float (entry_value (entry), &before)) ||
        !s_read_float (call_argument (call, 2), &amount)) {
        result_error (call->out, KV_BAD_VALUE, "ERR value is not a valid float");
        return;
    }
    long double after = before + amount;
    if (isnan (after) || isinf (after)) {
        result_error (call->out, KV_BAD_VALUE, "ERR increment would produce NaN or Infinity");
        return;
    }
    char text[FLOAT_TEXT_BYTES];
    kv_slice_t value = kv_slice (text, s_write_float (text, after));
    if (!call_check_value (call, value.size))
        return;
    if (entry)
        shard_set_value (call->key.shard, entry, value);
    else
        shard_put (call->key.shard, call_argument (call, 1), call->key.hash, value, 0);
    result_bytes (call->out, value);
}
