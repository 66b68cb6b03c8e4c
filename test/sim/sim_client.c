#include "sim_client.h"

#include "sim_trace.h"

#include "schema/limits.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    WINDOW_MAX = 4,
    BATCH_MOST = 6,
    COMMANDS_MAX = SIM_KEYS_MAX + 2,
    SLACK_US = 1500 * 1000, /* beyond a deadline, for the way there and back */
    LOOK_DEADLINE_MS = 3000
};

typedef struct {
    bool used;
    bool malformed; /* to be refused as a whole */
    bool look;      /* part of the last look */
    uint64_t id;
    uint32_t wire_connection;
    int64_t sent_us, patience_us;
    uint64_t losses[SIM_NODES_MAX];
    uint32_t command_count;
    sim_command_t *commands; /* owned [COMMANDS_MAX or BATCH_MOST] */
} request_in_flight_t;

struct sim_client {
    sim_client_options_t options;
    sim_random_t random;
    sim_wire_t *wire;
    char name[16];
    uint32_t wire_connection; /* the one that `connection` names */
    uint32_t connection;      /* of the whole run's */
    uint32_t order;
    uint64_t next_id;
    uint32_t left; /* requests to send */
    uint32_t in_flight;
    request_in_flight_t requests[WINDOW_MAX];
    sim_scan_t scan;
    writer_t commands; /* scratch */
    uint32_t looked;   /* commands of the last look sent, SCAN apart */
};

static sim_seat_t s_seat (sim_client_t *self, int64_t sent_us)
{
    return (sim_seat_t){.sim = self->options.sim,
                        .keys = self->options.keys,
                        .oracle = self->options.oracle,
                        .mix = self->options.mix,
                        .random = &self->random,
                        .scan = &self->scan,
                        .connection = self->connection,
                        .order = &self->order,
                        .sent_us = sent_us};
}

/* ---- sending ---------------------------------------------------------------------------------- */

static void s_give_up_late (void *context, uint64_t id);

static request_in_flight_t *s_free_place (sim_client_t *self)
{
    for (uint32_t i = 0; i < self->options.window; i++) {
        if (!self->requests[i].used)
            return &self->requests[i];
    }
    return NULL;
}

static void s_send (sim_client_t *self, request_in_flight_t *request, uint32_t deadline_ms)
{
    sim_t *sim = self->options.sim;
    writer_t body = writer_make (SIZE_MAX);
    bool says = deadline_ms != 0;
    request->used = true;
    request->id = ++self->next_id;
    request->wire_connection = self->wire_connection;
    request->sent_us = sim_now (sim);
    request->patience_us =
        (int64_t)(says ? deadline_ms : self->options.deadline_default_ms) * 1150 + SLACK_US;
    memcpy (request->losses, self->options.losses, sizeof request->losses);
    request_begin (&body, request->id, request->command_count, says);
    writer_raw (&body, kv_slice (self->commands.data, self->commands.size));
    if (says) {
        writer_map (&body, 1);
        writer_cstr (&body, "deadline_ms");
        writer_uint (&body, deadline_ms);
    }
    if (request->malformed)
        writer_nil (&body); /* bytes behind the end */
    self->in_flight++;
    blob_t *frames[2] = {NULL, blob_from_writer (&body)};
    if (self->options.delimiter)
        frames[0] = blob_copy (kv_slice (NULL, 0));
    sim_wire_send (self->wire, self->options.delimiter ? frames : frames + 1,
                   self->options.delimiter ? 2 : 1);
    sim_events_add (&sim->events, request->sent_us + request->patience_us, s_give_up_late, self,
                    request->id);
}

/* Not even an id can be read from it: nobody answers. */
static void s_send_garbage (sim_client_t *self)
{
    static const uint8_t garbage[] = {0x92, 0xc1, 0x00};
    blob_t *frame = blob_copy (kv_slice (garbage, sizeof garbage));
    sim_wire_send (self->wire, &frame, 1);
}

/* A batch that is not well-formed is not noted anywhere: none of it may have an effect. */
static void s_send_malformed (sim_client_t *self, request_in_flight_t *request)
{
    request->malformed = true;
    request->command_count = 1;
    writer_array (&self->commands, 1);
    writer_cstr (&self->commands, "FLUSHALL");
    s_send (self, request, 0);
}

static void s_next_request (sim_client_t *self)
{
    request_in_flight_t *request = s_free_place (self);
    sim_seat_t seat = s_seat (self, sim_now (self->options.sim));
    writer_reset (&self->commands);
    request->malformed = request->look = false;
    self->left--;
    if (sim_random_below (&self->random, 200) == 0) {
        s_send_malformed (self, request);
        return;
    }
    if (sim_random_below (&self->random, 200) == 0)
        s_send_garbage (self);
    request->command_count = (uint32_t)sim_random_scale (&self->random, 1, BATCH_MOST);
    for (uint32_t i = 0; i < request->command_count; i++)
        sim_command_draw (&seat, &request->commands[i], &self->commands);
    bool defaults = sim_random_percent (&self->random, 10) && !self->options.mix->calm;
    uint32_t deadline_ms = (uint32_t)sim_random_scale (
        &self->random, self->options.deadline_least_ms, self->options.deadline_most_ms);
    s_send (self, request, defaults ? 0 : deadline_ms);
}

static void s_think (void *context, uint64_t number)
{
    (void)number;
    sim_client_t *self = context;
    if (self->left == 0)
        return;
    uint32_t connection = sim_wire_connection (self->wire);
    if (connection && connection != self->wire_connection) {
        self->wire_connection = connection;
        self->connection = ++*self->options.connections;
    }
    if (connection && s_free_place (self))
        s_next_request (self);
    int64_t after_us = sim_random_range (&self->random, 1, 2 * self->options.think_us);
    sim_events_add (&self->options.sim->events, sim_now (self->options.sim) + after_us, s_think,
                    self, 0);
}

/* ---- answers ----------------------------------------------------------------------------------- */

static void s_look_on (sim_client_t *self);

static void s_release (sim_client_t *self, request_in_flight_t *request)
{
    request->used = false;
    self->in_flight--;
}

static void s_abandon (sim_client_t *self, request_in_flight_t *request)
{
    sim_seat_t seat = s_seat (self, request->sent_us);
    sim_count (self->options.sim, COUNT_REQUEST_ABANDONED);
    for (uint32_t i = 0; !request->malformed && i < request->command_count; i++)
        sim_command_abandon (&seat, &request->commands[i]);
    s_release (self, request);
    if (request->look)
        sim_fail (self->options.sim, "liveness", "the last look at everything was not answered");
}

/* A1 */
static void s_give_up_late (void *context, uint64_t id)
{
    sim_client_t *self = context;
    sim_t *sim = self->options.sim;
    for (uint32_t i = 0; i < WINDOW_MAX; i++) {
        request_in_flight_t *request = &self->requests[i];
        if (!request->used || request->id != id)
            continue;
        int64_t again_us =
            self->options.disturbed_us (self->options.context) + request->patience_us;
        if (again_us > sim_now (sim)) {
            sim_events_add (&sim->events, again_us, s_give_up_late, self, id);
            return;
        }
        if (sim_wire_is_sound (self->wire, request->wire_connection))
            sim_fail (sim, "one reply", "%s #%" PRIu64 " has not been answered, sent at %.6f",
                      self->name, id, (double)request->sent_us / 1e6);
        s_abandon (self, request);
    }
}

/* A3: whether a result is the refusal of a command for want of room. */
static bool s_is_busy (const result_t *result)
{
    return result->status == KV_BUSY && result->text.size > 8 &&
           memcmp (result->text.data, "BUSY t", 6) == 0;
}

static void s_answered (sim_client_t *self, request_in_flight_t *request, reply_t *reply)
{
    sim_t *sim = self->options.sim;
    sim_seat_t seat = s_seat (self, request->sent_us);
    const uint64_t *losses = self->options.losses;
    bool refused = reply->count == 1 && request->command_count > 1;
    bool busy[SIM_SHARDS_MAX] = {false};
    result_t result = {0};
    for (uint32_t i = 0; i < request->command_count; i++) {
        sim_command_t *command = &request->commands[i];
        if ((!refused || i == 0) && result_next (reply, &result) != KV_OK) {
            sim_fail (sim, "codec", "%s cannot decode a result", self->name);
            return;
        }
        if (refused && result.status == KV_OK)
            sim_fail (sim, "one reply", "%s got one success for many commands", self->name);
        uint32_t shard = sim_command_shard (&seat, command);
        if (shard != UINT32_MAX && busy[shard] && result.status == KV_OK)
            sim_fail (sim, "busy", "%s #%" PRIu64 ": command %u overtook one that was refused BUSY",
                      self->name, request->id, i + 1);
        if (shard != UINT32_MAX && s_is_busy (&result))
            busy[shard] = true;
        if (request->look && result.status != KV_OK)
            sim_fail (sim, "liveness", "the last look got a %s", kv_status_name (result.status));
        sim_command_answer (&seat, command, &result, request->losses, losses);
    }
}

static void s_take_reply (sim_client_t *self, kv_slice_t body)
{
    sim_t *sim = self->options.sim;
    reply_t reply;
    if (reply_decode (body, &reply) != KV_OK) {
        sim_fail (sim, "codec", "%s cannot decode a reply", self->name);
        return;
    }
    for (uint32_t i = 0; i < WINDOW_MAX; i++) {
        request_in_flight_t *request = &self->requests[i];
        if (!request->used || request->id != reply.id)
            continue;
        result_t result;
        if (request->malformed) {
            sim_count (sim, COUNT_REQUEST_REFUSED);
            if (reply.count != 1 || result_next (&reply, &result) != KV_OK ||
                result.status != KV_BAD_REQUEST)
                sim_fail (sim, "one reply", "a malformed request was not refused");
        } else if (reply.count != request->command_count && reply.count != 1) {
            sim_fail (sim, "one reply", "%s #%" PRIu64 ": %u results for %u commands", self->name,
                      reply.id, reply.count, request->command_count); // A2
        } else {
            s_answered (self, request, &reply);
        }
        s_release (self, request);
        if (request->look)
            s_look_on (self);
        return;
    }
    sim_fail (sim, "one reply", "%s got a reply to #%" PRIu64 ", for which it does not wait",
              self->name, reply.id);
}

static void s_wake (void *context)
{
    sim_client_t *self = context;
    blob_t *frames[KV_BUNDLE_FRAMES_MAX];
    size_t count;
    while (sim_wire_receive (self->wire, frames, &count)) {
        if (count != (self->options.delimiter ? 2U : 1U))
            sim_fail (self->options.sim, "one reply", "%s got a reply of %zu frames", self->name,
                      count);
        else
            s_take_reply (self, blob_bytes (frames[count - 1]));
        for (size_t i = 0; i < count; i++)
            blob_unref (&frames[i]);
    }
}

static void s_gone (void *context)
{
    sim_client_t *self = context;
    for (uint32_t i = 0; i < WINDOW_MAX; i++) {
        if (self->requests[i].used)
            s_abandon (self, &self->requests[i]);
    }
}

/* ---- the last look ------------------------------------------------------------------------------ */

static request_in_flight_t *s_look_request (sim_client_t *self)
{
    request_in_flight_t *request = &self->requests[0];
    writer_reset (&self->commands);
    request->malformed = false;
    request->look = true;
    request->command_count = 0;
    return request;
}

static void s_look_scan (sim_client_t *self)
{
    request_in_flight_t *request = s_look_request (self);
    sim_seat_t seat = s_seat (self, sim_now (self->options.sim));
    request->command_count = 1;
    sim_command_scan (&seat, &request->commands[0], &self->commands);
    s_send (self, request, LOOK_DEADLINE_MS);
}

/* The next of what is to be read: all of it in one batch, or one by one if queues are short. */
static void s_look_read (sim_client_t *self)
{
    request_in_flight_t *request = s_look_request (self);
    sim_seat_t seat = s_seat (self, sim_now (self->options.sim));
    uint32_t keys = self->options.keys->count;
    uint32_t most = self->options.look_by_one ? 1 : COMMANDS_MAX;
    for (; self->looked < keys + 2 && request->command_count < most; self->looked++) {
        sim_command_t *command = &request->commands[request->command_count++];
        if (self->looked < keys)
            sim_command_read (&seat, command, self->looked, &self->commands);
        else
            sim_command_list (&seat, command, self->looked == keys ? COMMAND_DBSIZE : COMMAND_KEYS,
                              &self->commands);
    }
    s_send (self, request, LOOK_DEADLINE_MS);
}

bool sim_client_look (sim_client_t *self)
{
    uint32_t connection = sim_wire_connection (self->wire);
    if (!sim_wire_is_sound (self->wire, connection))
        return false;
    if (connection != self->wire_connection) {
        self->wire_connection = connection;
        self->connection = ++*self->options.connections;
    }
    self->scan = (sim_scan_t){.walking = false};
    s_look_read (self);
    return true;
}

static void s_look_on (sim_client_t *self)
{
    if (self->options.sim->failed || self->scan.done)
        return;
    if (self->looked < self->options.keys->count + 2)
        s_look_read (self);
    else
        s_look_scan (self);
}

bool sim_client_has_looked (const sim_client_t *self)
{
    return self->looked && self->scan.done;
}

/* ---- life ---------------------------------------------------------------------------------------- */

sim_client_t *sim_client_new (const sim_client_options_t *options)
{
    sim_client_t *self = calloc (1, sizeof *self);
    KV_ASSERT (self != NULL);
    KV_ASSERT (options->window <= WINDOW_MAX);
    self->options = *options;
    self->random = options->random;
    self->left = options->requests;
    snprintf (self->name, sizeof self->name, "%s", options->name);
    for (uint32_t i = 0; i < options->window; i++) {
        self->requests[i].commands =
            malloc ((i ? BATCH_MOST : COMMANDS_MAX) * sizeof (sim_command_t));
        KV_ASSERT (self->requests[i].commands != NULL);
    }
    self->commands = writer_make (SIZE_MAX);
    sim_ears_t ears = {.wake = s_wake, .gone = s_gone, .context = self};
    self->wire = sim_wire_open (options->network, sim_network_add_host (options->network),
                                SIM_CLIENTS_DOOR, self->name, ears);
    s_think (self, 0);
    return self;
}

void sim_client_destroy (sim_client_t **self_p)
{
    sim_client_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    for (uint32_t i = 0; i < WINDOW_MAX; i++)
        free (self->requests[i].commands);
    writer_free (&self->commands);
    sim_wire_close (&self->wire, SIM_WIRE_DIES);
    free (self);
}

bool sim_client_is_done (const sim_client_t *self)
{
    return self->left == 0 && self->in_flight == 0;
}

sim_wire_t *sim_client_wire (sim_client_t *self)
{
    return self->wire;
}

void sim_client_stop (sim_client_t *self)
{
    self->left = 0;
}
