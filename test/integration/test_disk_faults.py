"""What a node does when its disk is full, slow, failing, shared or damaged: it loses nothing that it acknowledged, goes on
where it can, ends with a reason where it cannot, and nobody else is drawn into it.

Method: real processes. A full disk is a small tmpfs, in a namespace of its own. A disk that fails or hangs is a library that
is preloaded and stands before fsync and pwrite (test/fault/sync_faults.c). Damage is done to the files.
"""
import re
import shutil
import signal
import threading
import time
import unittest

from disks import LIBRARY, Disk, SyncFaults, in_own_namespace
from harness import program, wait_until
from kill_model import REFUSED
from servers import KvError, NoReply, Servers, attempt, info_of, is_error, shard_of

DISK_FULL, BUSY, IO = 36, 30, 50
OWN_DISK = in_own_namespace()
needs_mount = unittest.skipUnless(OWN_DISK, "needs root, or unshare -rm: a small file system cannot be mounted here")
HANG_MS = 5000


def key_of(node, name, nodes=2):
    """A key like `name` of a shard that the node owns: shards are dealt out in turns."""
    return next(key for key in (f"{name}:{i}" for i in range(1000)) if shard_of(key) % nodes == node - 1)


class Ledger:
    """What was acknowledged."""

    def __init__(self):
        self.values = {}
        self.serial = 0

    def write(self, client, count, bytes_=1000):
        """Sets new keys in one message, and notes which were acknowledged; the codes of the errors."""
        pairs = [(f"key:{self.serial + i}", b"%d." % (self.serial + i) + b"v" * bytes_) for i in range(count)]
        self.serial += count
        results = client.pipeline([["SET", *pair] for pair in pairs])
        codes = set()
        for (key, value), result in zip(pairs, results):
            if is_error(result):
                codes.add(result.code)
            else:
                self.values[key] = value
        return codes

    def check(self, test, client):
        keys = list(self.values)
        for start in range(0, len(keys), 500):
            part = keys[start:start + 500]
            found = client.call("MGET", *part)
            lost = [key for key, value in zip(part, found) if value != self.values[key]]
            test.assertEqual(lost, [], f"acknowledged, and not there any more, of {len(keys)}")


class Case(unittest.TestCase):
    def serve(self, servers, n=1, *flags, env=None, data=None):
        servers.start_node(n, *flags, env=env, data=data)
        servers.serves(n)

    def refuses_to_start(self, servers, n, *flags, says, env=None, data=None):
        """It ends by itself with status 1 and one reason; the text of it."""
        servers.start_node(n, *flags, env=env, data=data)
        return self.ends(servers, n, says)

    def ends(self, servers, n, says):
        node = servers.node(n)
        status = node.wait(60)
        errors = [line for line in node.log().splitlines() if " ERROR event=failed" in line]
        self.assertEqual((status, len(errors)), (1, 1), node.log()[-2000:])
        for word in says:
            self.assertRegex(errors[0], word)
        return errors[0]


# ---- full ------------------------------------------------------------------------------------------------------------


@needs_mount
class FullDisk(Case):
    FLAGS = ("--persistence-segment-bytes", "1m", "--persistence-snapshot-log-bytes", "1g")

    def fill(self, client, ledger):
        """Writes until the disk is full."""
        deadline = time.monotonic() + 120
        while True:
            codes = ledger.write(client, 50)
            self.assertLessEqual(codes, {DISK_FULL, BUSY})
            if DISK_FULL in codes:
                break
            self.assertLess(time.monotonic(), deadline)
        while not is_error(attempt(client, "INCR", "counter")):  # what is left at the end of the log
            ledger.values["counter"] = b"%d" % (int(ledger.values.get("counter", b"0")) + 1)

    def check_full(self, servers, client, ledger):
        self.assertEqual(client.call("PING"), "PONG")
        ledger.check(self, client)
        self.assertEqual(client.call("DBSIZE"), len(ledger.values))
        self.assertEqual(ledger.write(client, 3, bytes_=70000), {DISK_FULL})
        wait_until(lambda: servers.info(1)["disk_full"] == "1", 10, "INFO")

    def wait_for_space(self, client, ledger):
        """Writes go on by themselves."""
        began = time.monotonic()
        wait_until(lambda: not ledger.write(client, 1), 20, "writes going on")
        return time.monotonic() - began

    def test_reads_go_on_and_writes_come_back(self):
        ledger = Ledger()
        with Disk("16m") as disk, Servers(nodes=1) as servers:
            servers.start_broker()
            data = disk.path / "data"
            self.serve(servers, 1, *self.FLAGS, data=data)
            with disk.filler(4 << 20) as filler, servers.client() as client:
                client.call("SET", "short", "x", "PX", 2000)
                ledger.write(client, 1)
                client.call("DEL", "short")
                self.fill(client, ledger)
                full = len(ledger.values)
                self.check_full(servers, client, ledger)
                self.assertIn("event=disk_full", servers.node(1).log())
                for words in (("INCR", "counter"), ("APPEND", "key:0", "x" * 40), ("FLUSHALL",)):
                    result = attempt(client, *words)
                    self.assertTrue(is_error(result) and result.code == DISK_FULL, result)
                for _ in range(5):
                    servers.kill(1)
                    self.serve(servers, 1, *self.FLAGS, data=data)
                    ledger.write(client, 5)  # there may be a little space at the end of the log
                    self.check_full(servers, client, ledger)
                filler.unlink()
                back_s = self.wait_for_space(client, ledger)
                self.assertIn("event=disk_has_space", servers.node(1).log())
                self.assertEqual(ledger.write(client, 500), set())
                wait_until(lambda: servers.info(1)["disk_full"] == "0", 10, "INFO")
                servers.kill(1)
                self.serve(servers, 1, *self.FLAGS, data=data)
                ledger.check(self, client)
                self.assertEqual(client.call("DBSIZE"), len(ledger.values))
                print(f"full after {full} keys; five kills on the full disk; writes went on {back_s * 1000:.0f} ms after there was "
                      f"space; {len(ledger.values)} keys acknowledged, none lost")

    def test_a_read_of_an_expired_key(self):
        """Its delete cannot be logged: the read is refused, and never shows what has expired."""
        ledger = Ledger()
        with Disk("8m") as disk, Servers(nodes=1) as servers:
            servers.start_broker()
            self.serve(servers, 1, *self.FLAGS, data=disk.path / "data")
            with servers.client() as client:
                expired = time.time() + 5
                for start in range(0, 2000, 500):
                    client.pipeline([["SET", f"short:{i}", "x", "PXAT", int(expired * 1000)] for i in range(start, start + 500)])
                self.fill(client, ledger)
                while time.time() < expired:
                    time.sleep(0.05)
                answers = [attempt(client, "GET", f"short:{i}") for i in range(2000)]
                refused = [answer for answer in answers if is_error(answer)]
                self.assertTrue(all(answer is None or answer.code == DISK_FULL for answer in answers))
                self.assertGreater(len(refused), 0, "there was space for all their deletes")
                ledger.check(self, client)

    def test_a_snapshot_that_does_not_fit(self):
        ledger = Ledger()
        with Disk("16m") as disk, Servers(nodes=1) as servers:
            servers.start_broker()
            data = disk.path / "data"
            self.serve(servers, 1, *self.FLAGS, data=data)
            with servers.client() as client:
                ledger.write(client, 200)
                self.assertEqual(client.call("SAVE"), "OK")
                saved = client.call("LASTSAVE")
                before = (data / "snapshot.dat").read_bytes()
                self.fill(client, ledger)
                for door in (None, 1):
                    with servers.client(door) as other:
                        result = attempt(other, "SAVE")
                    self.assertTrue(is_error(result), result)
                    self.assertIn(result.code, (DISK_FULL, IO))
                    self.assertRegex(result.text, "No space left|space")
                self.assertEqual((data / "snapshot.dat").read_bytes(), before, "the old snapshot is as it was")
                self.assertFalse((data / "snapshot.dat.tmp").exists(), "half a snapshot takes space")
                self.assertEqual(client.call("LASTSAVE"), saved)
                wait_until(lambda: servers.info(1)["snapshots_failed"] == "2", 10, "INFO")
                self.assertEqual(servers.info(1)["last_snapshot_status"], "failed")
                servers.kill(1)
                self.serve(servers, 1, *self.FLAGS, data=data)
                ledger.check(self, client)
                print(f"SAVE on a full disk: {result}")

    def test_a_snapshot_elsewhere_frees_the_log(self):
        """The log's disk is full, the snapshot's is not: SAVE ends it."""
        ledger = Ledger()
        with Disk("8m") as disk, Disk("64m") as other, Servers(nodes=1) as servers:
            servers.start_broker()
            self.serve(servers, 1, *self.FLAGS, "--persistence-filepath", str(other.path / "s.dat"), data=disk.path / "data")
            with servers.client() as client:
                self.fill(client, ledger)
                self.assertEqual(client.call("SAVE"), "OK")
                self.wait_for_space(client, ledger)
                self.assertEqual(ledger.write(client, 100), set())
                servers.kill(1)
                self.serve(servers, 1, *self.FLAGS, "--persistence-filepath", str(other.path / "s.dat"), data=disk.path / "data")
                ledger.check(self, client)


# ---- failing and slow -------------------------------------------------------------------------------------------------


@unittest.skipUnless(LIBRARY.exists(), f"{LIBRARY.name} is not built")
class FailingDisk(Case):
    REASON = r"cannot (sync|write) \S*/wal-\d{10}\.log.*Input/output error"
    REMEDY = "nothing more is acknowledged: replace the disk, or .* start the node again"

    def begin(self, servers, policy, nodes=2):
        """A broker, node 1 on the bad disk, node 2 on a good one."""
        faults = SyncFaults(servers.folder)
        servers.start_broker()
        self.serve(servers, 1, "--persistence-fsync", policy, env=faults.environment())
        for n in range(2, nodes + 1):
            self.serve(servers, n)
        return faults

    def check_after(self, servers, acknowledged, unsure, policy):
        """Node 1 on a good disk again: what was acknowledged is there, what was not is there or not."""
        self.serve(servers, 1, "--persistence-fsync", policy)
        with servers.client(1) as node:
            for key, value in acknowledged.items():
                self.assertEqual(node.call("GET", key), value)
            for key, value in unsure.items():
                self.assertIn(node.call("GET", key), (value, None))
            self.assertEqual(node.call("SET", next(iter(acknowledged)), "again"), "OK")

    def check_others(self, servers):
        with servers.client() as broker:
            key = key_of(2, "other")
            self.assertEqual(broker.call("SET", key, "x"), "OK")
            self.assertEqual(broker.call("GET", key), b"x")

    def sync_fails_once(self, policy):
        with Servers(nodes=2) as servers:
            faults = self.begin(servers, policy)
            keys = [key_of(1, f"key{i}") for i in range(40)]
            acknowledged, unsure = {}, {}
            with servers.client(1, timeout_s=5) as node:
                for key in keys[:20]:
                    self.assertEqual(node.call("SET", key, "before"), "OK")
                    acknowledged[key] = b"before"
                # The sync that fails begins before the next writes come: none of those can have been made durable.
                faults.fail_syncs = 1
                faults.hang_once(600)
                first = node.send([["SET", keys[20], "starts it"]])
                wait_until(lambda: faults.hanging, 10, "a sync", pause=0.001)
                later = node.send([["SET", key, "later"] for key in keys[21:]])
                error = self.ends(servers, 1, [self.REASON, self.REMEDY])
                answered = {}
                try:
                    while True:
                        request, results = node.receive(0.3)
                        answered[request] = results
                except NoReply:
                    pass
            for request, names, value in ((first, keys[20:21], b"starts it"), (later, keys[21:], b"later")):
                done = answered.get(request) == ["OK"] * len(names)
                (acknowledged if done else unsure).update((name, value) for name in names)
            if policy == "always":
                self.assertEqual(answered, {}, "acknowledged, and not durable")
            self.assertEqual((faults.failed, faults.late_syncs), (1, 0), "a sync that failed is not tried again")
            self.check_others(servers)
            self.check_after(servers, acknowledged, unsure, policy)
            print(f"{policy}: {error[error.index('reason='):]}; {len(acknowledged)} acknowledged, none lost; {len(unsure)} unanswered")

    def test_a_sync_that_fails_once_under_always(self):
        self.sync_fails_once("always")

    def test_a_sync_that_fails_once_under_interval(self):
        self.sync_fails_once("interval")

    def test_a_write_that_fails(self):
        for policy in ("always", "never"):
            with self.subTest(policy), Servers(nodes=2) as servers:
                faults = self.begin(servers, policy)
                key = key_of(1, "key")
                with servers.client(1, timeout_s=1) as node, servers.client() as broker:
                    self.assertEqual(node.call("SET", key, "before"), "OK")
                    faults.fail_writes = 1
                    self.assertIsNone(attempt(node, "SET", key, "lost"), "a reply to what could not be written")
                    self.ends(servers, 1, [self.REASON, self.REMEDY])
                    self.assertEqual(faults.late_syncs, 0)
                    self.check_others(servers)
                    held = broker.send([["GET", key]])
                    self.serve(servers, 1, "--persistence-fsync", policy)
                    self.assertEqual(broker.receive(10), (held, [b"before"]))

    def test_a_sync_that_fails_at_the_start(self):
        with Servers(nodes=1) as servers:
            faults = self.begin(servers, "always", nodes=1)
            with servers.client(1) as node:
                self.assertEqual(node.call("SET", "key", "value"), "OK")
                servers.kill(1)
                faults.fail_syncs = 1
                self.refuses_to_start(servers, 1, env=faults.environment(), says=[r"cannot sync \S*/wal-\d{10}\.log", "Input/output error"])
                self.serve(servers, 1)
                self.assertEqual(node.call("GET", "key"), b"value")

    def test_a_snapshot_that_cannot_be_synced(self):
        """The log has it all: SAVE fails, the old snapshot stays, the node goes on."""
        with Servers(nodes=1) as servers:
            faults = self.begin(servers, "always", nodes=1)
            with servers.client(1) as node:
                node.call("SET", "key", "value")
                self.assertEqual(node.call("SAVE"), "OK")
                path = servers.node(1).data / "snapshot.dat"
                before = path.read_bytes()
                node.call("SET", "key", "newer")
                # The next segment is in the making until then, and is synced under a name of its own.
                wait_until(lambda: (servers.node(1).data / "wal-0000000002.log").exists(), 20, "the segment ahead")
                faults.fail_other_syncs = 1
                result = attempt(node, "SAVE")
                self.assertTrue(is_error(result) and result.code == IO and "Input/output error" in result.text, result)
                self.assertEqual(path.read_bytes(), before)
                self.assertEqual(node.call("SAVE"), "OK")
                self.assertNotEqual(path.read_bytes(), before)
                servers.kill(1)
                self.serve(servers, 1)
                self.assertEqual(node.call("GET", "key"), b"newer")

    # ---- slow ----

    def watch(self, servers, keys, ended, gaps):
        """Reads settled keys all the time; the longest that one took, and how many there were."""
        with servers.client(1) as client:
            longest, count = 0, 0
            while not ended.is_set():
                began = time.monotonic()
                assert client.call("GET", keys[count % len(keys)]) == b"settled"
                longest = max(longest, time.monotonic() - began)
                count += 1
            gaps.append((longest, count))

    def test_a_sync_of_five_seconds_under_always(self):
        with Servers(nodes=1) as servers:
            faults = self.begin(servers, "always", nodes=1)
            settled = [f"settled:{i}" for i in range(100)]
            with servers.client(1) as client, servers.client(1) as other:
                client.pipeline([["SET", key, "settled"] for key in settled])
                ended, gaps = threading.Event(), []
                faults.hang_once(HANG_MS)
                began = time.monotonic()
                write = client.send([["SET", "fresh", "new"]])
                wait_until(lambda: faults.hanging, 10, "a sync", pause=0.001)
                watcher = threading.Thread(target=self.watch, args=(servers, settled, ended, gaps))
                watcher.start()
                read = other.send([["GET", "fresh"]])
                self.assertEqual(client.receive(HANG_MS / 1000 + 5), (write, ["OK"]))
                took = time.monotonic() - began
                self.assertEqual(other.receive(5), (read, [b"new"]))
                ended.set()
                watcher.join()
                self.assertGreaterEqual(took, HANG_MS / 1000 - 0.1)
                longest, count = gaps[0]
                self.assertGreater(count, 100)
                self.assertLess(longest, 1, "reads of what is on the disk do not wait")
                self.assertNotIn("event=failed", servers.node(1).log())
                self.assertNotIn("node_lost", servers.all["broker"].log())
                print(f"always, a sync of {HANG_MS} ms: the write took {took * 1000:.0f} ms; {count} reads meanwhile, the longest "
                      f"{longest * 1000:.1f} ms; a read of the key being written waited with it")

    def test_a_sync_of_five_seconds_under_interval(self):
        with Servers(nodes=1) as servers:
            faults = self.begin(servers, "interval", nodes=1)
            with servers.client(1) as client:
                self.assertEqual(client.call("SET", "key", "0"), "OK")
                faults.hang_once(HANG_MS)
                times, serial = [], 0
                while not faults.hanging:
                    client.call("SET", "key", str(serial))
                hang = time.monotonic()
                while time.monotonic() < hang + HANG_MS / 1000 + 1:
                    serial += 1
                    client.call("SET", "key", str(serial), timeout_s=HANG_MS / 1000 + 5)
                    times.append(time.monotonic())
                gaps = [(after - before, before - hang) for before, after in zip([hang, *times], times)]
                gap, since = max(gaps)
                self.assertLess(since, 1.0 + 0.5, "acknowledged for longer than an interval, and not durable")
                self.assertGreater(gap, HANG_MS / 1000 - since - 0.5, "then writes wait until it is over")
                self.assertEqual(client.call("GET", "key"), str(serial).encode())
                self.assertNotIn("node_lost", servers.all["broker"].log())
                print(f"interval 1 s, a sync of {HANG_MS} ms: writes were acknowledged for {since * 1000:.0f} ms, then waited for "
                      f"{gap * 1000:.0f} ms, then went on")


# ---- shared, foreign, damaged -----------------------------------------------------------------------------------------


class Files(Case):
    def test_two_nodes_and_one_data_directory(self):
        with Servers(nodes=2) as servers:
            servers.start_broker()
            self.serve(servers, 1)
            pid = servers.node(1).process.pid
            text = self.refuses_to_start(servers, 2, data=servers.node(1).data, says=[f"process {pid},? uses ", str(servers.node(1).data)])
            with servers.client(1) as node:
                self.assertEqual(node.call("SET", key_of(1, "key"), "x"), "OK")
            print(text[text.index("reason="):])

    def test_two_nodes_and_one_snapshot_file(self):
        with Servers(nodes=2) as servers:
            servers.start_broker()
            path = str(servers.folder / "shared.dat")
            self.serve(servers, 1, "--persistence-filepath", path)
            self.refuses_to_start(servers, 2, "--persistence-filepath", path,
                                  says=[rf"process {servers.node(1).process.pid}\b", "shared.dat"])

    @needs_mount
    def test_directories_that_cannot_be_written(self):
        with Disk("8m") as disk, Servers(nodes=1) as servers:
            (disk.path / "there").mkdir()
            disk.make_read_only()
            servers.start_broker()
            says = [re.escape(str(disk.path)), "Read-only file system"]
            self.refuses_to_start(servers, 1, data=disk.path / "missing", says=says)
            self.refuses_to_start(servers, 1, data=disk.path / "there", says=says)
            self.refuses_to_start(servers, 1, "--persistence-filepath", str(disk.path / "there" / "s.dat"), says=says)
            self.refuses_to_start(servers, 1, "--persistence-filepath", str(disk.path / "missing" / "s.dat"), says=says)

    def test_paths_that_are_something_else(self):
        with Servers(nodes=1) as servers:
            servers.start_broker()
            file = servers.folder / "a-file"
            file.write_text("x")
            self.refuses_to_start(servers, 1, data=file, says=["Not a directory", str(file)])
            self.refuses_to_start(servers, 1, "--persistence-filepath", str(file / "s.dat"), says=["Not a directory", str(file)])
            self.refuses_to_start(servers, 1, "--persistence-filepath", str(servers.folder), says=[str(servers.folder), "directory"])
            # A directory that is missing is made.
            path = servers.folder / "new" / "deep" / "s.dat"
            self.serve(servers, 1, "--persistence-filepath", str(path))
            with servers.client(1) as node:
                self.assertEqual(node.call("SAVE"), "OK")
            self.assertTrue(path.exists())

    def make_log(self, servers, flags):
        """A log of several segments on node 1, all of it durable; what is in it."""
        ledger = Ledger()
        servers.start_broker()
        for n in servers.nodes:
            self.serve(servers, n, "--persistence-fsync", "always", *flags)
        with servers.client() as client:
            for _ in range(20):
                self.assertEqual(ledger.write(client, 100), set())
        servers.kill(1)
        return ledger

    def test_damage_in_the_middle_of_the_log(self):
        flags = ("--persistence-segment-bytes", "256k", "--persistence-snapshot-log-bytes", "1g")
        with Servers(nodes=2) as servers:
            ledger = self.make_log(servers, flags)
            segments = sorted(servers.node(1).data.glob("wal-*.log"))
            self.assertGreater(len(segments), 3)
            segment = segments[1]
            good = segment.read_bytes()
            damaged = bytearray(good)
            damaged[100000] ^= 4
            segment.write_bytes(damaged)
            text = self.refuses_to_start(servers, 1, *flags, says=[rf"{segment} at \d+: ", "damaged", r"kvdb-node --check|restore"])
            offset = int(re.search(r" at (\d+): ", text).group(1))
            self.assertTrue(0 < offset <= 100000 < offset + 60000, text)
            # Nobody else is drawn into it.
            with servers.client() as client:
                key = key_of(2, "other")
                self.assertEqual(client.call("SET", key, "x"), "OK")
                self.assertEqual(client.call("GET", key), b"x")
                result = client.pipeline([["SET", key_of(1, "other"), "x"]], {"deadline_ms": 300})[0]
                self.assertTrue(is_error(result) and result.code in REFUSED, result)
                segment.unlink()
                self.refuses_to_start(servers, 1, *flags, says=[rf"{segment}.*: the file is missing"])
                segment.write_bytes(good[:-1])
                self.refuses_to_start(servers, 1, *flags, says=[rf"{segment} at {len(good) - 1}: the file ends here", "--repair"])
                segment.write_bytes(good)
                self.serve(servers, 1, *flags)
                ledger.check(self, client)
            print(text[text.index("reason="):])

    def test_a_log_of_another_node(self):
        flags = ("--persistence-segment-bytes", "256k")
        with Servers(nodes=2) as servers:
            servers.start_broker()
            for n in (1, 2):
                self.serve(servers, n, *flags)
                with servers.client(n) as node:
                    self.assertEqual(node.call("SET", key_of(n, "key"), "x"), "OK")
                servers.kill(n)
            mine, foreign = (servers.node(n).data / "wal-0000000001.log" for n in (1, 2))
            good = mine.read_bytes()
            shutil.copy(foreign, mine)
            self.refuses_to_start(servers, 1, *flags, says=[rf"{mine} at 32: ", "belongs to another data directory", "restore"])
            # Likewise a log without the rest of its directory.
            fresh = servers.folder / "fresh"
            fresh.mkdir(0o700)
            shutil.copy(foreign, fresh)
            self.refuses_to_start(servers, 1, *flags, data=fresh, says=[rf"{fresh}/wal-0000000001.log at 32: ", "another data directory"])
            mine.write_bytes(b"something else entirely" * 40)
            self.refuses_to_start(servers, 1, *flags, says=[rf"{mine} at \d+: ", "header is damaged"])
            mine.write_bytes(good)
            self.serve(servers, 1, *flags)
            with servers.client(1) as node:
                self.assertEqual(node.call("GET", key_of(1, "key")), b"x")

    def test_damage_in_the_snapshot(self):
        with Servers(nodes=1) as servers:
            flags = ("--persistence-segment-bytes", "256k")
            ledger = self.make_log(servers, flags)
            self.serve(servers, 1, *flags)
            first = servers.node(1).data / "wal-0000000001.log"
            with servers.client(1) as node:
                self.assertEqual(node.call("SAVE"), "OK")
                wait_until(lambda: not first.exists(), what="the log before the snapshot going")
            servers.kill(1)
            path = servers.node(1).data / "snapshot.dat"
            good = path.read_bytes()
            for at in (3, len(good) // 2, len(good) - 3):
                path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1:])
                self.refuses_to_start(servers, 1, says=[str(path), "restore|bring back|version"])
            path.write_bytes(good[:-1])
            self.refuses_to_start(servers, 1, says=[str(path), "restore|bring back"])
            path.unlink()
            self.refuses_to_start(servers, 1, says=["there must have been a snapshot"])
            path.write_bytes(good)
            self.serve(servers, 1)
            with servers.client(1) as node:
                ledger.check(self, node)


if __name__ == "__main__":
    unittest.main()
