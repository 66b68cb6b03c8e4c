"""kv against servers that answer otherwise than ours does today: a later version, a broken one, a silent one."""
import json
import subprocess
import threading
import time
import unittest

import msgpack
import zmq

from harness import program

CLUSTER = bytes(range(16))


class Server:
    """Answers commands from a table: name -> a value, or a function of the arguments."""

    def __init__(self, answers):
        self.answers = answers
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.ROUTER)
        self.port = self.socket.bind_to_random_port("tcp://127.0.0.1")
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self.serve)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.thread.join()
        self.context.destroy(linger=0)

    def result(self, name, *arguments):
        answer = self.answers.get(name.decode().upper() if isinstance(name, bytes) else name.upper())
        if callable(answer):
            answer = answer(*arguments)
        return [14, "ERR unknown command"] if answer is None else [0, answer]

    def serve(self):
        while not self.ending.is_set():
            if not self.socket.poll(20):
                continue
            *address, body = self.socket.recv_multipart()
            _, number, commands, *_ = msgpack.unpackb(body, raw=False)
            if self.answers:
                results = [self.result(*command) for command in commands]
                self.socket.send_multipart([*address, msgpack.packb([1, number, results])])

    def kv(self, *words, status=0):
        done = subprocess.run([program("kv"), "--port", str(self.port), "--timeout", "5", *words], timeout=60,
                              stdin=subprocess.DEVNULL, capture_output=True)
        assert done.returncode == status, (words, done)
        return (done.stdout if status in (0, 1) else done.stderr).decode()


def node(**fields):
    whole = {"id": "node1", "host": "127.0.0.1", "port": 7001, "state": "up", "incarnation": 2**63 - 1, "shards": 4,
             "beacon_age_ms": 12, "keys": 5, "bytes": 1536}
    whole.update(fields)
    return {key: value for key, value in whole.items() if value is not None}


class Status(unittest.TestCase):
    def status(self, topology, *words, status=0, **answers):
        with Server({"TOPOLOGY": topology, **answers}) as server:
            return server.kv("status", *words, status=status)

    def test_keys_of_a_later_version_are_passed_over(self):
        topology = {"cluster": CLUSTER, "epoch": 7, "shards": 4, "replicas": 1, "version": "9.0.0",
                    "uptime_ms": 90061000, "later": {"deep": [1, None]}, "owners": [0, 0, 1, 0],
                    "nodes": [node(later=[1], role="owner and follower"),
                              node(id="node2", host="::1", shards=1, keys=0, bytes=3 << 30, beacon_age_ms=61000),
                              node(id="node3", shards=0, bytes=0)]}
        text = self.status(topology, "--no-rate")
        for pattern in (r"(?m)^uptime +1 d 1 h$", r"(?m)^shards +4: node1 3, node2 1$", r"(?m)^memory +3\.0 GiB$",
                        r"(?m)^node1 +127\.0\.0\.1:7001 +up +owner and follower +4 +5 +1\.5 KiB +12 ms$",
                        r"(?m)^node2 +\[::1\]:7001 +up +owner +1 +0 +3\.0 GiB +1 min 1 s$",
                        r"(?m)^node3 .* up +spare +0 +5 +0 B "):
            self.assertRegex(text, pattern)
        whole = json.loads(self.status(topology, "--no-rate", "--json"))
        self.assertEqual(whole["cluster"], CLUSTER.hex())
        self.assertEqual(whole["later"], {"deep": [1, None]})
        self.assertEqual(whole["nodes"][0]["incarnation"], 2**63 - 1)

    def test_absent_and_odd_values_show_as_a_dash(self):
        self.assertRegex(self.status({}, "--no-rate"), r"(?m)^epoch +-$")
        self.assertEqual(self.status({}, "--json", "--no-rate"), "{}\n")
        self.assertIn("ops_per_s", json.loads(self.status({}, "--json", INFO="total_commands_processed:1\r\n")))
        text = self.status({"nodes": [{}], "owners": [0, -1, 10**9, "x"], "shards": [1], "epoch": 1.5}, "--no-rate",
                           status=1)
        self.assertRegex(text, r"(?m)^-( +-){7}$")
        self.assertRegex(self.status({"nodes": 5, "owners": "x", "cluster": 5}, "--no-rate"), r"(?m)^cluster +5$")
        self.assertRegex(self.status({"nodes": [5, None, node(id="a\x1b[2J\n", state="up")]}, "--no-rate", status=1),
                         r"(?m)^a\?\[2J\? ")
        self.assertRegex(self.status({"nodes": [node(beacon_age_ms=-1, state="absent")], "owners": [0]}, "--no-rate",
                                     status=1), r"(?ms)^shards +-: node1 1 \(absent\)$.* never$")

    def test_what_is_no_topology_is_refused(self):
        self.assertIn("not a map", self.status([1], "--no-rate", status=3))
        self.assertEqual(self.status(None, "--no-rate", status=1), "")

    def test_a_server_that_does_not_count_has_no_rate(self):
        self.assertNotIn("ops/s", self.status({"nodes": [node()]}))
        self.assertNotIn("ops/s", self.status({"nodes": [node()]}, INFO="# Stats\r\n"))
        counts = iter(range(100, 10**6, 501))
        text = self.status({}, "--json", INFO=lambda *_: f"total_commands_processed:{next(counts)}\r\n")
        self.assertAlmostEqual(json.loads(text)["ops_per_s"], 500, delta=50)
        falls = iter((100, 5))
        text = self.status({}, "--json", INFO=lambda *_: f"total_commands_processed:{next(falls)}\r\n")
        self.assertEqual(json.loads(text)["ops_per_s"], 0)


class Scan(unittest.TestCase):
    def scan(self, answer, *words, status=0):
        with Server({"SCAN": answer}) as server:
            return server.kv("--scan", *words, status=status)

    def test_empty_steps_are_not_the_end(self):
        steps = iter(([b"18446744073709551615", []], ["5", [b"a", "b"]], [b"0", [b"c"]]))
        seen = []

        def answer(*arguments):
            seen.append(arguments)
            return next(steps)

        self.assertEqual(self.scan(answer, "--pattern", "*", "--count", "7"), "a\nb\nc\n")
        self.assertEqual([arguments[0] for arguments in seen], [b"0", b"18446744073709551615", b"5"])
        self.assertEqual(seen[2][1:], (b"COUNT", b"7", b"MATCH", b"*"))

    def test_what_is_no_reply_to_scan_ends_it(self):
        for answer in (5, [], [b"0"], [b"", []], [[], b"0"], [b"1" * 200, []], [b"0", 5], {"a": 1}):
            self.assertIn("the scan is incomplete", self.scan(answer, status=3))


class Silent(unittest.TestCase):
    def test_a_server_that_never_answers_is_given_up_on(self):
        with Server({}) as server:
            for words in (["status"], ["--scan"], ["PING"], ["-r", "2", "PING"]):
                start = time.monotonic()
                error = server.kv("--timeout", "0.5", *words, status=3)
                self.assertIn("no reply", error)
                self.assertLess(time.monotonic() - start, 10)


if __name__ == "__main__":
    unittest.main()
