"""Clients that never rest: `traffic.py COUNT ADDRESS:PORT...` opens so many connections to each, and says "open". From then on it asks on each
of them in turn, and on a new one to each address now and then, until a line comes in. Then it says how often it asked on old ones, how often
on new ones, and what went wrong, if anything did; after another line it goes on."""

import socket
import sys
import threading

COUNT, ADDRESSES = int(sys.argv[1]), [a.rsplit(":", 1) for a in sys.argv[2:]]


def connect(address):
    return socket.create_connection((address[0], int(address[1])), 60)


def ask(connection):
    connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    text = b""
    while b"\r\n\r\n" not in text or text.endswith(b"\r\n\r\n"):
        part = connection.recv(4096)
        if not part:
            raise OSError("closed")
        text += part


held = [(address, connect(address)) for address in ADDRESSES for _ in range(COUNT)]
for _, connection in held:
    connection.settimeout(60)
    ask(connection)


def work(stop, counts, faults):
    while not stop.is_set():
        for n, (address, connection) in enumerate(held):
            try:
                ask(connection)
                counts[0] += 1
                if n % COUNT == 0:
                    with connect(address) as new:
                        ask(new)
                    counts[1] += 1
            except OSError as error:
                faults.append(f"{address[1]}: {error}")
                if len(faults) > 9:
                    return


print("open", flush=True)
while True:
    stop, counts, faults = threading.Event(), [0, 0], []
    worker = threading.Thread(target=work, args=(stop, counts, faults))
    worker.start()
    if not sys.stdin.readline():
        break
    stop.set()
    worker.join()
    print(*counts, *faults, flush=True)
    if not sys.stdin.readline():
        break
