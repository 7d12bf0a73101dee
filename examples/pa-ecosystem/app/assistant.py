"""The assistant's API. `restart` leaves it running in the background, `stop` ends it, `ask PATH` asks it."""

import http.client
import http.server
import os
import signal
import subprocess
import sys
import time

PORT = int(os.environ["API_PORT"])
ROOT = os.path.abspath(os.environ["ROOT"])
PID = os.path.join(ROOT, "pid")
HERE = os.path.dirname(os.path.abspath(__file__))


def sql(text, **values):
    """Rows as text. Values are quoted by psql."""
    given = [part for name, value in values.items() for part in ("-v", f"{name}={value}")]
    psql = ["psql", "-qtA", "-F", ",", "-v", "ON_ERROR_STOP=1", *given]
    return subprocess.run(psql, input=text, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


def revision():
    git = ["git", "-C", HERE, "rev-parse", "HEAD"]
    return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, text):
        body = (text + "\n").encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self):
        return self.rfile.read(int(self.headers["Content-Length"])).decode()

    def handle_one(self, does):
        try:
            self.answer(*does())
        except subprocess.CalledProcessError as failed:
            self.answer(503, failed.stderr.strip())

    def do_GET(self):
        known = {
            "/health": lambda: (200, "well" if sql("SELECT 1") else ""),
            "/revision": lambda: (200, self.server.revision),
            "/contacts": lambda: (200, sql("SELECT name, email, phone FROM contacts ORDER BY id")),
        }
        self.handle_one(known.get(self.path, lambda: (404, "there is no " + self.path)))

    def do_POST(self):
        name, email, phone = self.body().split(",")
        insert = "INSERT INTO contacts (name, email, phone) VALUES (:'name', :'email', :'phone')"
        self.handle_one(lambda: (201, sql(insert, name=name, email=email, phone=phone) + "noted"))

    def do_DELETE(self):
        email = self.body()
        self.handle_one(lambda: (200, sql("DELETE FROM contacts WHERE email = :'email'", email=email) + "gone"))

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


def restart():
    stop()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
    server.revision = revision()
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
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=15)
    try:
        connection.request("GET", path)
    except ConnectionRefusedError:
        return f"nobody answers on port {PORT}"
    answer = connection.getresponse()
    print(answer.read().decode().strip())
    return 0 if answer.status == 200 else 1


if __name__ == "__main__":
    if sys.argv[1] == "restart":
        restart()
    elif sys.argv[1] == "stop":
        stop()
    else:
        sys.exit(ask(sys.argv[2]))
