"""A person starts a cluster with one command and works with it through kv."""
import json
import os
import signal
import subprocess
import sys
import unittest

from harness import ROOT, Cluster, processes_of, wait_until


def crc16(data):
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = ((crc << 1) ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def owner_of(cluster, key):
    """The id of the node that owns the key, by the slot rule and the topology."""
    topology = json.loads(cluster.kv("--json", "TOPOLOGY"))
    shard = crc16(key.encode()) % 16384 % topology["shards"]
    return topology["nodes"][topology["owners"][shard]]["id"]


class FirstCluster(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(nodes=3)
        cls.cluster.__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.cluster.__exit__(None, None, None)

    def test_set_get_del_ping(self):
        kv = self.cluster.kv
        self.assertEqual(kv("SET", "greeting", "hello  world"), b"OK\n")
        self.assertEqual(kv("GET", "greeting"), b"hello  world\n")
        self.assertEqual(kv("KV", "GET", "greeting"), b"hello  world\n")
        self.assertEqual(kv("MSET", "a", "1", "b", "2", "c", "3"), b"OK\n")
        self.assertEqual(kv("MGET", "a", "b", "nothing", "c"), b"1\n2\n(nil)\n3\n")
        self.assertEqual(kv("DEL", "a", "b", "c", "d"), b"3\n")
        self.assertEqual(kv("PING"), b"PONG\n")
        self.assertEqual(kv("GET", "nothing"), b"(nil)\n")

    def test_binary_and_empty_values(self):
        kv = self.cluster.kv
        binary = bytes(range(256))
        kv("-x", "SET", "binary", stdin=binary)
        self.assertEqual(kv("GET", "binary"), binary + b"\n")
        self.assertEqual(kv("STRLEN", "binary"), b"256\n")
        kv("SET", "empty", "")
        self.assertEqual(kv("GET", "empty"), b"\n")
        self.assertEqual(kv("EXISTS", "empty"), b"1\n")

    def test_counters_and_expiry(self):
        kv = self.cluster.kv
        self.assertEqual(kv("INCRBY", "counter", "-5"), b"-5\n")
        self.assertEqual(kv("INCR", "counter"), b"-4\n")
        self.assertEqual(kv("SET", "short", "x", "PX", "100000"), b"OK\n")
        self.assertTrue(90000 < int(kv("PTTL", "short")) <= 100000)
        self.assertEqual(kv("PEXPIRE", "short", "1"), b"1\n")
        wait_until(lambda: kv("GET", "short") == b"(nil)\n", 10, "expiry")

    def test_errors_go_to_stderr_with_status_1(self):
        kv = self.cluster.kv
        kv("SET", "text", "x")
        self.assertIn(b"ERR value is not an integer or out of range", kv("INCR", "text", status=1))
        self.assertIn(b"ERR unknown command", kv("NOSUCH", status=1))
        self.assertIn(b"wrong number of arguments for 'get' command", kv("GET", status=1))

    def test_a_large_value_crosses_the_broker(self):
        kv = self.cluster.kv
        value = os.urandom(16 * 1024 * 1024)
        kv("-x", "SET", "large", stdin=value)
        self.assertEqual(kv("GET", "large"), value + b"\n")
        kv("DEL", "large")

    def test_keys_scan_and_dbsize_see_the_whole_cluster(self):
        kv = self.cluster.kv
        names = {f"spread:{i}".encode() for i in range(200)}
        lines = b"".join(b"SET %s x\n" % name for name in names)
        kv("--pipe", stdin=lines)
        self.assertEqual(set(kv("KEYS", "spread:*").split()), names)
        self.assertGreaterEqual(int(kv("DBSIZE")), 200)
        found, cursor = set(), "0"
        while True:
            cursor, keys = json.loads(kv("--json", "SCAN", cursor, "MATCH", "spread:*", "COUNT", "50"))
            found.update(key.encode() for key in keys)
            if cursor == "0":
                break
        self.assertEqual(found, names)

    def test_the_broker_answers_every_golden_vector_as_the_protocol_says(self):
        done = subprocess.run([sys.executable, str(ROOT / "test/integration/python/check_server.py"), "127.0.0.1",
                               str(self.cluster.port)], capture_output=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_status_names_every_node(self):
        text = self.cluster.kv("status")
        for name in (b"node1", b"node2", b"node3"):
            self.assertIn(name, text)


class NodesComeAndGo(unittest.TestCase):
    def test_a_killed_node_is_unavailable_until_it_is_back(self):
        with Cluster(nodes=2) as cluster:
            cluster.kv("SET", "a", "1")
            owner = owner_of(cluster, "a")
            cluster.script("kill", owner)
            error = cluster.kv("--timeout", "2", "GET", "a", status=1)
            self.assertIn(b"UNAVAILABLE", error)
            self.assertIn(owner.encode(), error)
            cluster.script("start", owner)
            self.assertEqual(cluster.kv("SET", "a", "2"), b"OK\n")
            self.assertEqual(cluster.kv("GET", "a"), b"2\n")

    def test_shutdown_returns_when_the_node_is_gone(self):
        with Cluster(nodes=2) as cluster:
            pid = cluster.pid("node2")
            self.assertEqual(cluster.kv("SHUTDOWN", "node2"), b"OK\n")
            wait_until(lambda: pid not in processes_of(cluster.dir), 10, "the end of node2")
            self.assertIn(b"not running", cluster.kv("SHUTDOWN", "node2", status=1))
            self.assertIn(b"no node 'node9'", cluster.kv("SHUTDOWN", "node9", status=1))
            cluster.script("start", "node2")
            cluster.kv("FLUSHALL")

    def test_a_paused_node_answers_what_waited_for_it(self):
        with Cluster(nodes=1) as cluster:
            pid = cluster.pid("node1")
            os.kill(pid, signal.SIGSTOP)
            try:
                self.assertIn(b"OUTCOME_UNKNOWN ", cluster.kv("--timeout", "2", "SET", "k", "v", status=1))
            finally:
                os.kill(pid, signal.SIGCONT)
            wait_until(lambda: cluster.kv("GET", "k") == b"v\n", 10, "the paused write")

    def test_a_broker_that_restarts_finds_its_nodes_again(self):
        with Cluster(nodes=2) as cluster:
            cluster.kv("SET", "kept", "1")
            cluster.script("kill", "broker")
            self.assertIn(b"", cluster.kv("--timeout", "1", "PING", status=3))
            cluster.script("start", "broker")
            self.assertEqual(cluster.kv("GET", "kept"), b"1\n")


if __name__ == "__main__":
    unittest.main()
