"""A request may ask that its answer is safe on the disk, whatever the nodes' flush policy is."""
import unittest

from harness import Cluster, wait_until
from hostile import Client

FSYNC = {"durability": "fsync"}
NOT_SUPPORTED = 19


def direct_endpoints(client):
    return [f"tcp://127.0.0.1:{node['port']}" for node in client.value("TOPOLOGY")["nodes"]]


def log_of(client):
    """Where the log of a node stands: appended and durable lsn, and how often it was synced."""
    text = client.value("INFO", "persistence")
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return int(lines["log_appended"]), int(lines["log_durable"]), int(lines["log_syncs"])


class Durability(unittest.TestCase):
    def settled(self, node, appended_before):
        """The node's log, once INFO tells of what was appended since."""
        wait_until(lambda: log_of(node)[0] > appended_before, what="INFO that tells of the write")
        return log_of(node)

    def check(self, node, client):
        before = log_of(node)
        self.assertEqual(client.value("SET", b"k", b"1"), "OK")
        appended, durable, syncs = self.settled(node, before[0])
        self.assertLess(durable, appended)  # under `never` nobody syncs it
        self.assertEqual(syncs, before[2])
        for command, result in ((["GET", b"k"], b"1"), (["SET", b"k", b"2"], "OK"), (["GET", b"none{k}"], None),
                                (["DBSIZE"], 1)):
            before = log_of(node)
            self.assertEqual(client.value("APPEND", b"other{k}", b"x") > 0, True)
            self.assertEqual(client.value("DEL", b"other{k}"), 1)
            self.assertEqual(client.call(command, options=FSYNC), [[0, result]])
            appended, durable, syncs = self.settled(node, before[0])
            wait_until(lambda: log_of(node)[1] >= appended, what="INFO that tells of the sync")
            self.assertGreater(log_of(node)[2], before[2])

    def test_a_request_is_answered_once_it_is_synced(self):
        with Cluster(nodes=1, env={"KVDB_PERSISTENCE_FSYNC": "never"}) as cluster, \
             Client(cluster.endpoint) as broker, Client(direct_endpoints(broker)[0]) as node:
            self.check(node, broker)
            self.check(node, node)
            # Nothing is left to sync: it is answered at once, over and over.
            for _ in range(100):
                self.assertEqual(broker.call(["GET", b"k"], ["PING"], options=FSYNC), [[0, b"2"], [0, "PONG"]])

    def test_all_nodes_sync_their_part(self):
        with Cluster(nodes=3, env={"KVDB_PERSISTENCE_FSYNC": "never"}) as cluster, Client(cluster.endpoint) as broker:
            nodes = [Client(endpoint) for endpoint in direct_endpoints(broker)]
            before = [log_of(node) for node in nodes]
            pairs = [word for i in range(300) for word in (f"key{i}".encode(), b"v")]
            self.assertEqual(broker.call(["MSET"] + pairs, options=FSYNC), [[0, "OK"]])
            for node, (appended, _, syncs) in zip(nodes, before):
                after = self.settled(node, appended)
                wait_until(lambda: log_of(node)[1] >= after[0], what="INFO that tells of the sync")
                self.assertGreater(log_of(node)[2], syncs)
                node.close()

    def test_without_a_log_it_is_refused(self):
        with Cluster(nodes=2, env={"KVDB_PERSISTENCE_FSYNC": "off"}) as cluster, Client(cluster.endpoint) as broker:
            for door in [cluster.endpoint] + direct_endpoints(broker):
                with Client(door) as client:
                    for batch in ([["DBSIZE"]], [["SET", b"k", b"v"], ["GET", b"k"]], [["MGET"] + [f"k{i}" for i in range(50)]]):
                        for code, text, *_ in client.call(*batch, options=FSYNC):
                            self.assertEqual(code, NOT_SUPPORTED)
                            self.assertIn("kvdb.persistence.fsync", text)
            self.assertEqual(broker.value("DBSIZE"), 0)
            self.assertEqual(broker.call(["SET", b"k", b"v"], options={"durability": "local"}), [[0, "OK"]])


if __name__ == "__main__":
    unittest.main()
