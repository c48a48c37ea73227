"""Clients of an origin: `hold.py ADDRESS PORT [tcp|udp]`. Reads lines: `open N` opens so many connections and says which server each has,
`again` asks on all of them once more ("-" where one is gone), `close` closes them. UDP: a socket, a client."""

import socket
import sys

ADDRESS, PORT = sys.argv[1], int(sys.argv[2])
UDP = len(sys.argv) > 3 and sys.argv[3] == "udp"
held = []


def connect():
    family = socket.AF_INET6 if ":" in ADDRESS else socket.AF_INET
    one = socket.socket(family, socket.SOCK_DGRAM if UDP else socket.SOCK_STREAM)
    one.settimeout(20)
    try:
        one.connect((ADDRESS, PORT))
    except OSError:
        return None
    held.append(one)
    return one


def ask(one):
    """Who answers."""
    try:
        if UDP:
            one.send(b"x")
            return one.recv(1000).split()[0].decode()
        one.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        got = b""
        while not got.endswith(b"\n") or b"\r\n\r\n" not in got or got.endswith(b"\r\n\r\n"):
            part = one.recv(1000)
            if not part:
                return "-"
            got += part
        return got.split(b"\r\n\r\n")[1].split()[0].decode()
    except (OSError, AttributeError):
        return "-"


print("ready", flush=True)
for line in sys.stdin:
    words = line.split()
    if words[0] == "open":
        print(" ".join(ask(connect()) for _ in range(int(words[1]))), flush=True)
    elif words[0] == "again":
        print(" ".join(ask(one) for one in held), flush=True)
    elif words[0] == "close":
        for one in held:
            one.close()
        held.clear()
        print("closed", flush=True)
