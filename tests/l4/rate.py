"""New connections at a steady rate: `rate.py ADDRESS PORT PER_SECOND`. Each asks once. For every line of the standard input the connections
begun since the last one are waited for, and told: how many, how many of them failed, and then each server's name and number."""

import collections
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait

ADDRESS, PORT, RATE = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
pool = ThreadPoolExecutor(64)
lock, begun = threading.Lock(), []


def one():
    try:
        with socket.create_connection((ADDRESS, PORT), 30) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            text = b""
            while part := connection.recv(4096):
                text += part
        return text.split(b"\r\n\r\n")[1].split()[0].decode()
    except (OSError, IndexError):
        return "-"


def run():
    due = time.monotonic()
    while True:
        with lock:
            begun.append(pool.submit(one))
        due += 1 / RATE
        time.sleep(max(0, due - time.monotonic()))


threading.Thread(target=run, daemon=True).start()
print("running", flush=True)
for _ in sys.stdin:
    with lock:
        mine, begun = begun, []
    wait(mine)
    got = collections.Counter(future.result() for future in mine)
    failed = got.pop("-", 0)
    print(len(mine), failed, *(f"{name} {n}" for name, n in sorted(got.items())), flush=True)
