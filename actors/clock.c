#include "actors/clock.h"

#include "schema/status.h"

#include <time.h>

enum { NS_PER_US = 1000, NS_PER_MS = 1000 * 1000, US_PER_S = 1000 * 1000, MS_PER_S = 1000 };

static struct timespec s_read (clockid_t clock)
{
    struct timespec now;
    int rc = clock_gettime (clock, &now);
    KV_ASSERT (rc == 0);
    return now;
}

int64_t clock_ms (void)
{
    struct timespec now = s_read (CLOCK_BOOTTIME);
    return (int64_t)now.tv_sec * MS_PER_S + now.tv_nsec / NS_PER_MS;
}

int64_t clock_us (void)
{
    struct timespec now = s_read (CLOCK_BOOTTIME);
    return (int64_t)now.tv_sec * US_PER_S + now.tv_nsec / NS_PER_US;
}

int64_t clock_wall_ms (void)
{
    struct timespec now = s_read (CLOCK_REALTIME);
    return (int64_t)now.tv_sec * MS_PER_S + now.tv_nsec / NS_PER_MS;
}
