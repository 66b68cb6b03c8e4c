/* clock - the real clocks, for shells; cores are given the time as a number.
 *
 * The monotonic clock is CLOCK_BOOTTIME: it counts the time a machine was suspended too, so a lease
 * cannot outlive a suspension. Its zero is arbitrary: compare only times of one machine.
 *
 * Thread-safe. */
#ifndef KVDB_ACTORS_CLOCK_H
#define KVDB_ACTORS_CLOCK_H

#include <stdint.h>

/* Monotonic. */
int64_t clock_ms (void);
int64_t clock_us (void);

/* Unix time; it may jump when somebody sets it. */
int64_t clock_wall_ms (void);

#endif
