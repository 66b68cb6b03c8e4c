#!/usr/bin/python3
"""Tests the Python client and the tools beside it against a server of their own, so that a failure of an integration
test is the cluster's and not theirs. Skips (status 77) where pyzmq or msgpack is not installed.
"""
import os
import subprocess
import sys
import tempfile
import unittest

try:
    import msgpack
    import zmq
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from fake_server import FakeServer  # noqa: E402
from kvdb_client import Client, KvError, NoReply, ProtocolError  # noqa: E402

RECORDS = [b"0000;<control>;Cc", b"0041;LATIN CAPITAL LETTER A;Lu", b'FFFD;"quoted" \\ back;So', b"1F600;\xf0\x9f\x98\x80;\x01\t"]


def unquoted(text):
    """The inverse of redis-cli's quoting, written for this test."""
    out = bytearray()
    at = 0
    while at < len(text):
        if text[at] != "\\":
            out.append(ord(text[at]))
            at += 1
        elif text[at + 1] == "x":
            out.append(int(text[at + 2 : at + 4], 16))
            at += 4
        else:
            out.append(ord(text[at + 1]))
            at += 2
    return bytes(out)


class ClientTest(unittest.TestCase):
    def test_call_and_pipeline(self):
        with FakeServer() as server, Client(port=server.port) as client:
            self.assertEqual(client.call("SET", b"k\0", b"v\xff"), "OK")
            self.assertEqual(client.call("GET", b"k\0"), b"v\xff")
            self.assertIsNone(client.call("GET", "absent"))
            results = client.pipeline([("PING",), ("NOSUCH",), ("DEL", b"k\0", "absent")])
            self.assertEqual((results[0], results[2]), ("PONG", 1))
            self.assertEqual(results[1].code, 14)
            with self.assertRaises(KvError):
                client.call("NOSUCH")

    def test_replies_in_any_order(self):
        held = []

        def reorder(_, reply):
            held.append(reply)
            return [held.pop(), held.pop()] if len(held) == 2 else []

        with FakeServer(reorder) as server, Client(port=server.port) as client:
            first, second = client.send([("SET", "a", "1")]), client.send([("GET", "a")])
            replies = [client.receive(), client.receive()]
            self.assertEqual(replies, [(second, [b"1"]), (first, ["OK"])])

    def test_refused_as_a_whole(self):
        def refuse(body, _):
            return [msgpack.packb([1, msgpack.unpackb(body)[1], [[30, "BUSY later", {"retry_ms": 5}]]])]

        with FakeServer(refuse) as server, Client(port=server.port) as client:
            results = client.pipeline([("PING",)] * 3)
            self.assertEqual([r.code for r in results], [30, 30, 30])
            self.assertEqual(results[0].details, {"retry_ms": 5})

    def test_no_reply_then_a_late_one(self):
        late = []

        def delay(_, reply):
            late.append(reply)
            return [] if len(late) == 1 else late

        with FakeServer(delay) as server, Client(port=server.port) as client:
            with self.assertRaises(NoReply):
                client.call("SET", "a", "1", timeout_s=0.2)
            self.assertEqual(client.call("GET", "a"), b"1")

    def test_what_is_no_reply(self):
        for bad in (b"", b"\xc1", b"\x93\x01\x01", b"\x93\x02\x01\x90", b"\x93\x01\x01\x91\x91\x00"):
            with FakeServer(lambda *_: [bad]) as server, Client(port=server.port) as client:
                with self.assertRaises(ProtocolError):
                    client.call("PING")

    def test_req_socket(self):
        with FakeServer() as server:
            socket = zmq.Context.instance().socket(zmq.REQ)
            socket.connect(f"tcp://127.0.0.1:{server.port}")
            socket.send(bytes.fromhex("9301079193a3534554c4056672756974c4056170706c65"))
            self.assertTrue(socket.poll(5000))
            self.assertEqual(socket.recv().hex(), "9301079192" + "00a24f4b")
            socket.close()


class ToolsTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "data.txt")
        with open(self.path, "wb") as file:
            file.write(b"\n".join(RECORDS) + b"\n")

    def tearDown(self):
        self.folder.cleanup()

    def read(self, server, *more):
        command = [sys.executable, os.path.join(HERE, "read_unicode.py"), "127.0.0.1", str(server.port), self.path, *more]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout.strip()

    def test_read_unicode(self):
        for more in ([], ["--get"], ["--batch", "1"]):
            with FakeServer() as server:
                server.data = {record.split(b";")[0]: record for record in RECORDS}
                self.assertEqual(self.read(server, *more), (0, "4 of 4 records equal"))
                server.data[b"0041"] += b" "
                self.assertEqual(self.read(server, *more), (1, "3 of 4 records equal"))
                del server.data[b"FFFD"]
                self.assertEqual(self.read(server, *more), (1, "2 of 4 records equal"))

    def test_make_pipe(self):
        command = [sys.executable, os.path.join(HERE, "make_pipe.py"), self.path]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        self.assertEqual(len(lines), len(RECORDS))
        for line, record in zip(lines, RECORDS):
            self.assertTrue(line.isascii() and line.isprintable())
            name, key, value = line.split(" ", 2)
            self.assertEqual((name, key.encode()), ("SET", record.split(b";")[0]))
            self.assertEqual((value[0], value[-1]), ('"', '"'))
            self.assertEqual(unquoted(value[1:-1]), record)


if __name__ == "__main__":
    unittest.main()
