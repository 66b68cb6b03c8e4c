#!/usr/bin/python3
"""Sends every request of schema/golden/requests.tsv to a living server and checks that it answers as the file says.

usage: check_server.py HOST PORT

A vector without an id must get no reply, a refused one a single error of its status, a valid one a reply with its id. A
PING after each shows that the server and the connection are still there. Keys of the vectors are written. Prints how
many vectors were answered rightly; exit status 0 only if all were.
"""
import os
import sys

import msgpack

from kvdb_client import Client
from test_golden import rows, unhex

STATUS_FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "schema", "status.def")
PING_ID = 2**63 + 12345
TIMEOUT_S = 10


def status_numbers():
    numbers = {}
    with open(STATUS_FILE, encoding="ascii") as file:
        for line in file:
            if line.startswith("KV_STATUS ("):
                name, number = line[len("KV_STATUS (") :].split(", ")[:2]
                numbers[name] = int(number)
    return numbers


def exchange(host, port, body, replies):
    """The results by id of `replies` replies to the vector and a PING, or None if they do not come."""
    client = Client(host, port)
    try:
        client.send_raw([b"", body])
        client.send_raw([b"", msgpack.packb([1, PING_ID, [["PING"]]])])
        got = {}
        for _ in range(replies):
            frames = client.receive_raw(TIMEOUT_S)
            if frames is None or len(frames) != 2 or frames[0] != b"":
                return None
            _, request_id, results = msgpack.unpackb(frames[1], raw=False, strict_map_key=False)
            got[request_id] = results
        return got if client.receive_raw(0.02) is None else None
    finally:
        client.close()


def complaint(got, status, request_id, number, meaning):
    if got is None or got.pop(PING_ID, None) != [[0, "PONG"]]:
        return "not answered as often as expected"
    if request_id == "-":
        return None if not got else "answered without an id"
    if list(got) != [int(request_id)]:
        return f"answered with ids {list(got)}"
    results = got[int(request_id)]
    if status == "OK":
        refused = len(results) == 1 and results[0][0] in (11, 12)
        return f"refused: {results}" if refused else None
    if len(results) != 1 or results[0][0] != number:
        return f"{results!r:.200}, wanted one error {number} ({meaning})"
    return None


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    host, port = sys.argv[1], int(sys.argv[2])
    numbers = status_numbers()
    count = failures = 0
    for name, status, request_id, text, meaning in rows("requests.tsv", 5):
        got = exchange(host, port, unhex(text), 1 if request_id == "-" else 2)
        wrong = complaint(got, status, request_id, numbers[status], meaning)
        if wrong:
            print(f"{name}: {wrong}", file=sys.stderr)
            failures += 1
        count += 1
    print(f"{count - failures} of {count} vectors answered as they should be")
    return 1 if failures or not count else 0


if __name__ == "__main__":
    sys.exit(main())
