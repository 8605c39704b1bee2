"""A martlet-control under measurement, and its API."""
import json
import os
import pathlib
import time
import urllib.error
import urllib.request

from .processes import end, require_free, spawn
from .site import ROOT

PORT, API = 15910, 15920
DOMAIN = "bench.mesh"
MESH = f"apiVersion: martlet.dev/v1alpha1\nkind: Mesh\nmetadata: {{name: default}}\nspec: {{trustDomain: {DOMAIN}}}\n"


def binary(name):
    """The path of a binary: in MARTLET_BIN, or the release build."""
    return str(pathlib.Path(os.environ.get("MARTLET_BIN", ROOT / ".build/release")) / name)


class Plane:
    """`with Plane(directory) as plane`: a control plane with its data below directory."""

    def __init__(self, directory, cpus="0,1"):
        self.data, self.log, self.cpus = directory / "data", directory / "control.log", cpus

    def __enter__(self):
        require_free([PORT, API])
        self.process = spawn([binary("martlet-control"), "serve", "--data", str(self.data), "--listen", f"127.0.0.1:{PORT}",
                              "--api", f"127.0.0.1:{API}", "--trust-domain", DOMAIN], self.cpus, str(self.log))
        deadline = time.monotonic() + 20
        while not self.is_serving():
            if time.monotonic() > deadline or self.process.poll() is not None:
                end(self.process)
                raise RuntimeError(f"martlet-control does not start: {self.tail()}")
            time.sleep(0.05)
        self.token = (self.data / "admin-token").read_text().strip()
        return self

    def __exit__(self, kind, *_):
        end(self.process)
        if kind is not None:
            print(self.tail())

    def tail(self):
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else "no output"

    @staticmethod
    def is_serving():
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{API}/ready", timeout=2)
        except urllib.error.HTTPError:
            return True  # it answers
        except OSError:
            return False
        return True

    def call(self, method, path, body=None):
        request = urllib.request.Request(
            f"http://127.0.0.1:{API}{path}", method=method, data=None if body is None else json.dumps(body).encode(),
            headers={"authorization": f"Bearer {self.token}", "content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as response:
            return json.loads(response.read() or b"null")

    def apply(self, text, message="bench"):
        result = self.call("POST", "/v1/apply", {
            "files": [{"name": "bench.yaml", "text": text}], "dryRun": False, "author": "bench", "message": message})
        if not result["isAccepted"]:
            raise RuntimeError(f"not accepted: {result['diagnostics'][:3]}")

    def join_token(self, role, uses=1):
        return self.call("POST", "/v1/tokens", {
            "role": role, "lifetimeSeconds": 3600, "uses": uses, "author": "bench"})["secret"]
