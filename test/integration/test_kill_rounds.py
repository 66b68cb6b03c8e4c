"""A node is killed with SIGKILL under load, round after round, under each flush policy. Whatever it had acknowledged is
there afterwards, with its version and expiry; what it had not acknowledged is there or not, as a whole; nothing else is.

Each writer has keys of its own and asks the node itself, so that it knows what each of its keys may hold. write(2)
comes before an answer under every policy, so the death of the process alone loses nothing.

KVDB_TEST_SCALE=full runs 200 rounds; KVDB_KILL_ROUNDS sets another number.
"""
import os
import random
import re
import signal
import subprocess
import threading
import time
import unittest

from harness import FULL, ROOT, SEED, Cluster, processes_of, wait_until
from hostile import Client

POLICIES = ("always", "interval", "never")
ROUNDS = int(os.environ.get("KVDB_KILL_ROUNDS", 200 if FULL else 9))
WRITERS, KEYS, ANSWER_SECONDS = 4, 12, 2
OK = 0


class Key:
    """What a key of one writer may hold: the state last acknowledged, and what every write since may have made of it."""

    def __init__(self, name):
        self.name = name
        self.state = (None, -1)  # value, when it expires
        self.version = None
        self.pending = []  # (state, ...): after the first, the first two ... writes that were not answered

    def settle(self, state, version):
        self.state, self.version, self.pending = state, version, []


class Writer(threading.Thread):
    def __init__(self, number, port, draw):
        super().__init__(daemon=True)
        self.number, self.port, self.draw = number, port, draw
        self.keys = [Key(f"w{number}:{i}") for i in range(KEYS)]
        self.pairs = [(Key(f"w{number}:{{{i}}}a"), Key(f"w{number}:{{{i}}}b")) for i in range(3)]
        self.acknowledged, self.count, self.fault = 0, 0, None
        self.versions = {}  # every version of a key ever seen, and what it was the version of

    def saw(self, name, version, state):
        if version is None:
            return
        known = self.versions.setdefault((name, version), state)
        assert known == state, f"version {version} of {name} was of {str(known)[:200]} and of {str(state)[:200]}"

    def draw_write(self, key):
        """A command, and the state it makes of the key."""
        value, expires = (key.pending[-1] if key.pending else key.state)
        self.count += 1
        fresh = f"{self.number}.{self.count}." + "x" * self.draw.randrange(1 if self.count % 40 else 20000)
        kind = self.draw.randrange(7)
        if kind == 0:
            return ["DEL", key.name], (None, -1)
        if kind == 1:
            return ["APPEND", key.name, fresh], ((value or "") + fresh, expires)
        if kind == 2:
            at = int(time.time() * 1000) + 3600000 + self.count
            return ["SET", key.name, fresh, "PXAT", str(at)], (fresh, at)
        if kind == 3 and value is not None:
            at = int(time.time() * 1000) + 7200000 + self.count
            return ["PEXPIREAT", key.name, str(at)], (value, at)
        if kind == 4 and value is not None:
            return ["SETRANGE", key.name, "1", "#"], (value[:1] + "#" + value[2:], expires)
        return ["SET", key.name, fresh], (fresh, -1)

    def one(self, client):
        """Writes, each followed by a look at the version, in one message."""
        chosen = self.draw.sample(self.keys, self.draw.randrange(1, 6))
        commands = []
        for key in chosen:
            command, state = self.draw_write(key)
            key.pending.append(state)
            commands += [command, ["GETVER", key.name]]
        pair = self.draw.choice(self.pairs)
        self.count += 1
        commands.append(["MSET", pair[0].name, str(self.count), pair[1].name, str(self.count)])
        for key in pair:
            key.pending.append((str(self.count), -1))
        if self.draw.randrange(60) == 0:
            commands.append(["BGSAVE"])
        request = client.send(commands)
        try:
            results = client.wait_for(request, ANSWER_SECONDS)
        except AssertionError:  # killed before it answered
            return False
        bad = [result for result in results if result[0] != OK]
        assert not bad, bad
        for i, key in enumerate(chosen):
            found = results[2 * i + 1][1]
            version = None if found is None else found[1]
            state = key.pending[-1]
            assert (found is None) == (state[0] is None), (key.name, found, state)
            self.saw(key.name, version, state)
            key.settle(state, version)
        for key in pair:
            key.settle(key.pending[-1], None)
        self.acknowledged += len(commands)
        return True

    def run(self):
        try:
            with Client(f"tcp://127.0.0.1:{self.port}") as client:
                while not self.stopping.is_set() and self.one(client):
                    pass
        except BaseException as error:  # told by the main thread
            self.fault = error

    def check(self, client):
        """What the node holds now is what it may hold; that is the known state from here on."""
        names = self.keys + [key for pair in self.pairs for key in pair]
        results = client.wait_for(client.send([command for key in names
                                               for command in (["GETVER", key.name], ["PEXPIRETIME", key.name])]))
        for i, key in enumerate(names):
            (code, found), (_, expires) = results[2 * i], results[2 * i + 1]
            assert code == OK, found
            value, version = (None, None) if found is None else (found[0], found[1])
            if isinstance(value, bytes):
                value = value.decode()
            state = (value, -1 if expires == -2 else expires)
            allowed = [key.state, *key.pending]
            assert state in allowed, f"{key.name} holds {str(state)[:300]}, and may hold {str(allowed)[:600]}"
            if not key.pending and key.version is not None:
                assert version == key.version, f"{key.name}: version {version}, and {key.version} was acknowledged"
            self.saw(key.name, version, state)
            key.settle(state, version)
        for a, b in self.pairs:
            assert a.state == b.state, f"half of an MSET: {a.state} {b.state}"


class KillRounds(unittest.TestCase):
    def direct_port(self, cluster):
        text = (cluster.dir / "cluster.yaml").read_text()
        return int(re.search(r"id: *node1\b.*?port: *(\d+)", text, re.DOTALL).group(1))

    def kill_while_it_recovers(self, cluster, draw):
        starting = subprocess.Popen(
            [str(ROOT / "config" / "cluster"), "start", "node1", "--dir", str(cluster.dir), "--port", str(cluster.port)],
            env=cluster.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        wait_until(lambda: processes_of(cluster.dir / "node1") or starting.poll() is not None, what="a new process")
        time.sleep(draw.random() * 0.03)
        for pid in processes_of(cluster.dir / "node1"):
            os.kill(pid, signal.SIGKILL)
        said = starting.communicate(timeout=120)[0].decode()
        self.assertTrue(starting.returncode != 0 or "serves" in said, said)

    def round(self, cluster, writers, draw):
        port = self.direct_port(cluster)
        for writer in writers:
            writer.stopping = threading.Event()
            writer.start()
        time.sleep(0.1 + draw.random() * 0.4)
        pid = cluster.pid("node1")
        os.kill(pid, signal.SIGKILL)
        for writer in writers:
            writer.stopping.set()
        cluster.script("kill", "node1")  # it is gone
        if draw.randrange(4) == 0:
            self.kill_while_it_recovers(cluster, draw)
            cluster.script("kill", "node1", check=False)
        cluster.script("start", "node1")
        with Client(f"tcp://127.0.0.1:{port}") as client:
            for writer in writers:
                writer.join(ANSWER_SECONDS + 60)
                self.assertFalse(writer.is_alive())
                if writer.fault:
                    raise writer.fault
                writer.check(client)

    def under(self, policy, rounds):
        draw = random.Random(f"{SEED} {policy}")
        env = {"KVDB_PERSISTENCE_FSYNC": policy, "KVDB_PERSISTENCE_SEGMENT_BYTES": "256k",
               "KVDB_PERSISTENCE_SNAPSHOT_LOG_BYTES": "1m"}
        acknowledged = 0
        with Cluster(nodes=1, env=env) as cluster:
            writers = [Writer(i, self.direct_port(cluster), draw) for i in range(WRITERS)]
            for _ in range(rounds):
                self.round(cluster, writers, draw)
                acknowledged += sum(writer.acknowledged for writer in writers)
                writers = [self.next_life(writer) for writer in writers]
            snapshots = (cluster.dir / "node1" / "log").read_text().count("event=snapshot_done")
        print(f"{policy}: {rounds} rounds, {acknowledged} commands acknowledged and none lost, {snapshots} snapshots", flush=True)

    @staticmethod
    def next_life(writer):
        """A thread runs once: another one goes on with what is known."""
        again = Writer(writer.number, writer.port, writer.draw)
        again.keys, again.pairs, again.count, again.versions = writer.keys, writer.pairs, writer.count, writer.versions
        return again


def add(policy):
    def test(self):
        self.under(policy, -(-ROUNDS // len(POLICIES)))
    test.__doc__ = f"kill -9 under load, policy {policy}"
    setattr(KillRounds, f"test_{policy}", test)


for one in POLICIES:
    add(one)

if __name__ == "__main__":
    unittest.main()
