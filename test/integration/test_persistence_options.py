"""Every way to say how a node keeps its data does what it says: the original's properties, YAML, flags and variables, and
which of them wins; bad values are refused with a reason. Then what the policies mean to a node that is stopped and started
in an orderly way, and to a client that asks while it loads.

Method: real processes, told apart by INFO persistence, by the files they make, and by what they sync (test/fault).
"""
import signal
import subprocess
import time
import unittest

from disks import LIBRARY, SyncFaults
from harness import Cluster, program, wait_until
from servers import BROKER, Servers, attempt, info_of, is_error

NOT_SUPPORTED, LOADING = 19, 35
SECONDS_TO_END = 20

# The original's keys, and the policy that they come down to.
ORIGINAL = ("kvdb.persistence.filepath=data/kvstore.dat\nkvdb.persistence.filetype=dat\n"
            "kvdb.persistence.enableAutoFlush={}\nkvdb.persistence.autoFlushInterval=2\n")


class Case(unittest.TestCase):
    def write_file(self, servers, text, suffix, n=1):
        servers.node_file[n] = servers.node(n).folder / f"node.{suffix}"
        servers.node_file[n].write_text(text)

    def serve(self, servers, n=1, *flags, env=None, data=None):
        servers.start_node(n, *flags, env=env, data=data)
        servers.serves(n)


# ---- the policy ------------------------------------------------------------------------------------------------------


class Policy(Case):
    """One node after another, each with a new data directory."""

    def policy(self, servers, index, text, suffix, *flags, env=None):
        """The policy of a node with that file, those flags and variables, as it is seen from outside."""
        folder = servers.node(1).folder / f"case{index}"
        folder.mkdir()
        data = folder / "data"
        servers.node_file[1] = folder / f"node.{suffix}"
        servers.node_file[1].write_text(text)
        self.serve(servers, 1, *flags, env=env, data=data)
        with servers.client(1) as node:
            found = info_of(node).get("fsync_policy")
            result = node.pipeline([["SET", "key", "value"]], options={"durability": "fsync"})[0]
        has_log = any(data.glob("wal-*.log"))
        self.assertEqual(servers.stop(1), 0)
        if found is None:
            self.assertFalse(has_log)
            self.assertTrue(is_error(result) and result.code == NOT_SUPPORTED, result)
            return "off"
        self.assertTrue(has_log)
        self.assertEqual(result, "OK")
        return found

    def expect(self, rows):
        with Servers(nodes=1) as servers:
            servers.start_broker()
            for index, (policy, text, suffix, flags, env) in enumerate(rows):
                self.assertEqual(self.policy(servers, index, text, suffix, *flags, env=env), policy, f"{text!r} {flags} {env}")

    def test_the_originals_properties(self):
        key = "kvdb.persistence."
        self.expect([("interval", ORIGINAL.format("true"), "properties", (), None),
                     ("never", ORIGINAL.format("false"), "properties", (), None),
                     ("interval", "# nothing\n", "properties", (), None)] +
                    [(policy, ORIGINAL.format(flush) + f"{key}fsync={policy}\n", "properties", (), None)
                     for policy in ("always", "interval", "never", "off") for flush in ("true", "false")])

    def test_yaml(self):
        self.expect([("interval", "kvdb: {persistence: {enableAutoFlush: true, autoFlushInterval: 2}}\n", "yaml", (), None),
                     ("never", "kvdb: {persistence: {enableAutoFlush: false}}\n", "yaml", (), None)] +
                    [(policy, text.format(policy), "yaml", (), None) for policy in ("always", "interval", "never", "off")
                     for text in ("kvdb:\n  persistence:\n    fsync: {}\n", "kvdb.persistence.fsync: {}\n")])

    def test_flags_and_variables(self):
        plain = "kvdb: {persistence: {filetype: dat}}\n"
        flag, variable = "--persistence-fsync", "KVDB_PERSISTENCE_FSYNC"
        self.expect([row for policy in ("always", "interval", "never", "off") for row in
                     ((policy, plain, "yaml", (flag, policy), None), (policy, plain, "yaml", (), {variable: policy}))] +
                    [("never", plain, "yaml", ("--persistence-enableautoflush=false",), None),
                     ("never", plain, "yaml", ("--persistence-enableAutoFlush=false",), None),
                     ("never", plain, "yaml", (), {"KVDB_PERSISTENCE_ENABLEAUTOFLUSH": "false"})])

    def test_a_flag_outranks_a_variable_and_that_a_file(self):
        variable, flag = "KVDB_PERSISTENCE_FSYNC", "--persistence-fsync"
        switch, switch_flag = "KVDB_PERSISTENCE_ENABLEAUTOFLUSH", "--persistence-enableautoflush"
        always = "kvdb.persistence.fsync=always\n"
        self.expect([("never", always, "properties", (), {variable: "never"}),
                     ("off", always, "properties", (flag, "off"), None),
                     ("interval", always, "properties", (flag, "interval"), {variable: "never"}),
                     ("never", always, "properties", (flag, "off", flag, "never"), None),
                     ("never", ORIGINAL.format("true"), "properties", (), {switch: "false"}),
                     ("interval", ORIGINAL.format("false"), "properties", (), {switch: "true"}),
                     ("interval", ORIGINAL.format("true"), "properties", (f"{switch_flag}=true",), {switch: "false"}),
                     # A policy that is named, wherever, outranks the original's switch, wherever.
                     ("always", always, "properties", (f"{switch_flag}=false",), None),
                     ("interval", "# nothing\n", "properties", (f"{switch_flag}=false",), {variable: "interval"})])


class Interval(Case):
    def test_it_is_in_seconds_wherever_it_is_set(self):
        """Four nodes: those with an interval of a second sync by themselves, those with an hour have not begun to then."""
        name = "KVDB_PERSISTENCE_AUTOFLUSHINTERVAL"
        hour = "kvdb.persistence.autoFlushInterval=3600\n"
        ways = {1: (hour, (), None), 2: (hour, (), {name: "1"}), 3: (hour, ("--persistence-autoflushinterval", "1"), {name: "3600"}),
                4: ("kvdb.persistence.autoFlushInterval=1\n", ("--persistence-autoflushinterval", "3600"), {name: "1"})}
        with Servers(nodes=4) as servers:
            servers.start_broker()
            for n, (text, flags, env) in ways.items():
                self.write_file(servers, text, "properties", n)
                self.serve(servers, n, *flags, env=env)
            for n in ways:
                with servers.client() as broker:
                    wait_until(lambda: not is_error(attempt(broker, "MSET", *[f"key{i}" for i in range(200)])), 20, "service")
            before = {n: servers.info(n) for n in ways}
            wait_until(lambda: all(self.is_synced(servers, n, before[n]) for n in (2, 3)), 20, "syncs at an interval of a second")
            for n in (1, 4):
                after = servers.info(n)
                self.assertLess(int(after["log_durable"]), int(after["log_appended"]), f"node {n} syncs each hour")
                self.assertEqual(after["log_syncs"], before[n]["log_syncs"])

    @staticmethod
    def is_synced(servers, n, before):
        after = servers.info(n)
        return int(after["log_durable"]) >= int(before["log_appended"]) and after["log_durable"] == after["log_appended"]


# ---- bad values ------------------------------------------------------------------------------------------------------


class BadValues(Case):
    # option, values that are refused, what the error says is allowed
    OPTIONS = [("fsync", ("sometimes", "Always!", "1", ""), r"always"),
               ("enableAutoFlush", ("perhaps", "2", ""), r"true"),
               ("autoFlushInterval", ("0", "-1", "3601", "1.5", "soon", "1s", "", "99999999999999999999"), r"3600"),
               ("filetype", ("xml", "DAT.", ""), r"dat"),
               ("filepath", ("", "x" * 4096), r"4095"),
               ("segment_bytes", ("1k", "2g", "many", "-1"), r"64k"),
               ("snapshot_log_bytes", ("0", "1k"), r"1m"),
               ("snapshot_interval", ("0", "31536001"), r"31536000")]

    def refused(self, servers, place, allowed, *flags, env=None):
        done = subprocess.run(servers.node_words(1, *flags), env=servers.environment(env), stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=SECONDS_TO_END)
        text = done.stderr.decode()
        shown = f"{flags} {env}: {done.returncode} {text!r}"
        self.assertEqual((done.returncode, done.stdout, len(text.splitlines())), (2, b"", 1), shown)
        self.assertTrue(text.startswith("kvdb-node: "), shown)
        self.assertRegex(text, place, shown)
        self.assertRegex(text, allowed, shown)

    def test_each_option_in_each_place(self):
        plain = "kvdb: {persistence: {filetype: dat}}\n"
        with Servers(nodes=1) as servers:
            for option, values, allowed in self.OPTIONS:
                flag = "--persistence-" + option.lower().replace("_", "-")
                variable = "KVDB_PERSISTENCE_" + option.upper()
                for value in values:
                    with self.subTest(option=option, value=value[:30]):
                        self.write_file(servers, plain, "yaml")
                        self.refused(servers, flag, allowed, f"{flag}={value}")
                        self.refused(servers, variable, allowed, env={variable: value})
                        if len(value) > 4000:
                            continue  # a file's line is not so long
                        self.write_file(servers, f'kvdb:\n  persistence:\n    {option}: "{value}"\n', "yaml")
                        self.refused(servers, r"node\.yaml:3:\d+: ", allowed)
                        self.write_file(servers, f"# a node\nkvdb.persistence.{option}={value}\n", "properties")
                        self.refused(servers, r"node\.properties:2:\d+: ", allowed)
            self.assertFalse(servers.node(1).data.exists(), "nothing was made")

    def test_names_that_are_none(self):
        with Servers(nodes=1) as servers:
            self.write_file(servers, "kvdb.persistence.autoFlushIntervall=1\n", "properties")
            self.refused(servers, r"node\.properties:1:\d+: ", r"autoFlushInterval\b")
            self.write_file(servers, "kvdb: {persistence: {fsnyc: never}}\n", "yaml")
            self.refused(servers, r"node\.yaml:1:\d+: ", r"fsync")
            self.refused(servers, r"--persistence-fsnyc", r"fsync", "--persistence-fsnyc", "never")


# ---- the snapshot's place --------------------------------------------------------------------------------------------


class Filepath(Case):
    def lands_at(self, path, text, suffix, *flags, env=None):
        """`path` counts from the folder of the node's file."""
        with Servers(nodes=1) as servers:
            servers.start_broker()
            node = servers.node(1)
            path = node.folder / path
            text, env = text.format(path=path), {name: value.format(path=path) for name, value in (env or {}).items()}
            flags = [flag.format(path=path) for flag in flags]
            path.parent.mkdir(exist_ok=True)
            self.write_file(servers, text, suffix)
            self.serve(servers, 1, *flags, env=env)
            with servers.client() as broker:
                broker.call("MSET", *[f"key{i}" for i in range(400)])
                self.assertEqual(broker.call("SAVE"), "OK")
                self.assertTrue(path.is_file(), path)
                self.assertEqual(sorted(found.name for found in node.folder.rglob("*.dat")), [path.name])
                servers.kill(1)
                self.serve(servers, 1, *flags, env=env)
                self.assertEqual(servers.info(1)["loaded_entries"], "200")
                self.assertEqual(broker.call("GET", "key0"), b"key1")

    def test_wherever_it_is_set(self):
        name, flag = "KVDB_PERSISTENCE_FILEPATH", "--persistence-filepath"
        self.lands_at("data/snapshot.dat", "# nothing\n", "properties")
        self.lands_at("kept/kvstore.dat", "kvdb.persistence.filepath=kept/kvstore.dat\n", "properties")
        self.lands_at("kept/a.dat", "kvdb: {{persistence: {{filepath: kept/a.dat}}}}\n", "yaml")
        self.lands_at("kept/a.dat", "kvdb.persistence.filepath={path}\n", "properties")
        self.lands_at("kept/b.dat", "kvdb.persistence.filepath=kept/a.dat\n", "properties", env={name: "{path}"})
        self.lands_at("kept/c.dat", "kvdb.persistence.filepath=kept/a.dat\n", "properties", flag, "{path}", env={name: "kept/b.dat"})


# ---- off -------------------------------------------------------------------------------------------------------------


class Off(Case):
    def test_nothing_is_kept(self):
        with Servers(nodes=1) as servers:
            servers.start_broker()
            self.serve(servers, 1, "--persistence-fsync", "off")
            data = servers.node(1).data
            with servers.client() as broker, servers.client(1) as node:
                self.assertEqual(broker.call("SET", "key", "value"), "OK")
                for door in (broker, node):
                    for batch in ([["SET", "other", "value"]], [["GET", "key"]]):
                        error = door.pipeline(batch, options={"durability": "fsync"})[0]
                        self.assertTrue(is_error(error) and error.code == NOT_SUPPORTED, error)
                        self.assertIn("kvdb.persistence.fsync", error.text)
                self.assertTrue(is_error(attempt(broker, "SAVE")))
                self.assertEqual(broker.call("DBSIZE"), 1)
                self.assertEqual([path.name for path in data.iterdir() if path.suffix in (".log", ".dat")], [])
                self.assertEqual(servers.stop(1), 0)
                self.serve(servers, 1, "--persistence-fsync", "off")
                self.assertIsNone(broker.call("GET", "key"))
                self.assertEqual(broker.call("DBSIZE"), 0)


# ---- an orderly end --------------------------------------------------------------------------------------------------


@unittest.skipUnless(LIBRARY.exists(), f"{LIBRARY.name} is not built")
class OrderlyEnd(Case):
    """Under policies that leave the log unsynced for long, an orderly end leaves nothing unsynced."""
    FLAGS = {"never": ("--persistence-fsync", "never"), "interval": ("--persistence-autoflushinterval", "3600")}

    def end(self, servers, broker, how):
        if how == "SHUTDOWN":
            self.assertEqual(broker.call("SHUTDOWN", "node1"), "OK")
            self.assertEqual(servers.node(1).wait(), 0)
            return
        if how == "SIGTERM without a broker":
            servers.all[BROKER].end(signal.SIGKILL)
        self.assertEqual(servers.stop(1), 0)

    def under(self, policy, how):
        with Servers(nodes=1) as servers:
            faults = SyncFaults(servers.folder)
            servers.start_broker()
            self.serve(servers, 1, *self.FLAGS[policy], env=faults.environment())
            with servers.client() as broker:
                broker.call("MSET", *[f"old{i}" for i in range(1000)])
                self.assertEqual(broker.call("SAVE"), "OK")
                for i in range(100):
                    broker.call("SET", f"new{i}", f"value{i}")
                self.assertGreater(faults.unsynced(), 0)
                self.end(servers, broker, how)
                self.assertEqual(faults.unsynced(), 0, "a graceful end syncs all")
                if not servers.all[BROKER].process:
                    servers.start_broker()
                self.serve(servers, 1, *self.FLAGS[policy])
                self.assertNotIn("event=log_tail_cut", servers.node(1).log())
                info = servers.info(1)
                self.assertEqual((info["loaded_entries"], info["loaded_records"]), ("500", "100"), "what the snapshot lacks")
                for i in range(100):
                    self.assertEqual(broker.call("GET", f"new{i}"), b"value%d" % i)
                self.assertEqual(broker.call("DBSIZE"), 600)

    def test_each_way_to_end(self):
        for policy in self.FLAGS:
            for how in ("SIGTERM", "SIGTERM without a broker", "SHUTDOWN"):
                with self.subTest(policy=policy, how=how):
                    self.under(policy, how)


# ---- loading ---------------------------------------------------------------------------------------------------------


class WhileLoading(Case):
    KEYS = 2000000
    FLAGS = ("--persistence-fsync", "never", "--persistence-snapshot-log-bytes", "1g")

    def test_the_direct_door_answers(self):
        with Servers(nodes=1) as servers:
            servers.start_broker()
            self.serve(servers, 1, *self.FLAGS)
            subprocess.run([program("kv-bench"), "-p", str(servers.port), "-n", str(self.KEYS), "-r", str(self.KEYS), "-P", "500",
                            "-d", "8", "-c", "4", "-t", "set", "--timeout", "60"], check=True, stdout=subprocess.DEVNULL, timeout=300)
            with servers.client() as broker:
                keys = broker.call("DBSIZE")
                self.assertEqual(broker.call("SET", "key", "value"), "OK")
            servers.kill(1)
            servers.start_node(1, *self.FLAGS)
            with servers.client(1) as node:
                answers, percents = self.ask_until_loaded(node)
                self.assertGreater(len(answers), 0, "it was never seen to load: more keys are needed")
                self.assertEqual(percents, sorted(percents))
                self.assertTrue(all(0 <= percent <= 100 for percent in percents), percents)
                servers.serves(1)
                self.assertEqual(node.call("GET", "key"), b"value")
                self.assertEqual(node.call("DBSIZE"), keys + 1)
            print(f"answered LOADING {len(answers)} times, from {percents[0]} to {percents[-1]} percent of "
                  f"{servers.info(1)['load_took_ms']} ms")

    def ask_until_loaded(self, node):
        answers, percents = [], []
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            get, put, ping, info = node.pipeline([["GET", "key"], ["SET", "key", "other"], ["PING"], ["INFO", "persistence"]])
            self.assertEqual(ping, "PONG")
            if not (is_error(get) and get.code == LOADING):
                return answers, percents
            info = dict(line.split(":", 1) for line in (info if isinstance(info, str) else info.decode()).splitlines() if ":" in line)
            self.assertTrue(get.text.startswith("LOADING"), get)
            self.assertEqual(put, get)
            self.assertEqual(info["loading"], "1")
            self.assertIn(info["loading_phase"], ("snapshot", "log"))
            percents.append(int(info["loading_percent"]))
            answers.append(get)
        raise AssertionError("it does not end loading")


# ---- a cluster -------------------------------------------------------------------------------------------------------


class WholeCluster(Case):
    def test_down_and_up_again(self):
        for policy in ("interval", "never"):
            with self.subTest(policy), Cluster(nodes=3, env={"KVDB_PERSISTENCE_FSYNC": policy}) as cluster:
                keys = {f"key{i}": f"value{i}" for i in range(500)}
                cluster.kv("MSET", *[word for pair in keys.items() for word in pair])
                cluster.kv("SET", "brief", "x", "EX", "5000")
                for round_ in range(2):
                    cluster.kv("INCR", "rounds")
                    if round_ == 1:
                        cluster.kv("SAVE")
                    cluster.script("down")
                    del cluster.env["KVDB_PERSISTENCE_FSYNC"]  # up repeats what it was given
                    cluster.script("up")
                    cluster.env["KVDB_PERSISTENCE_FSYNC"] = policy
                    self.assertEqual(cluster.kv("MGET", *keys).decode().split(), list(keys.values()))
                    self.assertEqual(cluster.kv("GET", "rounds"), b"%d\n" % (round_ + 1))
                    self.assertEqual(cluster.kv("DBSIZE"), b"502\n")
                    self.assertTrue(0 < int(cluster.kv("TTL", "brief")) <= 5000)
                    for n in range(1, 4):
                        info = cluster.kv("--node", f"127.0.0.1:{cluster.port + 1 + n}", "INFO", "persistence").decode()
                        self.assertIn(f"fsync_policy:{policy}", info)


if __name__ == "__main__":
    unittest.main()
