#include "schema/utf8.h"

size_t utf8_bytes (kv_slice_t at)
{
    uint8_t first = at.data[0];
    if (first < 0x80)
        return 1;
    size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || at.size < size)
        return 0;
    for (size_t i = 1; i < size; i++) {
        if ((at.data[i] & 0xc0) != 0x80)
            return 0;
    }
    uint8_t second = at.data[1];
    bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
    bool surrogate = first == 0xed && second > 0x9f;
    bool beyond = first == 0xf4 && second > 0x8f;
    return overlong || surrogate || beyond ? 0 : size;
}

bool utf8_is_text (kv_slice_t bytes)
{
    while (bytes.size > 0) {
        size_t size = utf8_bytes (bytes);
        if (size == 0)
            return false;
        bytes = kv_slice (bytes.data + size, bytes.size - size);
    }
    return true;
}
