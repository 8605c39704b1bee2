"""Metrics: the families of docs/metrics.md, what they count, and that clients cannot make more of them."""
import re

import pytest

from harness import config
from harness.http1 import Connection
from harness.upstream import answer

LISTENER, ROUTE, BACKEND = "default/edge/l0", "default/all", "default/Backend/app"
FAMILIES = {
    "martlet_requests_total": "counter", "martlet_request_duration_seconds": "histogram",
    "martlet_request_body_bytes_total": "counter", "martlet_response_body_bytes_total": "counter",
    "martlet_hop_requests_total": "counter", "martlet_hop_duration_seconds": "histogram",
    "martlet_requests_in_flight": "gauge", "martlet_protocol_requests_total": "counter",
    "martlet_local_answers_total": "counter", "martlet_downstream_connections_total": "counter",
    "martlet_downstream_connections_active": "gauge", "martlet_upstream_requests_total": "counter",
    "martlet_upstream_request_duration_seconds": "histogram",
    "martlet_upstream_connect_duration_seconds": "histogram", "martlet_upstream_connections_total": "counter",
    "martlet_upstream_connections_active": "gauge", "martlet_upstream_connection_reuses_total": "counter",
    "martlet_upstream_connect_failures_total": "counter", "martlet_upstream_replays_total": "counter",
    "martlet_upstream_retries_total": "counter", "martlet_upstream_retries_refused_total": "counter",
    "martlet_upstream_refusals_total": "counter", "martlet_upstream_requests_pending": "gauge",
    "martlet_upstream_queue_duration_seconds": "histogram", "martlet_upstream_endpoints": "gauge",
    "martlet_upstream_ejections_total": "counter", "martlet_upstream_health_probes_total": "counter",
    "martlet_upstream_concurrency_limit": "gauge", "martlet_overload_level": "gauge",
    "martlet_loops_not_accepting": "gauge", "martlet_access_log_dropped_lines_total": "counter",
    "martlet_access_denied_total": "counter", "martlet_access_audit_denied_total": "counter",
    "martlet_tls_handshakes_total": "counter", "martlet_configuration_reloads_total": "counter",
    "martlet_configuration_last_reload_successful": "gauge",
    "martlet_configuration_last_success_timestamp_seconds": "gauge",
    "martlet_certificate_expiry_timestamp_seconds": "gauge", "martlet_http2_glitches_total": "counter",
    "martlet_http2_goaways_total": "counter", "martlet_http2_resets_total": "counter", "process_max_fds": "gauge",
    "martlet_ready": "gauge", "martlet_draining": "gauge", "martlet_loops": "gauge",
    "martlet_configuration_info": "gauge", "martlet_build_info": "gauge", "process_cpu_seconds_total": "counter",
    "process_resident_memory_bytes": "gauge", "process_open_fds": "gauge", "process_start_time_seconds": "gauge",
}


@pytest.fixture
def app(proxy, upstream):
    """The proxy with a route of a fixed name; /only is all that it serves if asked so."""
    def start(script=None, *documents, matches=None, arguments=()):
        server = upstream(script or (lambda *_: answer("body")))
        proxy.start([config.gateway(config.http(proxy.port)), config.backend("app", server.port),
                     config.route(config.rule("app", matches=matches), name="all"), *documents], *arguments)
        return server
    return start


@pytest.fixture
def becomes(proxy, eventually):
    """Waits until a sum of samples is a value: requests are counted when they have ended, after their answer."""
    def check(value, name, **labels):
        eventually(lambda: proxy.metric(name, **labels) == value, f"{name}{labels} == {value}")
    return check


def test_families_and_their_types(app, proxy, client):
    app(matches=[config.path("/only")])
    client.get("/only")
    client.get("/other")
    text = proxy.admin("/metrics")[2]
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    assert types == FAMILIES
    helped = set(re.findall(r"^# HELP (\S+) \S", text, re.MULTILINE))
    assert set(types) <= helped, "families without HELP"
    assert len(re.findall(r"^# TYPE", text, re.MULTILINE)) == len(types), "a family is written twice"


def test_content_type_is_that_of_prometheus(app, proxy):
    app()
    headers = {name.lower(): value for name, value in proxy.admin("/metrics")[1].items()}
    assert headers["content-type"].startswith("text/plain; version=0.0.4")


def test_requests_by_outcome(app, client, becomes):
    app(lambda request, _: answer("x", "500 Internal Server Error" if request.target.endswith("bad") else "200 OK"),
        matches=[config.path("/only")])
    for path in ("/only", "/only", "/only/bad", "/other"):
        client.get(path)
    common = {"listener": LISTENER, "route": ROUTE, "backend": BACKEND, "reason": ""}
    becomes(2, "martlet_requests_total", status="200", **common)
    becomes(1, "martlet_requests_total", status="500", **common)
    becomes(1, "martlet_requests_total", listener=LISTENER, route="", backend="", status="404", reason="route_not_found")
    becomes(1, "martlet_local_answers_total", reason="route_not_found")
    becomes(3, "martlet_request_duration_seconds_count", listener=LISTENER, route=ROUTE, backend=BACKEND)
    becomes(2, "martlet_upstream_requests_total", backend=BACKEND, status_class="2xx")
    becomes(1, "martlet_upstream_requests_total", backend=BACKEND, status_class="5xx")


def test_requests_by_protocol(app, client, becomes):
    app()
    client.get()
    client.http2().get()
    connection = client.http1()
    connection.send("GET / HTTP/1.0\r\n\r\n")
    connection.response()
    for protocol in ("http1.0", "http1.1", "http2"):
        becomes(1, "martlet_protocol_requests_total", listener=LISTENER, protocol=protocol)


def test_body_bytes(app, client, becomes):
    app(lambda *_: answer("d" * 3000))
    client.get(method="POST", body=b"u" * 1234)
    becomes(1234, "martlet_request_body_bytes_total", route=ROUTE)
    becomes(3000, "martlet_response_body_bytes_total", route=ROUTE)


def test_connections(app, client, becomes):
    app()
    with client.http1() as one, client.http1() as other:
        assert one.get().status == other.get().status == 200
        becomes(2, "martlet_downstream_connections_active", listener=LISTENER)
        becomes(2, "martlet_downstream_connections_total", listener=LISTENER)
    becomes(0, "martlet_downstream_connections_active")
    becomes(2, "martlet_downstream_connections_total")


def test_upstream_connections_and_reuse(app, client, becomes):
    app()
    connection = client.http1()
    for _ in range(5):
        assert connection.get().status == 200
    becomes(1, "martlet_upstream_connections_total", backend=BACKEND)
    becomes(4, "martlet_upstream_connection_reuses_total", backend=BACKEND)
    becomes(1, "martlet_upstream_connect_duration_seconds_count", backend=BACKEND)


def test_requests_in_flight(app, client, becomes, eventually):
    import threading
    release = threading.Event()
    app(lambda *_: (release.wait(10), answer("x"))[1])
    connections = [client.http1() for _ in range(3)]
    for connection in connections:
        connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    becomes(3, "martlet_requests_in_flight", listener=LISTENER)
    release.set()
    for connection in connections:
        assert connection.response().status == 200
    becomes(0, "martlet_requests_in_flight")


def test_histogram_is_one(app, proxy, client, becomes):
    app()
    for _ in range(10):
        client.get()
    becomes(10, "martlet_request_duration_seconds_count")
    buckets = sorted(((float(dict(labels)["le"].replace("+Inf", "inf")), value) for (name, labels), value
                      in proxy.metrics().items() if name == "martlet_request_duration_seconds_bucket"))
    limits, counts = zip(*buckets)
    assert limits[-1] == float("inf") and counts[-1] == 10 and list(counts) == sorted(counts)
    assert 0 < proxy.metric("martlet_request_duration_seconds_sum") < 60


def test_tls_handshakes(proxy, upstream, pki, becomes):
    server = upstream()
    proxy.start([config.gateway(config.https(proxy.port, "cert")), config.secret("cert", pki, "localhost"),
                 config.backend("app", server.port), config.route(config.rule("app"), name="all")])
    with Connection.to(proxy.port, pki.client("http/1.1")) as connection:
        assert connection.get().status == 200
    becomes(1, "martlet_tls_handshakes_total", result="full")
    with Connection.to(proxy.port) as connection:
        connection.send("GET / HTTP/1.1\r\n\r\n")
        connection.is_closed()
    becomes(1, "martlet_tls_handshakes_total", result="tls_client_hello_malformed")
    assert proxy.metric("martlet_certificate_expiry_timestamp_seconds") > 0


def test_grpc_status(proxy, echo, becomes):
    import grpc
    from harness.grpc_echo import Request, channel, stub
    proxy.start([config.gateway(config.http(proxy.port)), config.backend("app", echo.port, protocol=config.H2C),
                 config.route(config.rule("app"), name="all")])
    with channel(proxy.port) as made:
        stub(made).Unary(Request(), timeout=5)
        with pytest.raises(grpc.RpcError):
            stub(made).Unary(Request(status=5), timeout=5)
    becomes(1, "martlet_requests_total", route=ROUTE, status="200", grpc_status="0")
    becomes(1, "martlet_requests_total", route=ROUTE, status="200", grpc_status="5")


def test_clients_cannot_make_series(app, proxy, client, becomes):
    """Paths, hosts, methods, header names and statuses of a client's choice add no series beyond the bound."""
    # Each loop keeps to the bound by itself.
    app(lambda request, _: answer("x", f"{200 + len(request.target) % 300} Odd"), arguments=("--loops", "1"))
    client.get()
    becomes(1, "martlet_requests_total")
    before = len(proxy.metrics())
    for number in range(200):
        client.get("/" + "p" * number, host=f"h{number}.example", method=f"M{number}", headers=[(f"x-{number}", "1")])
    becomes(201, "martlet_requests_total")
    assert len(proxy.metrics()) < before + 100
    assert proxy.metric("martlet_requests_total", status="other") > 0


def test_label_values_are_escaped(app, proxy, client):
    app()
    client.get('/"quote\\', host='a"b')
    proxy.metrics()  # fails on what is not a sample


def test_counters_survive_a_reload(app, proxy, client, becomes):
    server = app()
    client.get()
    becomes(1, "martlet_requests_total", route=ROUTE, status="200")
    proxy.reload([config.gateway(config.http(proxy.port)), config.backend("app", server.port),
                  config.route(config.rule("app", timeouts={"request": "9s"}), name="all")],
                 lambda: proxy.metric("martlet_configuration_reloads_total", result="accepted") == 1)
    client.get()
    becomes(2, "martlet_requests_total", route=ROUTE, status="200")


def test_loops_are_added_up(proxy, upstream, becomes):
    server = upstream(lambda *_: answer("x"))
    proxy.start([config.gateway(config.http(proxy.port)), config.backend("app", server.port),
                 config.route(config.rule("app"), name="all")], "--loops", "3")
    for _ in range(30):  # SO_REUSEPORT spreads connections over loops
        with Connection.to(proxy.port) as connection:
            assert connection.get().status == 200
    becomes(30, "martlet_requests_total", route=ROUTE)
    assert proxy.metric("martlet_loops") == 3
