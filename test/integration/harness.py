"""What the integration tests share: a real cluster on ports and in a folder of its own.

    with Cluster(nodes=3) as cluster:
        cluster.kv("SET", "greeting", "hello")

KVDB_BUILD_DIR names the build whose programs are tested, KVDB_TEST_SEED the seed (printed, so that
a run can be repeated), KVDB_TEST_SCALE=full asks for the long counts.
"""
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("KVDB_BUILD_DIR", ROOT / "build")).resolve()
SEED = int(os.environ.get("KVDB_TEST_SEED", random.SystemRandom().randrange(1 << 32)))
FULL = os.environ.get("KVDB_TEST_SCALE") == "full"
PORTS = 50  # what config/cluster may use from its first port on

random.seed(SEED)
print(f"seed {SEED}", flush=True)


def program(name):
    return str(BUILD / "bin" / name)


def free_ports():
    """The first of PORTS ports of which none is in use, below the ephemeral range."""
    picker = random.Random(os.getpid() ^ time.time_ns())
    for _ in range(200):
        first = 10000 + PORTS * picker.randrange(440)
        if all(is_free(port) for port in range(first, first + PORTS)):
            return first
    raise RuntimeError("no free run of ports")


def is_free(port):
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def processes_of(folder):
    """The pids of live processes that have the folder in their arguments."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            words = (entry / "cmdline").read_bytes()
            state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if str(folder).encode() in words and b"kvdb-" in words.split(b"\0")[0] and state != "Z":
            found.append(int(entry.name))
    return found


def resident_bytes(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"process {pid} has no VmRSS")


def wait_until(condition, seconds=60, what="the condition", pause=0.02):
    """Waits for something that only another process can bring about."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come about within {seconds} s")
        time.sleep(pause)


class Cluster:
    def __init__(self, nodes=3, env=None):
        self.nodes = nodes
        self.port = free_ports()
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="kvdb-cluster-"))
        self.env = dict(os.environ, KVDB_BUILD_DIR=str(BUILD), **(env or {}))

    def script(self, *words, check=True):
        done = subprocess.run(
            [str(ROOT / "config" / "cluster"), *words, "--dir", str(self.dir), "--port", str(self.port)],
            env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
        if check and done.returncode != 0:
            raise AssertionError(f"config/cluster {words} gave {done.returncode}:\n{done.stdout.decode()}{self.logs()}")
        return done

    def logs(self):
        text = ""
        for log in sorted(self.dir.glob("*/log")):
            text += f"--- {log.parent.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-30:]) + "\n"
        return text

    def __enter__(self):
        try:
            self.script("up", "--nodes", str(self.nodes))
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, kind, error, trace):
        if error is not None:
            print(self.logs(), file=sys.stderr)
        try:
            self.script("down", check=error is None)
            left = processes_of(self.dir)
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            if error is None:
                assert not left, f"down left processes: {left}"
                self.check_logs()
        finally:
            shutil.rmtree(self.dir, ignore_errors=True)

    def check_logs(self):
        """Nothing a sanitizer or an assertion has to say may pass unseen."""
        for log in self.dir.glob("*/log"):
            text = log.read_text(errors="replace")
            for word in ("ERROR: AddressSanitizer", "runtime error:", "LeakSanitizer", "assert_failed"):
                assert word not in text, f"{log.parent.name}:\n{text[-4000:]}"

    def pid(self, name):
        return int((self.dir / name / "pid").read_text().split()[0])

    def kv(self, *words, stdin=None, status=0):
        """One call of kv; its standard output. Fails unless it exits with `status`."""
        done = subprocess.run([program("kv"), "--port", str(self.port), *words], input=stdin,
                              stdin=subprocess.DEVNULL if stdin is None else None, capture_output=True, timeout=120)
        if done.returncode != status:
            raise AssertionError(f"kv {words} gave {done.returncode}, not {status}: {done.stdout!r} {done.stderr!r}")
        return done.stdout if status == 0 else done.stderr

    @property
    def endpoint(self):
        return f"tcp://127.0.0.1:{self.port}"
