#include "sim_clock.h"

int64_t sim_clock_local_us (const sim_clock_t *self, int64_t now_us)
{
    return self->offset_us + now_us + now_us * self->drift_ppm / 1000000;
}

int64_t sim_clock_local_ms (const sim_clock_t *self, int64_t now_us)
{
    return sim_clock_local_us (self, now_us) / 1000;
}

static int64_t s_wall_ms (const sim_clock_t *self, int64_t now_us, uint32_t jumps)
{
    int64_t jumped_ms = jumps ? self->jumps[jumps - 1].by_ms : 0;
    int64_t since_ms = sim_clock_local_ms (self, now_us) - self->offset_us / 1000;
    return SIM_WALL_ZERO_MS + since_ms + jumped_ms;
}

int64_t sim_clock_wall_ms (const sim_clock_t *self, int64_t now_us)
{
    return s_wall_ms (self, now_us, self->jump_count);
}

int64_t sim_clock_when_local_us (const sim_clock_t *self, int64_t local_us)
{
    int64_t at_us = (local_us - self->offset_us) * 1000000 / (1000000 + self->drift_ppm);
    while (sim_clock_local_us (self, at_us) < local_us)
        at_us++; /* rounding */
    return at_us;
}

int64_t sim_clock_when_us (const sim_clock_t *self, int64_t local_ms)
{
    return sim_clock_when_local_us (self, local_ms * 1000);
}

void sim_clock_jump (sim_clock_t *self, int64_t now_us, int64_t by_ms)
{
    if (self->jump_count == SIM_WALL_JUMPS_MAX)
        return;
    uint32_t at = self->jump_count++;
    self->jumps[at].at_us = now_us;
    self->jumps[at].by_ms = by_ms + (at ? self->jumps[at - 1].by_ms : 0);
}

static void s_widen (int64_t reading_ms, int64_t *least_ms, int64_t *most_ms)
{
    *least_ms = reading_ms < *least_ms ? reading_ms : *least_ms;
    *most_ms = reading_ms > *most_ms ? reading_ms : *most_ms;
}

void sim_clock_wall_bounds (const sim_clock_t *self, int64_t from_us, int64_t to_us,
                            int64_t *least_ms, int64_t *most_ms)
{
    *least_ms = INT64_MAX;
    *most_ms = INT64_MIN;
    uint32_t before = 0; /* jumps that had happened at from_us, one of that very moment not */
    while (before < self->jump_count && self->jumps[before].at_us < from_us)
        before++;
    s_widen (s_wall_ms (self, from_us, before), least_ms, most_ms);
    for (; before < self->jump_count && self->jumps[before].at_us <= to_us; before++) {
        s_widen (s_wall_ms (self, self->jumps[before].at_us, before), least_ms, most_ms);
        s_widen (s_wall_ms (self, self->jumps[before].at_us, before + 1), least_ms, most_ms);
    }
    s_widen (s_wall_ms (self, to_us, before), least_ms, most_ms);
}
