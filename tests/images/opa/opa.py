"""Open Policy Agent as CVAT uses it: rules come as a bundle from the server, questions are answered by them.

`run --server --set=services.cvat.url=... --set=bundles.cvat.resource=... [--addr=...]`
"""

import gzip
import io
import json
import os
import random
import signal
import sys
import tarfile
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FETCH_TIMEOUT_S = 10
FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 2  # the real one goes on to what is set; these tests wait for it


class Rules:
    """The bundle in force."""

    def __init__(self, settings):
        self.url = settings["services.cvat.url"].rstrip("/") + settings["bundles.cvat.resource"]
        self.shortest_s = float(settings["bundles.cvat.polling.min_delay_seconds"])
        self.longest_s = float(settings["bundles.cvat.polling.max_delay_seconds"])
        self.packages = None
        self._etag = ""

    def poll(self):
        delay_s = FIRST_DELAY_S  # failures wait longer and longer
        while True:
            try:
                self._fetch()
                delay_s = random.uniform(self.shortest_s, self.longest_s)
            except (OSError, ValueError, tarfile.TarError) as error:
                print(
                    json.dumps({"level": "error", "msg": f"Bundle load failed: {error}"}), file=sys.stderr, flush=True
                )
                delay_s = min(delay_s * 2, LONGEST_DELAY_S)
            time.sleep(delay_s)

    def _fetch(self):
        request = urllib.request.Request(self.url, headers={"If-None-Match": self._etag} if self._etag else {})
        try:
            with urllib.request.urlopen(request, timeout=FETCH_TIMEOUT_S) as answer:
                content, etag = answer.read(), answer.headers.get("ETag", "")
        except urllib.error.HTTPError as error:
            if error.code == 304:
                return
            raise
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(content))) as bundle:
            names = [name for name in bundle.getnames() if name.endswith(".rego")]
        if not names:
            raise ValueError("no rules in the bundle")
        self.packages = {name.rpartition("/")[2].removesuffix(".rego") for name in names}
        self._etag = etag


class Handler(BaseHTTPRequestHandler):
    rules = None
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path == "/health":
            waiting = query.startswith("bundle") and self.rules.packages is None
            self.answer(500 if waiting else 200, {"error": "not all activated"} if waiting else {})
        else:
            self.answer(404, {})

    def do_POST(self):
        question = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")
        package = self.path.removeprefix("/v1/data/").split("/")[0]
        if package not in (self.rules.packages or ()):
            self.answer(200, {})  # undefined, as OPA says
            return
        groups = question.get("input", {}).get("auth", {}).get("user", {}).get("privilege")
        public = package == "server"
        self.answer(200, {"result": {"allow": public or groups is not None}})

    def answer(self, status, body):
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


def main(arguments):
    if arguments[:2] != ["run", "--server"]:
        sys.exit("usage: opa run --server ...")
    settings, old = {}, os.environ["OPA_VERSION"].startswith("0.")
    address = "0.0.0.0:8181" if old else "localhost:8181"
    for argument in arguments[2:]:
        name, _, value = argument.partition("=")
        if name == "--set":
            key, _, text = value.partition("=")
            settings[key] = text
        elif name == "--addr":
            address = value
        elif name != "--log-level":
            sys.exit(f"Error: unknown flag: {name}")
    Handler.rules = Rules(settings)
    threading.Thread(target=Handler.rules.poll, daemon=True).start()
    host, _, port = address.rpartition(":")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ThreadingHTTPServer((host, int(port)), Handler).serve_forever()


main(sys.argv[1:])
