#!/usr/bin/python3
"""Reads every record of UnicodeData.txt back from a cluster and compares it byte for byte.

usage: read_unicode.py HOST PORT UnicodeData.txt [--batch N] [--get]

The key of a record is its code point field, the value the whole line without its newline (see make_pipe.py). Batches
of N keys, several in flight, as MGET or (--get) as single GETs. Prints how many records are equal; exit status 0 only
if all are.
"""
import argparse
import sys

from kvdb_client import Client, KvError

IN_FLIGHT = 8
SHOWN = 10


def records(path):
    with open(path, "rb") as file:
        for line in file.read().split(b"\n"):
            if line:
                yield line.split(b";", 1)[0], line


def batches(items, size):
    items = list(items)
    return [items[i : i + size] for i in range(0, len(items), size)]


def commands(batch, single):
    keys = [key for key, _ in batch]
    return [("GET", key) for key in keys] if single else [("MGET", *keys)]


def values(results, count, single):
    """A value or an error per record."""
    if single:
        return results
    return [results[0]] * count if isinstance(results[0], KvError) else results[0]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("file")
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--get", action="store_true", help="GET instead of MGET")
    arguments = parser.parse_args()

    waiting = batches(records(arguments.file), arguments.batch)
    total = sum(len(batch) for batch in waiting)
    waiting.reverse()
    in_flight = {}
    equal = 0
    wrong = []
    with Client(arguments.host, arguments.port) as client:
        while waiting or in_flight:
            while waiting and len(in_flight) < IN_FLIGHT:
                batch = waiting.pop()
                in_flight[client.send(commands(batch, arguments.get))] = batch
            request_id, results = client.receive()
            batch = in_flight.pop(request_id)
            got = values(results, len(batch), arguments.get)
            if len(got) != len(batch):
                sys.exit(f"{len(got)} values for {len(batch)} keys")
            for (key, wanted), value in zip(batch, got):
                if value == wanted:
                    equal += 1
                else:
                    wrong.append((key, value))
    for key, value in wrong[:SHOWN]:
        print(f"{key.decode()}: {value!r}", file=sys.stderr)
    print(f"{equal} of {total} records equal")
    return 0 if total > 0 and equal == total else 1


if __name__ == "__main__":
    sys.exit(main())
