#include "node/node_info.h"

#include <inttypes.h>
#include <stdio.h>

enum { RATE_MS = 1000, DAY_S = 24 * 3600 };

void node_info_rate (node_info_t *self, uint64_t commands)
{
    int64_t passed_ms = self->now_ms - self->rated_ms;
    if (passed_ms < RATE_MS)
        return;
    self->commands_per_s = (commands - self->rated_commands) * 1000 / (uint64_t)passed_ms;
    self->rated_commands = commands;
    self->rated_ms = self->now_ms;
}

void node_info_write (const node_info_t *self, char text[NODE_INFO_BYTES])
{
    int64_t uptime_s = (self->now_ms - self->started_ms) / 1000;
    int size =
        snprintf (text, NODE_INFO_BYTES,
                  "# Server\nprocess_id:%" PRId64 "\ntcp_port:%u\nuptime_in_seconds:%" PRId64
                  "\nuptime_in_days:%" PRId64 "\n# Clients\nconnected_clients:%" PRIu64
                  "\nclient_output_bytes:%" PRIu64 "\n# Stats\ninstantaneous_ops_per_sec:%" PRIu64
                  "\ntotal_connections_received:%" PRIu64 "\nrejected_connections:%" PRIu64
                  "\nconnections_shut_down:%" PRIu64 "\nmessages_dropped_in:%" PRIu64
                  "\nmessages_dropped_out:%" PRIu64 "\n",
                  self->process_id, self->port, uptime_s, uptime_s / DAY_S, self->connections,
                  self->output_bytes, self->commands_per_s, self->accepted, self->refused,
                  self->shut_down, self->dropped_in, self->dropped_out);
    KV_ASSERT (size > 0 && size < NODE_INFO_BYTES);
}
