"""The application: `serve DB PORT` answers, `check DB` says whether the database is the one this code was written for."""

import http.server
import json
import sqlite3
import sys

# The last migration that this code rests on.
WANTS = "002-people.sql"


def check(path):
    with sqlite3.connect(path) as database:
        done = [name for (name,) in database.execute("SELECT name FROM migrations ORDER BY name")]
        people = database.execute("SELECT count(*) FROM people").fetchone()[0]
    if WANTS not in done:
        raise SystemExit(f"the database has not seen {WANTS}")
    return {"people": people, "migrations": done}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps(check(self.server.database)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[3])), Handler)
        server.database = sys.argv[2]
        server.serve_forever()
    print(json.dumps(check(sys.argv[2])))
