#include "node/decimal.h"

bool decimal_read (kv_slice_t text, int64_t *number)
{
    if (text.size == 0 || text.size > DECIMAL_TEXT_BYTES)
        return false;
    size_t i = text.data[0] == '-' ? 1 : 0;
    bool negative = i == 1;
    if (i == text.size)
        return false;
    if (text.data[i] == '0') {
        *number = 0;
        return text.size == 1;
    }
    const uint64_t most = negative ? (uint64_t)INT64_MAX + 1 : INT64_MAX;
    uint64_t value = 0;
    for (; i < text.size; i++) {
        uint8_t digit = (uint8_t)(text.data[i] - '0');
        if (digit > 9 || value > (most - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *number = negative ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

bool decimal_read_unsigned (kv_slice_t text, uint64_t *number)
{
    if (text.size == 0 || text.size > DECIMAL_TEXT_BYTES || (text.data[0] == '0' && text.size > 1))
        return false;
    *number = 0;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t digit = (uint8_t)(text.data[i] - '0');
        if (digit > 9 || *number > (UINT64_MAX - digit) / 10)
            return false;
        *number = *number * 10 + digit;
    }
    return true;
}

size_t decimal_write (char text[DECIMAL_TEXT_BYTES], int64_t number)
{
    char reversed[DECIMAL_TEXT_BYTES];
    uint64_t left = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    size_t digits = 0;
    do {
        reversed[digits++] = (char)('0' + left % 10);
        left /= 10;
    } while (left);
    size_t size = 0;
    if (number < 0)
        text[size++] = '-';
    while (digits)
        text[size++] = reversed[--digits];
    return size;
}
