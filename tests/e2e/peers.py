"""The network peers of a run: a receiver of callbacks and a server of files, on loopback."""

import json
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Receiver:
    """Keeps what comes, by job_id."""

    def __init__(self) -> None:
        self.messages: dict[str, list[dict[str, Any]]] = {}
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                message = json.loads(self.rfile.read(int(self.headers["content-length"])))
                receiver.messages.setdefault(message["job_id"], []).append(message)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    def types(self, job_id: str) -> list[str]:
        return [message["type"].removeprefix("training_") for message in self.messages.get(job_id, [])]

    def epochs(self, job_id: str) -> list[int]:
        progress = [m for m in self.messages.get(job_id, []) if m["type"] == "training_progress"]
        return [message["data"]["epoch"] for message in progress]


def file_server(folder: Path) -> ThreadingHTTPServer:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    return ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
