"""Nodes keep to max_memory: under allkeys-lru they forget what was used longest ago, under noeviction they refuse."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "python"))

from harness import Cluster
from kvdb_client import Client, KvError

BOUND = 4 << 20  # of each node
SLACK = 64 << 10  # one command's growth, see node/eviction.h
VALUE = b"v" * 1000


def info(client, section):
    text = client.call("INFO", section)
    text = text if isinstance(text, str) else text.decode()
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def direct_clients(cluster):
    with Client(port=cluster.port) as broker:
        ports = [node["port"] for node in broker.call("TOPOLOGY")["nodes"]]
    return [Client(port=port) for port in ports]


class MaxMemory(unittest.TestCase):
    def test_allkeys_lru_keeps_what_is_used(self):
        env = {"KVDB_MAX_MEMORY": str(BOUND), "KVDB_MAX_MEMORY_POLICY": "allkeys-lru"}
        with Cluster(nodes=2, env=env) as cluster, Client(port=cluster.port, timeout_s=30) as client:
            self.assertEqual(client.call("SET", "hot", b"stays"), "OK")
            for start in range(0, 30000, 500):
                batch = [["SET", f"key:{i}", VALUE] for i in range(start, start + 500)] + [["GET", "hot"]]
                results = client.pipeline(batch)
                self.assertEqual(results, ["OK"] * 500 + [b"stays"])
            evicted = 0
            for node in direct_clients(cluster):
                with node:
                    memory = info(node, "memory")
                    self.assertEqual((memory["maxmemory"], memory["maxmemory_policy"]), (str(BOUND), "allkeys-lru"))
                    self.assertLess(int(memory["used_memory"]), BOUND + SLACK)
                    self.assertGreater(int(memory["used_memory"]), BOUND * 9 // 10)
                    evicted += int(info(node, "stats")["evicted_keys"])
            # The background may evict what the last writes were over.
            self.assertAlmostEqual(client.call("DBSIZE"), 30001 - evicted, delta=5)
            self.assertGreater(evicted, 20000)

    def test_noeviction_refuses_and_goes_on_when_there_is_room(self):
        env = {"KVDB_MAX_MEMORY": str(BOUND)}
        with Cluster(nodes=1, env=env) as cluster, Client(port=cluster.port, timeout_s=30) as client:
            results = client.pipeline([["SET", f"key:{i}", VALUE] for i in range(8000)])
            refused = [result for result in results if isinstance(result, KvError)]
            self.assertGreater(len(refused), 3000)
            self.assertEqual({(error.code, error.text) for error in refused},
                             {(37, "OOM command not allowed when used memory > 'maxmemory'.")})
            self.assertEqual(client.call("GET", "key:0"), VALUE)
            self.assertEqual(client.call("DBSIZE"), 8000 - len(refused))
            self.assertEqual(client.call("FLUSHALL"), "OK")
            self.assertEqual(client.call("SET", "key:0", VALUE), "OK")


if __name__ == "__main__":
    unittest.main()
