"""The API: `python -m agentorchestrator.server` answers on $PORT until it is stopped."""

import http.server
import json
import os

from agentorchestrator import agents

DEBUG = os.environ.get("DEBUG") == "true"
KEY = os.environ.get("AUTH_DEFAULT_KEY") if os.environ.get("AUTH_ENABLED") == "true" else None


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, said):
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/api/v1/health":
            self.answer(200, {"app": os.environ["APP_NAME"], "pid": os.getpid(), "debug": DEBUG})
        elif KEY is not None and self.headers.get("X-API-Key") != KEY:
            self.answer(401, {"error": "the key is missing or wrong"})
        elif self.path.startswith("/api/v1/agents/"):
            try:
                self.answer(200, {"agent": agents.describe(self.path.rsplit("/", 1)[1], DEBUG)})
            except KeyError as error:
                self.answer(404, {"error": error.args[0]})
        else:
            self.answer(404, {"error": "there is no " + self.path})

    def log_message(self, form, *words):
        if DEBUG:
            print(form % words, flush=True)


if __name__ == "__main__":
    address = (os.environ.get("HOST", "127.0.0.1"), int(os.environ["PORT"]))
    with http.server.ThreadingHTTPServer(address, Handler) as server:
        print(f"{os.environ['APP_NAME']} answers on port {address[1]}", flush=True)
        server.serve_forever()
