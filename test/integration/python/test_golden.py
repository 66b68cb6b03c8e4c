#!/usr/bin/python3
"""Runs the golden vectors with Debian's msgpack, a codec that shares nothing with ours, and checks requests by the
rules of schema/PROTOCOL.md, written down here a second time.

Skips (status 77) where msgpack is not installed.
"""
import os
import sys

try:
    import msgpack
except ImportError:
    print("skipped: python3-msgpack is not installed")
    sys.exit(77)

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
GOLDEN = os.path.join(HERE, "..", "..", "..", "schema", "golden")
RUN = 16
DEPTH = 8
failures = []


def rows(name, columns):
    with open(os.path.join(GOLDEN, name), encoding="ascii") as file:
        for line in file:
            if not line.startswith("#"):
                fields = line.rstrip("\n").split("\t")
                assert len(fields) == columns, line
                yield fields


def unhex(text):
    out = b""
    for word in text.split():
        digits, _, times = word.partition("*")
        out += bytes.fromhex(digits) * int(times or 1)
    return out


def escaped(data):
    special = {0x22: '\\"', 0x5C: "\\\\"}
    return "".join(special.get(c, chr(c) if 0x20 <= c <= 0x7E else f"\\x{c:02x}") for c in data)


def string(data, prefix):
    if len(data) > RUN and len(set(data)) == 1:
        return f'{prefix}"{escaped(data[:1])}"*{len(data)}'
    return f'{prefix}"{escaped(data)}"'


def render(value):
    """The notation of the files."""
    if value is None or isinstance(value, bool):
        return {None: "nil", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        text = "%.17g" % value
        return text if any(c in text for c in ".en") else text + ".0"
    if isinstance(value, str):
        return string(value.encode("utf-8", "surrogateescape"), "")
    if isinstance(value, bytes):
        return string(value, "b")
    if isinstance(value, list):
        if len(value) > RUN and all(item == value[0] for item in value):
            return f"[{render(value[0])}]*{len(value)}"
        return "[" + ", ".join(map(render, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{render(k)}: {render(v)}" for k, v in value.items()) + "}"
    raise TypeError(type(value))


def unpack(body):
    limit = len(body) + 1
    return msgpack.unpackb(body, raw=False, strict_map_key=False, unicode_errors="surrogateescape",
                           max_array_len=limit, max_map_len=limit, max_str_len=limit, max_bin_len=limit)


def depth(value):
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    if isinstance(value, dict):
        return 1 + max((max(depth(k), depth(v)) for k, v in value.items()), default=0)
    return 0


def well_formed(body):
    try:
        return depth(unpack(body)) <= DEPTH
    except (ValueError, msgpack.exceptions.UnpackException):
        return False


def is_uint(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def version_and_id(body):
    """What can be read of the first two elements, None where nothing can."""
    unpacker = msgpack.Unpacker(raw=False, strict_map_key=False, max_buffer_size=0)
    unpacker.feed(body)
    try:
        count = unpacker.read_array_header()
        if count < 2:
            return None, None
        version, request_id = unpacker.unpack(), unpacker.unpack()
    except (ValueError, msgpack.exceptions.UnpackException):
        return None, None
    return (version, request_id) if is_uint(version) and is_uint(request_id) else (None, None)


def option_ok(name, value):
    if not isinstance(name, (str, bytes)):
        return False
    name = name if isinstance(name, str) else name.decode("latin-1")
    if name.lower() == "deadline_ms":
        return is_uint(value) and 1 <= value <= 3600000
    if name.lower() == "session":
        return isinstance(value, (str, bytes)) and len(value) == 16
    if name.lower() == "durability":
        return value in ("local", "replicated", "fsync")
    return name.lower() in ("seq", "epoch") and is_uint(value)


def command_ok(command):
    return (
        isinstance(command, list)
        and len(command) > 0
        and isinstance(command[0], (str, bytes))
        and all(isinstance(a, (str, bytes, int, float)) and not isinstance(a, bool) for a in command[1:])
    )


def judge_request(body):
    """(status, id) by section 7 of the protocol."""
    version, request_id = version_and_id(body)
    if version is None:
        return "BAD_REQUEST", None
    if version != 1:
        return "BAD_VERSION", request_id
    try:
        message = unpack(body)
    except (ValueError, msgpack.exceptions.UnpackException):
        return "BAD_REQUEST", request_id
    if len(message) not in (3, 4) or not isinstance(message[2], list) or not message[2]:
        return "BAD_REQUEST", request_id
    commands = message[2]
    if len(commands) > 65536 or any(isinstance(c, list) and len(c) > 1048576 for c in commands):
        return "TOO_LARGE", request_id
    if not all(map(command_ok, commands)):
        return "BAD_REQUEST", request_id
    if len(message) == 4:
        if not isinstance(message[3], dict) or not all(option_ok(k, v) for k, v in message[3].items()):
            return "BAD_REQUEST", request_id
    return "OK", request_id


def judge_reply(body):
    try:
        message = unpack(body)
    except (ValueError, msgpack.exceptions.UnpackException):
        return "BAD_REQUEST"
    if not isinstance(message, list) or len(message) != 3 or not is_uint(message[0]):
        return "BAD_REQUEST"
    if message[0] != 1:
        return "BAD_VERSION"
    if not is_uint(message[1]) or not isinstance(message[2], list):
        return "BAD_REQUEST"
    return "OK" if all(map(result_ok, message[2])) else "BAD_REQUEST"


def result_ok(result):
    if not isinstance(result, list) or len(result) < 2 or not is_uint(result[0]) or result[0] >= 2**31:
        return False
    if result[0] == 0:
        return len(result) == 2
    return isinstance(result[1], (str, bytes)) and (
        len(result) == 2 or (len(result) == 3 and isinstance(result[2], dict))
    )


def expect(name, got, wanted):
    if got != wanted:
        failures.append(f"{name}: {got!r:.200}, wanted {wanted!r:.200}")


def check_requests():
    count = 0
    for name, status, request_id, text, meaning in rows("requests.tsv", 5):
        body = unhex(text)
        got_status, got_id = judge_request(body)
        expect(name, (got_status, "-" if got_id is None else str(got_id)), (status, request_id))
        if status == "OK":
            expect(name, render(unpack(body)), meaning)
        count += 1
    return count


def check_replies():
    count = 0
    for name, status, request_id, text, meaning in rows("replies.tsv", 5):
        body = unhex(text)
        expect(name, judge_reply(body), status)
        if status == "OK":
            expect(name, render(unpack(body)), meaning)
            expect(name, str(unpack(body)[1]), request_id)
        count += 1
    return count


def check_values():
    count = 0
    for name, form, text, meaning in rows("values.tsv", 4):
        body = unhex(text)
        expect(name, well_formed(body), form != "refused")
        if form != "refused":
            value = unpack(body)
            expect(name, render(value), meaning)
            again = msgpack.packb(value, use_bin_type=True, unicode_errors="surrogateescape")
            expect(name, again == body, form == "shortest")
        count += 1
    return count


def check_slots():
    import binascii

    from kvdb_client import crc16, hashed_part, slot

    count = 0
    for name, text, hashed, crc, wanted_slot, shard, _ in rows("slots.tsv", 7):
        key = unhex(text)
        part = hashed_part(key)
        expect(name, escaped(part), hashed)
        expect(name, f"{crc16(part):04x}", crc)
        expect(name, binascii.crc_hqx(part, 0), crc16(part))
        expect(name, (slot(key), slot(key) % 64), (int(wanted_slot), int(shard)))
        count += 1
    return count


def main():
    counts = [check_requests(), check_replies(), check_values()]
    try:
        counts.append(check_slots())
    except ImportError:
        print("slots are left out: python3-zmq is not installed")
    for failure in failures:
        print(failure)
    print(f"{sum(counts)} vectors, {len(failures)} failures")
    return 1 if failures or min(counts) < 30 else 0


if __name__ == "__main__":
    sys.exit(main())
