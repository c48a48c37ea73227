#!/usr/bin/env python3
"""Records which server Debian's haproxy chooses, case by case, into sequences.txt (read by src/balance/sequences.rs).

A case is a `balance` line, servers (weight, `b` for backup, `m3` for maxconn 3) and steps:
  run N       N requests, one after the other
  open N      N connections that stay open
  close x     closes the oldest connection of server x, if there is one
  down x, up x, weight x N
The recorder writes after each run/open the servers that answered, one letter each.
Usage: record.py FIRST_PORT > sequences.txt
"""
import itertools, os, random, select, socket, subprocess, sys, tempfile, threading, time

BASE = int(sys.argv[1])
DIR = tempfile.mkdtemp()
LETTERS = "abcdefgh"
HTTP_PORT, TCP_FIRST = BASE, BASE + 20


def cases():
    rr = ["run 60"]
    weights = ["1 2 3", "1 1 1", "5 1 1", "10 20 30", "256 1 128", "3 3 2 1", "7", "100 50", "1 2 3 4 5 6 7 8"]
    for algo in ["roundrobin", "static-rr", "leastconn", "first"]:
        for w in weights:
            yield (f"balance {algo}", w, ["run 60"])
        yield (f"balance {algo}", "1 2 3", ["run 10", "down b", "run 20", "up b", "run 30", "down a", "down c", "run 10", "up c", "up a", "run 30"])
        yield (f"balance {algo}", "1 1 1b 1b", ["run 10", "down a", "run 5", "down b", "run 10", "down c", "run 5", "up c", "run 5", "up a", "run 5"])
        yield (f"balance {algo};allbackups", "1 1 1b 2b", ["run 10", "down a", "down b", "run 12", "up b", "run 5"])
        yield (f"balance {algo}", "0 1 2", ["run 12"])
    for algo in ["roundrobin", "leastconn"]:
        yield (f"balance {algo}", "10 10 10", ["run 7", "weight b 20", "run 20", "weight a 5", "run 30", "weight b 0", "run 9", "weight b 1", "run 40", "weight c 256", "run 60"])
        yield (f"balance {algo}", "1 2 3", ["run 7", "weight a 100", "run 50", "weight a 1", "run 50"])
    for algo in ["roundrobin", "static-rr", "leastconn", "first"]:
        yield (f"balance {algo};tcp", "1 2 3", ["open 12", "close a", "open 2", "close c", "close c", "open 4", "close b", "close a", "close c", "run 5", "open 3"])
        yield (f"balance {algo};tcp", "1m2 2m3 3m4", ["open 4", "run 4", "open 3", "close c", "open 1", "close b", "run 4", "open 2", "close c", "close c", "run 10"])
        yield (f"balance {algo};tcp", "1m1 1m5 1", ["open 8", "close b", "open 2", "close a", "open 2", "close c", "run 12"])
        yield (f"balance {algo};tcp", "1 1 2b 1b", ["open 6", "down a", "down b", "open 4", "up a", "open 4"])
    for key in ["uri", "hdr"]:
        for typ in ["map-based", "consistent"]:
            for fn in ["sdbm", "djb2", "wt6", "crc32"]:
                for av in ["", " avalanche"]:
                    for w in ["1 1 1", "1 2 3", "100 50 10 1"]:
                        yield (f"balance {key};hash-type {typ} {fn}{av}", w, ["run 200"])
    for typ in ["map-based", "consistent"]:
        for av in ["", " avalanche"]:
            yield (f"balance source;hash-type {typ} sdbm{av}", "1 2 3", ["run 200"])
            yield (f"balance source6;hash-type {typ} sdbm{av}", "1 2 3", ["run 200"])
        yield (f"balance source;hash-type {typ} djb2", "1 2 3", ["run 60"])
        yield (f"balance uri;hash-type {typ} sdbm", "1 2 3 1", ["run 60", "down b", "run 60", "up b", "down a", "run 60", "up a", "run 60"])
        yield (f"balance uri;hash-type {typ} sdbm", "1 2 1b 1b", ["run 10", "down a", "down b", "run 20", "down c", "run 20"])
        yield (f"balance uri;hash-type {typ} sdbm;allbackups", "1 2 1b 3b", ["run 10", "down a", "down b", "run 40"])
        # without the key: round robin
        yield (f"balance nokey;hash-type {typ} sdbm", "1 2 3", ["run 60", "down b", "run 20", "up b", "run 20"])
    yield ("balance uri;hash-type consistent sdbm", "10 20 30", ["run 60", "weight a 100", "run 60", "weight b 1", "run 60"])
    for factor in [101, 110, 125, 150, 200, 1000]:
        for w in ["1 1 1", "1 2 3", "10 20 30"]:
            yield (f"balance source;tcp;hash-type consistent sdbm;hash-balance-factor {factor}", w, ["open 40", "close a", "close c", "open 10", "run 10"])


def servers(text):
    for letter, word in zip(LETTERS, text.split()):
        backup = "b" in word
        word, _, maxconn = word.replace("b", "").partition("m")
        yield letter, int(word), backup, int(maxconn or 0)


def config(all_cases):
    out = ["global", " maxconn 4000", " nbthread 1", f" stats socket {DIR}/stats level admin", "defaults", " mode http", " timeout client 60s",
           " timeout server 60s", " timeout connect 5s", " timeout queue 60s",
           f"frontend http", f" bind 127.0.0.1:{HTTP_PORT} accept-proxy", " use_backend %[req.hdr(x-be)]"]
    for i, c in enumerate(LETTERS):
        out += [f"listen name{c}", f" bind 127.0.0.1:{BASE + 1 + i}", f" http-request return status 200 content-type text/plain string {c}"]
    for n, (spec, srv, _) in enumerate(all_cases):
        parts = spec.split(";")
        tcp = "tcp" in parts
        out.append(f"{'listen' if tcp else 'backend'} be{n}")
        if tcp:
            out += [" mode tcp", f" bind unix@{DIR}/be{n} accept-proxy"]
        for p in parts:
            if p == "allbackups":
                p = "option allbackups"
            elif p == "balance hdr":
                p = "balance hdr(x-key)"
            elif p == "balance source6":
                p = "balance source"
            elif p == "balance nokey":
                p = "balance hdr(x-none)"
            elif p == "tcp":
                continue
            out.append(" " + p)
        for i, (c, w, b, m) in enumerate(servers(srv)):
            port = (TCP_FIRST if tcp else BASE + 1) + i
            out.append(f" server {c} 127.0.0.1:{port} weight {w}" + (" backup" if b else "") + (f" maxconn {m}" if m else ""))
    return "\n".join(out) + "\n"


def origin(i):
    """Says its letter and waits for the end."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", TCP_FIRST + i))
    s.listen(512)

    def serve(c):
        c.sendall(LETTERS[i].encode())
        while c.recv(100):
            pass
        c.close()

    while True:
        c, _ = s.accept()
        threading.Thread(target=serve, args=(c,), daemon=True).start()


def command(text):
    s = socket.socket(socket.AF_UNIX)
    s.connect(f"{DIR}/stats")
    s.sendall(text.encode() + b"\n")
    out = b"".join(iter(lambda: s.recv(65536), b""))
    return out.decode()


def settled(n, count):
    for _ in range(2000):
        for row in command(f"show stat be{n} 2 -1").splitlines():
            f = row.split(",")
            if len(f) > 4 and f[0] == f"be{n}" and f[1] == "BACKEND" and int(f[4]) == count:
                return
        time.sleep(0.001)
    raise SystemExit(f"be{n} does not settle")


def key4(i):
    return (i * 2654435761 + 16909060) & 0xFFFFFFFF


def proxy_header(spec, i):
    if "source6" in spec:
        words = [(i * m + 7) & 0xFFFFFFFF for m in (2654435761, 40503, 1, 2246822519)]
        raw = b"".join(w.to_bytes(4, "big") for w in words)
        return b"PROXY TCP6 %s ::1 1000 80\r\n" % socket.inet_ntop(socket.AF_INET6, raw).encode()
    ip = socket.inet_ntoa(key4(i).to_bytes(4, "big"))
    return f"PROXY TCP4 {ip} 127.0.0.1 1000 80\r\n".encode()


class Runner:
    def __init__(self, n, spec):
        self.n, self.spec, self.count, self.held, self.conn = n, spec, 0, [], None

    def http(self):
        i = self.count
        self.count += 1
        source = "source" in self.spec
        if self.conn is None or source:
            self.conn = socket.create_connection(("127.0.0.1", HTTP_PORT))
            self.conn.sendall(proxy_header(self.spec, i))
        # é, to see how bytes above 127 are taken
        self.conn.sendall(f"GET /k{i}/{i * 7919}?q={i} HTTP/1.1\r\nhost: a\r\nx-be: be{self.n}\r\nx-key: k\u00e9{i * 31}\r\n\r\n".encode())
        data = b""
        while b"\r\n\r\n" not in data or not data.split(b"\r\n\r\n", 1)[1]:
            got = self.conn.recv(4096)
            if not got:
                raise SystemExit(f"{self.spec}: {data}")
            data += got
        body = data.split(b"\r\n\r\n", 1)[1].decode()
        return body if data.startswith(b"HTTP/1.1 200") else "!"

    def open(self):
        i = self.count
        self.count += 1
        s = socket.socket(socket.AF_UNIX)
        s.connect(f"{DIR}/be{self.n}")
        s.sendall(proxy_header(self.spec, i))
        r, _, _ = select.select([s], [], [], 0.5)
        got = s.recv(1).decode() if r else ""
        if not got:
            s.close()
            return "-", None
        return got, s

    def step(self, step):
        word, *args = step.split()
        tcp = "tcp" in self.spec.split(";")
        got = ""
        if word == "run":
            for _ in range(int(args[0])):
                if tcp:
                    c, s = self.open()
                    got += c
                    if s:
                        s.close()
                    settled(self.n, len(self.held))
                else:
                    got += self.http()
        elif word == "open":
            for _ in range(int(args[0])):
                c, s = self.open()
                got += c
                if s:
                    self.held.append((c, s))
                else:
                    settled(self.n, len(self.held))
        elif word == "close":
            at = next((k for k, (c, _) in enumerate(self.held) if c == args[0]), None)
            if at is not None:
                self.held.pop(at)[1].close()
                settled(self.n, len(self.held))
        elif word == "weight":
            command(f"set server be{self.n}/{args[0]} weight {args[1]}")
        else:
            command(f"set server be{self.n}/{args[0]} state {'maint' if word == 'down' else 'ready'}")
        return " ".join([step] + ([got] if got else []))


def main():
    all_cases = list(cases())
    with open(f"{DIR}/cfg", "w") as f:
        f.write(config(all_cases))
    for i in range(len(LETTERS)):
        threading.Thread(target=origin, args=(i,), daemon=True).start()
    h = subprocess.Popen(["/usr/sbin/haproxy", "-db", "-f", f"{DIR}/cfg"], stderr=open(f"{DIR}/err", "w"))
    try:
        for _ in range(200):
            if os.path.exists(f"{DIR}/stats"):
                break
            time.sleep(0.02)
        print("# Recorded by record.py from", subprocess.check_output(["/usr/sbin/haproxy", "-v"]).decode().split(" 20")[0].strip())
        for n, (spec, srv, steps) in enumerate(all_cases):
            r = Runner(n, spec)
            print(f"{spec} | {srv} | " + " , ".join(r.step(s) for s in steps), flush=True)
            for _, s in r.held:
                s.close()
    finally:
        h.terminate()
        h.wait()


main()
