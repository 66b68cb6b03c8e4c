/* Goal: kvdb.h and schema/status.h go together in either order.
 * Method: this file includes the public header first; the sources of the library do the opposite. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "client/kvdb.h"
#include "schema/status.h"

/* With the enum of kvdb.h in force, every row of the table must have its name and number in it. */
#define KV_STATUS(name, number, meaning)                                                           \
    _Static_assert(KV_##name == (number), "kvdb.h lists " #name " as the table does");
#include "schema/status.def"
#undef KV_STATUS

static void test_header_order_does_not_matter (void **state)
{
    (void)state;
    assert_string_equal (kv_status_name (KV_MOVED), "MOVED");
    KV_ASSERT (kv_status_meaning (KV_MOVED)[0] != '\0');
}

int main (void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test (test_header_order_does_not_matter)};
    return cmocka_run_group_tests (tests, NULL, NULL);
}
