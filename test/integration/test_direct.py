"""libkvdb straight to the nodes: real data loaded and read back, MOVED followed from a map that is wrong in every
place, a node killed and started again under load, the broker stopped while the work goes on."""
import pathlib
import subprocess
import sys
import threading
import time
import unittest

from harness import BUILD, Cluster, free_ports

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "python"))
import msgpack  # noqa: E402
import zmq  # noqa: E402

DATA = pathlib.Path("/usr/share/unicode/UnicodeData.txt")
TOOL = str(BUILD / "test" / "direct_client")


def direct(port, *words, seconds=300):
    done = subprocess.run([TOOL, str(port), *map(str, words)], capture_output=True, timeout=seconds)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def pairs(text):
    """The numbers of the last line."""
    return {word: int(number) for word, number in (pair.split("=") for pair in text.splitlines()[-1].split())}


def ask(port, *command):
    """One command, asked as PROTOCOL.md's shortest client does."""
    socket = zmq.Context.instance().socket(zmq.REQ)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RCVTIMEO, 10000)
    try:
        socket.connect(f"tcp://127.0.0.1:{port}")
        socket.send(msgpack.packb([1, 7, [list(command)]]))
        return msgpack.unpackb(socket.recv(), strict_map_key=False)[2][0]
    finally:
        socket.close()


def commands_of(port):
    """How many commands a node has executed for clients at its direct door or the broker."""
    text = ask(port, "INFO")[1]
    for line in (text if isinstance(text, str) else text.decode()).splitlines():
        if line.startswith("total_commands_processed:"):
            return int(line.split(":")[1])
    raise AssertionError("INFO without total_commands_processed")


class LyingBroker(threading.Thread):
    """Answers TOPOLOGY with the owners all wrong, under the oldest epoch there is, and nothing else."""

    def __init__(self, topology):
        super().__init__(daemon=True)
        nodes = len(topology["nodes"])
        self.topology = dict(topology, epoch=0, owners=[(owner + 1) % nodes for owner in topology["owners"]])
        self.port = free_ports()
        self.asked = 0
        self.ended = threading.Event()

    def run(self):
        socket = zmq.Context.instance().socket(zmq.ROUTER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.bind(f"tcp://127.0.0.1:{self.port}")
        while not self.ended.is_set():
            if not socket.poll(50):
                continue
            *envelope, body = socket.recv_multipart()
            _, number, commands = msgpack.unpackb(body, raw=True)[:3]
            assert commands == [[b"TOPOLOGY"]], commands
            self.asked += 1
            socket.send_multipart([*envelope, msgpack.packb([1, number, [[0, self.topology]]])])
        socket.close()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join()


class Direct(unittest.TestCase):
    def load_and_read(self, port, cluster):
        lines = len(DATA.read_bytes().splitlines())
        code, out, err = direct(port, "load", DATA)
        self.assertEqual((code, pairs(out)), (0, {"written": lines, "failed": 0}), err)
        code, out, err = direct(port, "read", DATA)
        self.assertEqual((code, pairs(out)), (0, {"same": lines, "different": 0}), err)
        self.assertEqual(int(cluster.kv("DBSIZE")), lines)
        return lines

    def test_every_record_reads_back_from_the_nodes(self):
        self.assertTrue(DATA.exists(), "apt-get install unicode-data")
        with Cluster(nodes=3) as cluster:
            nodes = ask(cluster.port, "TOPOLOGY")[1]["nodes"]
            before = [commands_of(node["port"]) for node in nodes]
            forwarded = commands_of(cluster.port)
            lines = self.load_and_read(cluster.port, cluster)
            done = [commands_of(node["port"]) - count for node, count in zip(nodes, before)]
            self.assertGreaterEqual(sum(done), 2 * lines)
            self.assertTrue(all(count > lines / 2 for count in done), done)
            self.assertLess(commands_of(cluster.port) - forwarded, 20, "the broker was asked for the topology only")
            print(f"{lines} records, {done} commands at the nodes")
            for command, answer in ((("DBSIZE",), str(lines)), (("PING",), "PONG"), (("KEYS", "*"), f"array of {lines}"),
                                    (("MGET", "0041", "0042", "none"), "array of 3"), (("FLUSHALL",), "OK"),
                                    (("DBSIZE",), "0"), (("NOSUCH",), "ERROR UNKNOWN_COMMAND")):
                self.assertTrue(direct(cluster.port, "call", *command)[1].startswith(answer), command)

    def test_moved_is_followed_from_a_map_that_is_all_wrong(self):
        with Cluster(nodes=3) as cluster:
            topology = ask(cluster.port, "TOPOLOGY")[1]
            key = next(f"key{n}" for n in range(1000)
                       if ask(topology["nodes"][0]["port"], "GET", f"key{n}")[0] == 33)
            code, text, details = ask(topology["nodes"][0]["port"], "GET", key)
            self.assertEqual(code, 33, text)
            self.assertEqual(sorted(details), ["endpoint", "epoch", "node", "shard"])
            with LyingBroker(topology) as liar:
                self.load_and_read(liar.port, cluster)
                self.assertGreaterEqual(liar.asked, 2)

    def test_a_node_killed_and_started_again_under_load(self):
        with Cluster(nodes=3) as cluster:
            hammer = subprocess.Popen([TOOL, str(cluster.port), "hammer", "12", "8"], stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE)
            time.sleep(2)
            cluster.script("kill", "node2")
            time.sleep(1)
            cluster.script("start", "node2")
            out, err = hammer.communicate(timeout=120)
            self.assertEqual(hammer.returncode, 0, (out + err).decode()[-2000:])
            found = pairs(out.decode())
            print(found)
            self.assertGreater(found["ok"], 100)
            self.assertEqual(found["wrong"] + found["other"], 0)
            # Whoever waited for node2 went on when it was back, and nobody waited for longer than a deadline.
            self.assertLess(found["longest_ms"], 6000)

    def test_direct_clients_go_on_without_the_broker(self):
        with Cluster(nodes=3) as cluster:
            hammer = subprocess.Popen([TOOL, str(cluster.port), "hammer", "6", "4"], stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE)
            time.sleep(2)
            cluster.script("stop", "broker")
            stopped = time.monotonic()
            out, err = hammer.communicate(timeout=120)
            self.assertGreater(time.monotonic() - stopped, 1)
            self.assertEqual(hammer.returncode, 0, (out + err).decode()[-2000:])
            found = pairs(out.decode())
            print(found)
            self.assertEqual([found[word] for word in ("unavailable", "unknown", "other", "wrong")], [0, 0, 0, 0])
            self.assertLess(found["longest_ms"], 2000)
            # Without a broker a new client learns of no nodes, and says so.
            code, text, _ = direct(cluster.port, "call", "GET", "key")
            self.assertEqual(code, 1)
            self.assertIn("FAILED UNAVAILABLE", text)
            cluster.script("start", "broker")

    def test_a_node_is_no_seed(self):
        with Cluster(nodes=1) as cluster:
            port = ask(cluster.port, "TOPOLOGY")[1]["nodes"][0]["port"]
            code, text, _ = direct(port, "call", "GET", "key")
            self.assertEqual(code, 1)
            self.assertIn("FAILED NOT_SUPPORTED", text)
            self.assertEqual(cluster.kv("--node", f"127.0.0.1:{port}", "PING").strip(), b"PONG")


if __name__ == "__main__":
    unittest.main()
