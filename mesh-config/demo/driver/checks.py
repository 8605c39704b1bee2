"""What is asked of the gateway, and what has to come back. A check returns who answered and how, or raises Failed."""
import collections
import dataclasses
import math
from typing import Callable

from .asking import Failed, curl, node, parse, parse_all, python

REQUESTS = 500
REVIEWS = 60
AT_ONCE = 20
ROOM = 4
NEW_SHARE = 0.10
TESTERS = 20
STREAMS = 20
BODY = "".join(f"line {number}\n" for number in range(10_000))
HTTP1, HTTP2, PLAIN_HTTP2 = "--http1.1", "--http2", "--http2-prior-knowledge"


@dataclasses.dataclass(frozen=True)
class Check:
    """One row of the table."""
    client: str
    request: str
    run: Callable


class Asker:
    """The gateway's addresses, and a count of who answered."""

    def __init__(self, site):
        self.http, self.https = site.http, site.https
        self.http_port, self.https_port = site.ports[8080], site.ports[8443]
        self.authority = str(site.authority)
        self.admin = f"http://127.0.0.1:{site.admin}"
        self.failing = site.ports[9008]
        self.counts = collections.Counter()
        # Of the requests to /cart without a header: answers by service.
        self.split = collections.Counter()

    def curl(self, url, version, *options):
        """curl, which has to arrive with the version that it was told to use."""
        answer = curl(url, version, "--cacert", self.authority, *options)
        wanted = "1.1" if version == HTTP1 else "2"
        expect("HTTP version", answer.version, wanted)
        return answer

    def count(self, answer):
        """Counts a service's own answer, and returns it."""
        self.counts[answer["service"]] += 1
        return answer


def expect(what, got, wanted):
    if got != wanted:
        raise Failed(f"{what}: expected {wanted!r}, got {got!r}")


def expect_service(answer, *wanted):
    if answer.get("service") not in wanted:
        raise Failed(f"answered by {answer.get('service')!r} instead of {' or '.join(wanted)}")


# MARK: HTTP

def catalog(asker, base, version):
    """Path rewrite, and headers changed in both directions."""
    answer = asker.curl(f"{base}/catalog/42", version)
    told = asker.count(answer.json())
    expect_service(told, "catalog")
    expect("path at the service", told["path"], "/items/42")
    expect("request header x-shop", told["headers"].get("x-shop"), "demo")
    expect("response header x-gateway", answer.headers.get("x-gateway"), "martlet")
    return "catalog (C), path /items/42, headers set both ways"


def upload(asker, base, version):
    """A body on its way there and back."""
    answer = asker.curl(f"{base}/cart", version, "--header", "x-beta: 1", "--data-binary", BODY)
    told = asker.count(answer.json())
    expect_service(told, "cart-v2")
    if told["body"] != BODY:
        raise Failed(f"the body came back different: {len(told['body'])} bytes of {len(BODY)}")
    return f"cart-v2 (Node), {len(BODY) // 1024} KiB there and back"


def stock(asker, base, version):
    """A service that speaks HTTP/2 only."""
    told = asker.count(asker.curl(f"{base}/stock/tea", version).json())
    expect_service(told, "stock")
    expect("path at the service", told["path"], "/stock/tea")
    return "stock (Node http2)"


def nowhere(asker):
    """What the gateway answers itself has a reason."""
    answer = asker.curl(f"{asker.http}/nowhere", HTTP1)
    expect("HTTP status", answer.status, 404)
    reason = answer.headers.get("x-martlet-reason")
    if not reason:
        raise Failed("the answer has no header x-martlet-reason")
    return f"martlet itself: 404, reason {reason}"


def redirect(asker):
    answer = asker.curl(f"{asker.http}/account", HTTP1)
    expect("HTTP status", answer.status, 301)
    expect("location", answer.headers.get("location"), f"{asker.https}/account")
    return "martlet itself: 301 to HTTPS"


def follow(asker):
    answer = asker.curl(f"{asker.http}/account", HTTP1, "--location")
    expect("where it ended", answer.url, f"{asker.https}/account")
    told = asker.count(answer.json())
    expect_service(told, "cart-v1")
    expect("x-forwarded-proto at the service", told["headers"].get("x-forwarded-proto"), "https")
    return "cart-v1 (Python), told that the client used https"


# MARK: Weights and headers

def bounds():
    """Requests of REQUESTS that the new cart may get: five standard deviations of the binomial distribution around
    what is expected, which chance alone leaves once in 1.7 million runs."""
    mean = REQUESTS * NEW_SHARE
    deviation = math.sqrt(mean * (1 - NEW_SHARE))
    return math.ceil(mean - 5 * deviation), math.floor(mean + 5 * deviation)


def split(asker):
    answer = asker.curl(f"{asker.http}/cart?order=[1-{REQUESTS}]", HTTP1)
    for line in answer.body.splitlines():
        told = asker.count(parse(line))
        expect_service(told, "cart-v1", "cart-v2")
        asker.split[told["service"]] += 1
    expect("answers", asker.split.total(), REQUESTS)
    low, high = bounds()
    new = asker.split["cart-v2"]
    if not low <= new <= high:
        raise Failed(f"cart-v2 got {new} of {REQUESTS}, which is outside {low} to {high}")
    return f"cart-v1 {asker.split['cart-v1']}, cart-v2 {new}"


def testers(asker, base, version):
    answer = asker.curl(f"{base}/cart?tester=[1-{TESTERS}]", version, "--header", "x-beta: 1")
    lines = answer.body.splitlines()
    expect("answers", len(lines), TESTERS)
    for line in lines:
        expect_service(asker.count(parse(line)), "cart-v2")
    return "cart-v2 (Node), every one"


# MARK: Resilience

def saved(asker):
    """One of two instances answers 503: a second attempt reaches the other, and clients notice nothing."""
    answer = asker.curl(f"{asker.http}/reviews?id=[1-{REVIEWS}]", HTTP1)
    told = [asker.count(parse(line)) for line in answer.body.splitlines()]
    expect("answers", len(told), REVIEWS)
    if any(one["instance"] == asker.failing for one in told):
        raise Failed("an answer of the failing instance came through")
    retried = sum(one["attempt"] > 1 for one in told)
    if not retried:
        raise Failed("no request needed a second attempt, so nothing was shown")
    return f"reviews, every one 200; {retried} of them by a second attempt"


def ejected(asker):
    """After five failures in a row the instance is out: no request meets it any more."""
    upstreams = parse(curl(f"{asker.admin}/upstreams").body)
    address = f"127.0.0.1:{asker.failing}"
    state = [row.get("ejection", {}).get("state") for row in upstreams if row["endpoint"] == address]
    expect(f"state of {address}", state, ["ejected"])
    answer = asker.curl(f"{asker.http}/reviews?id=[1-{REVIEWS}]", HTTP1)
    told = [asker.count(parse(line)) for line in answer.body.splitlines()]
    expect("answers by a first attempt", sum(one["attempt"] == 1 for one in told), REVIEWS)
    return f"{address} is ejected: none needed a second attempt"


def shed(asker):
    """With room for four at a time, of twenty at once sixteen are refused, quickly and with a reason."""
    answer = curl(f"{asker.http}/reviews/slow?id=[1-{AT_ONCE}]", HTTP1, "--parallel", "--parallel-immediate",
                  "--parallel-max", str(AT_ONCE), "--no-progress-meter")
    bodies = parse_all(answer.body)
    served = [asker.count(body) for body in bodies if "service" in body]
    refused = [body for body in bodies if body.get("reason") == "upstream_request_limit"]
    expect("answers", len(served) + len(refused), AT_ONCE)
    expect("served", len(served), ROOM)
    return f"reviews {len(served)}, martlet itself {len(refused)}: 503, reason upstream_request_limit"


# MARK: Node, gRPC, WebSocket

def node_fetch(asker):
    result = node("fetch", f"http://127.0.0.1:{asker.http_port}/stock/milk")
    expect("HTTP status", result["status"], 200)
    expect_service(asker.count(result["answer"]), "stock")
    return "stock (Node http2)"


def node_streams(asker):
    results = node("http2", f"http://127.0.0.1:{asker.http_port}", "/stock/many", STREAMS)
    expect("answers", len(results), STREAMS)
    for number, result in enumerate(results):
        told = asker.count(result["answer"])
        expect_service(told, "stock")
        expect("body at the service", told["body"], f"request {number}")
        expect("trailer x-checked", result["trailers"].get("x-checked"), "by-stock")
    return "stock (Node http2), each with its trailers"


def grpc(asker, port, *authority):
    told = asker.count(python("orders.py", port, *authority))
    expect_service(told, "orders")
    expect("unary", told["placed"], "3 x tea")
    expect("trailing metadata", told["trailers"].get("x-warehouse"), "north")
    expect("server stream", told["packed"], ["tea 1 of 3", "tea 2 of 3", "tea 3 of 3"])
    expect("both ways", told["negotiated"], ["2 x tea? agreed", "2 x milk? agreed"])
    expect("status", told["refusal"], ["INVALID_ARGUMENT", "order at least one"])
    return "orders (Python): unary, streams, status, metadata"


def websocket(asker, url, *authority):
    told = python("chat.py", url, *authority)
    asker.counts["chat"] += 1
    expect("text", told["text"], "chat: hello")
    expect("binary message came back", told["same"], True)
    expect("close code", told["closed"], 1000)
    return f"chat (Python): text and {told['bytes'] // 1024} KiB echoed"


def checks(asker):
    """All checks, in the order of the table."""
    http, https = asker.http, asker.https
    return [
        Check("curl  HTTP/1.1", "GET /catalog/42", lambda: catalog(asker, http, HTTP1)),
        Check("curl  HTTP/2", "GET /catalog/42", lambda: catalog(asker, http, PLAIN_HTTP2)),
        Check("curl  HTTP/1.1 TLS", "GET /catalog/42", lambda: catalog(asker, https, HTTP1)),
        Check("curl  HTTP/2 TLS", "GET /catalog/42", lambda: catalog(asker, https, HTTP2)),
        Check("curl  HTTP/2 TLS", "POST /cart", lambda: upload(asker, https, HTTP2)),
        Check("curl  HTTP/1.1", "GET /stock/tea", lambda: stock(asker, http, HTTP1)),
        Check("curl  HTTP/2", "GET /stock/tea", lambda: stock(asker, http, PLAIN_HTTP2)),
        Check("curl  HTTP/2 TLS", "GET /stock/tea", lambda: stock(asker, https, HTTP2)),
        Check("curl  HTTP/1.1", f"GET /cart x {REQUESTS}", lambda: split(asker)),
        Check("curl  HTTP/1.1", f"GET /cart x {TESTERS}, x-beta: 1", lambda: testers(asker, http, HTTP1)),
        # With TLS: curl 7.88 cannot use a connection twice that it opened with prior knowledge.
        Check("curl  HTTP/2 TLS", f"GET /cart x {TESTERS}, x-beta: 1", lambda: testers(asker, https, HTTP2)),
        Check("curl  HTTP/1.1", "GET /account", lambda: redirect(asker)),
        Check("curl  --location", "GET /account", lambda: follow(asker)),
        Check("curl  HTTP/1.1", "GET /nowhere", lambda: nowhere(asker)),
        Check("curl  HTTP/1.1", f"GET /reviews x {REVIEWS}", lambda: saved(asker)),
        Check("curl  HTTP/1.1", f"GET /reviews x {REVIEWS}, again", lambda: ejected(asker)),
        Check("curl  --parallel", f"GET /reviews/slow x {AT_ONCE}, at once", lambda: shed(asker)),
        Check("Node  fetch", "GET /stock/milk", lambda: node_fetch(asker)),
        Check("Node  http2", f"POST /stock/many x {STREAMS}, at once", lambda: node_streams(asker)),
        Check("grpcio", "demo.v1.Orders", lambda: grpc(asker, asker.http_port)),
        Check("grpcio  TLS", "demo.v1.Orders", lambda: grpc(asker, asker.https_port, asker.authority)),
        Check("websockets", "ws /chat",
              lambda: websocket(asker, f"ws://127.0.0.1:{asker.http_port}/chat")),
        Check("websockets  TLS", "wss /chat",
              lambda: websocket(asker, f"wss://127.0.0.1:{asker.https_port}/chat", asker.authority)),
    ]
