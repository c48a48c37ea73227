"""Connections that stay open: `held.py ADDRESS PORT COUNT`. Each asks for / once; their servers are printed in a line, sorted. Then a line
from the standard input for each further request over all of them, which prints the servers again, or "broken"."""

import socket
import sys

ADDRESS, PORT, COUNT = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def ask(connection):
    connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    text = b""
    while not text.endswith(b"\n") or b"\r\n\r\n" not in text or text.endswith(b"\r\n\r\n"):
        part = connection.recv(4096)
        if not part:
            return "broken"
        text += part
    return text.split(b"\r\n\r\n")[1].split()[0].decode()


def everyone():
    names = []
    for connection in connections:
        try:
            names.append(ask(connection))
        except OSError:
            names.append("broken")
    print(" ".join(sorted(names)), flush=True)


connections = [socket.create_connection((ADDRESS, PORT), 60) for _ in range(COUNT)]
everyone()
for _ in sys.stdin:
    everyone()
