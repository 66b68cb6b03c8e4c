#include "node/glob.h"

/* A place in the pattern; what is left of it is at .. end. */
typedef struct {
    const uint8_t *at;
    const uint8_t *end;
} pattern_t;

/* Whether a byte is in the class whose '[' has been passed; passes the class and its ']'. */
static bool s_class_has (pattern_t *p, uint8_t byte)
{
    bool negated = p->at < p->end && *p->at == '^';
    if (negated)
        p->at++;
    bool found = false;
    while (p->at < p->end && *p->at != ']') {
        ptrdiff_t left = p->end - p->at;
        if (left >= 2 && p->at[0] == '\\') {
            found |= p->at[1] == byte;
            p->at += 2;
        } else if (left >= 3 && p->at[1] == '-') {
            uint8_t low = p->at[0] < p->at[2] ? p->at[0] : p->at[2];
            uint8_t high = p->at[0] < p->at[2] ? p->at[2] : p->at[0];
            found |= low <= byte && byte <= high;
            p->at += 3;
        } else {
            found |= p->at[0] == byte;
            p->at++;
        }
    }
    if (p->at < p->end)
        p->at++; /* the ']' */
    return found != negated;
}

/* Whether the pattern's next element, which is no '*', takes a byte; passes the element. */
static bool s_takes (pattern_t *p, uint8_t byte)
{
    uint8_t element = *p->at++;
    if (element == '?')
        return true;
    if (element == '[')
        return s_class_has (p, byte);
    if (element == '\\' && p->at < p->end)
        element = *p->at++;
    return element == byte;
}

bool glob_match (kv_slice_t pattern, kv_slice_t text)
{
    pattern_t p = {pattern.data, pattern.data + pattern.size};
    pattern_t after_star = {NULL, NULL}; /* where to go on after a mismatch */
    size_t star_at = 0;                  /* the text the last '*' has not taken yet */
    size_t i = 0;
    while (i < text.size) {
        if (p.at < p.end && *p.at == '*') {
            p.at++;
            after_star = p;
            star_at = i;
        } else if (p.at < p.end && s_takes (&p, text.data[i])) {
            i++;
        } else if (after_star.at) {
            p = after_star;
            i = ++star_at;
        } else {
            return false;
        }
    }
    while (p.at < p.end && *p.at == '*')
        p.at++;
    return p.at == p.end;
}
