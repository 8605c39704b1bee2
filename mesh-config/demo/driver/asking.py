"""Clients that nobody here wrote: curl, Node, grpcio, websockets. Each runs as a process, for a bounded time."""
import dataclasses
import json
import subprocess
import sys
import tempfile

from .site import HERE

CLIENTS = HERE / "clients"
SECONDS = 30


class Failed(Exception):
    """Something did not come as it should; the text says what."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """What curl got. `version` is "1.1" or "2"; `headers` have names in lower case."""
    status: int
    version: str
    url: str
    headers: dict
    body: str

    def json(self):
        """The body of a service's answer."""
        if self.status != 200:
            reason = self.headers.get("x-martlet-reason")
            raise Failed(f"HTTP status {self.status}{f', reason {reason}' if reason else ''}: {self.body.strip()[:200]}")
        return parse(self.body)


def curl(url, *options):
    """One request with curl; for several URLs in one (curl's [1-500]) the bodies stand one after the other."""
    with tempfile.NamedTemporaryFile(prefix="martlet-demo-") as heads:
        command = ["curl", "--disable", "--noproxy", "*", "--silent", "--show-error", "--max-time", str(SECONDS),
                   "--dump-header", heads.name, "--write-out", "%{stderr}\n%{json}\n", *options, url]
        result = _run(command)
        *errors, report = result.stderr.strip().splitlines() or [""]
        if result.returncode != 0:
            told = dict.fromkeys(error for error in errors if error.startswith("curl:"))  # each once
            raise Failed("\n".join(told) or f"curl: exit code {result.returncode}")
        facts = parse(report)
        return Answer(facts["http_code"], facts["http_version"], facts["url_effective"],
                      _last_head(heads.read().decode("latin-1")), result.stdout)


def node(*arguments):
    """What clients/node.mjs prints."""
    return _client("node", CLIENTS / "node.mjs", *arguments)


def python(name, *arguments):
    """What the Python client called name prints."""
    return _client(sys.executable, CLIENTS / name, *arguments)


def parse(text):
    try:
        return json.loads(text)
    except ValueError:
        raise Failed(f"not the answer of a service: {text.strip()[:200]!r}") from None


def parse_all(text):
    """JSON values that stand one after the other."""
    values, decoder, rest = [], json.JSONDecoder(), text.strip()
    while rest:
        try:
            value, end = decoder.raw_decode(rest)
        except ValueError:
            raise Failed(f"not the answer of a service: {rest[:200]!r}") from None
        values.append(value)
        rest = rest[end:].strip()
    return values


def _client(*command):
    result = _run([str(part) for part in command])
    if result.returncode != 0:
        raise Failed("\n".join(result.stderr.strip().splitlines()[-3:]) or f"exit code {result.returncode}")
    return parse(result.stdout)


def _run(command):
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                              timeout=2 * SECONDS)
    except subprocess.TimeoutExpired:
        raise Failed(f"no end after {2 * SECONDS} s") from None


def _last_head(text):
    """The header fields of the last of several heads (redirects, trailers aside)."""
    heads = [part for part in text.replace("\r\n", "\n").split("\n\n") if part.startswith("HTTP/")]
    lines = heads[-1].splitlines()[1:] if heads else []
    return {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
