"""A node is killed with SIGKILL under load, round after round, under each flush policy, and comes back with everything it had
acknowledged: write(2) comes before an answer under each of them, so the death of a process alone loses nothing.

Method: six writers, half of them through the broker and half at the node's own door, keep some batches in flight: SET,
APPEND, SETRANGE, DEL, GETSET, SETNX, SET PX and PXAT, PEXPIREAT, PERSIST, INCRBY, MSET and RENAME within a shard, on keys of
their own; INCR and SET IFVER on keys they share. kill_model.py knows what each key may hold. The node dies at a random
moment: under load, during a snapshot, in the middle of its recovery. Then every key is read back with its version and
deadline. Writers stop at the death, or go on through it and the recovery.

KVDB_KILL_ROUNDS sets the number of rounds: 9, or 200 where KVDB_TEST_SCALE is full.
"""
import itertools
import os
import random
import signal
import threading
import time
import unittest

from harness import FULL, SEED, wait_until
import kill_model as model
from kill_model import ANY, Violation, outcome
from servers import KvError, NoReply, Servers, now_ms, shard_of

POLICIES = ("always", "interval", "never")
ROUNDS = int(os.environ.get("KVDB_KILL_ROUNDS", 200 if FULL else 9))
WRITERS, BATCHES_IN_FLIGHT, BATCH = 6, 3, 8
BALLAST, BALLAST_BYTES = 20000, 120
VICTIM, OTHER = 1, 2
FLAGS = ("--persistence-segment-bytes", "256k", "--persistence-snapshot-log-bytes", "1m")
LOOKS = [["GETVER", f"ballast:{n}"] for n in range(0, BALLAST, 200)]
FAR_MS = 10 ** 7


class Tags:
    """Hash tags of shards that the victim owns (shards are dealt out in turns), or anybody."""

    def __init__(self):
        self.numbers = itertools.count()

    def next(self, of_victim):
        for number in self.numbers:
            tag = f"{{{number}}}"
            if not of_victim or shard_of(tag) % 2 == VICTIM - 1:
                return tag


class Shared:
    """What all writers have in common."""

    def __init__(self, tags):
        self.versions = model.Versions()
        self.killed_ms = (0, 0)  # between these two, the last time
        self.counters = [model.Counter(f"{tags.next(True)}counter") for _ in range(2)]
        self.registers = [model.Register(f"{tags.next(True)}register") for _ in range(2)]


class Writer:
    """Its units and what is known of them live on from round to round; its connection and thread do not."""

    def __init__(self, number, servers, shared, tags):
        self.number, self.servers, self.shared = number, servers, shared
        self.door = VICTIM if number % 2 else None
        self.draw = random.Random(f"{SEED} writer {number}")
        self.serial = 0
        self.units = []
        for kind, names in (("plain", ["a"]), ("ttl", ["a"]), ("brief", ["a"]), ("number", ["a"]), ("set", ["a", "b", "c"]),
                            ("pair", ["a", "b"])):
            for _ in range(4):
                tag = tags.next(of_victim=self.door is not None)
                self.units.append(model.Unit(kind, [f"{tag}{kind}.{number}.{name}" for name in names]))
        self.acknowledged = self.unknown = self.refused = 0
        self.fault = None

    # ---- what it writes ----

    def value(self):
        self.serial += 1
        bytes_ = self.draw.choice((0, 0, 30, 30, 30, 300, 300, 9000))
        return b"%d.%d." % (self.number, self.serial) + b"v" * bytes_

    def plain(self, unit):
        make = self.draw.choice((model.op_append, model.op_append, model.op_setrange, model.op_getset, model.op_setnx, None, None))
        if make:
            return make(unit, self.value())
        return model.op_set(unit, 0, self.value()) if self.draw.random() < 0.6 else model.op_delete(unit, 0)

    def ttl(self, unit):
        far_ms = now_ms() + FAR_MS + self.draw.randrange(FAR_MS)
        return self.draw.choice((lambda: model.op_set_at(unit, self.value(), far_ms), lambda: model.op_set_for(unit, self.value(), FAR_MS),
                                 lambda: model.op_expire_at(unit, far_ms), lambda: model.op_persist(unit), lambda: model.op_delete(unit, 0),
                                 lambda: model.op_append(unit, b"+")))()

    def brief(self, unit):
        """Keys that expire while all this goes on, at times also while the node is dead."""
        kind = self.draw.randrange(5)
        if kind == 0:
            return model.op_delete(unit, 0)
        if kind == 1:
            return model.op_set(unit, 0, self.value())
        return model.op_set_for(unit, self.value(), self.draw.choice((1, 20, 100, 400)))

    def pair(self, unit):
        kind = self.draw.randrange(5)
        if kind == 0:
            return model.op_delete(unit, self.draw.randrange(2))
        return model.op_rename(unit) if kind < 3 else model.op_set(unit, 0, self.value())

    def operation(self):
        unit = self.draw.choice(self.units)
        if self.draw.random() < 0.2:
            return self.look(unit, self.draw.randrange(len(unit.keys)))
        if unit.kind == "number":
            return model.op_increment(unit, self.draw.randrange(1, 100))
        if unit.kind == "set":
            return model.op_mset(unit, self.value())
        return getattr(self, unit.kind)(unit)

    @staticmethod
    def look(unit, index):
        """A read: what it saw is judged by `saw`, so each state is left as it is."""
        operation = model.Operation(unit, ["GETVER", unit.keys[index]], lambda state, _: (state, ANY))
        operation.looks = index
        return operation

    def saw(self, operation, result, times):
        unit, index = operation.unit, operation.looks
        if self.door is None and times[0] <= self.shared.killed_ms[1] and times[1] >= self.shared.killed_ms[0]:
            return  # until the node serves again, the broker may have sent it again, behind later writes
        seen = None if result is None else (result[0], ANY)
        unit.states = {state for state in unit.states if model.fits(state[index], seen, times)} or \
            unit.fail(f"shows {str(seen)[:300]}", operation)
        if result is not None:
            self.shared.versions.saw(str(unit.keys), unit.shard, unit.keys[index], result[0], result[1])

    # ---- what everybody writes ----

    def shared_words(self):
        if self.draw.random() < 0.5:
            counter = self.draw.choice(self.shared.counters)
            counter.sent()
            return [(counter, ["INCR", counter.key])]
        register = self.draw.choice(self.shared.registers)
        return [((register, register.last, value := self.value()), ["SET", register.key, value, "IFVER", register.last]),
                ((register, None, None), ["GETVER", register.key])]

    def shared_result(self, what, result, flight):
        if isinstance(what, model.Counter):
            what.answered(result, flight.sent_ns, flight.answered_ns)
            return
        register, version, value = what
        if version is not None:
            if result == "OK":
                register.took(version, value)
        elif result is not None:
            register.saw(*result)
            self.shared.versions.saw(register.key, register.shard, register.key, *result)

    # ---- the work ----

    def begin(self):
        self.stopping = threading.Event()
        self.client = self.servers.client(self.door)
        self.flights = []
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def send(self):
        parts = [(operation, operation.words) for operation in (self.operation() for _ in range(self.draw.randrange(1, BATCH + 1)))]
        parts += self.shared_words()
        flight = model.Flight(None, [what for what, _ in parts])
        flight.sent_ns = time.monotonic_ns()
        flight.request = self.client.send([words for _, words in parts], {"deadline_ms": 3000})
        self.flights.append(flight)

    def receive(self, seconds):
        """Takes one answer, and judges what has been answered as far as it goes in the order sent."""
        try:
            request, results = self.client.receive(seconds)
        except NoReply:
            return False
        flight = next((one for one in self.flights if one.request == request), None)
        if flight:
            flight.results, flight.answered_ms, flight.answered_ns = results, now_ms(), time.monotonic_ns()
        while self.flights and self.flights[0].results is not None:
            self.judge(self.flights.pop(0))
        return True

    def judge(self, flight):
        results = flight.results or [KvError(32, "no reply")] * len(flight.operations)
        for what, result in zip(flight.operations, results):
            came = outcome(result)
            if isinstance(what, model.Operation):
                what.unit.remember(what, result, flight.times())
            if came == "error" and isinstance(what, model.Operation) and what.words[0] == "RENAME" and "no such key" in result.text:
                came, result = "done", "ERR"
            if came == "error":
                raise Violation(f"{getattr(what, 'words', what)}: {result}")
            if came == "unknown":
                self.unknown += 1
                if isinstance(what, model.Operation):
                    what.unit.unknown(what, flight.times())
            elif came == "refused":
                self.refused += 1
            else:
                self.acknowledged += 1
                self.done(what, result, flight)

    def done(self, what, result, flight):
        if not isinstance(what, model.Operation):
            self.shared_result(what, result, flight)
        elif hasattr(what, "looks"):
            self.saw(what, result, flight.times())
        else:
            what.unit.acknowledged(what, result, flight.times())

    def run(self):
        try:
            while not self.stopping.is_set():
                if len(self.flights) < BATCHES_IN_FLIGHT:
                    self.send()
                else:
                    self.receive(0.02)
        except BaseException as error:  # told by the main thread
            self.fault = error

    def end(self):
        """The node serves again. What was sent before comes before what is asked now, on one connection and in one shard."""
        self.stopping.set()
        self.thread.join(60)
        if self.fault:
            raise self.fault
        fence = [["GET", unit.keys[0]] for unit in self.units]
        while True:
            request = self.client.send(fence)
            flight = model.Flight(request, [])
            self.flights.append(flight)
            deadline = time.monotonic() + 20
            while flight.results is None:
                assert time.monotonic() < deadline, f"writer {self.number}: no answer from a node that serves"
                self.receive(0.05)
            if all(outcome(result) == "done" for result in flight.results):
                break
            time.sleep(0.01)
        while self.flights and self.receive(0.05):
            pass
        for flight in self.flights:
            self.judge(flight)
        self.client.close()

    # ---- what is there ----

    def check(self, client, shared):
        for unit in self.units:
            sent_ms = now_ms()
            words = [word for key in unit.keys for word in (["GETVER", key], ["PEXPIRETIME", key])]
            results = client.pipeline(words)
            times = (sent_ms, now_ms())
            found = []
            for key, value, deadline in zip(unit.keys, results[::2], results[1::2]):
                if isinstance(value, KvError) or isinstance(deadline, KvError):
                    raise Violation(f"{key}: {value} {deadline}")
                found.append(None if value is None else (value[0], {-1: 0, -2: ANY}.get(deadline, deadline)))
                if value is not None:
                    shared.versions.saw(str(unit.keys), unit.shard, key, *value)
                    shared.versions.settle(key, value[1])
            unit.settle(found, times)


class Story(unittest.TestCase):
    """All rounds under one policy."""

    def start_victim(self, servers, policy):
        servers.start_node(VICTIM, "--persistence-fsync", policy, *FLAGS)

    def fill(self, servers):
        """Returns what some of the keys hold, with their versions."""
        with servers.client() as client:
            for start in range(0, BALLAST, 1000):
                client.call("MSET", *[word for n in range(start, start + 1000) for word in (f"ballast:{n}", b"%d" % n * BALLAST_BYTES)])
            return client.pipeline(LOOKS)

    def disturb(self, servers, draw):
        """What else goes on as the node dies."""
        word = draw.choice((None, None, "BGSAVE", "SAVE"))
        if word:
            with servers.client(VICTIM) as client:
                client.send([[word]])
                time.sleep(draw.random() * 0.06)

    def kill(self, servers, shared, policy, draw):
        """Kills the node; at times again while it recovers. How many times."""
        shared.killed_ms = (now_ms(), now_ms() + FAR_MS)
        servers.kill(VICTIM)
        again = draw.choice((0, 0, 0, 1, 1, 2))
        for _ in range(again):
            self.start_victim(servers, policy)
            time.sleep(draw.random() * 0.12)
            servers.kill(VICTIM)
        return 1 + again

    def round(self, servers, writers, shared, policy, draw):
        for writer in writers:
            writer.begin()
        time.sleep(0.05 + draw.random() * 0.4)
        self.disturb(servers, draw)
        goes_on = draw.random() < 0.5
        if not goes_on:
            threading.Timer(draw.random() * 0.01, lambda: [writer.stopping.set() for writer in writers]).start()
        kills = self.kill(servers, shared, policy, draw)
        self.start_victim(servers, policy)
        servers.serves(VICTIM)
        shared.killed_ms = (shared.killed_ms[0], now_ms())
        if goes_on:
            time.sleep(draw.random() * 0.3)
        for writer in writers:
            writer.end()
        return kills

    def check(self, servers, writers, shared):
        with servers.client() as broker, servers.client(VICTIM) as node:
            for writer in writers:
                writer.check(node if writer.door else broker, shared)
            for counter in shared.counters:
                counter.check(int(node.call("GET", counter.key) or 0))
            for register in shared.registers:
                found = node.call("GETVER", register.key)
                if found:
                    register.check(*found)
                elif register.won:
                    raise Violation(f"{register.key} is gone")
            self.check_count(broker, writers, shared)

    def check_count(self, broker, writers, shared):
        """Nothing is there that nobody wrote: the keys are those that have been looked at, and no others."""
        before_ms = now_ms()
        count = broker.call("DBSIZE")
        entries = [entry for writer in writers for unit in writer.units for entry in next(iter(unit.states))]
        most = BALLAST + len(shared.counters) + len(shared.registers) + sum(entry is not None for entry in entries)
        least = most - len(shared.counters) - len(shared.registers) - sum(
            entry is not None and model.may_be_gone(entry, now_ms()) for entry in entries)
        self.assertTrue(least <= count <= most, f"{count} keys at {before_ms}, and there should be {least} to {most}")

    def check_ballast(self, servers):
        with servers.client() as client:
            for start in range(0, BALLAST, 1000):
                keys = range(start, start + 1000)
                self.assertEqual(client.call("MGET", *[f"ballast:{n}" for n in keys]), [b"%d" % n * BALLAST_BYTES for n in keys])

    def under(self, policy, rounds):
        draw = random.Random(f"{SEED} {policy}")
        tags = Tags()
        shared = Shared(tags)
        kills, began = 0, time.monotonic()
        with Servers(nodes=2) as servers:
            servers.start_broker()
            self.start_victim(servers, policy)
            servers.start_node(OTHER, "--persistence-fsync", policy, *FLAGS)
            servers.serves(VICTIM)
            servers.serves(OTHER)
            wait_until(lambda: self.topology_is_complete(servers), what="both nodes")
            ballast = self.fill(servers)
            writers = [Writer(number, servers, shared, tags) for number in range(WRITERS)]
            for _ in range(rounds):
                kills += self.round(servers, writers, shared, policy, draw)
                self.check(servers, writers, shared)
                with servers.client() as client:
                    self.assertEqual(client.pipeline(LOOKS), ballast)
            self.check_ballast(servers)
            log = servers.node(VICTIM).log_path.read_text()
            self.assertEqual(log.count("event=node_ended"), 0, "it ended otherwise than by being killed")
            for n in (VICTIM, OTHER):
                self.assertEqual(servers.stop(n), 0)
            self.assertEqual(servers.all["broker"].end(signal.SIGTERM), 0)
        figures = {word: sum(getattr(writer, word) for writer in writers) for word in ("acknowledged", "unknown", "refused")}
        self.assertGreater(figures["acknowledged"], 100 * rounds)
        print(f"{policy}: {rounds} rounds, {kills} kills, {figures}, {len(shared.versions.seen)} versions seen, "
              f"{sum(counter.tries for counter in shared.counters)} INCR, {sum(len(one.won) for one in shared.registers)} IFVER, "
              f"{log.count('event=snapshot_done')} snapshots, {log.count('event=log_tail_cut')} tails cut, "
              f"{time.monotonic() - began:.0f} s", flush=True)

    @staticmethod
    def topology_is_complete(servers):
        with servers.client() as client:
            return all(node["state"] == "up" for node in client.call("TOPOLOGY")["nodes"])


def add(index, policy):
    rounds = len(range(index, ROUNDS, len(POLICIES)))

    def test(self):
        self.under(policy, rounds)
    test.__doc__ = f"kill -9 under load, policy {policy}"
    setattr(Story, f"test_{policy}", test if rounds else unittest.skip("no rounds")(test))


for number, one in enumerate(POLICIES):
    add(number, one)

if __name__ == "__main__":
    unittest.main()
