#!/usr/bin/python3
"""Turns UnicodeData.txt into input for `kv --pipe`: a SET per record, quoted as redis-cli quotes.

usage: make_pipe.py UnicodeData.txt > commands; kv --pipe < commands

The key is the code point field, the value the whole line without its newline.
"""
import sys


def quoted(data):
    """"..." with \\" and \\\\ escaped, and \\xHH for whatever is not printable ASCII."""
    text = "".join(
        "\\" + chr(byte) if byte in b'"\\' else chr(byte) if 0x20 <= byte <= 0x7E else f"\\x{byte:02x}"
        for byte in data
    )
    return f'"{text}"'


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with open(sys.argv[1], "rb") as file:
        for line in file.read().split(b"\n"):
            if line:
                print(f"SET {line.split(b';', 1)[0].decode('ascii')} {quoted(line)}")


if __name__ == "__main__":
    main()
