"""A tiny RESP2 client and a redis-server to talk to, for comparing KvDB with Redis. The standard library only."""
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time


class RespError(Exception):
    """An error reply; its text, without the leading '-'."""


class Status(str):
    """A simple string reply (+OK), as distinct from data."""


class Resp:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        try:
            self.socket.connect(str(path))
        except OSError:
            self.socket.close()
            raise
        self.buffer = b""

    def close(self):
        self.socket.close()

    def send(self, commands):
        """Sends commands, each a list of bytes, in one go."""
        out = []
        for words in commands:
            out.append(b"*%d\r\n" % len(words))
            out += [b"$%d\r\n%s\r\n" % (len(word), word) for word in words]
        self.socket.sendall(b"".join(out))

    def pipeline(self, commands):
        """A reply per command: a value, or a RespError (not raised)."""
        self.send(commands)
        return [self.receive() for _ in commands]

    def _fill(self):
        more = self.socket.recv(1 << 16)
        if not more:
            raise ConnectionError("redis-server closed the connection")
        self.buffer += more

    def _line(self):
        while b"\r\n" not in self.buffer:
            self._fill()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def _bytes(self, count):
        while len(self.buffer) < count + 2:
            self._fill()
        data, self.buffer = self.buffer[:count], self.buffer[count + 2 :]
        return data

    def receive(self):
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return Status(rest.decode())
        if kind == b"-":
            return RespError(rest.decode("utf-8", "replace"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self._bytes(int(rest))
        if kind == b"*":
            return None if rest == b"-1" else [self.receive() for _ in range(int(rest))]
        raise ValueError(f"no RESP reply: {line[:80]!r}")


class RedisServer:
    """A redis-server without persistence in a folder of its own, reached by a Unix socket."""

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="kvdb-redis-"))
        self.path = self.folder / "redis.sock"
        self.process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", str(self.path), "--save", "", "--appendonly", "no",
             "--dir", str(self.folder), "--proto-max-bulk-len", "512mb"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while True:
            try:
                self.client = Resp(self.path)
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.__exit__()
                    raise
                time.sleep(0.02)
        return self

    def __exit__(self, *_):
        if hasattr(self, "client"):
            self.client.close()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        shutil.rmtree(self.folder, ignore_errors=True)


def installed():
    return shutil.which("redis-server") is not None
