#include "model_parts.h"

/* The class at p, behind its '['; sets `next` to what follows. */
static bool s_class (kv_slice_t p, uint8_t byte, kv_slice_t *next)
{
    size_t i = p.size && p.data[0] == '^' ? 1 : 0;
    bool negated = i == 1;
    bool hit = false;
    while (i < p.size && p.data[i] != ']') {
        size_t left = p.size - i;
        if (p.data[i] == '\\' && left >= 2) {
            hit = hit || p.data[i + 1] == byte;
            i += 2;
        } else if (left >= 3 && p.data[i + 1] == '-') {
            int a = p.data[i];
            int b = p.data[i + 2];
            hit = hit || (a <= byte && byte <= b) || (b <= byte && byte <= a);
            i += 3;
        } else {
            hit = hit || p.data[i] == byte;
            i++;
        }
    }
    i += i < p.size;
    *next = kv_slice (p.data + i, p.size - i);
    return hit != negated;
}

static kv_slice_t s_from (kv_slice_t bytes, size_t index)
{
    return kv_slice (bytes.data + index, bytes.size - index);
}

/* By recursion, trying everything: for short patterns. */
bool model_glob (kv_slice_t p, kv_slice_t text)
{
    if (p.size == 0)
        return text.size == 0;
    if (p.data[0] == '*') {
        for (size_t i = 0; i <= text.size; i++) {
            if (model_glob (s_from (p, 1), s_from (text, i)))
                return true;
        }
        return false;
    }
    if (text.size == 0)
        return false;
    kv_slice_t next = s_from (p, 1);
    bool hit;
    if (p.data[0] == '[')
        hit = s_class (next, text.data[0], &next);
    else if (p.data[0] == '\\' && p.size >= 2) {
        hit = p.data[1] == text.data[0];
        next = s_from (p, 2);
    } else
        hit = p.data[0] == '?' || p.data[0] == text.data[0];
    return hit && model_glob (next, s_from (text, 1));
}
