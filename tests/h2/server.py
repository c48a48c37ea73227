"""A server of HTTP/2 that does what the path says, on the h2 library (PyPI), and prints what it sees.

server.py ADDRESS PORT [--ws] [--streams N] [--tls PEM ALPN[,ALPN]] [--silent]
"""

import socket
import ssl
import sys
import threading

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

released = threading.Event()
seen_once = set()
lock = threading.Lock()


def option(name, values=1):
    if name not in sys.argv:
        return None
    at = sys.argv.index(name)
    return sys.argv[at + 1 : at + 1 + values]


def say(*words):
    with lock:
        print(*words, flush=True)


def marks():
    """What is said on standard input is printed: who reads it has read all of before."""
    for line in sys.stdin:
        say("mark", line.strip())


threading.Thread(target=marks, daemon=True).start()


class Gone(Exception):
    """The connection is to be closed now."""


class Connection:
    def __init__(self, sock, number):
        self.sock, self.number = sock, number
        self.paths, self.pending, self.held = {}, {}, []
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=False,
                header_encoding="utf-8",
                validate_inbound_headers=False,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        codes = h2.settings.SettingCodes
        settings = {}
        if "--ws" in sys.argv:
            settings[codes.ENABLE_CONNECT_PROTOCOL] = 1
        if option("--streams"):
            settings[codes.MAX_CONCURRENT_STREAMS] = int(option("--streams")[0])
        self.h2.initiate_connection()
        if settings:
            self.h2.update_settings(settings)
        self.flush()

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.sock.sendall(data)

    def serve(self):
        self.sock.settimeout(0.05)
        try:
            while True:
                try:
                    data = self.sock.recv(65536)
                except (TimeoutError, ssl.SSLWantReadError):
                    data = None
                if data == b"":
                    return
                if data:
                    for event in self.h2.receive_data(data):
                        self.event(event)
                if released.is_set():
                    for stream in self.held:
                        self.ok(stream)
                    self.held.clear()
                self.flush()
        except (OSError, Gone, h2.exceptions.ProtocolError) as error:
            say(self.number, "broken", type(error).__name__)
        finally:
            try:
                self.flush()
            except OSError:
                pass
            self.sock.close()

    def event(self, event):
        kind = type(event).__name__
        stream = getattr(event, "stream_id", 0)
        if isinstance(event, h2.events.RequestReceived):
            fields = dict(event.headers)
            self.paths[stream] = fields.get(":path", "")
            text = " ".join(f"{name}={value}" for name, value in event.headers)
            say(self.number, "request", stream, text, "end" if event.stream_ended else "")
            self.answer(stream, self.paths[stream], fields)
        elif isinstance(event, h2.events.DataReceived):
            path = self.paths.get(stream, "")
            say(self.number, "data", stream, len(event.data), event.data[:40].decode("latin-1"))
            if not path.startswith("/unread"):
                self.h2.acknowledge_received_data(event.flow_controlled_length, stream)
            if path == "/chat" and event.data:
                self.h2.send_data(stream, b"echo:" + event.data)
        elif isinstance(event, h2.events.StreamEnded):
            if self.paths.get(stream, "").startswith("/whole"):
                self.ok(stream)
            if self.paths.get(stream) == "/chat":
                self.h2.end_stream(stream)
        elif isinstance(event, h2.events.TrailersReceived):
            say(self.number, "trailers", stream, event.headers)
        elif isinstance(event, h2.events.StreamReset):
            say(self.number, "reset", stream, int(event.error_code))
        elif isinstance(event, h2.events.RemoteSettingsChanged):
            changed = {int(code): setting.new_value for code, setting in event.changed_settings.items()}
            say(self.number, "settings", sorted(changed.items()))
        elif isinstance(event, h2.events.WindowUpdated):
            for waiting in list(self.pending):
                self.send(waiting)
        elif isinstance(event, h2.events.ConnectionTerminated):
            say(self.number, "goaway", int(event.error_code))

    def ok(self, stream, *more):
        head = [(":status", "200"), ("content-length", "2"), *more]
        self.h2.send_headers(stream, head)
        self.h2.send_data(stream, b"ok", end_stream=True)

    def send(self, stream):
        while self.pending.get(stream):
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            part = min(room, self.pending[stream])
            if part <= 0:
                return
            self.pending[stream] -= part
            self.h2.send_data(stream, b"x" * part, end_stream=self.pending[stream] == 0)
            self.flush()

    def answer(self, stream, path, fields):
        word = path.split("/")[1] if "/" in path else path
        if word.startswith("once-"):
            with lock:
                again = path in seen_once
                seen_once.add(path)
            word = "ok" if again else word[5:]
        name, _, value = word.partition("=")
        send, data = self.h2.send_headers, self.h2.send_data
        if ":protocol" in fields:
            send(stream, [(":status", "403" if name == "no" else "200"), ("x-protocol", fields[":protocol"])], name == "no")
        elif name == "rst":
            self.h2.reset_stream(stream, int(value))
        elif name == "goaway":
            self.h2.close_connection(last_stream_id=int(value))
        elif name == "close":
            raise Gone
        elif name in ("silent", "whole"):
            pass
        elif name == "hold":
            self.held.append(stream)
        elif name == "release":
            released.set()
            self.ok(stream)
        elif name == "part":
            send(stream, [(":status", "200")])
            data(stream, b"abc")
            self.flush()
            if value == "close":
                raise Gone
            self.h2.reset_stream(stream, 2)
        elif name == "trailers":
            send(stream, [(":status", "200"), ("trailer", "x-t")])
            data(stream, b"abc")
            send(stream, [("x-t", "1"), ("grpc-status", "0")], end_stream=True)
        elif name == "late":
            self.h2.send_headers(stream, [(":status", "200"), ("content-length", "3")])
            data(stream, b"abc")
            self.flush()
            self.h2.end_stream(stream)
        elif name == "big":
            send(stream, [(":status", "200"), ("content-length", value)])
            self.pending[stream] = int(value)
            self.send(stream)
        elif name == "empty":
            send(stream, [(":status", value)], end_stream=True)
        elif name == "interim":
            send(stream, [(":status", "103"), ("link", "<x>")])
            self.ok(stream)
        elif name == "nolength":
            send(stream, [(":status", "200")])
            data(stream, b"hello", end_stream=True)
        elif name == "status":
            send(stream, [(":status", value), ("content-length", "2")])
            data(stream, b"no", end_stream=True)
        elif fields.get(":method") == "HEAD":
            send(stream, [(":status", "200"), ("content-length", "2")], end_stream=True)
        else:
            self.ok(stream, ("x-connection", str(self.number)))


def main():
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((sys.argv[1], int(sys.argv[2])))
    listener.listen(100)
    tls = None
    if option("--tls"):
        pem, alpn = option("--tls", 2)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(pem)
        tls.set_alpn_protocols(alpn.split(","))
    say("listening")
    number = 0
    while True:
        sock, _ = listener.accept()
        number += 1
        threading.Thread(target=accept, args=(sock, number, tls), daemon=True).start()


def accept(sock, number, tls):
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            sock = tls.wrap_socket(sock, server_side=True)
            say(number, "tls", sock.selected_alpn_protocol())
            if sock.selected_alpn_protocol() == "http/1.1":
                return plain(sock, number)
        else:
            say(number, "accepted")
        Connection(sock, number).serve()
    except OSError as error:
        say(number, "broken", type(error).__name__)


def plain(sock, number):
    """HTTP/1.1: one request, its head printed; a websocket is agreed to."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        if not byte:
            return
        head += byte
    say(number, "request", 1, head.decode("latin-1").replace("\r\n", " "), "end")
    if b"websocket" in head:
        sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhello"
        )
    else:
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
    sock.close()


main()
