"""What the hostile tests share: clients that keep to the protocol, peers that do not, and a witness
who is served all the while.

Nothing here trusts what is under test: requests are packed with msgpack's own library, the ZMTP
framing of `Peer` is written out by hand so that it can break off anywhere.
"""
import pathlib
import socket
import struct
import threading
import time

import msgpack
import zmq

from harness import Cluster, program

MIB = 1024 * 1024


def is_sanitized():
    """Whether the programs under test were built with AddressSanitizer: its shadow makes memory incomparable."""
    binary = pathlib.Path(program("kvdb-broker")).read_bytes()
    return b"__asan_init" in binary or b"__tsan_init" in binary


SANITIZED = is_sanitized()


def pack(request_id, commands, options=None, version=1):
    request = [version, request_id, commands]
    return msgpack.packb(request if options is None else request + [options])


class Client:
    """A DEALER that keeps to the protocol; one context per client, so that threads need not share any."""

    def __init__(self, endpoint, identity=None, receive_buffer=None):
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.sndhwm = self.socket.rcvhwm = 0
        if identity:
            self.socket.setsockopt(zmq.ROUTING_ID, identity)
        if receive_buffer:
            self.socket.rcvbuf = receive_buffer
            self.socket.rcvhwm = 1
        self.socket.connect(endpoint)
        self.last_id = 0
        self.replies = {}

    def close(self):
        self.socket.close(0)
        self.context.term()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, commands, options=None):
        self.last_id += 1
        self.socket.send(pack(self.last_id, commands, options))
        return self.last_id

    def send_raw(self, *frames):
        self.socket.send_multipart(frames)

    def receive(self, seconds=20):
        """The next reply as (id, results); None if there is none in time."""
        if not self.socket.poll(int(seconds * 1000)):
            return None
        version, request_id, results = msgpack.unpackb(self.socket.recv_multipart()[-1], raw=False, strict_map_key=False)
        assert version == 1
        return request_id, results

    def wait_for(self, request_id, seconds=20):
        """The results of one request; other replies are kept in `replies`."""
        deadline = time.monotonic() + seconds
        while request_id not in self.replies:
            got = self.receive(max(0.001, deadline - time.monotonic()))
            if got is None:
                raise AssertionError(f"no reply to request {request_id} within {seconds} s")
            self.replies.setdefault(got[0], []).append(got[1])
        return self.replies.pop(request_id)[0]

    def call(self, *commands, options=None, seconds=20):
        return self.wait_for(self.send(list(commands), options), seconds)

    def value(self, *command, seconds=20):
        results = self.call(list(command), seconds=seconds)
        assert len(results) == 1 and results[0][0] == 0, (command, results)
        return results[0][1]

    def info(self):
        text = self.value("INFO")
        text = text.decode() if isinstance(text, bytes) else text
        pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
        return {key: int(value) if value.lstrip("-").isdigit() else value for key, value in pairs}


class Witness(threading.Thread):
    """A well-behaved client who works all the while: what it asks is answered, rightly and in time."""

    def __init__(self, endpoint, pause=0.005, seconds=20):
        super().__init__(daemon=True)
        self.endpoint, self.pause, self.seconds = endpoint, pause, seconds
        self.answered = 0
        self.slowest = 0.0
        self.trouble = None
        self.ending = False
        self.start()

    def run(self):
        try:
            with Client(self.endpoint) as client:
                while not self.ending:
                    self.once(client)
                    time.sleep(self.pause)
        except BaseException as error:  # told by check()
            self.trouble = error

    def once(self, client):
        turn = b"%d" % self.answered
        keys = [b"witness:%d" % i for i in range(8)]  # on several nodes
        commands = [["MSET", *(word for key in keys for word in (key, turn))], ["MGET", *keys], ["GET", keys[0]], ["PING"]]
        start = time.monotonic()
        results = client.call(*commands, options={"deadline_ms": 15000}, seconds=self.seconds)
        self.slowest = max(self.slowest, time.monotonic() - start)
        wanted = [[0, "OK"], [0, [turn] * 8], [0, turn], [0, "PONG"]]
        assert results == wanted, f"the witness was answered {results}, not {wanted}"
        self.answered += 1

    def check(self, more=3, seconds=20):
        """It is still served: waits for some more answers."""
        goal = self.answered + more
        deadline = time.monotonic() + seconds
        while self.answered < goal:
            if self.trouble:
                raise self.trouble
            assert time.monotonic() < deadline, f"the witness has had no answer for {seconds} s"
            time.sleep(0.005)

    def stop(self):
        self.ending = True
        self.join(30)
        assert not self.is_alive(), "the witness does not end"
        if self.trouble:
            raise self.trouble


class Peer:
    """Raw TCP to a ZeroMQ port, with ZMTP 3.0 written out by hand."""

    GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + b"\0" + bytes(31)

    def __init__(self, port, shake=True, kind=b"DEALER", timeout=20, identity=b""):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        if shake:
            self.shake(kind, identity)

    @staticmethod
    def ready(kind, identity=b""):
        def entry(name, value):
            return bytes([len(name)]) + name + struct.pack(">I", len(value)) + value

        body = b"\x05READY" + entry(b"Socket-Type", kind) + entry(b"Identity", identity)
        return bytes([4, len(body)]) + body

    def shake(self, kind, identity):
        self.socket.sendall(self.GREETING + self.ready(kind, identity))
        self.read(64)
        flags, size = self.read(2)
        assert flags == 4
        assert self.read(size).startswith(b"\x05READY")

    def read(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise ConnectionResetError("the server closed the connection")
            data += more
        return data

    @staticmethod
    def head(size, more=False, command=False):
        flags = (1 if more else 0) | (4 if command else 0)
        return bytes([flags, size]) if size < 256 else bytes([flags | 2]) + struct.pack(">Q", size)

    def frame(self, data, more=False):
        self.socket.sendall(self.head(len(data), more) + data)

    def receive(self):
        """The next message's frames; heartbeats are answered."""
        frames = []
        while True:
            flags = self.read(1)[0]
            size = struct.unpack(">Q", self.read(8))[0] if flags & 2 else self.read(1)[0]
            body = self.read(size)
            if flags & 4:
                if body.startswith(b"\x04PING"):
                    pong = b"\x04PONG" + body[7:]
                    self.socket.sendall(self.head(len(pong), command=True) + pong)
                continue
            frames.append(body)
            if not flags & 1:
                return frames

    def is_cut_off(self, seconds=20):
        """Whether the server ends the connection in time; what it still says is read and thrown away."""
        deadline = time.monotonic() + seconds
        try:
            while time.monotonic() < deadline:
                self.socket.settimeout(max(0.01, deadline - time.monotonic()))
                if not self.socket.recv(65536):
                    return True
        except TimeoutError:
            return False
        except OSError:
            return True
        return False

    def close(self):
        self.socket.close()


class Watched:
    """A cluster with a witness, whose processes must stay the same and stay small."""

    def __init__(self, nodes=3, env=None, witness=True):
        self.cluster = Cluster(nodes=nodes, env=env)
        self.cluster.__enter__()
        try:
            self.names = ["broker"] + [f"node{i + 1}" for i in range(nodes)]
            self.pids = {name: self.cluster.pid(name) for name in self.names}
            self.client = Client(self.cluster.endpoint)
            self.witness = Witness(self.cluster.endpoint) if witness else None
            self.client.value("PING")
            self.peak, self.highest = {}, {}
            self.begin()
        except BaseException:
            self.cluster.__exit__(AssertionError, AssertionError(), None)
            raise

    def close(self):
        try:
            if self.witness:
                self.witness.stop()
                print(f"witness: {self.witness.answered} answers, the slowest took {self.witness.slowest:.3f} s", flush=True)
            print("resident at most, MiB:", {name: round(size / MIB, 1) for name, size in self.highest.items()}, flush=True)
            self.client.close()
        except BaseException as error:
            self.cluster.__exit__(type(error), error, None)
            raise
        self.cluster.__exit__(None, None, None)

    def begin(self):
        """A test begins: what is resident at most is counted anew."""
        for pid in self.pids.values():
            pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")
        self.peak = {}
        self.look()

    def look(self):
        """The peaks since begin(), by the kernel's own count; bytes."""
        for name, pid in self.pids.items():
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            self.peak[name] = int(status.split("VmHWM:")[1].split()[0]) * 1024
            self.highest[name] = max(self.highest.get(name, 0), self.peak[name])
        return self.peak

    def ask_witness(self):
        """One who has been disappointed is replaced, so that each disappointment is told once."""
        try:
            self.witness.check()
        except BaseException:
            self.witness = Witness(self.cluster.endpoint)
            raise

    def check(self, limits=None):
        """All processes are there, the witness is served, no sanitizer has spoken, memory is within its limits (MiB)."""
        for name, pid in self.pids.items():
            assert self.cluster.pid(name) == pid
            state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
            assert state != "Z", f"{name} has ended\n{self.cluster.logs()}"
        if self.witness:
            self.ask_witness()
        self.cluster.check_logs()
        self.look()
        if not SANITIZED:
            for name, most in (limits or {}).items():
                assert self.peak[name] <= most * MIB, f"{name} grew to {self.peak[name] / MIB:.0f} MiB, over {most}"
