"""kvdb-node --check, --repair and --dump on what a real node has left when it was killed.

Goal: a directory in use is refused; one whose node was killed is sound, and a dump of it is what was written;
damage is told with file and offset; a repaired directory serves again what was before the damage, and nothing
of the original is lost.  Method: a cluster of one node with small segments; kill -9, then the tools."""
import base64
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from harness import Cluster, program

SEGMENT_BYTES = 64 * 1024
HEADER_BYTES = 512


def tool(*words, status=0):
    done = subprocess.run([program("kvdb-node"), *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=120)
    text = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == status, f"{words} gave {done.returncode}, not {status}:\n{text[0]}\n{text[1]}"
    return text


def state_of(directory, *words):
    """Key -> value, by --dump."""
    found = {}
    for line in tool("--dump", directory, *words)[0].splitlines():
        entry = json.loads(line)
        pair = [entry[name].encode() if name in entry else base64.b64decode(entry[name + "_base64"])
                for name in ("key", "value")]
        assert pair[0] not in found
        assert entry["version"] > 0 and entry["shard"] < 64 and entry["expires_ms"] >= 0
        found[pair[0]] = pair[1]
    return found


def flip(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 4]))


def files_of(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file() and path.name != "lock"}


class DataTools(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        env = {"KVDB_PERSISTENCE_SEGMENT_BYTES": str(SEGMENT_BYTES), "KVDB_PERSISTENCE_FSYNC": "always"}
        cls.cluster = Cluster(nodes=1, env=env)
        cls.cluster.__enter__()
        cls.data = cls.cluster.dir / "node1" / "data"

    @classmethod
    def tearDownClass(cls):
        cls.cluster.__exit__(None, None, None)

    def setUp(self):
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="kvdb-tools-"))
        self.addCleanup(shutil.rmtree, self.scratch)

    def fill(self):
        """What the node holds afterwards, written in part before a snapshot and in part behind it."""
        expected = {}
        for half in range(2):
            lines = []
            for i in range(600):
                expected[f"key{half}-{i}".encode()] = value = f"value {i} ".encode() + b"x" * 500
                lines.append(f'SET key{half}-{i} "{value.decode()}"\n')
            self.cluster.kv("--pipe", stdin="".join(lines).encode())
            if half == 0:
                self.cluster.kv("SAVE")
        for key, value in {b"gr\xc3\xbc\xc3\x9fe": b'"quoted"', b"binary": bytes(range(256))}.items():
            self.cluster.kv("-x", "SET", key, stdin=value)
            expected[key] = value
        self.cluster.kv("PEXPIRE", "binary", "100000000")
        return expected

    def test_from_a_kill_to_a_repaired_node(self):
        expected = self.fill()
        self.in_use()
        self.cluster.script("kill", "node1")
        self.sound(expected)
        self.not_a_data_directory()
        self.damaged_snapshot()
        self.foreign_log()
        self.without_identity()
        self.repaired(expected)

    def in_use(self):
        pid = self.cluster.pid("node1")
        for words in (["--check"], ["--repair"], ["--dump"]):
            out, err = tool(*words, self.data, status=2)
            self.assertEqual(out, "")
            self.assertRegex(err, rf"process {pid},? uses {self.data} ")

    def sound(self, expected):
        before = files_of(self.data)
        out, _ = tool("--check", self.data)
        self.assertRegex(out, r"(?m)^snapshot  snapshot\.dat: 600 entries, \d+ bytes, made 2\d{3}-.*Z, lsn \d+ to \d+")
        self.assertRegex(out, r"(?m)^segment   wal-\d{10}\.log: 65536 bytes, lsn \d+ to \d+")
        self.assertRegex(out, r"(?m)^log       [1-9]\d* records, lsn \d+ to \d+$")
        self.assertRegex(out, r"(?m)^shards    0:\d+/\d+ 1:\d+/\d+ ")
        self.assertRegex(out, r"(?m)^sound ")
        self.assertNotIn("fault", out)
        self.assertIn("nothing is changed", tool("--repair", self.data)[0])
        self.assertEqual(state_of(self.data), expected)
        self.assertEqual(files_of(self.data), before)
        records = [json.loads(line) for line in tool("--dump", self.data, "--dump-log")[0].splitlines()]
        self.assertEqual(sorted(record["lsn"] for record in records), [record["lsn"] for record in records])
        self.assertTrue(any(effect["kind"] == "put" and effect.get("key_base64") is None
                            for record in records for effect in record["effects"]))
        elsewhere = self.scratch / "elsewhere"
        shutil.copytree(self.data, elsewhere)
        (elsewhere / "snapshot.dat").rename(self.scratch / "other.dat")
        self.assertIn("the log begins here, so there must have been a snapshot",
                      tool("--check", elsewhere, status=1)[0])
        words = ["--persistence-filepath", self.scratch / "other.dat"]
        self.assertIn("other.dat: 600 entries", tool("--check", elsewhere, *words)[0])
        self.assertEqual(state_of(elsewhere, *map(str, words)), expected)

    def not_a_data_directory(self):
        empty = self.scratch / "empty"
        empty.mkdir()
        for directory in (empty, self.scratch / "nothing"):
            for word in ("--check", "--repair", "--dump"):
                out, err = tool(word, directory, status=2)
                self.assertEqual(out, "")
                self.assertIn(str(directory), err)
        self.assertEqual(list(empty.iterdir()), [])
        tool("--check", empty, "--repair", empty, status=2)
        tool("--dump-log", status=2)

    def damaged_snapshot(self):
        copy = self.scratch / "snapshot"
        shutil.copytree(self.data, copy)
        flip(copy / "snapshot.dat", 5000)
        before = files_of(copy)
        out, _ = tool("--check", copy, status=1)
        self.assertRegex(out, rf"(?m)^fault     {copy}/snapshot\.dat at \d+: ")
        self.assertIn("repair    is not possible: ", out)
        out, err = tool("--repair", copy, status=1)
        self.assertIn("restore a copy of the file", err)
        self.assertEqual(tool("--dump", copy, status=1)[0], "")
        self.assertEqual(files_of(copy), before)

    def foreign_log(self):
        copy = self.scratch / "foreign"
        shutil.copytree(self.data, copy)
        identity = (copy / "identity").read_text()
        (copy / "identity").write_text(identity[:-2] + "x\n")
        out, _ = tool("--check", copy, status=1)
        self.assertIn(f"fault     {copy}/identity is damaged", out)
        tool("--repair", copy, status=1)

    def without_identity(self):
        copy = self.scratch / "nobody"
        shutil.copytree(self.data, copy)
        (copy / "identity").unlink()
        self.assertIn("identity is missing", tool("--check", copy, status=1)[0])
        self.assertIn("identity is missing", tool("--repair", copy, status=1)[1])
        self.assertFalse((copy / "identity").exists())

    def repaired(self, expected):
        """The log is damaged behind the snapshot: what was written before the damage is there afterwards."""
        segments = sorted(self.data.glob("wal-*.log"))
        used = [path for path in segments if any(path.read_bytes()[HEADER_BYTES:HEADER_BYTES + 32])]
        self.assertGreater(len(used), 3)
        hit = used[-3]
        flip(hit, 20000)
        before = files_of(self.data)
        out, _ = tool("--check", self.data, status=1)
        fault = re.search(rf"(?m)^fault     {hit} at (\d+): ", out)
        self.assertIsNotNone(fault, out)
        self.assertLess(int(fault[1]), 20001)
        self.assertIn(f"repair    kvdb-node --repair {self.data} would do this", out)
        self.assertEqual(files_of(self.data), before)
        self.cluster_refuses(fault[0])
        plan = out[out.index("repair "):].splitlines()[1:]
        out, _ = tool("--repair", self.data)
        for line in plan:
            self.assertIn(line, out)
        self.assertRegex(out, rf"(?m)^cut       {hit.name} at \d+, lsn \d+: ")
        self.assertRegex(out, r"(?m)^dropped   from lsn \d+ to \d+: [1-9]\d* records that can be told, .* "
                              r"written after 2\S+Z, the last of it at 2\S+Z$")
        aside = self.data / re.search(rf"(?m)^repaired  .* in {self.data}/(repair-\d{{8}}T\d{{6}}Z)$", out)[1]
        for name, content in before.items():
            there = self.data / name
            self.assertTrue((there.exists() and there.read_bytes() == content) or
                            (aside / name).read_bytes() == content, name)
        self.assertRegex(tool("--check", self.data)[0], r"(?m)^sound ")
        left = state_of(self.data)
        self.assertLess(len(left), len(expected))
        self.assertGreater(len(left), 700)
        for key, value in left.items():
            self.assertEqual(value, expected[key])
        self.cluster.script("start", "node1")
        self.assertEqual(int(self.cluster.kv("DBSIZE")), len(left))
        self.cluster.kv("SET", "after", "all")
        self.cluster.script("kill", "node1")
        self.assertEqual(state_of(self.data), {**left, b"after": b"all"})
        self.cluster.script("start", "node1")

    def cluster_refuses(self, fault):
        """What a node says of the damage names the tools, with words that work."""
        self.assertNotEqual(self.cluster.script("start", "node1", check=False).returncode, 0)
        log = (self.cluster.dir / "node1" / "log").read_text()
        self.assertIn(fault.split("fault     ")[1], log)
        self.assertIn(f"kvdb-node --check {self.data}", log)


if __name__ == "__main__":
    unittest.main(verbosity=2)
