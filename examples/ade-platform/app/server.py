"""The platform's API. `serve` runs it; `restart REVISION` leaves it running in the background, `stop` ends it, `ask PATH` asks it."""

import hmac
import http.client
import http.server
import os
import signal
import sqlite3
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import health  # noqa: E402

PORT = int(os.environ["API_PORT"])
ROOT = os.path.abspath(os.environ["ROOT"])
DB = os.path.abspath(os.environ["DB"])
PID = os.path.join(ROOT, "shared", "pid")
TOKEN = os.environ.get("API_TOKEN", "")
CONTACT = os.environ.get("CONTACT", "nobody")


def database():
    os.makedirs(os.path.dirname(DB), exist_ok=True)
    connection = sqlite3.connect(DB, timeout=10)
    connection.execute("CREATE TABLE IF NOT EXISTS notes (text TEXT NOT NULL)")
    return connection


class Server(http.server.ThreadingHTTPServer):
    def __init__(self, revision):
        super().__init__(("127.0.0.1", PORT), Handler)
        self.revision, self.began = revision, time.monotonic()
        self.took, self.errors = [], 0

    def figures(self):
        took = sorted(self.took)
        p95 = took[len(took) * 95 // 100] if took else 0.0
        return (
            f"# TYPE ade_requests_total counter\nade_requests_total {len(took)}\n"
            f"# TYPE ade_errors_total counter\nade_errors_total {self.errors}\n"
            f"# TYPE ade_request_seconds_p95 gauge\nade_request_seconds_p95 {p95:.6f}"
        )


class Handler(http.server.BaseHTTPRequestHandler):
    def handle_one_request(self):
        began = time.monotonic()
        super().handle_one_request()
        self.server.took.append(time.monotonic() - began)

    def answer(self, status, text):
        self.server.errors += status >= 500
        body = (text + "\n").encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/health":
            well = health.is_well(time.monotonic() - self.server.began)
            self.answer(200 if well else 503, "well" if well else "not well")
        elif self.path == "/revision":
            self.answer(200, self.server.revision)
        elif self.path == "/notes":
            with database() as connection:
                rows = connection.execute("SELECT text FROM notes ORDER BY rowid").fetchall()
            self.answer(200, ",".join(text for (text,) in rows))
        elif self.path == "/contact":
            self.answer(200, CONTACT)
        elif self.path == "/metrics":
            self.answer(200, self.server.figures())
        else:
            self.answer(404, "there is no " + self.path)

    def do_POST(self):
        if not hmac.compare_digest(self.headers.get("Authorization", ""), "Bearer " + TOKEN):
            return self.answer(401, "whoever writes notes has the token")
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with database() as connection:
            connection.execute("INSERT INTO notes VALUES (?)", (text,))
        self.answer(201, "noted")

    def log_message(self, *_):
        pass


def stop():
    try:
        with open(PID) as file:
            pid = int(file.read())
        os.kill(pid, signal.SIGTERM)
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return
    for _ in range(500):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)


def restart(revision):
    stop()
    database().close()
    server = Server(revision)
    if os.fork():
        return
    # The server is nobody's child, and has nobody's streams.
    os.setsid()
    if os.fork():
        os._exit(0)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    with open(PID + ".next", "w") as file:
        file.write(str(os.getpid()))
    os.rename(PID + ".next", PID)
    server.serve_forever()


def ask(path):
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=5)
    try:
        connection.request("GET", path)
    except ConnectionRefusedError:
        return f"nobody answers on port {PORT}"
    answer = connection.getresponse()
    print(answer.read().decode().strip())
    return 0 if answer.status == 200 else 1


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        Server("the work tree").serve_forever()
    elif sys.argv[1] == "restart":
        restart(sys.argv[2])
    elif sys.argv[1] == "stop":
        stop()
    else:
        sys.exit(ask(sys.argv[2]))
