/* sim_values - values as small numbers: equal bytes, equal number; 0 is no value.
 *
 * Owner: one run. */
#ifndef KVDB_TEST_SIM_SIM_VALUES_H
#define KVDB_TEST_SIM_SIM_VALUES_H

#include "sim_events.h"

#include "schema/slice.h"
#include "schema/status.h"

typedef uint32_t sim_value_t;
typedef struct sim_values sim_values_t;

sim_values_t *sim_values_new (void);
void sim_values_destroy (sim_values_t **self_p);

/* Forgets all values, keeps the memory. */
void sim_values_reset (sim_values_t *self);

sim_value_t sim_values_of (sim_values_t *self, kv_slice_t bytes);
kv_slice_t sim_values_bytes (const sim_values_t *self, sim_value_t value);

/* One behind the other; either may be 0. */
sim_value_t sim_values_join (sim_values_t *self, sim_value_t a, sim_value_t b);

/* As a decimal number; false: it is none. And back. */
bool sim_values_number (const sim_values_t *self, sim_value_t value, int64_t *number);
sim_value_t sim_values_of_number (sim_values_t *self, int64_t number);

#endif
