"""Changes of the configuration while it is served: adopted at once or not at all, and nothing in flight is cut."""
import json
import os
import shutil
import signal
import ssl
import subprocess
import threading

import pytest

from harness import config
from harness.gates import Crowd, Gate
from harness.http1 import Connection, fetch
from harness.load import HTTP1, HTTP2, Load
from harness.ports import free_port
from harness.upstream import answer


def documents(port, upstream_port, *more):
    """One route of a fixed name, so that two of these differ in the backend only."""
    return [config.gateway(config.http(port)), config.backend("app", upstream_port),
            config.route(config.rule("app"), name="all"), *more]


@pytest.fixture
def two(upstream):
    return upstream(lambda *_: answer("one")), upstream(lambda *_: answer("two"))


def answers(proxy, body, **more):
    return lambda: fetch(proxy.port, **more).body == body


def reload_to_and_fro(proxy, make, times=12):
    """Adopts one and two in turns, each seen to be at work."""
    for number in range(times):
        body = (b"two", b"one")[number % 2]
        proxy.reload(make(1 - number % 2), answers(proxy, body), f"adopted {body}")


@pytest.mark.parametrize("worker", [HTTP1, HTTP2])
def test_reload_under_load_fails_no_request(proxy, two, worker):
    proxy.start(documents(proxy.port, two[0].port))
    with Load(lambda: worker(proxy.port), threads=4) as load:
        reload_to_and_fro(proxy, lambda which: documents(proxy.port, two[which].port))
    assert load.failures == []
    assert load.bodies.keys() == {b"one", b"two"} and load.done > 100


def test_reload_under_load_over_tls_fails_no_request(proxy, two, pki):
    def make(which):
        return [config.gateway(config.https(proxy.port, "cert")), config.secret("cert", pki, "localhost"),
                *documents(proxy.port, two[which].port)[1:]]
    proxy.start(make(0))
    context = pki.client("http/1.1")
    with Load(lambda: HTTP1(proxy.port, tls=context), threads=3) as load:
        for which in (1, 0, 1, 0):
            proxy.reload(make(which), answers(proxy, (b"one", b"two")[which], tls=context))
    assert load.failures == [] and load.bodies.keys() == {b"one", b"two"}


@pytest.mark.parametrize("option", [("--h1",), ()])
def test_reload_under_h2load(proxy, two, option):
    proxy.start(documents(proxy.port, two[0].port))
    running = subprocess.Popen(["h2load", *option, "-D", "4", "-c8", "-m8", f"http://127.0.0.1:{proxy.port}/"],
                               stdout=subprocess.PIPE, text=True)
    reload_to_and_fro(proxy, lambda which: documents(proxy.port, two[which].port), times=6)
    output, _ = running.communicate(timeout=30)
    assert " 0 failed, 0 errored, 0 timeout" in output and " 0 4xx, 0 5xx" in output, output


BROKEN = {
    "not YAML": "kind: [",
    "an unknown field": "apiVersion: martlet.dev/v1alpha1\nkind: Backend\nmetadata: {name: x}\nspec: {endpoint: []}\n",
    "a certificate that is not there": config.yaml.safe_dump_all([
        config.gateway(config.https(29999, "cert"), name="other"), config.document(
            "v1", "Secret", "cert", type="kubernetes.io/tls",
            stringData={"tls.crt": "file:no.pem", "tls.key": "file:no.key"})]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_edit_changes_nothing(proxy, two, name):
    proxy.start(documents(proxy.port, two[0].port))
    before = proxy.admin("/config")[2]
    # A good change beside the broken file must not be adopted either: all or nothing.
    proxy.edit(documents(proxy.port, two[1].port))
    config.write(proxy.directory, BROKEN[name], "broken.yaml")
    proxy.wait(lambda: "nothing is changed" in proxy.log(), "reported")
    broken_log = proxy.log()
    assert "broken.yaml" in broken_log
    proxy.signal(signal.SIGHUP)
    proxy.wait(lambda: proxy.log().count("nothing is changed") > broken_log.count("nothing is changed"), "asked again")
    served = fetch(proxy.port).body
    if "adopted" not in broken_log:  # the good edit may have been adopted before the broken file was there
        assert served == b"one" and proxy.admin("/config")[2] == before
    assert proxy.metric("martlet_configuration_reloads_total", result="rejected") >= 1
    assert proxy.metric("martlet_configuration_last_reload_successful") == 0
    (proxy.directory / "broken.yaml").unlink()
    proxy.wait(answers(proxy, b"two"), "adopted after the repair")
    proxy.wait(lambda: proxy.metric("martlet_configuration_last_reload_successful") == 1, "seen as good again")


def test_port_that_is_taken_changes_nothing(proxy, two, upstream):
    taken = upstream()
    proxy.start(documents(proxy.port, two[0].port))
    changed = [config.gateway(config.http(proxy.port), config.http(taken.port)),
               *documents(proxy.port, two[1].port)[1:]]
    proxy.edit(changed)
    proxy.wait(lambda: "nothing is changed" in proxy.log(), "reported")
    assert str(taken.port) in proxy.log()
    assert fetch(proxy.port).body == b"one"


def test_equal_configuration_is_a_no_op(proxy, two):
    proxy.start(documents(proxy.port, two[0].port))
    with Connection.to(proxy.port) as kept:
        assert kept.get().body == b"one"
        accepted = proxy.metric("martlet_configuration_reloads_total", result="accepted")
        # Written anew with a comment that moves every line: another file, the same meaning.
        config.write(proxy.directory, "# moved\n\n" + config.as_text(documents(proxy.port, two[0].port)))
        proxy.signal(signal.SIGHUP)
        proxy.wait(lambda: "configuration unchanged" in proxy.log(), "noticed")
        assert proxy.metric("martlet_configuration_reloads_total", result="accepted") == accepted
        assert kept.get().body == b"one"
    assert len(two[0].connections) == 1, "the pool was lost"
    assert "adopted" not in proxy.log()


def test_exchange_in_flight_keeps_its_configuration(proxy, upstream):
    release, arrived = threading.Event(), threading.Event()

    def slow(request, connection):
        arrived.set()
        release.wait(10)
        return answer("one")
    one, other = upstream(slow), upstream(lambda *_: answer("two"))
    proxy.start(documents(proxy.port, one.port))
    with Connection.to(proxy.port) as connection:
        connection.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        assert arrived.wait(5)
        proxy.reload(documents(proxy.port, other.port), answers(proxy, b"two"))
        release.set()
        assert connection.response().body == b"one"
        assert connection.get().body == b"two"  # the same connection, the next request


def test_upstream_connections_of_what_stays_are_kept(proxy, two):
    proxy.start(documents(proxy.port, two[0].port), "--loops", "1")
    with Connection.to(proxy.port) as connection:
        assert connection.get().body == b"one"
        extra = [config.backend("extra", two[1].port),
                 config.route(config.rule("extra", matches=[config.path("/extra")]), name="extra")]
        proxy.reload(documents(proxy.port, two[0].port, *extra), answers(proxy, b"two", path="/extra"))
        assert connection.get().body == b"one"
    assert len(two[0].connections) == 1


def test_listener_comes_and_goes_and_its_exchanges_finish(proxy, upstream):
    release, arrived = threading.Event(), threading.Event()

    def script(request, connection):
        if request.target == "/slow":
            arrived.set()
            release.wait(10)
        return answer(request.target)
    server, extra = upstream(script), free_port()

    def make(*ports):
        return [config.gateway(*map(config.http, ports)), *documents(proxy.port, server.port)[1:]]
    proxy.start(make(proxy.port))
    proxy.reload(make(proxy.port, extra), lambda: fetch(extra).status == 200, "listening")
    with Connection.to(extra) as connection:
        connection.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        assert arrived.wait(5)

        def refused():
            try:
                Connection.to(extra, timeout=1).close()
                return False
            except ConnectionRefusedError:
                return True
        proxy.reload(make(proxy.port), refused, "closed")
        release.set()
        response = connection.response()
        assert response.body == b"/slow" and "close" in (response.get("connection") or "").lower()
    assert fetch(proxy.port).status == 200


def test_many_files_are_one_configuration(proxy, two):
    """A route in a file of its own: removing the file removes the route."""
    proxy.start(documents(proxy.port, two[0].port))
    config.write(proxy.directory, config.yaml.safe_dump_all([
        config.backend("extra", two[1].port),
        config.route(config.rule("extra", matches=[config.path("/extra")]), name="extra")]), "zz.yaml")
    proxy.wait(answers(proxy, b"two", path="/extra"), "the new file's route")
    (proxy.directory / "zz.yaml").unlink()
    proxy.wait(answers(proxy, b"one", path="/extra"), "gone with its file")


def shown(port, context, name):
    """CN of the certificate that is shown to a client of this name."""
    try:
        with Connection.to(port, context, name) as connection:
            return dict(field[0] for field in connection.socket.getpeercert()["subject"])["commonName"]
    except ssl.SSLError:
        return None


def test_certificate_files_are_followed(proxy, two, pki, tmp_path):
    """Rotation as certbot does it: other files under the same names, no edit of a document."""
    files = tmp_path / "live"
    files.mkdir()

    def install(certificate):
        for end in ("key", "pem"):
            shutil.copy(f"{pki.path(certificate)}.{end}", files / f"new.{end}")
            os.replace(files / f"new.{end}", files / f"tls.{end}")
    install("localhost")
    proxy.start([config.gateway(config.https(proxy.port, "cert")), *documents(proxy.port, two[0].port)[1:],
                 config.document("v1", "Secret", "cert", type="kubernetes.io/tls", stringData={
                     "tls.crt": f"file:{files}/tls.pem", "tls.key": f"file:{files}/tls.key"})])
    context = pki.client("http/1.1")
    with Connection.to(proxy.port, context) as old:
        assert old.get().status == 200
        install("shop")
        proxy.wait(lambda: shown(proxy.port, context, "shop.example") == "shop", "shown")
        assert old.get().status == 200
        (files / "tls.pem").write_text("garbage")
        proxy.wait(lambda: "nothing is changed" in proxy.log(), "reported")
        assert shown(proxy.port, context, "shop.example") == "shop" and old.get().status == 200


def test_many_reloads_leave_nothing_behind(proxy, two):
    """Descriptors and memory after many reloads are those of few."""
    proxy.start(documents(proxy.port, two[0].port))
    reload_to_and_fro(proxy, lambda which: documents(proxy.port, two[which].port), times=10)
    descriptors = len(os.listdir(f"/proc/{proxy.process.pid}/fd"))
    resident = proxy.resident_kib()
    reload_to_and_fro(proxy, lambda which: documents(proxy.port, two[which].port), times=60)
    proxy.wait(lambda: len(os.listdir(f"/proc/{proxy.process.pid}/fd")) <= descriptors + 4, "no descriptors more")
    assert proxy.resident_kib() < resident + 4096


def test_requests_of_a_replaced_endpoint_are_not_counted_for_ever(proxy, upstream, closing, eventually):
    """Another protocol means other connections: those of before end in their own time, and leave no trace."""
    gate = Gate()
    closing.callback(gate.open)
    server = upstream(gate.http1)

    def ask():
        with Connection.to(proxy.port, timeout=20) as connection:
            return connection.get().status
    crowd = Crowd(ask)

    def serves(protocol, number):
        proxy.edit(config.simple(proxy.port, server.port, protocol=protocol))
        eventually(lambda: proxy.metric("martlet_configuration_reloads_total", result="accepted") == number)

    def counted():
        return [row["requests"] for row in json.loads(proxy.admin("/upstreams")[2])]
    proxy.start(config.simple(proxy.port, server.port), "--loops", "2")
    crowd.send(4)
    eventually(lambda: gate.inside == 4 and counted() == [4])
    serves(config.H2C, 2)
    serves(None, 3)
    crowd.send(2)
    eventually(lambda: gate.inside == 6)
    assert counted() == [2]
    gate.open()
    assert crowd.answers() == [200] * 6
    eventually(lambda: counted() == [0])
