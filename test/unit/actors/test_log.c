/* Goal: a line arrives as formatted, or not at all where it must not.
 * Method: a sink that keeps the last line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "actors/log.h"

#include <stdio.h>
#include <string.h>

typedef struct {
    char line[2048];
    log_level_t level;
    int count;
} sink_t;

static void s_keep (void *context, log_level_t level, const char *line)
{
    sink_t *self = context;
    snprintf (self->line, sizeof self->line, "%s", line);
    self->level = level;
    self->count++;
}

static void test_line_is_formatted_and_passed_on (void **state)
{
    (void)state;
    sink_t sink = {.count = 0};
    log_t log = {s_keep, &sink, KV_LOG_INFO};
    log_event (&log, KV_LOG_WARN, "event=%s n=%d", "node_up", 7);
    assert_string_equal (sink.line, "event=node_up n=7");
    assert_int_equal (sink.level, KV_LOG_WARN);
    log_event (&log, KV_LOG_INFO, "event=at_the_level");
    assert_int_equal (sink.count, 2);
}

static void test_lines_below_the_level_are_dropped (void **state)
{
    (void)state;
    sink_t sink = {.count = 0};
    log_t log = {s_keep, &sink, KV_LOG_WARN};
    log_event (&log, KV_LOG_INFO, "event=x");
    log_event (&log, KV_LOG_DEBUG, "event=x");
    assert_int_equal (sink.count, 0);
}

static void test_without_a_sink_nothing_happens (void **state)
{
    (void)state;
    log_t log = {.write = NULL};
    log_event (&log, KV_LOG_ERROR, "event=x");
    log_event (NULL, KV_LOG_ERROR, "event=x");
}

static void test_long_line_is_cut (void **state)
{
    (void)state;
    sink_t sink = {.count = 0};
    log_t log = {s_keep, &sink, KV_LOG_DEBUG};
    char text[3000];
    memset (text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    log_event (&log, KV_LOG_INFO, "event=long text=%s", text);
    assert_int_equal (strlen (sink.line), 1023);
    assert_int_equal (strncmp (sink.line, "event=long text=xxx", 19), 0);
}

/* What a peer says must not pass for lines of ours. */
static void test_control_characters_do_not_get_through (void **state)
{
    (void)state;
    sink_t sink = {.count = 0};
    log_t log = {s_keep, &sink, KV_LOG_DEBUG};
    log_event (&log, KV_LOG_INFO, "event=x text=\"%s\"", "a\nevent=forged\r\t\x1b[2J\x7f");
    for (const char *c = sink.line; *c; c++)
        assert_true (*c >= ' ' && *c != 0x7f);
    assert_non_null (strstr (sink.line, "text=\"a?event=forged"));
}

static void test_level_names (void **state)
{
    (void)state;
    assert_string_equal (log_level_name (KV_LOG_DEBUG), "DEBUG");
    assert_string_equal (log_level_name (KV_LOG_ERROR), "ERROR");
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_line_is_formatted_and_passed_on),
        cmocka_unit_test (test_lines_below_the_level_are_dropped),
        cmocka_unit_test (test_without_a_sink_nothing_happens),
        cmocka_unit_test (test_long_line_is_cut),
        cmocka_unit_test (test_control_characters_do_not_get_through),
        cmocka_unit_test (test_level_names),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
