"""A small KvDB client, written from schema/PROTOCOL.md alone: pyzmq and msgpack, nothing of KvDB's own code.

    with Client("127.0.0.1", 7000) as kv:
        kv.call("SET", "fruit", b"apple")              # 'OK'
        kv.call("GET", "fruit")                        # b'apple'
        kv.pipeline([("GET", "fruit"), ("NOSUCH",)])   # [b'apple', KvError(...)]

Not thread-safe: one client per thread.
"""
import itertools
import time

import msgpack
import zmq

VERSION = 1
OUTCOME_UNKNOWN = 32
BUSY = 30
# A reply may hold any number of elements; msgpack's own guards are meant for streams.
_UNPACK = dict(raw=False, strict_map_key=False)


class KvError(Exception):
    """An error result: its code, its text, and the details map (empty if there is none)."""

    def __init__(self, code, text, details=None):
        super().__init__(f"{text} ({code})")
        self.code = code
        self.text = text
        self.details = details or {}

    def __eq__(self, other):
        return isinstance(other, KvError) and (self.code, self.text) == (other.code, other.text)

    __hash__ = Exception.__hash__


class NoReply(Exception):
    """Nothing came back in time: whether the commands were executed is not known."""


class ProtocolError(Exception):
    """What came back is not a reply."""


def encode_request(request_id, commands, options=None):
    message = [VERSION, request_id, [list(command) for command in commands]]
    if options:
        message.append(options)
    return msgpack.packb(message, use_bin_type=True)


def decode_reply(body):
    """(id, results): each result a value, or a KvError."""
    try:
        version, request_id, results = msgpack.unpackb(body, **_UNPACK)
        if version != VERSION:
            raise ProtocolError(f"a reply of version {version}")
        return request_id, [_result(result) for result in results]
    except (ValueError, TypeError, msgpack.exceptions.UnpackException) as error:
        raise ProtocolError(f"not a reply: {error}") from error


def _result(result):
    code = result[0]
    if code == 0:
        if len(result) != 2:
            raise ValueError("a result is [0, value]")
        return result[1]
    if len(result) not in (2, 3):
        raise ValueError("an error is [code, text] or [code, text, details]")
    return KvError(code, result[1], result[2] if len(result) == 3 else None)


def hashed_part(key):
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            return key[start + 1 : end]
    return key


def crc16(data):
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def slot(key):
    return crc16(hashed_part(key)) % 16384


class Client:
    """A DEALER connection to a broker or to a node's direct door."""

    def __init__(self, host="127.0.0.1", port=7000, timeout_s=6.0, options=None, context=None):
        self.timeout_s = timeout_s
        self.options = options or {}
        self._ids = itertools.count(1)
        self._socket = (context or zmq.Context.instance()).socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 1000)
        self._socket.setsockopt(zmq.IPV6, 1)
        self._socket.setsockopt(zmq.HEARTBEAT_IVL, 1000)
        self._socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 5000)
        self._socket.connect(f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}")
        self._waiting = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._socket.close()

    def send(self, commands, options=None):
        """Sends a batch without waiting; returns its id for receive()."""
        commands = list(commands)
        request_id = next(self._ids)
        merged = {**self.options, **(options or {})}
        self._socket.send(encode_request(request_id, commands, merged))
        self._waiting[request_id] = len(commands)
        return request_id

    def receive(self, timeout_s=None):
        """The next reply to any batch sent: (id, results), one result per command. A batch that was
        refused as a whole has its one error repeated for each command."""
        deadline = time.monotonic() + (self.timeout_s if timeout_s is None else timeout_s)
        while True:
            left_ms = int((deadline - time.monotonic()) * 1000)
            if left_ms < 0 or not self._socket.poll(left_ms):
                raise NoReply("no reply in time; the outcome is unknown")
            request_id, results = decode_reply(self._socket.recv_multipart()[-1])
            expected = self._waiting.pop(request_id, None)
            if expected is None:
                continue  # a late reply to a batch given up
            if len(results) == 1 and expected > 1 and isinstance(results[0], KvError):
                results = results * expected
            if len(results) != expected:
                raise ProtocolError(f"{len(results)} results for {expected} commands")
            return request_id, results

    def pipeline(self, commands, options=None, timeout_s=None):
        """Sends a batch and returns a result per command: a value, or a KvError (not raised)."""
        wanted = self.send(commands, options)
        try:
            while True:
                request_id, results = self.receive(timeout_s)
                if request_id == wanted:
                    return results
        except NoReply:
            self._waiting.pop(wanted, None)
            raise

    def call(self, *command, options=None, timeout_s=None):
        """Executes one command; raises a KvError if that is its result."""
        (result,) = self.pipeline([command], options, timeout_s)
        if isinstance(result, KvError):
            raise result
        return result

    def send_raw(self, frames):
        """Sends frames as they are; for tests of malformed messages."""
        self._socket.send_multipart(frames)

    def receive_raw(self, timeout_s=1.0):
        """All frames of the next message, or None."""
        if not self._socket.poll(int(timeout_s * 1000)):
            return None
        return self._socket.recv_multipart()

    def scan(self, match=None, count=None):
        """Every key of the cluster, once (a walk may return one twice)."""
        seen = set()
        cursor = b"0"
        while True:
            command = ["SCAN", cursor]
            if match is not None:
                command += ["MATCH", match]
            if count is not None:
                command += ["COUNT", count]
            cursor, keys = self.call(*command)
            for key in keys:
                if key not in seen:
                    seen.add(key)
                    yield key
            if cursor in ("0", b"0"):
                return
