"""What is wrong with files, flags, variables and the machine is said in one line, and nothing is left running.

Configuration: exit status 2, one line on standard error that begins with the program's name and names the place and
what is allowed. Run time (a port in use, a data directory that cannot be): exit status 1, one ERROR line with the reason.
Method: each case is a process of its own with a bounded time to end in; its whole output is looked at.
"""
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from harness import ROOT, Cluster, free_ports, processes_of, program, wait_until

SECONDS = 20


def clean_environment(**more):
    env = {name: value for name, value in os.environ.items() if not name.startswith("KVDB_")}
    return dict(env, **more)


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="kvdb-configuration-"))
        self.port = free_ports()
        self.processes = []
        self.cluster = self.write("cluster.yaml", self.cluster_text())
        self.node = self.write("node.yaml", "kvdb: {persistence: {filetype: dat}}\n")

    def tearDown(self):
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                pass  # found and told below
        left = {pid: pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ") for pid in processes_of(self.folder)}
        for log in self.folder.glob("*.log"):
            if left:
                print(log.name, log.read_text(errors="replace")[-2000:])
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder)
        self.assertEqual(left, {}, "something was left running")

    def cluster_text(self, more="", nodes=2):
        text = f"broker: {{host: 127.0.0.1, port: {self.port}}}\n{more}nodes:\n"
        return text + "".join(f"  - {{id: node{i}, host: 127.0.0.1, port: {self.port + 1 + i}}}\n" for i in range(1, nodes + 1))

    def write(self, name, text):
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    def run_program(self, name, *words, env=None, stdin=subprocess.DEVNULL):
        path = str(ROOT / "config" / "cluster") if name == "cluster" else program(name)
        return subprocess.run([path, *words], env=clean_environment(**(env or {})), stdin=stdin, capture_output=True, timeout=SECONDS)

    def refused(self, name, *words, says, env=None):
        """Wrong usage or configuration: status 2 and one line that says it."""
        done = self.run_program(name, *words, env=env)
        text = done.stderr.decode()
        shown = f"{name} {words}: {done.returncode} {done.stdout!r} {text!r}"
        self.assertEqual(done.returncode, 2, shown)
        self.assertEqual(done.stdout, b"", shown)
        self.assertEqual(len(text.splitlines()), 1, shown)
        self.assertTrue(text.isprintable() or text[:-1].isprintable(), shown)
        prefix = "config/cluster: " if name == "cluster" else f"{name}: "
        self.assertTrue(text.startswith(prefix), shown)
        self.assertGreater(len(text), len(prefix) + 15, shown)
        for word in [says] if isinstance(says, str) else says:
            self.assertRegex(text, word, shown)

    def fails(self, name, *words, says, env=None):
        """Trouble at run time: status 1 and an ERROR line that says it."""
        done = self.run_program(name, *words, env=env)
        text = done.stderr.decode()
        shown = f"{name} {words}: {done.returncode} {done.stdout!r} {text!r}"
        self.assertEqual(done.returncode, 1, shown)
        errors = [line for line in text.splitlines() if " ERROR " in line]
        self.assertTrue(errors, shown)
        for word in [says] if isinstance(says, str) else says:
            self.assertRegex(errors[-1], word, shown)
        self.assertNotIn("Sanitizer", text)
        return errors

    def broker_words(self, *more):
        return ["--config", self.cluster, *more]

    def node_words(self, *more, node="node1"):
        return ["--config", self.node, "--cluster", self.cluster, "--id", node, *more]

    def start(self, name, *words, log=None):
        """A process that is to serve; ended at the end of the test."""
        out = open(self.folder / (log or f"{name}.log"), "wb")
        process = subprocess.Popen([program(name), *words], env=clean_environment(), stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        out.close()
        self.processes.append(process)
        return process

    def serves(self):
        return self.run_program("kv", "--port", str(self.port), "--timeout", "1", "DBSIZE").returncode == 0


class Help(Case):
    def test_help_and_version_of_every_program(self):
        for name in ("kvdb-broker", "kvdb-node", "kv", "kv-bench"):
            done = self.run_program(name, "--help")
            self.assertEqual((done.returncode, done.stderr), (0, b""), name)
            self.assertIn(b"usage", done.stdout)
            self.assertGreater(len(done.stdout.splitlines()), 8)
            done = self.run_program(name, "--version")
            self.assertEqual((done.returncode, done.stderr), (0, b""), name)
            self.assertRegex(done.stdout.decode(), rf"^{name} \d+\.\d+\.\d+\n$")
        done = self.run_program("cluster", "--help")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertIn(b"usage", done.stdout)


class BothServers(Case):
    """What can be wrong with a cluster file, told by broker and node alike."""

    def each(self, says):
        self.refused("kvdb-broker", *self.broker_words(), says=says)
        self.refused("kvdb-node", *self.node_words(), says=says)

    def wrong(self, text, says):
        self.write("cluster.yaml", text)
        self.each(says)

    def test_the_cluster_file_cannot_be_read(self):
        (self.folder / "cluster.yaml").unlink()
        self.each([r"cluster\.yaml", r"[Nn]o such file"])
        (self.folder / "cluster.yaml").mkdir()
        self.each([r"cluster\.yaml", r"not a regular file"])
        (self.folder / "cluster.yaml").rmdir()
        os.symlink("cluster.yaml", self.folder / "cluster.yaml")
        self.each(r"cluster\.yaml")

    def test_the_cluster_file_is_no_yaml(self):
        place = r"cluster\.yaml:\d+:\d+: "
        self.wrong("", r"cluster\.yaml")
        self.wrong("\n\n# nothing\n", r"no nodes are given")
        self.wrong(b"\0\1\2\xff\xfe" * 100, r"cluster\.yaml")
        self.wrong(os.urandom(5000), r"cluster\.yaml")
        self.wrong("a: [1\nb: 2\n", place)
        self.wrong("just words\n", place)
        self.wrong("- a\n- b\n", place)
        self.wrong("x: 1\n" * 200000, r"cluster\.yaml")
        self.wrong("#" * (2 * 1024 * 1024), r"cluster\.yaml")
        self.wrong("[" * 10000, r"cluster\.yaml")

    def test_keys_and_aliases(self):
        self.wrong(self.cluster_text("nosuch: 1\n"), [r"cluster\.yaml:2:1: ", r"nosuch"])
        self.wrong(self.cluster_text("shards: 8\nshards: 8\n"), [r"cluster\.yaml:3:1: ", r"shards"])
        self.wrong(self.cluster_text("shards: &a 8\nreplicas: *a\n"), [r"cluster\.yaml:\d+:\d+: ", r"alias|anchor"])
        self.wrong(self.cluster_text("<<: {shards: 8}\n"), [r"cluster\.yaml:2:\d+: "])
        self.wrong(self.cluster_text() + f"  - {{id: node9, port: {self.port + 9}, colour: red}}\n", [r"cluster\.yaml:5:\d+: ", r"colour"])
        self.wrong(self.cluster_text() + "---\nshards: 8\n", r"cluster\.yaml")

    def test_types_and_ranges(self):
        for line, says in [("shards: many\n", r"16384"), ("shards: 0\n", r"1 .*16384"), ("shards: 16385\n", r"1 .*16384"), ("shards: 8.5\n", r"shards"),
                           ("shards: -1\n", r"shards"), ("shards: [8]\n", r"shards"), ("shards: {a: 1}\n", r"shards"), ("shards:\n", r"shards"),
                           ("shards: 99999999999999999999\n", r"shards"), ("max_value_bytes: 3q\n", r"max_value_bytes"),
                           ("max_value_bytes: 1\n", r"max_value_bytes"), ("max_value_bytes: 600m\n", r"max_value_bytes"),
                           ("beacon_ms: 0\n", r"beacon_ms"), ("lease_ms: 60\n", r"raise it to 150"), ("grace_ms: 250\n", r"not more than lease_ms"),
                           ("replicas: 3\n", r"replicas"), ("replicas: 2\n", r"replicas.*3 nodes"),
                           ("replicas: 1\n", r"replication is not in this version; set replicas: 0")]:
            self.wrong(self.cluster_text(line), [r"cluster\.yaml:2:\d+: ", says])

    def test_nodes(self):
        head = f"broker: {{port: {self.port}}}\n"
        for nodes, says in [("nodes: 5\n", r"nodes"), ("nodes: [5]\n", r"not a mapping"),
                            ("nodes: [{id: node1}]\n", r"port"), ("nodes: [{port: 5}]\n", r"id"), ("nodes: [{id: '', port: 5}]\n", r"id"),
                            ("nodes: [{id: a b, port: 5}]\n", r"no node id"), ("nodes: [{id: broker, port: 5}]\n", r"may not be called broker"),
                            ("nodes: [{id: node1, port: 0}]\n", r"port"), ("nodes: [{id: node1, port: 70000}]\n", r"65535"),
                            ("nodes: [{id: node1, port: x}]\n", r"port"), (f"nodes: [{{id: {'n' * 64}, port: 5}}]\n", r"id"),
                            ("nodes: [{id: node1, port: 5}, {id: node1, port: 6}]\n", r"two nodes are called node1"),
                            ("nodes: [{id: node1, port: 5}, {id: node2, port: 5}]\n", r"same host and port"),
                            ("nodes: [{id: node1, host: 'a/b', port: 5}]\n", r"no host"), (f"nodes: [{{id: node1, port: {self.port + 1}}}]\n", r"the broker uses"),
                            ("nodes: [{id: node1, port: 5, useGrpc: perhaps}]\n", r"useGrpc")]:
            self.wrong(head + nodes, [r"cluster\.yaml:\d+:\d+: ", says])
        for nodes in ("nodes: []\n", ""):
            self.wrong(head + nodes, r"no nodes are given; list at least one|nodes has too few items; allowed are 1 to 256")
        self.wrong("shards: 1\n" + self.cluster_text(), [r"cluster\.yaml:1:\d+: ", r"2 nodes cannot share 1 shards"])

    def test_flags_and_variables(self):
        for name, words in (("kvdb-broker", self.broker_words()), ("kvdb-node", self.node_words())):
            self.refused(name, *words, "--nosuch", "1", says=r"--nosuch")
            self.refused(name, *words, "--shards", says=r"--shards.*value")
            self.refused(name, *words, "--shards", "no", says=[r"--shards", r"16384"])
            self.refused(name, *words, "--shards", "", says=r"--shards")
            self.refused(name, *words, "--shards=", says=r"--shards")
            self.refused(name, *words, "stray", says=r"stray")
            self.refused(name, *words, "-z", says=r"-z")
            self.refused(name, *words, "--max-value-bytes", "600m", says=r"--max-value-bytes")
            self.refused(name, *words, "--replicas", "1", says=r"replication is not in this version")
            self.refused(name, *words, env={"KVDB_SHARDS": "x"}, says=r"KVDB_SHARDS")
            self.refused(name, *words, env={"KVDB_SHARDS": ""}, says=r"KVDB_SHARDS")
            self.refused(name, *words, env={"KVDB_REPLICAS": "1"}, says=r"replication is not in this version")
            self.refused(name, says=r"--config")
            self.refused(name, "--config", "", says=r"config")
            self.refused(name, "--config", "x" * 5000, says=r"config")


class Broker(Case):
    def test_binding_more_than_loopback_takes_a_word(self):
        for host in ("0.0.0.0", "*", "10.255.255.1", "::", "example.invalid"):
            self.refused("kvdb-broker", *self.broker_words("--broker-bind", host), says=[r"--broker-bind", r"--allow-unauthenticated"])
        self.write("cluster.yaml", self.cluster_text().replace("host: 127.0.0.1, port: " + str(self.port) + "}", f"host: 0.0.0.0, port: {self.port}}}", 1))
        self.refused("kvdb-broker", *self.broker_words(), says=[r"cluster\.yaml:1:\d+: ", r"--allow-unauthenticated"])

    def test_an_address_that_is_not_of_this_machine(self):
        for host in ("198.51.100.7", "no-such-host.invalid"):
            errors = self.fails("kvdb-broker", *self.broker_words("--broker-bind", host, "--allow-unauthenticated"), says=[r"cannot listen", re.escape(host)])
            self.assertLessEqual(len(errors), 2)

    def test_a_port_in_use(self):
        for offset in (0, 1):
            with socket.socket() as taken:
                taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                taken.bind(("127.0.0.1", self.port + offset))
                taken.listen()
                self.fails("kvdb-broker", *self.broker_words(), says=[str(self.port + offset), r"in use"])

    def test_ranges_of_its_own_settings(self):
        for flag, value in (("--broker-connections", "0"), ("--broker-connections", "100001"), ("--broker-deadline-ms", "0"),
                            ("--broker-queue-bytes", "1k"), ("--broker-client-output-bytes", "10"), ("--broker-shard-queue-commands", "1"), ("--port", "65535")):
            self.refused("kvdb-broker", *self.broker_words(flag, value), says=flag)

    def test_the_data_directory(self):
        plain = self.write("plain", "a file\n")
        self.fails("kvdb-broker", *self.broker_words("--data", plain), says=[r"plain", r"[Nn]ot a directory"])
        self.fails("kvdb-broker", *self.broker_words("--data", plain + "/below"), says=[r"plain", r"[Nn]ot a directory"])
        self.fails("kvdb-broker", *self.broker_words("--data", "/proc/nosuch/data"), says=[r"/proc/nosuch", r"cannot create"])
        for damage in (b"", b"garbage", b"kvdb-identity 1\nuuid 00\n", b"\0" * 300, b"x" * 10000):
            data = self.folder / "data"
            data.mkdir(exist_ok=True)
            (data / "cluster").write_bytes(damage)
            self.fails("kvdb-broker", *self.broker_words("--data", str(data)), says=[r"data/cluster", r"damaged", r"backup"])
            self.assertEqual((data / "cluster").read_bytes(), damage, "a damaged identity was overwritten")
        (data / "cluster").unlink()
        (data / "cluster").mkdir()
        self.fails("kvdb-broker", *self.broker_words("--data", str(data)), says=[r"data/cluster", r"directory"])

    def test_other_nodes_than_the_cluster_was_made_with(self):
        """Another list, or order, would give shards to nodes that do not hold them: a false nil for most keys."""
        answers = lambda: self.run_program("kv", "--port", str(self.port), "--timeout", "1", "PING").returncode == 0
        made = self.cluster_text()
        head, first, second = made.rsplit("  - ", 2)
        for text in (None, self.cluster_text(nodes=3), f"{head}  - {second}  - {first}", self.cluster_text("shards: 32\n"), None):
            if text is not None:
                self.write("cluster.yaml", text)
                self.fails("kvdb-broker", *self.broker_words(), says=[r"placement", r"other nodes", r"empty data directory"])
                self.write("cluster.yaml", made)
                continue
            broker = self.start("kvdb-broker", *self.broker_words())
            wait_until(answers, 30, "the broker")
            broker.terminate()
            self.assertEqual(broker.wait(30), 0)


class Node(Case):
    def test_which_node(self):
        for node in ("node9", "NODE1", "node1 ", "broker"):
            self.refused("kvdb-node", *self.node_words(node=node), says=r"lists no node")
        self.refused("kvdb-node", *self.node_words(node=""), says=r"id")
        self.refused("kvdb-node", *self.node_words(node="n" * 64), says=r"id")
        self.refused("kvdb-node", "--config", self.node, "--cluster", self.cluster, says=r"--id")
        self.refused("kvdb-node", "--config", self.node, "--id", "node1", says=r"--cluster")
        self.refused("kvdb-node", "--cluster", self.cluster, "--id", "node1", says=r"--config")

    def test_which_broker(self):
        for broker in ("here", "host:", ":7000", "host:0", "host:65535", "host:99999999999", "host:7x", "a:b:c"):
            self.refused("kvdb-node", *self.node_words("--broker", broker), says=[r"--broker", r"HOST:PORT"])

    def test_its_file(self):
        for name, text, says in [
            ("node.yaml", "kvdb: {persistence: {filetype: xml}}\n", [r"node\.yaml:1:\d+", r"dat"]),
            ("node.yaml", "kvdb: {persistence: {fsync: sometimes}}\n", [r"node\.yaml:1:\d+", r"always"]),
            ("node.yaml", "kvdb: {persistence: {autoFlushInterval: 0}}\n", [r"node\.yaml:1:\d+", r"3600"]),
            ("node.yaml", "kvdb: {persistence: {enableAutoFlush: perhaps}}\n", [r"node\.yaml:1:\d+", r"true"]),
            ("node.yaml", "kvdb: {nosuch: 1}\n", [r"node\.yaml:1:\d+", r"nosuch"]),
            ("node.properties", "kvdb.persistence.filetype=xml\n", [r"node\.properties:1:\d+", r"dat"]),
            ("node.properties", "kvdb.nosuch=1\n", [r"node\.properties:1:\d+", r"nosuch"]),
            ("node.properties", "# x\nkvdb.persistence.fsync=never\nkvdb.persistence.fsync=never\n", [r"node\.properties:3:\d+", r"fsync"]),
            ("node.properties", "words without sense\n", r"node\.properties:1:\d+"), ("node.properties", b"\0\xff" * 50, r"node\.properties"),
            ("node.properties", "kvdb.persistence.filetype=\\u12\n", r"node\.properties:1:\d+"),
            ("node.txt", "kvdb.persistence.filetype=dat\n", [r"node\.txt", r"yaml"]),
        ]:
            path = self.write(name, text)
            self.refused("kvdb-node", "--config", path, "--cluster", self.cluster, "--id", "node1", says=says)
        self.refused("kvdb-node", *self.node_words(), env={"KVDB_PERSISTENCE_FSYNC": "sometimes"}, says=[r"KVDB_PERSISTENCE_FSYNC", r"always"])
        self.refused("kvdb-node", *self.node_words("--persistence-fsync", "sometimes"), says=[r"--persistence-fsync", r"always"])

    def test_the_data_directory(self):
        plain = self.write("plain", "a file\n")
        self.fails("kvdb-node", *self.node_words("--data", plain), says=[r"plain", r"[Nn]ot a directory"])
        self.fails("kvdb-node", *self.node_words("--data", "/proc/nosuch/data"), says=r"/proc/nosuch")
        data = self.folder / "data"
        data.mkdir()
        (data / "identity").write_bytes(b"kvdb-identity 1\nuuid x\ncluster y\ncheck z\n")
        self.fails("kvdb-node", *self.node_words("--data", str(data)), says=[r"data/identity", r"damaged"])

    def test_its_direct_door_is_taken(self):
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", self.port + 2))
            taken.listen()
            self.fails("kvdb-node", *self.node_words(), says=[str(self.port + 2), r"in use"])


class BrokerAndNode(Case):
    """Faults that only show when the two meet."""

    def test_another_number_of_shards(self):
        self.start("kvdb-broker", *self.broker_words())
        self.fails("kvdb-node", *self.node_words("--shards", "32"), says=[r"64 shards", r"32", r"same file"])

    def test_a_node_the_broker_does_not_know(self):
        other = self.write("other.yaml", self.cluster_text(nodes=3))
        self.start("kvdb-broker", *self.broker_words())
        self.fails("kvdb-node", "--config", self.node, "--cluster", other, "--id", "node3", says=[r"refused node node3", r"lists no node"])

    def test_two_processes_of_one_id(self):
        self.start("kvdb-broker", *self.broker_words())
        first = self.start("kvdb-node", *self.node_words("--data", str(self.folder / "one")))
        self.start("kvdb-node", *self.node_words("--data", str(self.folder / "two"), node="node2"), log="two.log")
        wait_until(self.serves, 20, "the cluster")
        # With the first one's file the second fails at the door; elsewhere, at the broker.
        self.fails("kvdb-node", *self.node_words("--data", str(self.folder / "three")), says=r"in use")
        elsewhere = self.write("elsewhere.yaml", self.cluster_text().replace(f"port: {self.port + 2}", f"port: {self.port + 9}"))
        errors = self.fails("kvdb-node", "--config", self.node, "--cluster", elsewhere, "--id", "node1", "--data", str(self.folder / "four"),
                            says=[r"refused node node1", r"another process answers to this node id"])
        self.assertLessEqual(len(errors), 2)
        self.assertTrue(self.serves())
        self.assertIsNone(first.poll())

    def test_a_node_of_another_cluster(self):
        broker = self.start("kvdb-broker", *self.broker_words("--data", str(self.folder / "a")))
        one = self.start("kvdb-node", *self.node_words("--data", str(self.folder / "n1")))
        self.start("kvdb-node", *self.node_words("--data", str(self.folder / "n2"), node="node2"), log="two.log")
        wait_until(self.serves, 20, "the cluster")
        for process in (one, broker):
            process.send_signal(signal.SIGTERM)
            process.wait(10)
        self.start("kvdb-broker", *self.broker_words("--data", str(self.folder / "b")), log="b.log")
        self.fails("kvdb-node", *self.node_words("--data", str(self.folder / "n1")), says=[r"refused node node1", r"another cluster"])

    def test_a_node_without_a_broker_ends_when_it_is_told(self):
        node = self.start("kvdb-node", *self.node_words())
        time.sleep(0.5)
        self.assertIsNone(node.poll())
        node.send_signal(signal.SIGTERM)
        self.assertEqual(node.wait(10), 0)


class Clients(Case):
    def test_kv(self):
        for words, says in [(["--nosuch"], r"--nosuch"), (["--port"], r"--port"), (["--port", "x", "PING"], r"--port"), (["--port", "0", "PING"], r"--port"),
                            (["--port", "65536", "PING"], r"65535"), (["--host", "", "PING"], r"host"), (["--host", "a b", "PING"], r"host"),
                            (["--node", "x", "PING"], r"HOST:PORT"), (["--node", "h:0", "PING"], r"HOST:PORT"), (["--timeout", "x", "PING"], r"--timeout"),
                            (["--timeout", "0", "PING"], r"--timeout"), (["--timeout", "-1", "PING"], r"--timeout"), (["--timeout", "nan", "PING"], r"--timeout"),
                            (["--timeout", "1e9", "PING"], r"--timeout"), (["-x", "connect"], r"-x"), (["--pipe", "GET", "x"], r"--pipe")]:
            self.refused("kv", *words, says=says)
        done = self.run_program("kv")
        self.assertEqual((done.returncode, done.stdout), (2, b""))
        self.assertIn(b"usage", done.stderr)

    def test_kv_without_a_server(self):
        for words in (["PING"], ["connect"], ["status"], ["--pipe"]):
            start = time.monotonic()
            done = subprocess.run([program("kv"), "--port", str(self.port), "--timeout", "1", *words], env=clean_environment(),
                                  input=b"PING\n", capture_output=True, timeout=SECONDS)
            self.assertEqual(done.returncode, 3, (words, done.stdout, done.stderr))
            self.assertIn(b"no", done.stderr)
            self.assertLess(time.monotonic() - start, 60)

    def test_kv_bench(self):
        for words, says in [(["--nosuch"], r"--nosuch"), (["-c"], r"-c|--connections"), (["-c", "-1"], r"-c|--connections"), (["-P", "x"], r"-P|--pipeline"),
                            (["-n", "-5"], r"-n|--requests"), (["-t", "nosuch"], r"get, set and mixed"), (["-d", "9999999999999"], r"-d|--"), (["--port", "0"], r"--port"),
                            (["--threads", "0"], r"--threads"), (["stray"], r"stray")]:
            self.refused("kv-bench", *words, says=says)
        done = self.run_program("kv-bench", "--port", str(self.port), "-n", "10", "-t", "get")
        self.assertNotEqual(done.returncode, 0)
        self.assertTrue(done.stderr.strip())

    def test_config_cluster(self):
        folder = str(self.folder / "c")
        plain = self.write("plain", "x")
        here = ["--dir", folder, "--port", str(self.port)]
        for words, says in [(["nosuch", *here], r"nosuch"), (["up", *here, "--nosuch"], r"--nosuch"), (["up", "--port"], r"--port"),
                            (["up", "--dir", folder, "--port", "x"], r"--port x"), (["up", "--dir", folder, "--port", "70000"], r"--port 70000"),
                            (["up", *here, "--nodes", "0"], r"--nodes 0"), (["up", *here, "--nodes", "49"], r"--nodes 49"), (["up", *here, "--nodes", "1e3"], r"--nodes"),
                            (["up", *here, "--replicas", "-1"], r"--replicas"), (["up", *here, "stray"], r"stray"), (["kill", *here], r"ID"),
                            (["kill", *here, "node1"], r"no cluster"), (["status", *here], r"no cluster"), (["start", *here, "node1"], r"no cluster"),
                            (["up", "--dir", plain], r"not a directory"), (["up", "--dir", str(self.folder)], r"not empty"), (["down", *here, "--nodes", "3"], r"--nodes")]:
            self.refused("cluster", *words, says=says)

    def test_config_cluster_up_fails_and_takes_back_what_it_started(self):
        env = {"KVDB_BUILD_DIR": str(pathlib.Path(program("kv")).parents[1])}
        here = ["--dir", str(self.folder / "c"), "--port", str(self.port)]
        for more, words, says in [({"KVDB_SHARDS": "0"}, [], rb"KVDB_SHARDS"), ({}, ["--replicas", "1"], rb"replication is not in this version"),
                                  ({"KVDB_NOSUCH_OPTION": "1"}, None, b"")]:
            if words is None:
                continue
            done = self.run_program("cluster", "up", *here, *words, env=dict(env, **more))
            self.assertIn(done.returncode, (1, 2), done)
            self.assertRegex(done.stderr, says)
            self.assertEqual(processes_of(self.folder), [])
            shutil.rmtree(self.folder / "c", ignore_errors=True)
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", self.port + 3))
            taken.listen()
            done = self.run_program("cluster", "up", *here, env=env)
            self.assertEqual(done.returncode, 1)
            self.assertIn(str(self.port + 3).encode(), done.stderr)


if __name__ == "__main__":
    unittest.main()
