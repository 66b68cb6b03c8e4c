"""What is at a limit is served, what is over it is refused by name; limits of real size, and what memory they cost.

Method: one cluster with the settings users have (64 MiB values), a witness who is served all the while. Sizes are made by
one client at a time; resident memory is looked at after each test, in release builds.
"""
import os
import random
import time
import unittest

import msgpack

from harness import SEED
from hostile import MIB, SANITIZED, Client, Peer, Watched, pack

TOO_LARGE, BAD_REQUEST = 13, 11
VALUE_MAX = 64 * MIB
LIMITS = {"broker": 1500, "node1": 3000, "node2": 3000, "node3": 3000}  # MiB resident


class RealLimits(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.watched = Watched(nodes=3)

    @classmethod
    def tearDownClass(cls):
        cls.watched.close()

    def setUp(self):
        self.watched.begin()
        self.client = Client(self.watched.cluster.endpoint)

    def tearDown(self):
        self.client.close()
        self.watched.check(LIMITS)

    def refusal(self, body, code, words):
        self.client.send_raw(body)
        request_id, results = self.client.receive(60)
        self.assertEqual((request_id, len(results), results[0][0]), (5, 1, code), results[:1])
        self.assertRegex(results[0][1], words)

    def test_a_value_of_64_mib_and_one_byte_more(self):
        value = os.urandom(VALUE_MAX)
        self.assertEqual(self.client.value("SET", "full", value, seconds=60), "OK")
        self.assertEqual(self.client.value("GET", "full", seconds=60), value)
        self.assertEqual(self.client.value("STRLEN", "full"), VALUE_MAX)
        for command in (["SET", "full", value + b"x"], ["APPEND", "full", "x"], ["MSET", "full", "v", "other", value + b"x"]):
            ((code, text, *_),) = self.client.call(command, seconds=60)
            self.assertEqual(code, TOO_LARGE)
            self.assertIn("67108864", text)
        self.assertEqual(self.client.value("STRLEN", "full"), VALUE_MAX)
        self.assertIsNone(self.client.value("GET", "other"))
        self.client.value("DEL", "full")

    def test_a_frame_over_the_limit_ends_its_connection_only(self):
        peer = Peer(self.watched.cluster.port)
        peer.socket.sendall(Peer.head(VALUE_MAX + MIB + 1))
        self.assertTrue(peer.is_cut_off())
        peer.close()
        self.client.send_raw(bytes(VALUE_MAX + MIB))  # of that size: looked at, and dropped for having no id
        self.assertEqual(self.client.value("PING", seconds=60), "PONG")

    def test_replies_over_the_limit_become_an_error(self):
        """Eleven values of 64 MiB are more than a reply may have."""
        self.client.value("SET", "{big}", b"x" * VALUE_MAX, seconds=60)
        results = self.client.call(["MGET", *["{big}"] * 11], ["GET", "nothing"], seconds=60)
        self.assertEqual([results[0][0], results[1]], [TOO_LARGE, [0, None]])
        self.client.value("DEL", "{big}")

    def test_batches_of_65536_commands_and_one_more(self):
        commands = [["SET", "batch:%d" % i, "v"] for i in range(65536)]
        results = self.client.call(*commands, seconds=60)
        self.assertEqual(len(results), 65536)
        self.assertTrue(all(result == [0, "OK"] for result in results), [r for r in results if r != [0, "OK"]][:1])
        self.refusal(pack(5, commands + [["PING"]]), TOO_LARGE, "65536")
        self.refusal(pack(5, [["PING"]] * 65537), TOO_LARGE, "65536")
        self.refusal(b"\x93\x01\x05\xdd\x00\x01\x00\x01" + b"\x91\xa4PING" * 10, BAD_REQUEST, "array")  # announces more than there is
        pings = self.client.call(*[["PING"]] * 65536, seconds=60)
        self.assertEqual(pings, [[0, "PONG"]] * 65536)

    def test_a_batch_that_asks_much_of_the_broker_itself(self):
        """HELP and TOPOLOGY are far longer than they are asked for."""
        for word in ("HELP", "TOPOLOGY", "INFO"):
            results = self.client.call(*[[word]] * 65536, seconds=60)
            self.assertEqual(len(results), 65536)
            self.assertEqual({result[0] for result in results}, {0, TOO_LARGE})

    def test_commands_of_a_million_arguments(self):
        self.client.value("SET", "m", "v")
        values = self.client.value("MGET", *["m", "n"] * ((1 << 19) - 1), "m", seconds=60)  # 1048576 with the name
        self.assertEqual(len(values), (1 << 20) - 1)
        self.assertEqual((values[0], values[1], values[-1], set(values)), (b"v", None, b"v", {b"v", None}))
        self.refusal(pack(5, [["MGET", *["m"] * (1 << 20)]]), TOO_LARGE, "more arguments")
        keys = ["key:%d" % i for i in range(500000)]
        self.assertEqual(self.client.value("EXISTS", *keys, "m", seconds=60), 1)
        results = self.client.call(["DEL", *["m"] * 500000], ["GET", "m"], seconds=60)
        self.assertEqual(results, [[0, 1], [0, None]])

    def test_numbers_and_times_at_their_edges(self):
        most, least = 2**63 - 1, -(2**63)
        for start, change, ok in ((most, 1, False), (most, 0, True), (least, -1, False), (least, most, True), (-1, least, False), (0, least, True)):
            self.client.value("SET", "n", start)
            ((code, value, *_),) = self.client.call(["INCRBY", "n", change])
            self.assertEqual((code, value) if ok else code, (0, start + change) if ok else 17, (start, change, value))
        self.client.value("SET", "n", "0")
        self.assertEqual(self.client.call(["DECRBY", "n", least])[0][0], 17)
        for words in (["EXPIRE", "n", most], ["PEXPIRE", "n", most], ["SET", "n", "v", "EX", most], ["SET", "n", "v", "PXAT", 2**64 - 1],
                      ["SET", "n", "v", "EX", 0], ["SET", "n", "v", "PX", -1], ["EXPIRE", "n", "1.5"], ["SET", "n", "v", "EX"], ["SET", "n", "v", "EX", 1, "PX", 1],
                      ["SCAN", str(2**64)], ["SCAN", -1], ["SCAN", "x"], ["SCAN", 0, "COUNT", 0], ["SCAN", 0, "MATCH", "x" * 1025], ["KEYS", "x" * 1025]):
            ((code, text, *_),) = self.client.call(words)
            self.assertIn(code, range(10, 20), (words[0], words[2:], text))
        self.assertEqual(self.client.value("GET", "n"), b"0")
        for cursor in (1, 2**63, 2**64 - 1, 12345678901234567890):
            ((code, value, *_),) = self.client.call(["SCAN", cursor])
            self.assertIn(code, (0, *range(10, 20)), value)

    def test_patterns_that_are_costly_to_match(self):
        """A glob of many stars must not take for ever on a key that almost matches."""
        self.client.value("SET", "a" * 60000, "v")
        start = time.monotonic()
        for pattern in ("a*" * 500 + "b", "*a" * 500 + "b", "*" * 1024, "[" * 1024, "\\" * 1024, "[a-" * 300, "?" * 1024):
            self.client.value("KEYS", pattern, seconds=60)
            self.client.call(["SCAN", 0, "MATCH", pattern, "COUNT", 1000], seconds=60)
        self.assertLess(time.monotonic() - start, 30 if SANITIZED else 10)
        self.client.value("DEL", "a" * 60000)


class SmallQueues(unittest.TestCase):
    """A broker with a small queue: what is over it is BUSY or too large, and said so before any of it is executed."""

    def test_the_queue_is_bounded_while_a_node_is_away(self):
        watched = Watched(nodes=2, env={"KVDB_BROKER_QUEUE_BYTES": "4m", "KVDB_BROKER_SHARD_QUEUE_COMMANDS": "1000", "KVDB_BROKER_DEADLINE_MS": "3000"}, witness=False)
        try:
            watched.cluster.script("kill", "node1")
            watched.names.remove("node1")
            del watched.pids["node1"]
            watched.begin()
            with Client(watched.cluster.endpoint) as client:
                generator = random.Random(SEED)
                sent = {client.send([["SET", "queue:%d" % generator.randrange(10000), bytes(generator.randrange(2000))] for _ in range(20)]) for _ in range(3000)}
                codes = {}
                while sent:
                    request_id, results = client.receive(30)
                    sent.remove(request_id)
                    for result in results:
                        codes[result[0]] = codes.get(result[0], 0) + 1
                        if result[0] == 30:
                            self.assertGreater(result[2]["retry_ms"], 0)
                self.assertEqual(set(codes), {0, 30, 31}, codes)  # executed; busy; the node is not there
                self.assertEqual(sum(codes.values()), 60000)
                info = client.info()
                self.assertEqual((info["waiting_requests"], info["waiting_bytes"]), (0, 0))
                self.assertEqual(info["commands_refused_busy"], codes[30])
                print("answers by code:", codes, flush=True)
            watched.check({"broker": 100})
        finally:
            watched.close()


if __name__ == "__main__":
    unittest.main()
