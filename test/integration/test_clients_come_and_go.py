"""Clients that come and go, clients that never read, and nodes and brokers that go while clients work.

What is promised: whoever keeps to the protocol is served while others do not; memory is bounded by the settings; every
request has exactly one reply, or none if the connection or the broker went; what was answered OK is there as long as
the node lives; no command is executed twice; a node that is away never turns into a false nil.
"""
import os
import random
import signal
import socket
import threading
import time
import unittest

from harness import FULL, SEED, Cluster, wait_until
from hostile import MIB, SANITIZED, Client, Peer, Watched, pack

OK, BUSY, UNAVAILABLE, UNKNOWN = 0, 30, 31, 32
SLOW = 3 if SANITIZED else 1


class Crowds(unittest.TestCase):
    """Output is small here: 8 MiB per client, 32 MiB over all."""

    @classmethod
    def setUpClass(cls):
        cls.watched = Watched(nodes=3, env={"KVDB_BROKER_CLIENT_OUTPUT_BYTES": "8m", "KVDB_BROKER_OUTPUT_BYTES": "32m", "KVDB_MAX_VALUE_BYTES": "8m"})

    @classmethod
    def tearDownClass(cls):
        cls.watched.close()

    def setUp(self):
        self.watched.begin()
        self.before = self.watched.client.info()

    def counted(self, name):
        return self.watched.client.info()[name] - self.before[name]

    def test_a_thousand_connections_that_come_and_go(self):
        """Some say nothing, some leave in the middle of greeting, frame or message, some before their reply comes."""
        generator = random.Random(SEED)
        opening = Peer.GREETING + Peer.ready(b"DEALER")
        body = pack(1, [["SET", "crowd", b"x" * 5000], ["GET", "crowd"]])
        whole = opening + Peer.head(len(body)) + body
        halves = opening + Peer.head(0, more=True) + Peer.head(len(body), more=True) + body
        for i in range(5000 if FULL else 1000):
            raw = socket.create_connection(("127.0.0.1", self.watched.cluster.port), timeout=20)
            text = (whole, halves, whole * 2)[i % 3]
            raw.sendall(text[: generator.randrange(len(text) + 1)])
            if i % 4 == 0:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset rather than an end
            raw.close()
        wait_until(lambda: self.counted("clients_connections_received") >= 1000, 20, "all connections")
        wait_until(lambda: self.watched.client.info()["clients_connected"] <= self.before["clients_connected"] + 1, 20, "their end")
        self.watched.check({"broker": 200, "node1": 200, "node2": 200, "node3": 200})

    def test_clients_of_libzmq_that_come_and_go(self):
        for i in range(200):
            with Client(self.watched.cluster.endpoint) as client:
                if i % 2:
                    self.assertEqual(client.value("SET", f"come:{i}", "v"), "OK")
                else:
                    client.send([["GET", f"come:{i - 1}"]])
        wait_until(lambda: self.watched.client.info()["clients_connected"] <= self.before["clients_connected"], 20, "the end of all connections")
        self.watched.check({"broker": 200, "node1": 200, "node2": 200, "node3": 200})

    def test_200_clients_that_never_read(self):
        """Each asks ten times for 1 MiB; what is kept for all is 32 MiB, the rest is dropped and counted."""
        times = 3 if SANITIZED else 10
        self.watched.client.value("SET", "large", os.urandom(MIB))
        body = b"".join(Peer.head(len(request)) + request for request in [pack(i, [["GET", "large"]]) for i in range(times)])
        peers = []
        for _ in range(200):
            peer = Peer(self.watched.cluster.port)
            peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.socket.sendall(body)
            peers.append(peer)
        wait_until(lambda: self.counted("clients_messages_dropped_out") >= 100 * times, 60, "the drops")
        wait_until(lambda: self.watched.client.info()["waiting_requests"] <= 2, 60, "the end of the requests")
        self.assertLessEqual(self.watched.client.info()["clients_output_bytes"], 40 * MIB)
        self.watched.check({"broker": 200, "node1": 200, "node2": 200, "node3": 200})
        for peer in peers:
            peer.close()
        wait_until(lambda: self.watched.client.info()["clients_output_bytes"] < MIB, 20, "the replies' release")
        self.watched.client.value("DEL", "large")

    def test_one_client_that_asks_for_gigabytes(self):
        """200 values of 8 MiB are far more than the node may have under way; others wait, but are served."""
        self.watched.client.value("SET", "larger", os.urandom(8 * MIB - 1))
        with Client(self.watched.cluster.endpoint) as client:
            for _ in range(50 if SANITIZED else 200):
                client.send([["GET", "larger"]])
            for _ in range(20):
                self.watched.witness.check()
                time.sleep(0.05)
            wait_until(lambda: self.watched.client.info()["waiting_requests"] <= 2, 60, "the end of the requests")
        self.watched.check({"broker": 200, "node1": 200, "node2": 200, "node3": 200})
        self.watched.client.value("DEL", "larger")

    def test_100000_requests_without_reading(self):
        """Their replies would take 36 MiB of the 8 that one client may leave unread: each is kept, or dropped and counted."""
        with Client(self.watched.cluster.endpoint, receive_buffer=4096) as client:
            for i in range(100000):
                client.send([["SET", f"unread:{i % 1000}", "x" * 100, "GET"]])
                if i % 10000 == 0:
                    self.watched.witness.check(1)
            wait_until(lambda: self.counted("total_requests_received") >= 100000, 60, "the requests' arrival")
            wait_until(lambda: self.watched.client.info()["waiting_requests"] <= 2, 60, "the end of the requests")
            self.watched.check({"broker": 200, "node1": 200, "node2": 200, "node3": 200})
            received = 0
            while client.receive(1) is not None:
                received += 1
            dropped = self.counted("clients_messages_dropped_out")
            print(f"without reading: {received} replies kept, {dropped} dropped", flush=True)
            self.assertEqual(received + dropped, 100000)
            self.assertGreater(dropped, 0)

    def test_a_client_that_sends_fast_is_not_taken_for_an_offender(self):
        """100 MB of small requests as fast as they can be written: all are answered, nothing is shut down. Nor is a reply
        dropped: unread, all of them take less than one client may leave unread."""
        count = 100000
        with Client(self.watched.cluster.endpoint) as client:
            value = b"x" * 1000
            for i in range(count):
                client.send([["SET", f"fast:{i % 1000}", value]])
            codes = {}
            while sum(codes.values()) < count:
                got = client.receive(30)
                self.assertIsNotNone(got, (codes, self.counted("clients_messages_dropped_out")))
                codes[got[1][0][0]] = codes.get(got[1][0][0], 0) + 1
        self.assertLessEqual(set(codes), {OK, BUSY})
        self.assertGreater(codes[OK], count / 20)
        self.assertEqual(self.counted("clients_connections_shut_down"), 0)
        self.assertEqual(self.counted("clients_messages_dropped_out"), 0)
        self.watched.check({"broker": 400, "node1": 250, "node2": 250, "node3": 250})

    def test_clients_of_one_chosen_identity(self):
        """Whichever of them is heard, it has its own replies only, and others are not disturbed."""
        clients = [Client(self.watched.cluster.endpoint, identity=b"the same") for _ in range(10)]
        try:
            for turn in range(5):
                for number, client in enumerate(clients):
                    client.last_id = 1000 * number + turn * 10
                    client.send([["ECHO", f"{number}"]])
            answered = 0
            for number, client in enumerate(clients):
                while (got := client.receive(0.3)) is not None:
                    self.assertEqual(got[0] // 1000, number, "somebody has another's reply")
                    self.assertEqual(got[1], [[0, b"%d" % number]])
                    answered += 1
            self.assertGreaterEqual(answered, 1)
        finally:
            for client in clients:
                client.close()
        self.watched.check({"broker": 200})

    def test_identities_of_every_kind(self):
        for identity in (b"\1", b"x" * 255, bytes(range(1, 100)), "\u00e9".encode(), b"%s%n", b"$TERM", b"\xff" * 5):
            with Client(self.watched.cluster.endpoint, identity=identity) as client:
                self.assertEqual(client.value("PING"), "PONG")
        for identity in (b"\0\0\0\0\1", b"\0" * 200):
            peer = Peer(self.watched.cluster.port, identity=identity)
            peer.frame(pack(1, [["PING"]]))
            peer.close()
        self.watched.check({"broker": 200})


class Connections(unittest.TestCase):
    def test_more_connections_than_are_allowed(self):
        """Those over the limit are shut out; those within it go on, and room is made when they leave."""
        watched = Watched(nodes=1, env={"KVDB_BROKER_CONNECTIONS": "50"})
        try:
            raws = []
            for _ in range(200):
                try:
                    raws.append(socket.create_connection(("127.0.0.1", watched.cluster.port), timeout=20))
                except OSError:
                    pass  # shut out before it was there
            wait_until(lambda: watched.client.info()["clients_connections_refused"] >= 100, 20, "the refusals")
            self.assertLessEqual(watched.client.info()["clients_connected"], 50)
            watched.check({"broker": 100})
            for raw in raws:
                raw.close()
            wait_until(lambda: watched.client.info()["clients_connected"] < 10, 20, "room")
            with Client(watched.cluster.endpoint) as client:
                self.assertEqual(client.value("PING"), "PONG")
        finally:
            watched.close()


class Load(threading.Thread):
    """One connection's pipelined mix: INCR on shared counters, unique SETs with a GET of each right behind it."""

    def __init__(self, number, cluster, counters, pipeline=20):
        super().__init__(daemon=True)
        self.number, self.endpoint, self.pipeline = number, cluster.endpoint, pipeline
        self.random = random.Random(SEED + number)
        self.counters = counters
        self.incremented = {name: [] for name in counters}  # (code, value)
        self.written = {}  # key: code of its SET
        self.wrong = []
        self.waiting = {}
        self.lost = 0
        self.total = 0
        self.ending = False
        self.start()

    def run(self):
        try:
            with Client(self.endpoint) as client:
                while not self.ending or self.waiting:
                    while not self.ending and len(self.waiting) < self.pipeline:
                        self.ask(client)
                    got = client.receive(0.2)
                    now = time.monotonic()
                    if got:
                        self.answer(got[0], got[1])
                    for request_id in [each for each, request in self.waiting.items() if now - request[-1] > 8]:
                        self.give_up(request_id)
                if client.receive(0.3) is not None:
                    self.wrong.append("a reply too many")
        except BaseException as error:
            self.wrong.append(repr(error))

    def ask(self, client):
        if self.random.random() < 0.5:
            name = self.random.choice(self.counters)
            request_id = client.send([["INCR", name]], {"deadline_ms": 2000})
            self.waiting[request_id] = ("incr", name, time.monotonic())
        else:
            key = f"unique:{self.number}:{client.last_id}"
            request_id = client.send([["SET", key, key], ["GET", key]], {"deadline_ms": 2000})
            self.waiting[request_id] = ("set", key, time.monotonic())
        self.total += 1

    def give_up(self, request_id):
        """No reply at all: as unknown as can be."""
        kind, name, _ = self.waiting.pop(request_id)
        self.lost += 1
        self.note(kind, name, [[UNKNOWN, "no reply"], [UNAVAILABLE, ""]])

    def answer(self, request_id, results):
        if request_id not in self.waiting:
            self.wrong.append(f"request {request_id} had a second reply, or one after 8 s: {results}")
            return
        kind, name, _ = self.waiting.pop(request_id)
        self.note(kind, name, results)

    def note(self, kind, name, results):
        for result in results:
            if result[0] not in (OK, BUSY, UNAVAILABLE, UNKNOWN):
                self.wrong.append(f"{kind} {name}: {results}")
        if kind == "incr":
            self.incremented[name].append((results[0][0], results[0][1]))
            return
        self.written[name] = results[0][0]
        if results[1][0] == OK and results[0][0] == OK and results[1][1] != name.encode():
            self.wrong.append(f"after SET {name}, answered OK, GET gave {results[1][1]}")
        if results[1][0] == OK and results[1][1] is None and results[0][0] != UNKNOWN:
            self.wrong.append(f"a false nil: {name}: {results}")

    def stop(self):
        self.ending = True
        self.join(40)
        assert not self.is_alive()


class NodesGo(unittest.TestCase):
    """Under load from several connections. Values live in memory: a node that was killed comes back empty."""

    COUNTERS = [f"counter:{i}" for i in range(24)]

    def setUp(self):
        self.cluster = Cluster(nodes=3)
        self.cluster.__enter__()
        self.loads = []
        self.addCleanup(self.end)

    def end(self):
        self.cluster.__exit__(None, None, None)

    def begin(self, connections=4):
        self.loads = [Load(i, self.cluster, self.COUNTERS) for i in range(connections)]
        wait_until(lambda: all(load.total > 500 for load in self.loads), 20 * SLOW, "the load")

    def finish(self):
        for load in self.loads:
            load.stop()
        self.assertEqual([load.wrong[:3] for load in self.loads if load.wrong], [])
        codes = {}
        for load in self.loads:
            for code in [each[0] for list_ in load.incremented.values() for each in list_] + list(load.written.values()):
                codes[code] = codes.get(code, 0) + 1
        print(f"{sum(load.total for load in self.loads)} requests, answers by code {codes}, {sum(load.lost for load in self.loads)} without any", flush=True)
        self.assertEqual(sum(codes.values()), sum(load.total for load in self.loads))
        return codes

    def check_counters(self):
        """OK replies <= counter <= OK + UNKNOWN replies, and no value was given twice."""
        with Client(self.cluster.endpoint) as client:
            for name in self.COUNTERS:
                value = int(client.value("GET", name) or 0)
                replies = [reply for load in self.loads for reply in load.incremented[name]]
                certain = [reply for reply in replies if reply[0] == OK]
                possible = [reply for reply in replies if reply[0] in (OK, UNKNOWN)]
                self.assertLessEqual(len(certain), value, f"{name}: an increment that was answered is lost")
                self.assertLessEqual(value, len(possible), f"{name}: an increment was applied twice")
                values = [reply[1] for reply in certain]
                self.assertEqual(len(values), len(set(values)), f"{name}: one value was given twice")

    def check_written(self):
        """All SETs that were answered OK are there."""
        with Client(self.cluster.endpoint) as client:
            owners = client.value("TOPOLOGY")
            keys = [(key, code) for load in self.loads for key, code in load.written.items()]
            for start in range(0, len(keys), 1000):
                some = keys[start : start + 1000]
                values = client.value("MGET", *[key for key, _ in some], seconds=60)
                for (key, code), value in zip(some, values):
                    self.assertIn(value, (None, key.encode()))
                    if code == OK:
                        self.assertIsNotNone(value, f"{key} was answered OK and is lost")
                    if code in (UNAVAILABLE, BUSY):
                        self.assertIsNone(value, f"{key} was said not to have been written")
            return owners

    def test_without_any_failure(self):
        self.begin()
        time.sleep(1)
        self.assertEqual(set(self.finish()), {OK})
        self.check_counters()
        self.check_written()

    def test_nodes_that_are_paused(self):
        """SIGSTOP and SIGCONT lose nothing: what was answered is there, nothing is applied twice."""
        self.begin()
        generator = random.Random(SEED)
        for pause in (0.2, 0.6, 3.0, 0.4):
            pid = self.cluster.pid(generator.choice(["node1", "node2", "node3"]))
            os.kill(pid, signal.SIGSTOP)
            try:
                time.sleep(pause)
            finally:
                os.kill(pid, signal.SIGCONT)
            time.sleep(0.4)
        self.finish()
        time.sleep(0.5)  # what was sent to a paused node and given up may still be executed
        self.check_counters()
        self.check_written()

    def test_a_broker_that_is_paused(self):
        self.begin()
        pid = self.cluster.pid("broker")
        for pause in (0.3, 1.5):
            os.kill(pid, signal.SIGSTOP)
            try:
                time.sleep(pause)
            finally:
                os.kill(pid, signal.SIGCONT)
            time.sleep(0.5)
        self.finish()
        self.check_counters()
        self.check_written()

    def test_a_broker_that_is_killed_and_started(self):
        """The nodes keep their data; clients lose at most the answers that were on their way."""
        self.begin()
        for _ in range(2):
            self.cluster.script("kill", "broker")
            time.sleep(0.3)
            self.cluster.script("start", "broker")
            time.sleep(0.5)
        self.finish()
        self.check_counters()
        self.check_written()

    def test_nodes_that_are_killed_and_started(self):
        """A node finds its keys on its disk; meanwhile they are UNAVAILABLE or UNKNOWN, never nil."""
        self.begin()
        for name in ("node1", "node3", "node2"):
            self.cluster.script("kill", name)
            time.sleep(0.4)
            self.cluster.script("start", name)
            time.sleep(0.3)
        time.sleep(0.5)
        codes = self.finish()
        self.assertGreater(codes[OK], 0)
        self.check_counters()
        self.check_written()
        self.assertEqual(self.cluster.kv("DBSIZE").strip().isdigit(), True)

    def test_nodes_that_are_stopped_in_order(self):
        """A stop loses no answer: each request to the node is executed and answered, or was not executed."""
        self.begin()
        for name in ("node1", "node2"):
            self.cluster.script("stop", name)
            time.sleep(0.2)
            self.cluster.script("start", name)
            time.sleep(0.2)
        codes = self.finish()
        self.assertNotIn(UNKNOWN, codes, "an orderly stop left outcomes unknown")
        self.check_counters()
        self.check_written()

    def test_everything_at_once(self):
        """Kills, pauses and restarts at random times under load; afterwards the cluster is whole."""
        self.begin(6)
        generator = random.Random(SEED)
        deadline = time.monotonic() + (60 if FULL else 8)
        while time.monotonic() < deadline:
            name = generator.choice(["node1", "node2", "node3", "broker"])
            if generator.random() < 0.5:
                pid = self.cluster.pid(name)
                os.kill(pid, signal.SIGSTOP)
                try:
                    time.sleep(generator.random())
                finally:
                    os.kill(pid, signal.SIGCONT)
            else:
                self.cluster.script("kill", name)
                time.sleep(generator.random() / 2)
                self.cluster.script("start", name)
        self.finish()
        with Client(self.cluster.endpoint) as client:
            client.value("FLUSHALL")
            self.assertEqual(client.value("DBSIZE"), 0)
            keys = [f"after:{i}" for i in range(1000)]
            self.assertEqual(client.call(*[["SET", key, "v"] for key in keys]), [[0, "OK"]] * 1000)
            self.assertEqual(client.value("MGET", *keys), [b"v"] * 1000)


if __name__ == "__main__":
    unittest.main()
