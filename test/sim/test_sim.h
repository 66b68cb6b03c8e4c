/* test_sim - the unit tests of the simulator's own parts, one group a file; each returns how many
 * failed. */
#ifndef KVDB_TEST_SIM_TEST_SIM_H
#define KVDB_TEST_SIM_TEST_SIM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

int test_checker (void);
int test_network (void);
int test_time (void);

#endif
