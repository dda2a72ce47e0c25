# SPDX-License-Identifier: MIT
"""A server that answers as badly as it is told to: a script of bytes and ends for each path."""
import socket
import socketserver
import struct
import threading

RESET = "reset"
SILENCE = "silence"


def ok(body=b"ok", *lines, status=b"200 OK"):
    head = b"HTTP/1.1 " + status + b"\r\n" + b"".join(line + b"\r\n" for line in lines)
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


class _Connection(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        owner, buffer = self.server.owner, b""
        owner.connections += 1
        while True:
            while b"\r\n\r\n" not in buffer:
                piece = self._recv()
                if not piece:
                    return
                buffer += piece
            head, buffer = buffer.split(b"\r\n\r\n", 1)
            length = 0
            for line in head.split(b"\r\n"):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            while len(buffer) < length:
                piece = self._recv()
                if not piece:
                    return
                buffer += piece
            body, buffer = buffer[:length], buffer[length:]
            if not self._answer(head, body):
                return

    def _recv(self):
        try:
            return self.request.recv(1 << 16)
        except OSError:
            return b""

    def _answer(self, head, body):
        """False: the connection is over."""
        owner = self.server.owner
        target = head.split(b" ")[1].decode()
        script = owner.scripts[target]
        with owner.lock:
            owner.requests.append((head, body))
            turn = owner.turns.get(target, 0)
            owner.turns[target] = turn + 1
        if isinstance(script, list):  # one after the other, again and again
            script = script[turn % len(script)]
        for step in script if isinstance(script, tuple) else (script,):
            if step is None:
                return False
            if step is RESET:
                self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
            if step is SILENCE:
                self._recv()  # until the client gives up
                return False
            try:
                self.request.sendall(step)
            except OSError:
                return False
        return True


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 512

    def handle_error(self, request, client_address):
        raise  # a mistake in a test must not be swallowed: it ends up in its log

    def shutdown_request(self, request):
        request.close()  # without a shutdown first, which would turn a reset into an ordinary end


class Scripted:
    """scripts: {target: step | (step, ...) | [script, ...]}; a step is bytes to send, None = close, RESET or SILENCE."""

    def __init__(self, scripts):
        self.scripts = scripts
        self.requests, self.turns, self.connections = [], {}, 0
        self.lock = threading.Lock()
        self.server = _Server(("127.0.0.1", 0), _Connection)
        self.server.owner = self
        self.address = self.server.server_address
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def url(self, path="/"):
        return f"http://127.0.0.1:{self.address[1]}{path}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
