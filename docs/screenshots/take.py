#!/usr/bin/env python3
"""Takes the pictures of the statistics page anew: docs/screenshots/take.py [path of weir]

Needs root (a network namespace of its own, with virtual routers and mode l4 in it), Python 3, and Debian's chromium and
chromium-driver. Everything it starts, it ends.
"""
import base64, http.server, json, os, random, subprocess, sys, tempfile, threading, time, urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
WEIR = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "../../target/debug/weir")

CONFIG = """
global
    node lb1.fra
    description Edge cluster, Frankfurt
    stats socket {dir}/admin.sock level admin
defaults
    mode http
    timeout connect 1s
    timeout client 20s
    timeout server 20s
    timeout queue 2s
    retries 1
frontend stats
    bind 127.0.0.1:9000
    maxconn 100
    stats uri /stats
    stats show-node
    stats show-desc
    stats show-legends
    stats admin if TRUE
frontend www
    bind 127.0.0.1:9001
    description Public web sites
    maxconn 5000
    http-request deny if {{ path_beg /private }}
    use_backend api if {{ path_beg /api }}
    use_backend pay if {{ path_beg /pay }}
    default_backend web
backend web
    option httpchk GET /health
    server web1 127.0.0.1:9101 weight 100 maxconn 40 check inter 500ms
    server web2 127.0.0.1:9102 weight 100 maxconn 40 check inter 500ms
    server web3 127.0.0.1:9103 weight 50 maxconn 40 check inter 500ms
    server web4 127.0.0.1:9199 weight 50 maxconn 40 check inter 500ms
    server sorry 127.0.0.1:9104 backup maxconn 40 check inter 500ms
backend api
    option httpchk GET /health
    server api1 127.0.0.1:9105 maxconn 3 check inter 500ms
    server api2 127.0.0.1:9106 maxconn 3 check inter 500ms
    server api3 127.0.0.1:9107 maxconn 3 check inter 500ms
backend pay
    option httpchk GET /health
    server pay1 127.0.0.1:9108 check inter 500ms
    server pay2 127.0.0.1:9109 check inter 500ms
listen dns
    mode l4
    bind 10.9.0.53:5300
    forward nat
    balance wlc
    server ns1 10.9.0.2:9101 weight 10 check inter 500ms
    server ns2 10.9.0.3:9102 weight 10 check inter 500ms
listen mail
    mode l4
    bind 10.9.0.53:2500
    forward nat
    balance rr
    server mx1 10.9.0.2:9103 check inter 500ms
vrrp VI_web
    interface v0
    virtual-router-id 51
    state master
    priority 150
    advert-interval 1s
    address 10.9.0.53/32 dev v0
    address 10.9.0.54/32 dev v0
vrrp VI_dns
    interface v0
    virtual-router-id 52
    priority 100
    advert-interval 1s
    address 10.9.0.55/32 dev v0
"""

MANY = """
global
    stats socket {dir}/many.sock level admin
defaults
    mode http
    timeout connect 1s
    timeout client 20s
    timeout server 20s
frontend stats
    bind 127.0.0.1:9002
    stats uri /stats
{backends}
"""


class Origin(http.server.BaseHTTPRequestHandler):
    """Answers slowly, and badly, as its port says."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        port = self.server.server_address[1]
        sick = {9107: 404, 9108: 503}.get(port)
        if self.path == "/health":
            return self.answer(sick or 200, b"")
        time.sleep(random.choice([0.01, 0.02, 0.06]) * (4 if port in (9105, 9106) else 1))
        self.answer(random.choices([200, 304, 404, 500], [90, 2, 6, 2])[0], b"x" * random.choice([500, 5000, 20000]))

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(0 if status == 304 else len(body)))
        self.end_headers()
        if status != 304:
            self.wfile.write(body)

    def log_message(self, *_):
        pass

    def finish(self):
        try:
            super().finish()
        except OSError:
            pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


class Browser:
    def __init__(self, dir):
        self.driver = subprocess.Popen(["chromedriver", "--port=9515", "--log-level=SEVERE"], stdout=subprocess.DEVNULL)
        wait(lambda: urllib.request.urlopen("http://127.0.0.1:9515/status"))
        args = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
                "--force-device-scale-factor=1", f"--user-data-dir={dir}/profile"]
        opened = self.call("POST", "/session", {"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": args}}}})
        self.session = "/session/" + opened["sessionId"]

    def call(self, method, path, body=None):
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request("http://127.0.0.1:9515" + path, data, method=method)
        return json.load(urllib.request.urlopen(request, timeout=60))["value"]

    def cdp(self, name, **params):
        return self.call("POST", self.session + "/goog/cdp/execute", {"cmd": name, "params": params})

    def size(self, width, height, phone=False):
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height,
                 deviceScaleFactor=2 if phone else 1, mobile=phone)

    def dark(self, on):
        scheme = {"name": "prefers-color-scheme", "value": "dark" if on else "light"}
        self.cdp("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, url):
        self.call("POST", self.session + "/url", {"url": url})

    def run(self, code):
        return self.call("POST", self.session + "/execute/sync", {"script": code, "args": []})

    def take(self, name):
        shot = self.call("GET", self.session + "/screenshot")
        with open(os.path.join(HERE, name + ".png"), "wb") as file:
            file.write(base64.b64decode(shot))

    def close(self):
        self.call("DELETE", self.session)
        self.driver.terminate()
        self.driver.wait()


def wait(ready, limit=30):
    end = time.time() + limit
    while True:
        try:
            if ready() is not False:
                return
        except OSError:
            pass
        if time.time() > end:
            raise SystemExit("it does not come")
        time.sleep(0.1)


def traffic(stop):
    """Visitors: pages, calls, and some who may not enter."""
    paths = ["/", "/a.css", "/img/1", "/api/list", "/api/item", "/pay/1", "/private/x"]
    while not stop.is_set():
        path = random.choices(paths, [20, 10, 10, 16, 8, 3, 3])[0]
        try:
            urllib.request.urlopen("http://127.0.0.1:9001" + path, timeout=5).read()
        except OSError:
            pass
        time.sleep(random.uniform(0.02, 0.25))


def start(text, dir, name):
    path = os.path.join(dir, name + ".cfg")
    with open(path, "w") as file:
        file.write(text)
    return subprocess.Popen([WEIR, "-db", "-f", path], stderr=subprocess.DEVNULL)


def take_all(dir):
    # The interfaces of this namespace, not those of the machine.
    subprocess.run(["mount", "-t", "sysfs", "sysfs", "/sys"], check=True)
    for command in ["lo up", "add v0 type veth peer name v1", "v0 up", "v1 up"]:
        subprocess.run("ip link set ".split() + command.split() if command.endswith("up") else
                       "ip link".split() + command.split(), check=True)
    for address in ["10.9.0.1/24 dev v0", "10.9.0.2/24 dev lo", "10.9.0.3/24 dev lo"]:
        subprocess.run("ip address add".split() + address.split(), check=True)
    for port in range(9101, 9110):
        threading.Thread(target=Server(("0.0.0.0", port), Origin).serve_forever, daemon=True).start()
    backends = "".join(
        f"backend shop{b:02}\n" + "".join(
            f"    server node{b:02}-{s:03} 127.0.0.1:{9199 if (b * 100 + s) % 37 == 0 else 9101} "
            f"check inter 10s{' disabled' if (b * 100 + s) % 53 == 0 else ''}\n" for s in range(100))
        for b in range(20))
    programs = [start(CONFIG.format(dir=dir), dir, "one"), start(MANY.format(dir=dir, backends=backends), dir, "many")]
    browser, stop = None, threading.Event()
    try:
        wait(lambda: urllib.request.urlopen("http://127.0.0.1:9000/stats"))
        visitors = [threading.Thread(target=traffic, args=[stop], daemon=True) for _ in range(12)]
        for visitor in visitors:
            visitor.start()
        subprocess.run(["socat", "-t5", "-", f"{dir}/admin.sock"], input=b"set server web/web3 state drain\n",
                       stdout=subprocess.DEVNULL, check=True)
        browser = Browser(dir)
        browser.size(1440, 930)
        browser.dark(False)
        browser.open("http://127.0.0.1:9000/stats")
        time.sleep(60)
        browser.take("light")
        browser.dark(True)
        time.sleep(1)
        browser.take("dark")
        browser.dark(False)
        browser.run("window.scrollTo(0, 0); [...document.querySelectorAll('td a, th a, a, button')]"
                    ".find(e => e.textContent.trim() === 'web1').click()")
        time.sleep(2)
        browser.take("detail")
        browser.size(390, 844, phone=True)
        browser.open("http://127.0.0.1:9000/stats")
        time.sleep(8)
        browser.take("phone")
        browser.size(1440, 930)
        browser.open("http://127.0.0.1:9002/stats")
        time.sleep(15)
        browser.run("const f = document.querySelector('input[type=search], #filter, input'); f.value = 'down';"
                    "f.dispatchEvent(new Event('input', {bubbles: true}))")
        time.sleep(3)
        browser.take("many")
    finally:
        stop.set()
        if browser:
            browser.close()
        for program in programs:
            program.terminate()
            program.wait()


if __name__ == "__main__":
    if os.environ.get("WEIR_SCREENSHOTS") != "inside":
        os.environ["WEIR_SCREENSHOTS"] = "inside"
        os.execvp("unshare", ["unshare", "-nm", sys.executable, os.path.abspath(__file__), *sys.argv[1:]])
    with tempfile.TemporaryDirectory() as dir:
        take_all(dir)
