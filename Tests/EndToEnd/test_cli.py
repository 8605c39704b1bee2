"""The martlet and martlet-proxy commands as people and CI use them: output, messages, exit codes, following changes."""
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time

import pytest
import yaml

from harness import config
from harness.http1 import fetch
from harness.ports import free_port
from harness.proxy import BINARIES, ROOT, martlet
from harness.upstream import describe

BETA = {"path": {"value": "/cart"}, "headers": [{"name": "x-beta", "value": "1"}]}


def proxy_command(*arguments):
    """Runs martlet-proxy to its end."""
    return subprocess.run([BINARIES / "martlet-proxy", *map(str, arguments)], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=30)


@pytest.fixture
def directory(tmp_path):
    """Writes documents or text to a directory of its own: directory(documents…, name=…)."""
    def write(*documents, name="shop.yaml"):
        text = documents[0] if isinstance(documents[0], str) else yaml.safe_dump_all(documents, sort_keys=False)
        config.write(tmp_path / "config", text, name)
        return tmp_path / "config"
    return write


def shop(port=8080, *more):
    return [
        config.gateway(config.http(port)), config.backend("cart", 9001, 9002), config.backend("canary", 9003),
        config.route(
            config.rule(config.ref("cart", 90), config.ref("canary", 10), matches=[config.path("/cart")],
                        timeouts={"request": "10s"}),
            config.rule("canary", matches=[BETA], name="beta", filters=[
                {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "a", "value": "b"}]}}]),
            config.rule(matches=[config.path("/old", "Exact")], filters=[
                {"type": "RequestRedirect", "requestRedirect": {"scheme": "https", "statusCode": 301}}]),
            name="shop", hostnames=["shop.example"]), *more]


# validate

def test_valid(directory):
    done = martlet("validate", directory(*shop()))
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"HTTPRoute default/shop +parent Gateway default/edge +True +True +True", done.stdout)
    assert done.stdout.endswith("config: valid, 0 errors, 0 warnings\n")


def test_mistakes_say_where_what_and_the_remedy(directory):
    path = directory("""\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  listeners: [{name: http, protocol: HTTP, port: 80a}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop}
spec:
  parentRefs: [{name: edge}]
  hosts: [shop.example]
""")
    done = martlet("validate", path)
    assert done.returncode == 1
    assert f"""\
error: port must be a whole number, not a string
 --> {path}/shop.yaml:5:50: Gateway default/edge, spec.listeners[0].port
  |
5 |   listeners: [{{name: http, protocol: HTTP, port: 80a}}]
  |                                                  ^
  = a number from 1 to 65535, without quotes
""" in done.stdout
    assert "shop.yaml:12:3: HTTPRoute default/shop, spec.hosts" in done.stdout
    assert 'did you mean "hostnames"?' in done.stdout
    assert "not valid, 2 errors, 1 warning" in done.stdout


def test_validate_as_json(directory):
    path = directory(config.gateway(config.http(8080)), config.route(config.rule("catr"), config.rule("catr")))
    done = martlet("validate", path, "--output", "json")
    assert done.returncode == 0
    report = json.loads(done.stdout)
    assert report["valid"] is True
    assert {"severity", "file", "line", "column", "fieldPath", "object", "message", "remedy"} == set(report["diagnostics"][0])
    conditions = {one["type"]: one for one in report["conditions"][-1]["conditions"]}
    assert (conditions["ResolvedRefs"]["status"], conditions["ResolvedRefs"]["reason"]) == ("False", "BackendNotFound")
    assert "rule 1 by HTTPRoute default/route-" in conditions["Shadowed"]["message"]
    broken = martlet("validate", directory("kind: [", name="broken.yaml"), "-o", "json")
    assert broken.returncode == 1 and json.loads(broken.stdout)["valid"] is False


def test_certificates_are_looked_into(directory, pki):
    def secret(certificate, key):
        return config.document("v1", "Secret", "cert", type="kubernetes.io/tls", stringData={
            "tls.crt": f"file:{pki.path(certificate)}.pem", "tls.key": f"file:{pki.path(key)}.key"})
    gateway = config.gateway(config.https(8443, "cert", hostname="shop.example"))
    assert martlet("validate", directory(gateway, secret("shop", "shop"))).returncode == 0
    mixed = martlet("validate", directory(gateway, secret("shop", "wild")))
    assert mixed.returncode == 1
    assert "error: Secret default/cert: the private key does not belong to the certificate" in mixed.stdout
    assert 'Secret default/cert, stringData["tls.crt"]' in mixed.stdout
    other = martlet("validate", directory(gateway, secret("wild", "wild")))
    assert other.returncode == 0 and "no certificate of default/edge/l0 is for shop.example" in other.stdout


# compile, version, help

def test_compile_and_check(directory, tmp_path):
    target = tmp_path / "edge.snapshot"
    assert martlet("compile", directory(*shop()), "-o", target).returncode == 0
    assert target.stat().st_mode & 0o777 == 0o600
    again = tmp_path / "again.snapshot"
    martlet("compile", directory(*shop()), "-o", again)
    assert target.read_bytes() == again.read_bytes()
    done = proxy_command("--snapshot", target, "--check")
    assert done.returncode == 0
    assert re.fullmatch(r"\S+edge.snapshot: valid, configuration [0-9a-f]{16}: 1 listener, 2 backends\n", done.stdout)


def test_compile_of_what_is_not_valid_writes_nothing(directory, tmp_path):
    done = martlet("compile", directory("kind: Gateway\n"), "-o", tmp_path / "edge.snapshot")
    assert done.returncode == 1 and "apiVersion is missing" in done.stderr
    assert not (tmp_path / "edge.snapshot").exists()
    done = martlet("compile", directory(*shop()), "-o", tmp_path / "absent/edge.snapshot")
    assert done.returncode == 2 and done.stderr.count("\n") == 1


def test_version():
    assert re.fullmatch(r"martlet \d+\.\d+\.\d+\n", martlet("version").stdout)
    assert martlet("--version").stdout == martlet("version").stdout
    assert proxy_command("--version").stdout == martlet("version").stdout.replace("martlet", "martlet-proxy")


@pytest.mark.parametrize("command", ["", "run", "validate", "explain", "compile", "version"])
def test_help_has_examples(command):
    done = martlet(*command.split(), "--help")
    assert done.returncode == 0 and re.search(r"Examples?:\n  martlet ", done.stdout)


def test_help_of_the_proxy():
    done = proxy_command("--help")
    assert done.returncode == 0 and "Examples:\n  martlet compile" in done.stdout


# One clear line and exit code 2

@pytest.mark.parametrize("arguments, says", [
    (["run", "absent"], "absent does not exist"),
    (["validate", "absent"], "absent does not exist"),
    (["run"], "missing expected argument '<dir>'; see martlet run --help"),
    (["run", "x", "--loops", "0"], "--loops wants a number from 1 to 256, not 0; see martlet run --help"),
    (["run", "x", "--admin", "9901"], '--admin wants IP:PORT or unix:PATH, not "9901"'),
    (["run", "x", "--lops", "1"], "unknown option '--lops'"),
    (["serve", "x"], 'unknown command "serve": one of run, validate, explain, compile, demo, apply, get'),
    (["explain", "x", "GET", "/cart"], 'the URL "/cart" has no scheme: for example http://shop.example/cart'),
    (["explain", "x", "GET", "ftp://a/"], 'the scheme "ftp" is not http, https, tls or tcp'),
    (["explain", "x", "GET", "http://a:0/"], "has no port from 1 to 65535"),
    (["explain", "x", "GET", "http://a/", "-H", "beta"], "write it as -H 'x-beta: 1'"),
])
def test_wrong_usage(arguments, says):
    done = martlet(*arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("martlet: ") and says in done.stderr


@pytest.mark.parametrize("arguments, says", [
    ([], "--snapshot FILE is missing"),
    (["--snapshot"], "--snapshot wants a file"),
    (["--snapshot", "absent"], "absent: No such file or directory"),
    (["--snapshot", "/"], "/: that is a directory"),
    (["--snapshot=/etc/hostname"], "/etc/hostname: this is not a compiled Martlet configuration"),
    (["--snapshot", "x", "--loops", "257"], '--loops wants a number from 1 to 256, not "257"'),
    (["--snapshot", "x", "--admin", "y"], '--admin wants IP:PORT or unix:PATH, not "y"'),
    (["--sanpshot", "x"], 'unknown argument "--sanpshot"'),
])
def test_wrong_usage_of_the_proxy(arguments, says):
    done = proxy_command(*arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("martlet-proxy: ") and says in done.stderr


@pytest.mark.parametrize("make, says", [
    (lambda path: None, "has no file *.yaml or *.yml"),
    (lambda path: (path / "a.yaml").write_text("# later\n"), "has no document"),
    (lambda path: (path / "a.yaml").symlink_to("absent"), "a.yaml does not exist"),
    (lambda path: (path / "a.yaml").symlink_to("a.yaml"), "a.yaml"),
])
@pytest.mark.parametrize("command", ["run", "validate"])
def test_nothing_to_read(tmp_path, command, make, says):
    make(tmp_path)
    done = martlet(command, tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and says in done.stderr


def test_a_port_in_use(directory, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        path = directory(*config.simple(taken.getsockname()[1], 9001))
        done = martlet("run", path)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1 and "already in use" in done.stderr
        martlet("compile", path, "-o", tmp_path / "edge.snapshot")
        done = proxy_command("--snapshot", tmp_path / "edge.snapshot")
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1 and "already in use" in done.stderr


def test_too_few_files_may_be_open(directory, tmp_path):
    path = directory(*config.simple(free_port(), 9001))
    martlet("compile", path, "-o", tmp_path / "edge.snapshot")
    for command in (f"martlet run {path}", f"martlet-proxy --snapshot {tmp_path}/edge.snapshot"):
        done = subprocess.run(["bash", "-c", f"ulimit -n 60; exec {BINARIES}/{command} --loops 1"], capture_output=True,
                              text=True, timeout=10)
        assert done.returncode == 2
        assert re.fullmatch(r"martlet\S*: only 60 files may be open, and 74 are needed at least: .*\n", done.stderr)


def test_run_starts_nothing_that_is_not_valid(directory):
    port = free_port()
    done = martlet("run", directory(*shop(port), config.document("v1", "Servce", "x", {})))
    assert done.returncode == 2
    assert 'unknown kind "Servce"' in done.stderr
    assert done.stderr.endswith("config is not valid: 1 error; nothing is started\n")


def test_run_of_a_mesh_without_a_gateway_starts_nothing(directory):
    path = directory(config.document("martlet.dev/v1alpha1", "Mesh", "default", {}))
    done = martlet("run", path)
    assert done.returncode == 2
    assert "has no Gateway: martlet-control serves a mesh, martlet run only Gateways" in done.stderr
    assert martlet("validate", path).returncode == 0


@pytest.mark.parametrize("text, line, message", [
    ("  accessLog: {type: text, format: '{statsu}'}\n", 5, "there is no {statsu}; did you mean {status}?"),
    ("  accessLog:\n    type: text\n    format: '{request:Cookie}'\n", 7, "Cookie is never logged")])
def test_access_log_format_that_cannot_be_is_reported_at_its_line(directory, text, line, message):
    path = directory(*shop())
    directory("apiVersion: martlet.dev/v1alpha1\nkind: ProxySettings\nmetadata: {name: s}\nspec:\n" + text, name="z.yaml")
    done = martlet("validate", path, "--output", "json")
    found, = json.loads(done.stdout)["diagnostics"]
    assert done.returncode == 1 and found["severity"] == "error" and message in found["message"]
    assert (found["file"], found["line"]) == ("z.yaml", line)


def test_fifo_among_the_files_is_refused_and_not_waited_for(directory, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    path = directory(*shop())
    (path / "z.yaml").symlink_to(tmp_path / "fifo")
    done = martlet("validate", path)
    assert done.returncode == 2 and f"{path}/z.yaml is not a regular file" in done.stderr


def test_fifo_in_a_secret_is_refused_and_not_waited_for(directory, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    path = directory(config.gateway(config.https(8443, "cert")), config.document(
        "v1", "Secret", "cert", type="kubernetes.io/tls",
        stringData={"tls.crt": f"file:{tmp_path}/fifo", "tls.key": f"file:{tmp_path}/fifo"}))
    done = martlet("validate", path)
    assert done.returncode == 1 and f"{tmp_path}/fifo is not a regular file" in done.stdout and "shop.yaml:" in done.stdout


# explain

def explain(path, *arguments):
    done = martlet("explain", path, *arguments, "--output", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_explain_names_winner_and_losers(directory):
    path = directory(*shop())
    report = explain(path, "GET", "http://shop.example/cart", "-H", "X-Beta: 1")
    assert (report["route"], report["rule"]) == ("default/shop", "default/shop/beta")
    assert (report["listener"], report["section"]) == ("127.0.0.1:8080", "default/edge/l0")
    assert report["verdict"]["kind"] == "forwarded"
    assert report["filters"] == ["request headers: set a: b"]
    assert [(one["backend"], one["percent"]) for one in report["backends"]] == [("default/Backend/canary", 100)]
    lost = {one["name"]: one["why"] for one in report["candidates"] if one["kind"] == "match" and not one["wins"]}
    assert lost == {"default/shop/0": "beaten by default/shop/beta: it asks for more headers",
                    "default/shop/2": "path /cart is not /old"}
    settings = {one["name"]: one for one in report["settings"]}
    assert settings["timeouts.request"]["origin"] == "default"
    assert settings["timeouts.connect"] == {
        "group": "backend default/Backend/canary", "name": "timeouts.connect", "value": "5s", "origin": "default"}


def test_explain_shows_shares_and_where_settings_come_from(directory):
    path = directory(*shop(8080, config.limits(maxHeaders=50)))
    report = explain(path, "GET", "http://shop.example/x/../cart?a=b")
    assert report["normalizedPath"] == "/cart?a=b"
    assert [(one["backend"], one["percent"]) for one in report["backends"]] == [
        ("default/Backend/cart", 90), ("default/Backend/canary", 10)]
    settings = {one["name"]: (one["value"], one["origin"]) for one in report["settings"]}
    lines = (path / "shop.yaml").read_text().splitlines()
    assert settings["timeouts.request"] == ("10s", f"shop.yaml:{lines.index('      request: 10s') + 1}")
    assert settings["limits.maxHeaders"] == ("50", f"shop.yaml:{lines.index('    maxHeaders: 50') + 1}")
    assert settings["limits.headerTimeout"] == ("10s", "default")
    assert settings["drainTimeout"] == ("30s", "default")


@pytest.mark.parametrize("arguments, kind, status, text", [
    (["GET", "http://shop.example/old"], "redirected", 301, "scheme https"),
    (["GET", "http://shop.example/else"], "answered", 404, "route_not_found"),
    (["GET", "http://other.example/cart"], "answered", 404, "route_not_found"),
    (["GET", "http://shop.example/a%2fb"], "refused", 400, "invalid_path"),
    (["G T", "http://shop.example/"], "refused", 400, "malformed_request_line"),
    (["GET", "http://shop.example/", "-H", "x y: 1"], "refused", 400, "malformed_header"),
    (["GET", "http://shop.example:81/"], "closed", None, "nothing listens there"),
    (["GET", "https://shop.example/"], "closed", None, "nothing listens there"),
])
def test_explain_of_what_is_not_forwarded(directory, arguments, kind, status, text):
    verdict = explain(directory(*shop()), *arguments)["verdict"]
    assert (verdict["kind"], verdict.get("status")) == (kind, status)
    assert text in verdict["text"]


def test_explain_of_references_that_lead_nowhere(directory):
    path = directory(config.gateway(config.http(8080)), config.route(config.rule("absent")))
    report = explain(path, "GET", "http://a.example/")
    assert (report["verdict"]["status"], report["backends"][0]["status"]) == (500, 500)
    assert "Backend default/absent does not exist" in report["verdict"]["text"]


def test_explain_tls_and_passthrough(directory, pki):
    path = directory(
        config.gateway(config.https(8443, "shop", name="shop", hostname="shop.example"),
                       config.https(8443, "wild", name="wild", hostname="*.example.com"), config.passthrough(8444)),
        config.secret("shop", pki, "shop"), config.secret("wild", pki, "wild"), config.backend("app", 9001),
        config.route(config.rule("app"), section="shop"), config.tls_route("app", "*.raw.example", "raw.example"),
        config.tls_route("app", "one.raw.example"))
    report = explain(path, "GET", "https://shop.example/")
    assert (report["section"], report["verdict"]["kind"]) == ("default/edge/shop", "forwarded")
    assert {"certificate": "default/shop", "minimumVersion": "1.2"}.items() <= {
        one["name"]: one["value"] for one in report["settings"]}.items()
    lost = [one for one in report["candidates"] if one["kind"] == "section" and not one["wins"]]
    assert lost[0]["why"] == "host shop.example is not *.example.com"
    misdirected = explain(path, "GET", "https://shop.example/", "-H", "Host: a.example.com")
    assert misdirected["verdict"]["status"] == 421
    assert "handshake fails" in explain(path, "GET", "https://nobody.example/")["verdict"]["text"]
    raw = explain(path, "CONNECT", "tls://raw.example:8444")
    assert (raw["section"], raw["backends"][0]["protocol"]) == ("default/edge/l2", "TCP")
    assert raw["verdict"]["kind"] == "forwarded" and raw["route"].startswith("default/route-")
    one = explain(path, "CONNECT", "tls://one.raw.example:8444")
    assert one["route"] != raw["route"] == explain(path, "CONNECT", "tls://two.raw.example:8444")["route"]
    assert explain(path, "CONNECT", "tls://else.example:8444")["verdict"]["kind"] == "closed"


def test_explain_text_is_aligned_and_short(directory):
    done = martlet("explain", directory(*shop()), "GET", "http://shop.example/cart", "--brief")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "request   GET http://shop.example/cart"
    assert any(re.fullmatch(r"rule      default/shop/0  host shop.example, path prefix /cart +shop.yaml:\d+", line)
               for line in lines)
    assert any(re.fullmatch(r"backend   90 %  default/Backend/cart +shop.yaml:\d+", line) for line in lines)
    assert "result    forwarded: goes to one of 2 backends" in lines
    assert "default" not in [line.split()[-1] for line in lines if line]
    full = martlet("explain", directory(*shop()), "GET", "http://shop.example/cart").stdout
    assert re.search(r"limits.maxHeaders +100 +default\n", full)


def test_documented_defaults_are_the_real_ones(directory):
    settings = {(one["name"], one["value"]) for one in explain(directory(*shop()), "GET", "http://shop.example/cart")["settings"]
                if one["origin"] == "default"}
    text = (ROOT / "docs/configuration.md").read_text()
    documented = {(name.removeprefix("rules[]."), default.strip("`\""))
                  for name, default in re.findall(r"^\| `([\w.\[\]]+)` \| ([^|]+?) \|", text, re.M)}
    assert len(settings) > 35
    # "protocol" is what comes of appProtocol and the kind of route.
    renamed = {("accessLog", "json"): ("accessLog.type", "json")}
    missing = {renamed.get(one, one) for one in settings if one[0] != "protocol"} - documented
    assert not missing


def policy(name, target, spec, section=None):
    groups = {"Backend": "martlet.dev", "HTTPRoute": "gateway.networking.k8s.io"}
    reference = {"group": groups[target[0]], "kind": target[0], "name": target[1]}
    if section:
        reference["sectionName"] = section
    return config.document("martlet.dev/v1alpha1", "TrafficPolicy", name, {"targetRefs": [reference], **spec})


def test_documented_defaults_of_what_is_off_by_default_are_the_real_ones(directory):
    path = directory(
        *shop(), policy("requests", ("HTTPRoute", "shop"), {"retry": {"codes": [503]}}),
        policy("ring", ("Backend", "cart"), {
            "loadBalancer": {"type": "RING_HASH", "hash": [{"sourceIP": True}], "zonePreference": {},
                             "slowStart": {"window": "1s"}},
            "healthCheck": {"http": {}}, "adaptiveConcurrency": {},
            "outlierDetection": {"successRate": {}, "failurePercentage": {}}}),
        policy("maglev", ("Backend", "canary"), {
            "loadBalancer": {"type": "MAGLEV", "hash": [{"sourceIP": True}]}, "healthCheck": {"grpc": {}}}))
    settings = {(one["name"], one["value"])
                for one in explain(path, "GET", "http://shop.example/cart")["settings"] if one["origin"] == "default"}
    text = (ROOT / "docs/configuration.md").read_text()
    documented = {(name, default.strip("`")) for name, default in re.findall(r"^\| `([\w.]+)` \| ([^|]+?) \|", text, re.M)}
    wanted = {one for one in settings
              if one[0].split(".")[0] in ("retry", "loadBalancer", "healthCheck", "adaptiveConcurrency", "outlierDetection")}
    assert len(wanted) > 35
    assert not wanted - documented


def test_explain_shows_which_policy_a_setting_comes_from(directory):
    path = directory(
        *shop(), policy("on-backend", ("Backend", "canary"), {"timeouts": {"idle": "9s"}, "retryBudget": {"percent": 7}}),
        policy("on-route", ("HTTPRoute", "shop"), {"retry": {"attempts": 2}, "timeouts": {"request": "8s"}}),
        policy("on-rule", ("HTTPRoute", "shop"), {"timeouts": {"request": "7s"}}, section="beta"))
    lines = (path / "shop.yaml").read_text().splitlines()
    settings = {(one["group"], one["name"]): (one["value"], one["origin"])
                for one in explain(path, "GET", "http://shop.example/cart", "-H", "X-Beta: 1")["settings"]}

    def at(text):
        return f"shop.yaml:{lines.index(text) + 1}"

    assert settings["rule", "timeouts.request"] == ("7s", at("    request: 7s"))
    assert settings["rule", "timeouts.idle"] == ("9s", at("    idle: 9s"))
    assert settings["rule", "retry.attempts"] == ("2", at("    attempts: 2"))
    assert settings["rule", "retry.on"] == ("connect-failure refused-stream", "default")
    assert settings["rule", "replay"] == ("at most 2, of what no endpoint has processed", "always")
    assert settings["backend default/Backend/canary", "retryBudget.percent"] == ("7", at("    percent: 7"))
    # Both backends of the other rule, of which only one has an idle timeout.
    groups = {(one["group"], one["name"]): one["value"]
              for one in explain(path, "GET", "http://shop.example/cart")["settings"]}
    assert groups["rule to default/Backend/cart", "timeouts.idle"] == "none"
    assert groups["rule to default/Backend/canary", "timeouts.idle"] == "9s"
    assert groups["rule", "retry.attempts"] == "2"


def test_validate_names_the_winner_of_two_policies(directory):
    path = directory(
        *shop(), policy("b", ("Backend", "cart"), {"retryBudget": {"percent": 7}}),
        policy("a", ("Backend", "cart"), {"retryBudget": {"percent": 8}}))
    done = martlet("validate", path)
    assert done.returncode == 0
    assert re.search(r"^TrafficPolicy default/b +target Backend default/cart +False Conflicted", done.stdout, re.M)
    report = json.loads(martlet("validate", path, "--output", "json").stdout)
    conditions = {one["object"]: one["conditions"][0] for one in report["conditions"]}
    assert conditions["TrafficPolicy default/a"]["status"] == "True"
    assert conditions["TrafficPolicy default/b"]["reason"] == "Conflicted"
    assert "TrafficPolicy default/a at shop.yaml:" in conditions["TrafficPolicy default/b"]["message"]
    warning = report["diagnostics"][0]
    assert (warning["severity"], warning["fieldPath"]) == ("warning", "spec.targetRefs[0]")


def test_explain_of_a_broken_configuration(directory):
    done = martlet("explain", directory("kind: [\n"), "GET", "http://a/")
    assert done.returncode == 1 and "not valid YAML" in done.stderr and done.stdout == ""


# run and follow

class Running:
    """`martlet run` or martlet-proxy, with what it says."""

    def __init__(self, *command):
        self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True)
        os.set_blocking(self.process.stderr.fileno(), False)
        self.text = ""

    def said(self, pattern, seconds=10):
        """Waits for a line that matches, and forgets all up to it."""
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(TypeError):
                self.text += self.process.stderr.read() or ""
            if match := re.search(pattern, self.text, re.MULTILINE):
                self.text = self.text[match.end():]
                return match
            assert time.monotonic() < deadline, f"not said: {pattern}\n{self.text}"
            time.sleep(0.02)

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(10)
        finally:
            self.process.kill()


@pytest.fixture
def running(closing):
    def start(*command):
        made = Running(*command)
        closing.callback(made.end)
        return made
    return start


def served(port, server):
    return [config.gateway(config.http(port)), config.backend("app", server.port), config.route(config.rule("app"), name="all")]


def test_run_says_what_it_serves_and_what_changed(directory, running, upstream):
    port, server, other = free_port(), upstream(describe("one")), upstream(describe("two"))
    path = directory(*served(port, server))
    run = running(BINARIES / "martlet", "run", path)
    run.said(rf"^martlet: serving {re.escape(str(path))} at 127\.0\.0\.1:{port}, configuration [0-9a-f]{{16}}$")
    directory(config.backend("other", other.port), config.route(config.rule("other", matches=[config.path("/new")]), name="new"),
              name="more.yaml")
    run.said(r"^martlet: configuration [0-9a-f]{16} adopted: routes \+default/new, backends \+default/Backend/other$")
    assert json.loads(fetch(port, "/new").body)["upstream"] == "two"
    # A broken edit is reported as validate does, and changes nothing.
    directory("kind: HTTPRoute\n", name="more.yaml")
    run.said(r"^error: apiVersion is missing\n --> \S+/more.yaml:1:1")
    run.said(r"^martlet: \S+ is not valid: \d errors?; nothing is changed$")
    assert json.loads(fetch(port, "/new").body)["upstream"] == "two"
    (path / "more.yaml").unlink()
    run.said(r"^martlet: configuration [0-9a-f]{16} adopted: routes -default/new, backends -default/Backend/other$")
    # Something equal is a no-op; who asks is told.
    directory(*served(port, server), name="shop.yaml")
    run.process.send_signal(signal.SIGHUP)
    run.said(r"^martlet: configuration unchanged$")
    assert "adopted" not in run.text
    assert run.end() == 0
    run.said(r"^martlet: draining for at most \d+ s")


def test_run_survives_that_its_files_vanish(directory, running, upstream):
    port, server = free_port(), upstream()
    path = directory(*served(port, server))
    run = running(BINARIES / "martlet", "run", path)
    run.said("serving")
    (path / "shop.yaml").rename(path.parent / "shop.yaml")
    run.said(r"^martlet: \S+ has no file \*\.yaml or \*\.yml; nothing is changed$")
    assert fetch(port).status == 200
    path.rename(path.parent / "away")
    run.said(r"^martlet: \S+ does not exist; nothing is changed$")
    assert fetch(port).status == 200
    directory(*served(port, server), config.backend("unused", 1), config.settings(drainTimeout="7s"))
    run.said(r"adopted: settings$")


def test_run_follows_a_mounted_configmap(tmp_path, running, upstream):
    port, one, two = free_port(), upstream(describe("one")), upstream(describe("two"))
    mount = tmp_path / "mount"
    config.write(mount / "..1", served(port, one))
    config.write(mount / "..2", served(port, two))
    (mount / "..data").symlink_to("..1")
    (mount / "config.yaml").symlink_to("..data/config.yaml")
    run = running(BINARIES / "martlet", "run", mount)
    run.said("serving")
    assert json.loads(fetch(port).body)["upstream"] == "one"
    (mount / "..data_tmp").symlink_to("..2")
    (mount / "..data_tmp").rename(mount / "..data")
    run.said(r"adopted: backends ~default/Backend/app$")
    assert json.loads(fetch(port).body)["upstream"] == "two"


def test_the_proxy_serves_a_snapshot_and_rereads_it(directory, tmp_path, running, upstream):
    port, one, two = free_port(), upstream(describe("one")), upstream(describe("two"))
    snapshot = tmp_path / "edge.snapshot"
    martlet("compile", directory(*served(port, one)), "-o", snapshot)
    proxy = running(BINARIES / "martlet-proxy", "--snapshot", snapshot, "--loops", "1")
    proxy.said(rf"^martlet-proxy: serving at 127\.0\.0\.1:{port}, configuration [0-9a-f]{{16}}: 1 listener, 1 backend$")
    assert json.loads(fetch(port).body)["upstream"] == "one"
    proxy.process.send_signal(signal.SIGHUP)
    proxy.said(r"^martlet-proxy: configuration unchanged$")
    good = snapshot.read_bytes()
    snapshot.write_bytes(good[:-1] + b"x")
    proxy.process.send_signal(signal.SIGHUP)
    proxy.said(r"^martlet-proxy: \S+: the compiled configuration is damaged\S* .*; nothing is changed$")
    snapshot.unlink()
    proxy.process.send_signal(signal.SIGHUP)
    proxy.said(r"^martlet-proxy: \S+: No such file or directory; nothing is changed$")
    assert json.loads(fetch(port).body)["upstream"] == "one"
    martlet("compile", directory(*served(port, two)), "-o", snapshot)
    proxy.process.send_signal(signal.SIGHUP)
    proxy.said(r"^martlet-proxy: adopted configuration")
    assert json.loads(fetch(port).body)["upstream"] == "two"
    assert proxy.end() == 0
