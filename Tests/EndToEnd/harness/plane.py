"""A whole mesh on loopback: a control plane, and proxies with the applications beside them.

    plane = mesh.control([...documents])            # starts martlet-control on a directory of its own
    web = mesh.sidecar("shop/web", app=upstream.port)   # joins with a token made for it; ready when it returns
    web.call("orders")                              # what the application would send to its proxy
"""
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request

from . import config
from .http1 import fetch
from .ports import free_port
from .proxy import BINARIES, CRASH, martlet


class Started:
    """A process with a log of its own, asked to end and looked at afterwards."""

    def __init__(self, name, log_path):
        self.name, self.log_path, self.process = name, log_path, None
        self.is_expected_to_end = False

    def run(self, command, environment=None):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                list(map(str, command)), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, **(environment or {})})

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def wait(self, condition, what, seconds=15):
        """Returns when condition is true; fails with the log when the process ends or time is up."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"{self.name} ended with {self.process.returncode}:\n{self.log()[-4000:]}"
            try:
                if condition():
                    return
            except (OSError, urllib.error.URLError, KeyError):
                pass
            time.sleep(0.03)
        raise AssertionError(f"{self.name}: not {what} within {seconds} s:\n{self.log()[-4000:]}")

    def kill(self):
        """As a power cut does; with what it started."""
        self.is_expected_to_end = True
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def stop(self, seconds=20):
        """Asks the process to end; its exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
                raise AssertionError(f"{self.name} does not end after SIGTERM:\n{self.log()[-4000:]}") from None
        assert not CRASH.search(self.log()), f"crash report of {self.name}:\n{self.log()[-4000:]}"
        if not self.is_expected_to_end:
            assert self.process.returncode == 0, f"{self.name}: {self.process.returncode}:\n{self.log()[-4000:]}"
        return self.process.returncode


class ControlPlane(Started):
    """A martlet-control; `directory` holds its configuration, `data` its store."""

    def __init__(self, directory):
        super().__init__("martlet-control", directory / "control.log")
        self.directory, self.data = directory / "configuration", directory / "control"
        self.port, self.api_port = free_port(), free_port()
        self.server = f"http://127.0.0.1:{self.api_port}"

    def start(self, documents=None, *arguments):
        """Starts, or starts again, and returns when it is ready."""
        if documents is not None:
            self.edit(documents)
        followed = ["--config", self.directory] if self.directory.exists() else []
        self.run([BINARIES / "martlet-control", "serve", "--data", self.data, "--listen", f"127.0.0.1:{self.port}",
                  "--api", f"127.0.0.1:{self.api_port}", "--trust-domain", "test.mesh", *followed, *arguments])
        self.wait(lambda: self.get("/ready", raw=True) is not None, "ready")
        return self

    def edit(self, documents, name="mesh.yaml"):
        """Rewrites the configuration, without waiting."""
        text = documents if isinstance(documents, str) else config.yaml.safe_dump_all(documents, sort_keys=False)
        config.write(self.directory, text, name)

    def get(self, path, raw=False):
        """What the API answers: JSON, or text if `raw`."""
        with urllib.request.urlopen(self.server + path, timeout=5) as response:
            text = response.read().decode()
        return text if raw else json.loads(text)

    def post(self, path, body):
        """What the API answers to a change."""
        token = (self.data / "admin-token").read_text().strip()
        request = urllib.request.Request(
            self.server + path, data=json.dumps(body).encode(), method="POST",
            headers={"authorization": f"Bearer {token}", "content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.loads(response.read() or b"null")

    def tool(self, *arguments, check=True):
        """Runs a command of martlet against this control plane; the finished process."""
        done = martlet(*arguments, "--server", self.server, "--token-file", self.data / "admin-token")
        if check:
            assert done.returncode == 0, f"martlet {' '.join(map(str, arguments))}: {done.stderr or done.stdout}"
        return done

    def json(self, *arguments):
        return json.loads(self.tool(*arguments, "--output", "json").stdout)

    def token(self, role, **more):
        """A new join token; role is `workload:shop/web` or `gateway:shop/edge`."""
        made = {"role": role, "lifetimeSeconds": 3600, "uses": 1, "author": "test", **more}
        return self.post("/v1/tokens", made)["secret"]

    def proxies(self):
        """{instance: proxy}"""
        return {proxy["id"]["instance"]: proxy for proxy in self.get("/v1/proxies")}

    def wait_for(self, *instances, seconds=20):
        """Waits until these instances are ready and run what they should."""
        def all_well():
            known = self.proxies()
            return all(name in known and known[name]["sync"] == "synced" and known[name]["readiness"] == "ready"
                       for name in instances)
        self.wait(all_well, f"in touch with {', '.join(instances)}", seconds)

    def metric(self, name, **labels):
        """The sum of its own samples called name that carry all of labels."""
        total = 0
        for line in self.get("/metrics", raw=True).splitlines():
            if line.startswith(name) and all(f'{label}="{value}"' in line for label, value in labels.items()):
                total += float(line.rsplit(" ", 1)[1])
        return total


class MeshProxy(Started):
    """A martlet-proxy of the mesh: a sidecar before `app`, or a gateway."""

    def __init__(self, plane, role, instance, directory):
        super().__init__(instance, directory / f"{instance}.log")
        self.plane, self.role, self.instance = plane, role, instance
        self.state = directory / f"state-{instance}"
        self.outbound, self.admin_port = free_port(), free_port()
        self.arguments = []

    def start(self, *arguments, app=None, port=80, token=None, command=(), join=True, ready=True, before=()):
        """Joins, unless it has before, and returns when it is ready.

        app: the application's port. command: what the proxy runs. before: a program that runs the proxy.
        """
        kind, name = self.role.split(":")
        self.arguments = ["run", "--control", f"127.0.0.1:{self.plane.port}", f"--{kind}", name, "--instance",
                          self.instance, "--state", self.state, "--admin", f"127.0.0.1:{self.admin_port}", "--loops", "1"]
        if kind == "workload":
            self.arguments += ["--outbound", f"127.0.0.1:{self.outbound}"]
        if app is not None:
            self.arguments += ["--port", f"{port}={app}"]
        self.arguments += [*arguments, *(["--", *command] if command else [])]
        environment = {}
        if join and not (self.state / "identity.pem").exists():
            environment["MARTLET_TOKEN"] = token or self.plane.token(self.role)
        self.again(environment, ready=ready, before=before)
        return self

    def again(self, environment=None, ready=True, before=()):
        """Starts with the arguments of the last start."""
        self.is_expected_to_end = False
        self.run([*before, BINARIES / "martlet-proxy", *self.arguments], environment)
        if ready:
            self.wait(lambda: self.admin("/ready")[0] == 200, "ready")

    def admin(self, path):
        response = fetch(self.admin_port, path)
        return response.status, response.body.decode()

    def glitches(self):
        """Metrics of useless HTTP/2 frames: proxies send each other none, and close connections that have many."""
        if not self.process or self.process.poll() is not None:
            return []
        try:
            _, text = self.admin("/metrics")
        except OSError:
            return []  # Stopped on purpose, or busy.
        return [line for line in text.splitlines()
                if line.startswith("martlet_http2_glitches_total{") and not line.endswith(" 0")]

    def call(self, host, path="/", **more):
        """What the application beside it would ask of a service, by name: a response of HTTP/1.1."""
        return fetch(self.outbound, path, host=host, **more)


class Mesh:
    """Makes control planes and proxies, and ends them in the right order."""

    def __init__(self, directory):
        self.directory, self.plane, self.proxies = directory, None, []

    def control(self, documents=None, *arguments):
        self.plane = ControlPlane(self.directory)
        return self.plane.start(documents, *arguments)

    def proxy(self, role, instance=None):
        """A proxy that is not started yet."""
        count = sum(proxy.role == role for proxy in self.proxies) + 1
        made = MeshProxy(self.plane, role, instance or f"{role.rsplit('/')[-1]}-{count}", self.directory)
        self.proxies.append(made)
        return made

    def sidecar(self, workload, *arguments, instance=None, **more):
        return self.proxy(f"workload:{workload}", instance).start(*arguments, **more)

    def gateway(self, name, *arguments, instance=None, **more):
        return self.proxy(f"gateway:{name}", instance).start(*arguments, **more)

    def close(self):
        problems = [f"{proxy.instance}: {line}" for proxy in self.proxies for line in proxy.glitches()]
        for started in [*self.proxies, *([self.plane] if self.plane else [])]:
            try:
                started.stop()
            except AssertionError as problem:
                problems.append(str(problem))
        assert not problems, "\n".join(problems)


def service(name, *ports, namespace="shop", protocol=None, **spec):
    """A Service; ports are numbers, 80 if there is none."""
    made = [{"name": f"p{port}", "port": port, **({"appProtocol": protocol} if protocol else {})}
            for port in ports or (80,)]
    return config.document("v1", "Service", name, {"ports": made, **spec}, namespace)


def workload(name, *backends, namespace="shop", **spec):
    """A Workload that calls `backends`: names of services of its namespace, or dictionaries."""
    made = [{"service": one} if isinstance(one, str) else one for one in backends]
    return config.document(config.MARTLET_API, "Workload", name, {**({"backends": made} if made else {}), **spec}, namespace)


def settings(namespace=None, **spec):
    """The Mesh document."""
    return config.document(config.MARTLET_API, "Mesh", "default", {"trustDomain": "test.mesh", **spec}, namespace)


def route(name, parent, *backends, namespace="shop", kind="HTTPRoute", port=None, matches=None, **rule):
    """A route for requests to the Service `parent`; backends are {"name": …, "port": …, "weight": …}."""
    ref = {"group": "", "kind": "Service", "name": parent, **({"port": port} if port else {})}
    made = {**({"matches": matches} if matches else {}), "backendRefs": list(backends), **rule}
    return config.document(config.GATEWAY_API, kind, name, {"parentRefs": [ref], "rules": [made]}, namespace)


def to(name, port=80, **more):
    """A backendRef to a Service."""
    return {"name": name, "port": port, **more}
