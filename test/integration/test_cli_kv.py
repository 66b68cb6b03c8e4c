"""kv, kv-bench and the examples as people and scripts use them, on a real cluster."""
import base64
import json
import os
import pty
import re
import select
import subprocess
import sys
import time
import unittest

from harness import ROOT, Cluster, program, wait_until


def run(words, stdin=None, timeout=120):
    return subprocess.run(words, input=stdin, stdin=subprocess.DEVNULL if stdin is None else None,
                          capture_output=True, timeout=timeout)


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, *words):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(words[0], words)
        self.text = b""
        self.status = None

    def type(self, text):
        os.write(self.fd, text)

    def expect(self, text, seconds=30):
        """Waits for `text`, and forgets what came up to it."""
        deadline = time.monotonic() + seconds
        while text not in self.text:
            left = deadline - time.monotonic()
            ready = left > 0 and select.select([self.fd], [], [], left)[0]
            try:
                more = os.read(self.fd, 65536) if ready else b""
            except OSError:
                more = b""
            if not more:
                raise AssertionError(f"{text!r} did not come; the terminal shows {self.text!r}")
            self.text += more
        self.text = self.text.split(text, 1)[1]

    def end(self):
        """The exit status, once the program has ended by itself; it is killed if it does not."""
        deadline = time.monotonic() + 30
        while self.status is None and time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        if self.status is None:
            os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)
        os.close(self.fd)
        return self.status


class Cli(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(nodes=3)
        cls.cluster.__enter__()
        cls.place = ["--port", str(cls.cluster.port)]

    @classmethod
    def tearDownClass(cls):
        cls.cluster.__exit__(None, None, None)

    def test_usage_errors_are_status_2(self):
        for words in ([], ["--nonsense", "PING"], ["--port", "0", "PING"], ["--timeout", "x", "PING"],
                      ["--node", "nowhere", "PING"], ["--pipe", "PING"], ["-x", "status"], ["connect", "x"],
                      ["--scan", "PING"], ["--scan", "status"], ["--scan", "--pipe"], ["--pattern", "a*", "KEYS"],
                      ["-r", "0", "PING"], ["-r", "-2", "PING"], ["-r", "2", "--scan"], ["-r", "2", "connect"],
                      ["-i", "x", "PING"], ["-i", "-1", "PING"], ["-i", "nan", "PING"], ["-i", "", "PING"]):
            done = run([program("kv"), *words])
            self.assertEqual(done.returncode, 2, (words, done))
            self.assertEqual(done.stdout, b"")
            self.assertNotEqual(done.stderr, b"")

    def test_help_and_version(self):
        for name in ("kv", "kv-bench"):
            self.assertIn(b"--host", run([program(name), "--help"]).stdout)
            self.assertRegex(run([program(name), "--version"]).stdout, rb"\d+\.\d+\.\d+")

    def test_no_server_is_status_3(self):
        done = run([program("kv"), "--port", "1", "--timeout", "0.3", "PING"])
        self.assertEqual((done.returncode, done.stdout), (3, b""))
        self.assertIn(b"nothing was sent", done.stderr)
        self.assertEqual(run([program("kv-bench"), "--port", "1"]).returncode, 3)

    def test_what_cannot_be_sent_is_said_at_once(self):
        large = b"v" * (66 << 20)
        start = time.monotonic()
        for words, stdin, status, text in (
                (["--host", "no-such-host.invalid", "PING"], None, 3, b"has no address"),
                (["--host", "no-such-host.invalid", "connect"], None, 3, b"has no address"),
                ([*self.place, "-x", "SET", "cli:large"], large, 2, b"values have 67108864 bytes at most"),
                ([*self.place, "-x", "MSET", "cli:a", "a", "cli:large"], large, 2, b"nothing was sent"),
                (["--node", f"127.0.0.1:{self.cluster.port + 2}", "-x", "SET", "cli:large"], large, 2, b"nothing was sent"),
                ([*self.place, "--pipe"], b"SET cli:large " + large + b"\nPING\n", 1,
                 b"line 1: a command of 69206")):
            done = run([program("kv"), "--timeout", "110", *words], stdin)
            self.assertEqual(done.returncode, status, done.stderr)
            self.assertIn(text, done.stderr)
        self.assertEqual(done.stdout, b"2 commands, 1 replies, 1 errors\n")
        done = run([program("kv-bench"), "--host", "no-such-host.invalid"])
        self.assertEqual(done.returncode, 3)
        self.assertIn(b"has no address", done.stderr)
        self.assertLess(time.monotonic() - start, 100)
        self.cluster.kv("-x", "SET", "cli:large", stdin=large[:64 << 20])
        self.cluster.kv("DEL", "cli:large")

    def test_flags_end_at_the_command(self):
        self.assertEqual(self.cluster.kv("DECRBY", "cli:counter", "-5"), b"5\n")
        self.assertEqual(self.cluster.kv("ECHO", "--json"), b"--json\n")

    def test_environment_names_the_server(self):
        env = dict(os.environ, KVDB_HOST="localhost", KVDB_PORT=str(self.cluster.port))
        done = subprocess.run([program("kv"), "PING"], env=env, capture_output=True, timeout=60)
        self.assertEqual(done.stdout, b"PONG\n", done.stderr)

    def test_json_keeps_every_byte(self):
        binary = bytes(range(256))
        self.cluster.kv("-x", "SET", "cli:binary", stdin=binary)
        self.cluster.kv("SET", "cli:text", 'é "quoted"\n')
        values = json.loads(self.cluster.kv("--json", "MGET", "cli:binary", "cli:text", "cli:absent"))
        self.assertEqual(base64.b64decode(values[0]["$base64"]), binary)
        self.assertEqual(values[1:], ['é "quoted"\n', None])
        error = json.loads(self.cluster.kv("--json", "NOSUCH", status=1))["error"]
        self.assertEqual(error["name"], "UNKNOWN_COMMAND")

    def test_status_as_json(self):
        topology = json.loads(self.cluster.kv("--json", "status"))
        self.assertEqual([node["id"] for node in topology["nodes"]], ["node1", "node2", "node3"])
        self.assertEqual(len(topology["owners"]), topology["shards"])
        self.assertRegex(topology["cluster"], "^[0-9a-f]{32}$")

    def test_status_as_a_table_with_the_rate(self):
        text = self.cluster.kv("status").decode()
        for pattern in (r"^broker +tcp://127\.0\.0\.1:\d+$", r"^cluster +[0-9a-f]{32}$", r"^epoch +\d+$", r"^uptime +\d",
                        r"^shards +64: node1 22, node2 21, node3 21$", r"^memory +[\d.]+ (B|KiB|MiB)$",
                        r"^ops/s +\d+ through the broker$", r"^NODE +ADDRESS +STATE +ROLE +SHARDS +KEYS +MEMORY +BEACON$",
                        r"^node2 +\S+:\d+ +up +owner +21 +\d+ +[\d.]+ [KM]iB +\d+ ms$"):
            self.assertRegex(text, re.compile(pattern, re.MULTILINE))

    def test_what_one_node_says_is_told_from_what_the_cluster_says(self):
        node = [program("kv"), "--node", f"127.0.0.1:{self.cluster.port + 2}"]
        terminal = Terminal(*node, "DBSIZE")
        terminal.expect(b"(integer) ")
        terminal.expect(b"(this node alone; without --node it is the whole cluster)")
        self.assertEqual(terminal.end(), 0)
        self.assertEqual(run([*node, "DBSIZE"]).stderr, b"")
        done = run([*node, "status"])
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assertIn(b"without --node the broker shows the cluster", done.stderr)
        self.assertIn(b"whole cluster; asked at a node's own door, of that node", self.cluster.kv("HELP", "DBSIZE"))

    def test_status_counts_commands_a_second(self):
        load = subprocess.Popen([program("kv"), *self.place, "-r", "-1", "-i", "0.002", "PING"],
                                stdout=subprocess.DEVNULL)
        try:
            start = time.monotonic()
            self.assertGreater(json.loads(self.cluster.kv("--json", "status"))["ops_per_s"], 10)
            with_rate = time.monotonic() - start
        finally:
            load.kill()
            load.wait()
        start = time.monotonic()
        self.assertNotIn("ops_per_s", json.loads(self.cluster.kv("--json", "status", "--no-rate")))
        self.assertLess(time.monotonic() - start, with_rate)

    def test_repeat_and_interval(self):
        self.cluster.kv("DEL", "cli:repeat")
        start = time.monotonic()
        self.assertEqual(self.cluster.kv("-r", "4", "-i", "0.25", "INCR", "cli:repeat"), b"1\n2\n3\n4\n")
        self.assertGreaterEqual(time.monotonic() - start, 0.75)
        self.assertEqual(self.cluster.kv("--repeat=2", "GET", "cli:repeat"), b"4\n4\n")
        self.assertEqual(self.cluster.kv("-r", "2", "-x", "ECHO", stdin=b"in"), b"in\nin\n")
        self.assertEqual(self.cluster.kv("-r", "2", "GET", status=1).count(b"ERR wrong number"), 2)
        forever = subprocess.Popen([program("kv"), *self.place, "-r", "-1", "PING"], stdout=subprocess.PIPE)
        self.assertEqual([forever.stdout.readline() for _ in range(100)], [b"PONG\n"] * 100)
        forever.stdout.close()  # and it ends by itself
        self.assertEqual(forever.wait(timeout=30), -13)

    def test_scan_streams_every_key(self):
        count = 5000
        lines = b"".join(b'SET "scan:%d" v\n' % i for i in range(count)) + b'SET "scan:\\xff\\n" v\n'
        self.cluster.kv("--pipe", stdin=lines)
        keys = {json.dumps(f"scan:{i}") for i in range(count)}
        for flags in ([], ["--count", "17"]):
            found = self.cluster.kv("--json", "--scan", "--pattern", "scan:*", *flags).decode().splitlines()
            odd = json.dumps({"$base64": base64.b64encode(b"scan:\xff\n").decode()})
            self.assertEqual(set(found), keys | {odd})
        self.assertEqual(self.cluster.kv("--scan", "--pattern", "scan:1[0]7"), b"scan:107\n")
        self.assertEqual(self.cluster.kv("--scan", "--pattern", "scan:nosuch"), b"")
        self.assertIn(b"scan:\xff\n\n", self.cluster.kv("--scan"))
        terminal = Terminal(program("kv"), *self.place, "--scan", "--pattern", "scan:[^0-9]*")
        terminal.expect(b'"scan:\\xff\\n"\r\n')
        self.assertEqual(terminal.end(), 0)
        with open("/dev/full", "wb") as full:
            done = subprocess.run([program("kv"), *self.place, "--scan"], stdout=full, stderr=subprocess.PIPE, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"the scan is incomplete", done.stderr)

    def test_pipe_sets_and_counts(self):
        count = 20000
        lines = b"".join(b'SET "cli:pipe:%d" "v\\x00%d"\n' % (i, i) for i in range(count))
        self.assertEqual(self.cluster.kv("--pipe", stdin=lines),
                         b"%d commands, %d replies, 0 errors\n" % (count, count))
        self.assertEqual(self.cluster.kv("GET", "cli:pipe:777"), b"v\0" + b"777\n")

    def test_pipe_names_the_lines_of_errors(self):
        done = run([program("kv"), *self.place, "--pipe"], b"SET cli:e x\nINCR cli:e\nGET 'open\nGET cli:e\n")
        self.assertEqual((done.returncode, done.stdout), (1, b"4 commands, 3 replies, 2 errors\n"))
        self.assertIn(b"line 2: (error) ERR value is not an integer", done.stderr)
        self.assertIn(b"line 3: a quote is not closed", done.stderr)

    def test_a_terminal_shows_what_redis_cli_shows(self):
        kv = [program("kv"), *self.place]
        for words, text in ((["SET", "cli:t", "a b"], b"OK\r\n"), (["GET", "cli:t"], b'"a b"\r\n'),
                            (["GET", "cli:none"], b"(nil)\r\n"), (["DEL", "cli:t"], b"(integer) 1\r\n"),
                            (["MGET", "cli:none"], b"1) (nil)\r\n"), (["NOSUCH"], b"(error) ERR unknown command")):
            terminal = Terminal(*kv, *words)
            terminal.expect(text)
            self.assertEqual(terminal.end(), 1 if words == ["NOSUCH"] else 0)

    def test_a_terminal_shows_info_as_lines_and_how_a_command_is_typed(self):
        kv = [program("kv"), "-h", "127.0.0.1", "-p", str(self.cluster.port)]
        for words, text, status in ((["INFO", "server"], b"# Server\r\r\nkvdb_version:", 0),
                                    (["KV", "info", "server"], b"role:broker\r\r\n", 0),
                                    (["GET"], b"\r\nusage: GET key\r\n", 1),
                                    (["SET", "a", "b", "EX"], b"\r\nusage: SET key value [NX|", 1),
                                    (["DBSIZE", "x"], b"\r\nusage: DBSIZE\r\n", 1)):
            terminal = Terminal(*kv, *words)
            terminal.expect(text)
            self.assertEqual(terminal.end(), status)
        self.assertNotIn(b"usage", self.cluster.kv("GET", status=1))
        self.assertIn(b"--host", run([program("kv"), "-h"]).stdout)
        done = run([program("kv-bench"), "-p", str(self.cluster.port), "-h", "127.0.0.1", "-n", "10", "-t", "set"])
        self.assertEqual(done.returncode, 0, done)

    def test_the_prompt(self):
        prompt = b"kvdb 127.0.0.1:%d> " % self.cluster.port
        terminal = Terminal(program("kv"), "connect", "--host", "127.0.0.1", *self.place)
        for line, answer in ((b"SET cli:p 'a b'", b"OK"), (b"kv get cli:p", b'"a b"'), (b"HELP GET", b"GET key"),
                             (b"", b"\n"), (b"GET", b"(error) ERR wrong number"), (b"no\x03", b"^C"),
                             (b"status", b"node2")):
            terminal.expect(prompt)
            terminal.type(line + (b"" if line.endswith(b"\x03") else b"\n"))
            terminal.expect(answer)
        terminal.expect(prompt)
        terminal.type(b"\x04")
        self.assertEqual(terminal.end(), 0)

    def test_bench_prints_one_object_a_test(self):
        done = run([program("kv-bench"), *self.place, "-c", "5", "-P", "8", "-n", "4000", "-r", "500", "-d", "20",
                    "-t", "get,set,mixed", "--threads", "2", "--callers", "2", "--broker", "--json"])
        self.assertEqual(done.returncode, 0, done)
        tests = json.loads(done.stdout)
        self.assertEqual([test["test"] for test in tests], ["get", "set", "mixed"])
        for test in tests:
            self.assertEqual(set(test), {"test", "ops_per_s", "p50_us", "p99_us", "p999_us", "max_us", "errors"})
            self.assertEqual(test["errors"], 0)
            self.assertGreater(test["ops_per_s"], 0)
            self.assertLessEqual(test["p50_us"], test["max_us"])
        self.assertEqual(self.cluster.kv("STRLEN", "key:000000000499"), b"20\n")

    def test_bench_ends_with_its_duration(self):
        start = time.monotonic()
        done = run([program("kv-bench"), *self.place, "--duration", "1", "-t", "set", "-c", "3"])
        self.assertEqual(done.returncode, 0, done)
        self.assertLess(time.monotonic() - start, 30)

    def test_bench_goes_to_the_nodes_and_shares_connections(self):
        for words in (["-c", "4", "-P", "8"], ["--callers", "4"], ["-c", "2", "--callers", "2", "-P", "4"]):
            done = run([program("kv-bench"), *self.place, "--direct", "-n", "4000", "-r", "500", "-d", "20", "-t", "get,mixed",
                        *words, "--json"])
            self.assertEqual(done.returncode, 0, done)
            for test in json.loads(done.stdout):
                self.assertEqual(set(test), {"test", "ops_per_s", "p50_us", "p99_us", "p999_us", "max_us", "errors"})
                self.assertEqual(test["errors"], 0)
                self.assertGreater(test["ops_per_s"], 0)
        done = run([program("kv-bench"), *self.place, "--direct", "--broker"])
        self.assertEqual(done.returncode, 2)

    def test_the_examples_run(self):
        done = run([sys.executable, str(ROOT / "client" / "examples" / "req.py"), self.cluster.endpoint])
        self.assertEqual(done.stdout, b"OK\nb'hello'\n", done.stderr)
        self.assertLess(len((ROOT / "client" / "examples" / "req.py").read_text().splitlines()), 10)
        self.cluster.kv("DEL", "visits")
        done = run([program("examples/hello"), "127.0.0.1", str(self.cluster.port)])
        self.assertEqual(done.stdout, b"SET: OK\n" + b"".join(b"INCR: %d\n" % i for i in range(1, 7)), done.stderr)


class LostServer(unittest.TestCase):
    def test_status_and_scan_with_a_node_down(self):
        with Cluster(nodes=2) as cluster:
            cluster.kv("MSET", *(word for i in range(100) for word in (f"key:{i}", "v")))
            left = int(run([program("kv"), "--node", f"127.0.0.1:{cluster.port + 2}", "DBSIZE"]).stdout)
            self.assertTrue(0 < left < 100)

            def status():
                return run([program("kv"), "--port", str(cluster.port), "status", "--no-rate"])

            wait_until(lambda: re.search(rb"(?m)^keys +100$", status().stdout), 10, "the count of all keys")
            cluster.script("kill", "node2")
            wait_until(lambda: b"suspect" not in status().stdout, 10, "the broker's word that node2 is down")
            self.assertRegex(status().stdout, rb"(?m)^keys +%d, not counting node2$" % left)
            self.assertRegex(status().stdout, rb"(?m)^node2 +\S+ +down +owner +32 +- +- ")
            done = status()
            self.assertEqual(done.returncode, 1, done)
            self.assertRegex(done.stdout, rb"(?m)^shards +64: node1 32, node2 32 \((down|suspect)\)$")
            done = run([program("kv"), "--port", str(cluster.port), "--timeout", "1", "--scan"])
            self.assertEqual(done.returncode, 1, done)
            self.assertIn(b"the scan is incomplete", done.stderr)
            cluster.script("start", "node2")

    def test_status_and_scan_without_a_server_end_in_time(self):
        start = time.monotonic()
        for words in (["status"], ["--scan"], ["-r", "2", "PING"]):
            done = run([program("kv"), "--port", "1", "--timeout", "0.3", *words])
            self.assertEqual((done.returncode, done.stdout), (3, b""), done)
        self.assertLess(time.monotonic() - start, 15)

    def test_pipe_stops_and_says_what_was_acknowledged(self):
        with Cluster(nodes=1) as cluster:
            pipe = subprocess.Popen([program("kv"), "--port", str(cluster.port), "--timeout", "2", "--pipe"],
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            pipe.stdin.write(b"SET a 1\n" * 1000)
            pipe.stdin.flush()
            wait_until(lambda: cluster.kv("GET", "a") == b"1\n", 30, "the first line")
            time.sleep(0.5)
            cluster.script("kill", "broker")
            out, err = pipe.communicate(b"SET a 2\n" * 1000, timeout=60)
            self.assertEqual(pipe.returncode, 3, err)
            self.assertIn(b"1000 of ", err)
            self.assertIn(b" 1000 replies, 0 errors", out)
            cluster.script("start", "broker")

    def test_the_prompt_survives_a_broker_that_returns(self):
        with Cluster(nodes=1) as cluster:
            terminal = Terminal(program("kv"), "connect", "--port", str(cluster.port), "--timeout", "1")
            terminal.expect(b"> ")
            terminal.type(b"SET a 1\n")
            terminal.expect(b"OK")
            cluster.script("kill", "broker")
            terminal.type(b"GET a\n")
            terminal.expect(b"kv: no ")
            terminal.expect(b"> ")
            cluster.script("start", "broker")
            wait_until(lambda: cluster.kv("GET", "a") == b"1\n", 30, "the cluster")
            time.sleep(1.5)  # the prompt's own connection tries again once a second at least
            terminal.type(b"GET a\n")
            terminal.expect(b'"1"')
            terminal.type(b"EXIT\n")
            self.assertEqual(terminal.end(), 0)


if __name__ == "__main__":
    unittest.main()
