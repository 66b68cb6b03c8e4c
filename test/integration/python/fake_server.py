"""A server that speaks the protocol and keeps a dict, in a thread: for tests of clients and tools without a cluster.

It knows PING, SET, GET, MGET and DEL, and misbehaves on demand (`before_reply`).
"""
import threading

import msgpack
import zmq


class FakeServer:
    def __init__(self, before_reply=None):
        """before_reply (frames, body): the bodies to send instead, a list."""
        self.data = {}
        self.before_reply = before_reply
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self.port = self._socket.bind_to_random_port("tcp://127.0.0.1")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        self._socket.close()
        self._context.term()

    def _run(self):
        while not self._stop.is_set():
            if not self._socket.poll(20):
                continue
            *envelope, body = self._socket.recv_multipart()
            reply = self._answer(body)
            for part in self.before_reply(body, reply) if self.before_reply else [reply]:
                self._socket.send_multipart(envelope + [part])

    def _answer(self, body):
        _, request_id, commands, *_ = msgpack.unpackb(body, raw=False)
        results = [self._execute(*command) for command in commands]
        return msgpack.packb([1, request_id, results], use_bin_type=True)

    def _execute(self, name, *arguments):
        arguments = [a.encode() if isinstance(a, str) else a for a in arguments]
        if name == "PING":
            return [0, "PONG"]
        if name == "SET":
            self.data[arguments[0]] = arguments[1]
            return [0, "OK"]
        if name == "GET":
            return [0, self.data.get(arguments[0])]
        if name == "MGET":
            return [0, [self.data.get(key) for key in arguments]]
        if name == "DEL":
            return [0, sum(self.data.pop(key, None) is not None for key in arguments)]
        return [14, f"ERR unknown command '{name}'", {}]
