"""kv connect as a person uses it: on a terminal (tmux) with keys pressed and the screen read."""
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from harness import Cluster, program, wait_until

WAIT = 30
needs_tmux = unittest.skipIf(shutil.which("tmux") is None, "tmux is not installed; config/packages lists it")


def arguments(path):
    try:
        return path.read_bytes().split(b"\0")
    except OSError:
        return []  # it has just ended


class Screen:
    """A shell in a tmux of its own; what it shows is waited for, never slept for."""

    made = 0

    def __init__(self, columns=100, rows=40, **environment):
        Screen.made += 1
        self.name = f"kvdb-test-{os.getpid()}-{Screen.made}"
        env = {name: value for name, value in os.environ.items() if name not in ("TMUX", "TERM", "KVDB_HISTORY")}
        env.update(environment, LC_ALL="C.UTF-8")
        command = ["tmux", "-L", self.name, "-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(rows),
                   "/bin/sh"]
        subprocess.run(command, env=env, check=True, timeout=WAIT)
        self.wait(r"^[$#]$")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["tmux", "-L", self.name, "kill-server"], check=False, timeout=WAIT)

    def tmux(self, *words):
        return subprocess.run(["tmux", "-L", self.name, *words], check=True, capture_output=True, timeout=WAIT,
                              encoding="utf-8").stdout

    def text(self, colours=False):
        return self.tmux("capture-pane", "-p", *(["-e"] if colours else [])).rstrip("\n")

    def type(self, text):
        self.tmux("send-keys", "-l", "--", text)

    def press(self, *keys):
        self.tmux("send-keys", *keys)

    def enter(self, text):
        self.type(text)
        self.press("Enter")

    def wait(self, pattern, colours=False, seconds=WAIT):
        """Waits for a regular expression on the screen; its match. ^ and $ are those of a line, and lines end
        without blanks, but for the one behind a prompt."""
        deadline = time.monotonic() + seconds
        while True:
            text = "\n".join(line.rstrip() + (" " if line.rstrip().endswith(">") else "")
                             for line in self.text(colours).split("\n"))
            found = re.search(pattern, text, re.MULTILINE)
            if found:
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"{pattern!r} did not come; the screen:\n{text}")
            time.sleep(0.05)

    def clear(self):
        """An empty prompt of kv on an empty screen."""
        self.press("C-u")
        self.enter("CLEAR")
        self.wait(r"\A(kvdb \S+( \(not connected\))?> )\n*\Z")


@needs_tmux
class Repl(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(nodes=3)
        cls.cluster.__enter__()
        cls.prompt = rf"^kvdb 127\.0\.0\.1:{cls.cluster.port}> "
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="kvdb-repl-"))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder, ignore_errors=True)
        cls.cluster.__exit__(None, None, None)

    def connect(self, screen, *flags):
        words = [program("kv"), "connect", "--port", str(self.cluster.port), *flags]
        screen.wait(r"[$#]\Z")  # else the shell's prompt may come between
        screen.enter(shlex.join(words) + "; echo left=$?")
        screen.wait(self.prompt)
        screen.clear()

    def start(self, *flags, name="history", **options):
        screen = Screen(KVDB_HISTORY=str(self.folder / name), **options)
        self.addCleanup(screen.__exit__)
        self.connect(screen, *flags)
        return screen

    def leave(self, screen):
        screen.press("C-u")
        screen.enter("EXIT")
        screen.wait(r"^left=0$")

    def test_tab_completes_commands_options_groups_and_nodes(self):
        screen = self.start()
        for typed, shown in (("SHUTD", r"> SHUTDOWN"), ("kv strl", r"> kv strlen"), ("HELP @str", r"> HELP @string"),
                             ("set a 1 keep", r"> set a 1 keepttl"), ("SHUTDOWN n", r"> SHUTDOWN node")):
            screen.type(typed)
            screen.press("Tab")
            screen.wait(shown)
            screen.press("C-u")
        screen.clear()
        screen.type("SHUTDOWN node")
        screen.press("Tab")
        screen.wait(r"^node1 +node2 +node3\n" + self.prompt[1:] + "SHUTDOWN node$")
        screen.type("2")
        screen.wait(r"> SHUTDOWN node2$")
        screen.press("C-u")
        screen.type("SET a 1 E")
        screen.press("Tab")
        screen.press("Tab")
        screen.wait(r"^EX +EXAT\n.*> SET a 1 EX")
        self.leave(screen)

    def test_hints_follow_the_typing_dimmed_and_leave_nothing_behind(self):
        screen = self.start()
        screen.type("SET")
        screen.wait(r"> SET\x1b\[2m key value \[NX\|XX\|IFEQ", colours=True)
        screen.type(" a 1 EX")
        screen.wait(r"> SET a 1 EX\x1b\[2m seconds \[NX\|XX\|IFEQ value\|IFVER version\] \[GET\]", colours=True)
        screen.press("C-a")
        screen.wait(r"> SET a 1 EX$")
        screen.press("C-e")
        screen.type(" 100")
        screen.wait(r"> SET a 1 EX 100 \[NX\|XX\|IFEQ value\|IFVER version\] \[GET\]$")
        screen.press("Enter")
        screen.wait(r"> SET a 1 EX 100\nOK\n" + self.prompt[1:] + "$")
        screen.type("GET a b")
        screen.wait(r"> GET a b$")
        self.leave(screen)

    def test_lines_longer_than_the_screen_and_a_new_size(self):
        screen = self.start(columns=40)
        screen.type("SET a 'more than one row of forty columns holds' N")
        screen.wait(r"^.*forty columns holds' N.*$")
        screen.tmux("resize-window", "-x", "90", "-y", "30")
        screen.wait(r"> SET a 'more than one row of forty columns holds' N \[NX\|XX\|IFEQ")
        screen.press("BSpace")
        screen.press("Enter")
        screen.wait(r"^OK\n" + self.prompt[1:] + "$")
        screen.enter("get a")
        screen.wait(r'^"more than one row of forty columns holds"$')
        self.leave(screen)

    def test_quotes_unicode_and_editing_keys(self):
        screen = self.start()
        screen.enter(r'''set "gr\xc3\xbc\x00ün" 'it''')
        screen.wait(r"^kv: a quote is not closed$")
        screen.press("Up")
        screen.type("'")
        screen.press("Home")
        screen.press("Right", "Right", "Right")
        screen.press("Enter")
        screen.wait(r"^OK$")
        screen.enter(r'''GET "grü\x00ün"''')
        screen.wait(r'^"it"$')
        self.leave(screen)

    def test_history_survives_the_session_and_a_damaged_file(self):
        history = self.folder / "kept"
        first = self.start(name="kept")
        first.enter("SET kept 17")
        first.wait(r"^OK$")
        first.enter(" SET secret 1")
        first.wait(r"secret 1\nOK$")
        self.leave(first)
        lines = history.read_text().splitlines()
        self.assertIn("SET kept 17", lines)
        self.assertNotIn("secret", history.read_text())
        self.assertEqual(history.stat().st_mode & 0o777, 0o600)
        history.write_bytes(b"\xff\x00\xfe\n" + history.read_bytes() + b"\x1b[2J\ntorn")
        second = self.start(name="kept")
        second.press("Up", "Up", "Up", "Up")
        second.wait(r"> SET kept 17")
        second.press("C-c")
        second.press("C-r")
        second.type("kept")
        second.wait(r"> SET kept 17.*\n?bck:kept")
        second.press("Enter")
        second.wait(r"^OK$")
        self.leave(second)

    def test_history_goes_to_the_state_folder(self):
        state = self.folder / "state"
        screen = Screen(XDG_STATE_HOME=str(state))
        self.addCleanup(screen.__exit__)
        self.connect(screen)
        self.leave(screen)
        self.assertIn("CLEAR", (state / "kvdb" / "history").read_text())

    def test_help_by_command_and_by_group(self):
        screen = self.start()
        screen.enter("HELP set")
        screen.wait(r"(?s)^SET key value \[NX\|XX\|IFEQ.*^ +Set a key to a value")
        screen.clear()
        screen.enter("help @string")
        screen.wait(r"^STRLEN key$")
        screen.clear()
        screen.enter("HELP")
        screen.wait(r"^@string +APPEND DELIFEQ GET")
        screen.wait(r"^here +CLEAR EXIT")
        screen.enter("HELP nosuch")
        screen.wait(r"^kv: there is no help on 'nosuch'")
        self.leave(screen)

    def test_ways_to_leave(self):
        screen = self.start()
        for keys, text in ((["C-d"], ""), (["Enter"], "quit"), (["Enter"], "kv exit")):
            screen.type(text)
            screen.press(*keys)
            screen.wait(r"^left=0$")
            screen.enter("clear")
            self.connect(screen)
        screen.type("half a line")
        screen.wait(r"> half a line$")  # the terminal drops what was not read yet at a Ctrl-C
        screen.press("C-c")
        screen.wait(r"> half a line\^C\n" + self.prompt[1:] + "$")
        screen.press("C-c")
        screen.wait(r"^Ctrl-C once more")
        screen.press("C-c")
        screen.wait(r"^left=0$")
        screen.enter("stty -a")  # the terminal is as it was
        screen.wait(r"[^-]icanon")
        screen.wait(r"[^-]echo ")

    def test_stopping_and_coming_back(self):
        screen = self.start()
        screen.type("GET stopped")
        screen.wait(r"> GET stopped$")
        screen.press("C-z")
        screen.wait(r"Stopped")
        screen.enter("fg")
        screen.wait(self.prompt + r"GET stopped$")
        screen.press("Enter")
        screen.wait(r"^\(nil\)$")
        screen.enter("EXIT")
        screen.wait(r"> EXIT\n[$#]$")

    def test_a_signal_ends_it_with_the_terminal_restored(self):
        screen = self.start("--history", str(self.folder / "ended"))
        screen.type("GET")
        screen.wait(r"> GET key$")
        words = str(self.folder / "ended").encode()
        children = [path.parent.name for path in pathlib.Path("/proc").glob("[0-9]*/cmdline") if words in arguments(path)]
        self.assertEqual(len(children), 1)
        os.kill(int(children[0]), signal.SIGTERM)
        screen.wait(r"^left=143$")
        screen.enter("stty -a")
        screen.wait(r"[^-]icanon")

    def test_a_dumb_terminal_gets_the_plain_prompt(self):
        screen = Screen(KVDB_HISTORY=str(self.folder / "dumb"))
        self.addCleanup(screen.__exit__)
        screen.enter("export TERM=dumb; clear")
        words = [program("kv"), "connect", "--port", str(self.cluster.port)]
        screen.enter(shlex.join(words) + "; echo left=$?")
        screen.wait(self.prompt + "$")
        screen.enter("ECHO plain")
        screen.wait(r'^"plain"$')
        screen.enter("EXIT")
        screen.wait(r"^left=0$")
        self.assertFalse((self.folder / "dumb").exists())

    def test_status_at_the_prompt(self):
        screen = self.start()
        screen.enter("status")
        screen.wait(r"^ops/s +\d+ through the broker$")
        screen.wait(r"^node3 +\S+ +up +owner")
        self.leave(screen)


@needs_tmux
class Trouble(unittest.TestCase):
    def start(self, cluster, *flags):
        screen = Screen(KVDB_HISTORY="")
        self.addCleanup(screen.__exit__)
        screen.enter(shlex.join([program("kv"), "connect", "--port", str(cluster.port), *flags]) + "; echo left=$?")
        return screen

    def test_ctrl_c_abandons_the_wait_for_a_paused_node(self):
        with Cluster(nodes=1) as cluster:
            cluster.kv("SET", "a", "1")
            screen = self.start(cluster, "--timeout", "60")
            screen.wait(r"^kvdb \S+> $")
            os.kill(cluster.pid("node1"), signal.SIGSTOP)
            try:
                screen.enter("GET a")
                screen.wait(r"> GET a\s*\Z")
                time.sleep(0.5)  # that it waits is to be seen
                self.assertRegex(screen.text(), r"> GET a\Z")
                start = time.monotonic()
                screen.press("C-c")
                screen.wait(r"^kv: the wait was abandoned")
                screen.wait(r"^kvdb [^ ]+> \Z")
                self.assertLess(time.monotonic() - start, 10)
            finally:
                os.kill(cluster.pid("node1"), signal.SIGCONT)
            screen.enter("GET a")
            screen.wait(r'> GET a\n"1"$')
            screen.enter("EXIT")
            screen.wait(r"^left=0$")

    def test_a_server_that_dies_and_returns(self):
        with Cluster(nodes=1) as cluster:
            cluster.kv("SET", "a", "1")
            screen = self.start(cluster, "--timeout", "2")
            screen.wait(r"^kvdb \S+> $")
            cluster.script("kill", "broker")
            start = time.monotonic()
            screen.enter("GET a")
            screen.wait(r"^kvdb \S+ \(not connected\)> $")
            self.assertLess(time.monotonic() - start, 10)
            screen.enter("GET a")  # it tries again, and says so again
            screen.wait(r"(?s)nothing was sent.*nothing was sent.*\(not connected\)> $")
            screen.type("SHUTDOWN n")
            screen.press("Tab")  # nothing to complete with, and nothing hangs
            screen.press("C-u")
            cluster.script("start", "broker")
            wait_until(lambda: cluster.kv("GET", "a") == b"1\n", 30, "the cluster")
            screen.enter("GET a")
            screen.wait(r'> GET a\n"1"\nkvdb [^ ]+> $')
            screen.enter("EXIT")
            screen.wait(r"^left=0$")

    def test_a_server_that_was_never_there(self):
        with Cluster(nodes=1) as cluster:
            cluster.script("kill", "broker")
            start = time.monotonic()
            screen = self.start(cluster, "--timeout", "1")
            screen.wait(r"^kvdb \S+ \(not connected\)> $")
            self.assertLess(time.monotonic() - start, 10)
            cluster.script("start", "broker")
            wait_until(lambda: b"PONG" in cluster.kv("PING"), 30, "the broker")
            screen.press("Enter")
            screen.wait(r"^kvdb [^ ]+> \Z")
            screen.press("C-d")
            screen.wait(r"^left=0$")


if __name__ == "__main__":
    unittest.main()
