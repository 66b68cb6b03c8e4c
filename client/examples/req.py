import sys, msgpack, zmq
socket = zmq.Context().socket(zmq.REQ)
socket.connect(sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:7000")
socket.send(msgpack.packb([1, 1, [["SET", "greeting", "hello"], ["GET", "greeting"]]]))
version, request_id, results = msgpack.unpackb(socket.recv())
for code, value, *details in results:
    print(value if code == 0 else f"error {code}: {value}")
