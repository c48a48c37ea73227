"""A real server: `origin.py NAME PORT [ADDRESS]`. GET tells its name and who it sees, GET /bytes/N gives N bytes, PUT answers with the
SHA-256 of what came. UDP datagrams on the same port come back with the name and the sender's address before them."""

import hashlib
import http.server
import socket
import socketserver
import sys
import threading

NAME, PORT = sys.argv[1], int(sys.argv[2])
ADDRESS = sys.argv[3] if len(sys.argv) > 3 else "::"
BLOCK = bytes(range(251)) * 261


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, parts, length):
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        for part in parts:
            self.wfile.write(part)

    def do_GET(self):
        if self.path.startswith("/bytes/"):
            length = int(self.path.split("/")[2])
            full, rest = divmod(length, len(BLOCK))
            self.answer([BLOCK] * full + [BLOCK[:rest]], length)
            return
        host, port = self.client_address[:2]
        text = f"{NAME} {host.removeprefix('::ffff:')} {port} {self.connection.getsockname()[1]}\n".encode()
        self.answer([text], len(text))

    def do_PUT(self):
        left, digest = int(self.headers["Content-Length"]), hashlib.sha256()
        while left:
            part = self.rfile.read(min(left, 65536))
            digest.update(part)
            left -= len(part)
        text = digest.hexdigest().encode()
        self.answer([text], len(text))

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    address_family = socket.AF_INET6 if ":" in ADDRESS else socket.AF_INET
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, *_):
        pass


IPV6_RECVPKTINFO, IPV6_PKTINFO = 49, 50


def echo(udp):
    """Answers from the address that was asked."""
    if udp.family == socket.AF_INET6:
        udp.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
    while True:
        data, about, _, sender = udp.recvmsg(65535, 200)
        host = sender[0].removeprefix("::ffff:")
        # The address alone: routes choose the interface.
        about = [(a, b, c[:16] + bytes(4)) for a, b, c in about if b == IPV6_PKTINFO]
        udp.sendmsg([f"{NAME} {host} {sender[1]} ".encode() + data], about, 0, sender)


udp = socket.socket(Server.address_family, socket.SOCK_DGRAM)
udp.bind((ADDRESS, PORT))
threading.Thread(target=echo, args=(udp,), daemon=True).start()
server = Server((ADDRESS, PORT), Handler)
print("ready", flush=True)
server.serve_forever()
