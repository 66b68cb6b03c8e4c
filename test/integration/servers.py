"""Servers that a test starts, kills and starts again one by one, each with flags, an environment and a disk of its own:
what config/cluster has no words for.

    with Servers(nodes=1) as servers:
        servers.start_broker()
        servers.start_node(1, "--persistence-fsync", "always")
        servers.serves(1)
        servers.kill(1)
"""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from harness import free_ports, program, wait_until

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "python"))
from kvdb_client import Client, KvError, NoReply, slot  # noqa: E402

SHARDS = 64
BROKER = "broker"
SIGNS_OF_A_DEFECT = ("ERROR: AddressSanitizer", "runtime error:", "LeakSanitizer", "WARNING: ThreadSanitizer", "assert_failed")


def shard_of(key):
    return slot(key if isinstance(key, bytes) else key.encode()) % SHARDS


class Server:
    """One process after another under one name; what they print goes to one log."""

    def __init__(self, folder, name):
        self.name = name
        self.folder = folder / name
        self.folder.mkdir()
        self.data = self.folder / "data"
        self.log_path = self.folder / "log"
        self.process = None
        self.log_start = 0  # where in the log the last process begins

    def start(self, words, env):
        assert self.process is None, f"{self.name} is running"
        with open(self.log_path, "ab") as log:
            self.log_start = log.tell()
            self.process = subprocess.Popen(words, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def log(self):
        """What the last process has printed."""
        with open(self.log_path, "rb") as log:
            log.seek(self.log_start)
            return log.read().decode(errors="replace")

    def has_ended(self):
        return self.process.poll() is not None

    def end(self, number, seconds=60):
        """Sends the signal and waits; the exit status."""
        self.process.send_signal(number)
        return self.wait(seconds)

    def wait(self, seconds=60):
        status = self.process.wait(seconds)
        self.process = None
        return status


class Servers:
    def __init__(self, nodes=1, node_file="kvdb: {persistence: {filetype: dat}}\n", suffix="yaml"):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="kvdb-servers-"))
        self.port = free_ports()
        self.nodes = range(1, nodes + 1)
        self.all = {name: Server(self.folder, name) for name in [BROKER, *(f"node{n}" for n in self.nodes)]}
        lines = [f"broker: {{host: 127.0.0.1, port: {self.port}}}", f"shards: {SHARDS}", "nodes:"]
        lines += [f"  - {{id: node{n}, host: 127.0.0.1, port: {self.direct_port(n)}}}" for n in self.nodes]
        self.cluster_file = self.folder / "cluster.yaml"
        self.cluster_file.write_text("\n".join(lines) + "\n")
        self.node_file = {}
        for n in self.nodes:
            self.node_file[n] = self.node(n).folder / f"node.{suffix}"
            self.node_file[n].write_text(node_file)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        for server in self.all.values():
            if server.process:
                server.end(signal.SIGKILL)
        try:
            if error is not None:
                self.show()
            for server in self.all.values():
                self.look_for_defects(server)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def show(self):
        for server in self.all.values():
            if server.log_path.exists():
                text = server.log_path.read_text(errors="replace")
                print(f"--- {server.name}", *text.splitlines()[-40:], sep="\n", file=sys.stderr)

    @staticmethod
    def look_for_defects(server):
        text = server.log_path.read_text(errors="replace") if server.log_path.exists() else ""
        for sign in SIGNS_OF_A_DEFECT:
            assert sign not in text, f"{server.name}:\n{text[-6000:]}"

    def node(self, n):
        return self.all[f"node{n}"]

    def direct_port(self, n):
        return self.port + 1 + n

    @staticmethod
    def environment(more):
        env = {name: value for name, value in os.environ.items() if not name.startswith("KVDB_")}
        return dict(env, **(more or {}))

    def start_broker(self):
        broker = self.all[BROKER]
        broker.start([program("kvdb-broker"), "--config", str(self.cluster_file), "--data", str(broker.data)], self.environment(None))

    def node_words(self, n, *flags, data=None):
        return [program("kvdb-node"), "--config", str(self.node_file[n]), "--cluster", str(self.cluster_file), "--id", f"node{n}",
                "--data", str(data or self.node(n).data), *flags]

    def start_node(self, n, *flags, env=None, data=None):
        self.node(n).start(self.node_words(n, *flags, data=data), self.environment(env))

    def serves(self, n, seconds=60):
        """Waits until the node serves; fails at once if it ends before."""
        node = self.node(n)

        def there():
            assert not node.has_ended(), f"{node.name} has ended:\n{node.log()[-3000:]}"
            return "event=node_serves" in node.log()
        wait_until(there, seconds, f"{node.name} serving", pause=0.002)

    def kill(self, n):
        self.node(n).end(signal.SIGKILL)

    def stop(self, n, seconds=60):
        return self.node(n).end(signal.SIGTERM, seconds)

    def client(self, n=None, **options):
        """A client of the broker, or of a node's direct door."""
        return Client(port=self.port if n is None else self.direct_port(n), **{"timeout_s": 20, **options})

    def info(self, n, section="persistence"):
        with self.client(n) as client:
            return info_of(client, section)


def info_of(client, section="persistence"):
    text = client.call("INFO", section)
    text = text if isinstance(text, str) else text.decode()
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def now_ms():
    return time.time_ns() // 1000000


def attempt(client, *command, timeout_s=None):
    """The value, the KvError, or None for no reply at all."""
    try:
        return client.pipeline([command], timeout_s=timeout_s)[0]
    except NoReply:
        return None


def is_error(result):
    return isinstance(result, KvError)
