/* SET key value [NX|XX] [GET] [EX s|PX ms|EXAT s|PXAT ms|KEEPTTL], with the semantics of Redis 7:
 * options in any order, the same one twice is allowed, and GET goes with NX and XX. */
#include "node/call.h"

typedef struct {
    bool if_absent;  /* NX */
    bool if_present; /* XX */
    bool get;
    bool keep_ttl;
    const char *unit;    /* EX, PX, EXAT or PXAT; NULL: none of them */
    uint32_t amount_at;  /* the argument behind it */
    int64_t deadline_ms; /* once computed; 0: never */
} set_options_t;

static const struct {
    const char *name;
    int64_t unit_ms;
    bool absolute;
} s_units[] = {{"EX", 1000, false}, {"PX", 1, false}, {"EXAT", 1000, true}, {"PXAT", 1, true}};

enum { UNITS = sizeof s_units / sizeof s_units[0] };

/* EX, PX, EXAT, PXAT and KEEPTTL exclude one another. */
static bool s_take_unit (call_t *call, uint32_t i, set_options_t *options)
{
    for (size_t unit = 0; unit < UNITS; unit++) {
        const char *name = s_units[unit].name;
        if (!kv_slice_is_word (call_argument (call, i), name))
            continue;
        bool other = options->unit && options->unit != name;
        if (other || options->keep_ttl || i + 1 == call->command->argc)
            return false;
        options->unit = name;
        options->amount_at = i + 1;
        return true;
    }
    return false;
}

/* False on a syntax error. */
static bool s_read_options (call_t *call, set_options_t *options)
{
    for (uint32_t i = 3; i < call->command->argc; i++) {
        kv_slice_t word = call_argument (call, i);
        if (kv_slice_is_word (word, "NX") && !options->if_present) {
            options->if_absent = true;
        } else if (kv_slice_is_word (word, "XX") && !options->if_absent) {
            options->if_present = true;
        } else if (kv_slice_is_word (word, "GET")) {
            options->get = true;
        } else if (kv_slice_is_word (word, "KEEPTTL") && !options->unit) {
            options->keep_ttl = true;
        } else if (s_take_unit (call, i, options)) {
            i++;
        } else {
            return false;
        }
    }
    return true;
}

/* False if the amount is no number or out of range; the error has been written then. */
static bool s_read_deadline (call_t *call, set_options_t *options)
{
    if (!options->unit)
        return true;
    int64_t amount;
    if (!call_integer (call, options->amount_at, &amount))
        return false;
    size_t unit = 0;
    while (s_units[unit].name != options->unit)
        unit++;
    int64_t from_ms = s_units[unit].absolute ? 0 : call->now_ms;
    if (amount > 0 && call_deadline (amount, s_units[unit].unit_ms, from_ms, &options->deadline_ms))
        return true;
    call_bad_expiry (call);
    return false;
}

static void s_set (call_t *call, const set_options_t *options, entry_t *entry)
{
    kv_slice_t value = call_argument (call, 2);
    bool in_the_past = options->unit && options->deadline_ms <= call->now_ms;
    if (in_the_past && entry)
        shard_delete (call->key.shard, entry);
    else if (options->keep_ttl && entry)
        shard_set_value (call->key.shard, entry, value);
    else if (!in_the_past)
        shard_put (call->key.shard, call_argument (call, 1), call->key.hash, value,
                   options->deadline_ms);
}

/* With options that depend on what is there already. */
static void s_set_with_options (call_t *call)
{
    set_options_t options = {0};
    if (!s_read_options (call, &options)) {
        call_syntax_error (call);
        return;
    }
    if (!s_read_deadline (call, &options))
        return;
    entry_t *entry = options.get ? call_read (call) : call_find (call);
    if (options.get) {
        if (entry)
            result_bytes (call->out, entry_value (entry));
        else
            result_nil (call->out);
    }
    bool wanted = entry ? !options.if_absent : !options.if_present;
    if (wanted)
        s_set (call, &options, entry);
    if (!options.get) {
        if (wanted)
            result_text (call->out, "OK");
        else
            result_nil (call->out);
    }
}

void command_set (call_t *call)
{
    kv_slice_t value = call_argument (call, 2);
    if (!call_check_value (call, value.size))
        return;
    if (call->command->argc > 3) {
        s_set_with_options (call);
        return;
    }
    shard_put (call->key.shard, call_argument (call, 1), call->key.hash, value, 0);
    result_text (call->out, "OK");
}
