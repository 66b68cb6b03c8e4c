/* Goal: patterns mean what they mean to Redis, and none of them takes long. Method: cases checked
 * against redis-server 7.0.15, random patterns against a recursive matcher, hostile patterns. */
#include "node/glob.h"
#include "fixture.h"

static bool s_match (const char *pattern, const char *text)
{
    return glob_match (kv_slice_text (pattern), kv_slice_text (text));
}

static void test_glob_plain_elements (void **state)
{
    (void)state;
    assert_true (s_match ("*", "anything"));
    assert_true (s_match ("h?llo", "hello"));
    assert_false (s_match ("h?llo", "hllo"));
    assert_true (s_match ("h*llo", "heeeello"));
    assert_true (s_match ("h*llo", "hllo"));
    assert_true (s_match ("**a**", "bab"));
    assert_false (s_match ("abc", "abcd"));
    assert_false (s_match ("abcd", "abc"));
    assert_false (s_match ("A", "a"));
    assert_false (s_match ("", "a"));
    assert_true (s_match ("a*", "a"));
    assert_true (glob_match (kv_slice ("a\0*", 3), kv_slice ("a\0b", 3)));
}

static void test_glob_classes (void **state)
{
    (void)state;
    assert_true (s_match ("h[ae]llo", "hallo"));
    assert_false (s_match ("h[ae]llo", "hillo"));
    assert_true (s_match ("h[^e]llo", "hallo"));
    assert_false (s_match ("h[^e]llo", "hello"));
    assert_true (s_match ("h[a-b]llo", "hbllo"));
    assert_true (s_match ("h[b-a]llo", "hallo")); /* a range given backwards */
    assert_true (s_match ("[a-]", "^"));          /* the range from ] to a, and no end */
    assert_false (s_match ("[a-]", "-"));
    assert_true (s_match ("[\\]]", "]"));
    assert_true (s_match ("[a-c", "b")); /* not closed */
    assert_true (s_match ("[ab", "b"));
    assert_false (s_match ("[]", "a")); /* empty: matches nothing */
    assert_true (s_match ("[^]", "a"));
    assert_true (s_match ("x[", "x") == false);
}

static void test_glob_escapes (void **state)
{
    (void)state;
    assert_true (s_match ("h\\*llo", "h*llo"));
    assert_false (s_match ("h\\*llo", "hello"));
    assert_true (s_match ("\\\\", "\\"));
    assert_true (s_match ("a\\", "a\\")); /* at the end it is itself */
    assert_true (s_match ("\\a", "a"));
}

/* Tries every split at each star; elements are found out by asking for a one-byte text. */
static bool s_reference (const char *p, const char *end, const char *text)
{
    if (p == end)
        return *text == '\0';
    if (*p == '*')
        return s_reference (p + 1, end, text) || (*text && s_reference (p, end, text + 1));
    if (*text == '\0')
        return false;
    const char *next = p + 1;
    if (*p == '\\' && p + 1 < end)
        next = p + 2;
    if (*p == '[') {
        bool open = true;
        next += next < end && *next == '^';
        while (open && next < end) {
            if (*next == ']')
                open = false;
            else if (*next == '\\' && next + 1 < end)
                next++;
            else if (next + 2 < end && next[1] == '-')
                next += 2;
            next++;
        }
    }
    char one[2] = {*text, '\0'};
    return glob_match (kv_slice (p, (size_t)(next - p)), kv_slice_text (one)) &&
           s_reference (next, end, text + 1);
}

static void test_glob_backtracking_agrees_with_recursion (void **state)
{
    (void)state;
    uint64_t random = fixture_seed ("glob");
    static const char pattern_bytes[] = "ab**??[]^-\\";
    for (int i = 0; i < 200000; i++) {
        char pattern[10];
        char text[10];
        size_t size = fixture_random (&random, sizeof pattern);
        for (size_t j = 0; j < size; j++)
            pattern[j] = pattern_bytes[fixture_random (&random, sizeof pattern_bytes - 1)];
        size_t length = fixture_random (&random, sizeof text);
        for (size_t j = 0; j < length; j++)
            text[j] = "ab]-"[fixture_random (&random, 4)];
        text[length < sizeof text ? length : sizeof text - 1] = '\0';
        bool expected = s_reference (pattern, pattern + size, text);
        assert_true (glob_match (kv_slice (pattern, size), kv_slice_text (text)) == expected);
    }
}

static void test_glob_hostile_patterns_take_bounded_work (void **state)
{
    (void)state;
    char pattern[1024];
    char text[65536];
    memset (text, 'a', sizeof text);
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = i % 2 ? '*' : 'a';
    pattern[sizeof pattern - 1] = 'b'; /* never found: every star is tried at every place, or not */
    assert_false (glob_match (kv_slice (pattern, sizeof pattern), kv_slice (text, sizeof text)));
    memset (pattern, '?', sizeof pattern);
    pattern[0] = '*';
    pattern[sizeof pattern - 1] = 'b';
    assert_false (glob_match (kv_slice (pattern, sizeof pattern), kv_slice (text, sizeof text)));
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_glob_plain_elements),
        cmocka_unit_test (test_glob_classes),
        cmocka_unit_test (test_glob_escapes),
        cmocka_unit_test (test_glob_backtracking_agrees_with_recursion),
        cmocka_unit_test (test_glob_hostile_patterns_take_bounded_work),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
