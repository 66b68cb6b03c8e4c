/* schema_bench - what decoding costs: nanoseconds per command for a batch, per key for its slot.
 *
 * Method: one batch of 64 commands, as a pipelining client sends it, is decoded over and over in
 * the way a broker does: request_decode, then command_read, command_check and kv_slot for every
 * command. Each figure is the best of several rounds, so that a busy machine disturbs it little.
 * Usage: schema_bench [rounds] */
#include "schema/command.h"
#include "schema/request.h"
#include "schema/slot.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BATCH_COMMANDS = 64, REPEATS = 5000, VALUE_BYTES = 64, ROUNDS_DEFAULT = 15 };

typedef enum { STAGE_DECODE, STAGE_READ, STAGE_CHECK, STAGE_SLOT, STAGE_COUNT } stage_t;

static const char *const s_stage_names[STAGE_COUNT] = {
    "request_decode",
    "+ command_read",
    "+ command_check",
    "+ kv_slot",
};

static double s_now_ns (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void s_build (writer_t *out, bool is_set)
{
    uint8_t value[VALUE_BYTES];
    memset (value, 'x', sizeof value);
    request_begin (out, 1, BATCH_COMMANDS, false);
    for (int i = 0; i < BATCH_COMMANDS; i++) {
        char key[32];
        snprintf (key, sizeof key, "key:%012d", 123456 + i);
        writer_array (out, is_set ? 3 : 2);
        writer_cstr (out, is_set ? "SET" : "GET");
        writer_bin (out, kv_slice_text (key));
        if (is_set)
            writer_bin (out, kv_slice (value, sizeof value));
    }
}

/* Goes as far as `stage` with every command of the body; the sum keeps the work from vanishing. */
static uint32_t s_decode (kv_slice_t body, stage_t stage, command_t *command)
{
    request_t request;
    const char *why;
    if (request_decode (body, &request, &why) != KV_OK)
        abort ();
    uint32_t sum = request.command_count;
    if (stage == STAGE_DECODE)
        return sum;
    for (uint32_t i = 0; i < request.command_count; i++) {
        char text[256];
        if (command_read (command, &request.commands, &why) != KV_OK)
            abort ();
        sum += command->argc;
        if (stage >= STAGE_CHECK && command_check (command, text, sizeof text) != KV_OK)
            abort ();
        if (stage >= STAGE_SLOT)
            sum += kv_slot (command->argv[command_key_index (command, 0)]);
    }
    return sum;
}

static double s_best_ns (kv_slice_t body, stage_t stage, int rounds)
{
    command_t command = command_make ();
    volatile uint32_t sink = 0;
    double best = 1e300;
    for (int round = 0; round < rounds; round++) {
        double start = s_now_ns ();
        for (int i = 0; i < REPEATS; i++)
            sink += s_decode (body, stage, &command);
        double spent = (s_now_ns () - start) / (REPEATS * BATCH_COMMANDS);
        best = spent < best ? spent : best;
    }
    command_free (&command);
    (void)sink;
    return best;
}

static double s_best_slot_ns (const char *key, int rounds)
{
    volatile uint32_t sink = 0;
    double best = 1e300;
    for (int round = 0; round < rounds; round++) {
        double start = s_now_ns ();
        for (int i = 0; i < REPEATS * BATCH_COMMANDS; i++) {
            /* The compiler must not lift the call out of the loop. */
            kv_slice_t slice = kv_slice_text (key);
            __asm__ volatile("" : "+r"(slice.data)::"memory");
            sink += kv_slot (slice);
        }
        double spent = (s_now_ns () - start) / (REPEATS * BATCH_COMMANDS);
        best = spent < best ? spent : best;
    }
    (void)sink;
    return best;
}

int main (int argc, char **argv)
{
    int rounds = argc > 1 ? atoi (argv[1]) : ROUNDS_DEFAULT;
    if (rounds < 1) {
        fprintf (stderr, "usage: %s [rounds]\n", argv[0]);
        return 2;
    }
    for (int is_set = 0; is_set < 2; is_set++) {
        writer_t body = writer_make (SIZE_MAX);
        s_build (&body, is_set);
        for (int stage = 0; stage < STAGE_COUNT; stage++)
            printf ("%s  %-16s %6.1f ns/command\n", is_set ? "SET" : "GET", s_stage_names[stage],
                    s_best_ns (kv_slice (body.data, body.size), (stage_t)stage, rounds));
        writer_free (&body);
    }
    printf ("slot of a key of 16 bytes    %6.1f ns\n", s_best_slot_ns ("key:000000123456", rounds));
    printf ("slot of a key of 64 bytes    %6.1f ns\n",
            s_best_slot_ns ("user:{000000123456}:profile:settings:"
                            "notifications:email:weekly:x",
                            rounds));
    return 0;
}
