"""Filters of HTTPRoute: header modifiers, redirect, rewrite, mirror, CORS; of rules and of single backends."""
import json

import pytest

from harness import config
from harness.config import path, ref, rule
from harness.upstream import answer


def request_headers(**change):
    return {"type": "RequestHeaderModifier", "requestHeaderModifier": change}


def response_headers(**change):
    return {"type": "ResponseHeaderModifier", "responseHeaderModifier": change}


def redirect(**to):
    return {"type": "RequestRedirect", "requestRedirect": to}


def rewrite(**to):
    return {"type": "URLRewrite", "urlRewrite": to}


def cors(**allow):
    return {"type": "CORS", "cors": allow}


def mirror(name, **more):
    return {"type": "RequestMirror", "requestMirror": {"backendRef": ref(name), **more}}


def pairs(**values):
    return [{"name": name.replace("_", "-"), "value": value} for name, value in values.items()]


FULL = {"type": "ReplaceFullPath", "replaceFullPath": "/new"}


def prefix(value):
    return {"type": "ReplacePrefixMatch", "replacePrefixMatch": value}


# MARK: headers

def test_request_headers_are_set_added_and_removed(routed):
    routed.start(rule("app", filters=[request_headers(
        set=pairs(X_Set="new"), add=pairs(X_Add="second"), remove=["X-Gone", "x-absent"])]))
    sent = [("x-set", "old"), ("x-set", "older"), ("x-add", "first"), ("x-gone", "1"), ("x-kept", "1")]
    fields = routed.saw(headers=sent)["fields"]
    assert [value for name, value in fields if name == "x-set"] == ["new"]
    assert ", ".join(value for name, value in fields if name == "x-add") == "first, second"
    names = [name for name, _ in fields]
    assert "x-gone" not in names and "x-kept" in names


def test_response_headers_are_set_added_and_removed(routed):
    routed.upstream("app", lambda *_: answer("x", headers=[("Server", "old"), ("X-Gone", "1"), ("Vary", "a")]))
    routed.start(rule("app", filters=[response_headers(
        set=pairs(Server="martlet"), add=pairs(Vary="b"), remove=["x-gone"])]))
    response = routed.fetch()
    assert response.all("server") == ["martlet"] and response.get("x-gone") is None
    assert ", ".join(response.all("vary")) == "a, b" and response.body == b"x"


def test_filters_of_one_backend_touch_only_its_requests(routed):
    routed.start(rule(ref("a", weight=1, filters=[request_headers(set=pairs(X_Which="a"))]),
                      ref("b", weight=1, filters=[request_headers(set=pairs(X_Which="b"))])))
    seen = {}
    for _ in range(40):
        got = routed.saw()
        seen.setdefault(got["upstream"], set()).add(got["headers"]["x-which"])
    assert seen == {"a": {"a"}, "b": {"b"}}


def test_host_cannot_be_changed_behind_the_route(routed):
    """The Host that is forwarded is the one that was routed, or the rewrite's."""
    routed.start(rule("app", filters=[request_headers(set=pairs(X_A="1"))]))
    assert routed.saw(host="shop.example")["headers"]["host"] == "shop.example"


# MARK: redirects

@pytest.mark.parametrize("to, target, location", [
    ({"scheme": "https"}, "/a?b=c", "https://shop.example/a?b=c"),
    ({"scheme": "https", "port": 8443}, "/a", "https://shop.example:8443/a"),
    ({"hostname": "new.example"}, "/a/b?x", "http://new.example:{port}/a/b?x"),
    ({"port": 80}, "/a", "http://shop.example/a"),
    ({"path": FULL}, "/old/x?q=1", "http://shop.example:{port}/new?q=1"),
    ({"path": prefix("/new")}, "/old/x?q=1", "http://shop.example:{port}/new/x?q=1"),
    ({"path": prefix("/")}, "/old/x", "http://shop.example:{port}/x"),
    ({"path": prefix("")}, "/old", "http://shop.example:{port}/"),
    ({"path": prefix("/new/")}, "/old/x", "http://shop.example:{port}/new/x"),
])
def test_redirect(routed, proxy, to, target, location):
    routed.start(config.route({"matches": [path("/old"), path("/")] if "path" not in to else [path("/old")],
                               "filters": [redirect(**to)]}, name="all"))
    response = routed.fetch(target, host=f"shop.example:{proxy.port}")
    assert response.status == 302
    assert response.get("location") == location.replace("{port}", str(proxy.port))
    assert response.get("x-martlet-reason") in (None, "redirected")


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirect_status(routed, code):
    routed.start(config.route({"filters": [redirect(scheme="https", statusCode=code)]}, name="all"))
    response = routed.fetch(method="POST", body=b"ignored")
    assert response.status == code and response.get("location").startswith("https://")


# MARK: rewrites

@pytest.mark.parametrize("to, target, arrives", [
    ({"path": FULL}, "/old/x?q=1", "/new?q=1"),
    ({"path": prefix("/new")}, "/old/x?q=1", "/new/x?q=1"),
    ({"path": prefix("/new")}, "/old", "/new"),
    ({"path": prefix("/")}, "/old", "/"),
    ({"path": prefix("/")}, "/old/x", "/x"),
    ({"path": prefix("")}, "/old/x/", "/x/"),
    ({"path": prefix("/a/b/")}, "/old/x", "/a/b/x"),
])
def test_rewrite_of_the_path(routed, to, target, arrives):
    routed.start(rule("app", matches=[path("/old")], filters=[rewrite(**to)]))
    assert routed.saw(target)["target"] == arrives


def test_rewrite_of_the_host(routed):
    routed.start(rule("app", filters=[rewrite(hostname="inner.example")]))
    got = routed.saw(host="shop.example")["headers"]
    assert got["host"] == "inner.example" and got["x-forwarded-host"] == "shop.example"


def test_rewrite_over_http2(proxy, h2_upstream, client):
    server = h2_upstream()
    proxy.start([config.gateway(config.http(proxy.port)), config.backend("app", server.port, protocol=config.H2C),
                 config.route(rule("app", filters=[rewrite(hostname="inner.example", path=prefix("/in"))],
                                   matches=[path("/out")]))])
    assert client.http2().get("/out/a?b").status == 200
    fields = dict(server.requests[0]["headers"])
    assert (fields[":authority"], fields[":path"]) == ("inner.example", "/in/a?b")


# MARK: mirrors

def test_mirror_gets_a_copy_and_answers_nobody(routed, eventually):
    mirrored = routed.upstream("copy", lambda *_: answer("ignored", "500 Internal Server Error"))
    routed.start(rule("app", filters=[mirror("copy")]))
    got = routed.saw("/a?b", method="POST", body=b"payload", headers=[("x-a", "1")])
    assert got["upstream"] == "app" and got["body"] == "payload"
    eventually(lambda: mirrored.requests and mirrored.requests[0].body == b"payload")
    copy = mirrored.requests[0]
    assert copy.start == "POST /a?b HTTP/1.1" and copy.get("x-a") == "1"


def test_mirror_that_is_down_or_hangs_holds_nobody_up(routed, refusing_port):
    routed.upstream("hang", lambda request, connection: connection.is_closed(20) and False)
    routed.start(rule("app", filters=[mirror("down"), mirror("hang")]), documents=[config.backend("down", refusing_port)])
    assert [routed.to() for _ in range(5)] == ["app"] * 5


def test_mirror_of_a_part(routed, eventually):
    mirrored = routed.upstream("copy")
    routed.start(rule("app", filters=[mirror("copy", percent=25)]))
    for _ in range(400):
        assert routed.to() == "app"
    eventually(lambda: len(mirrored.requests) > 40)
    assert 50 <= len(mirrored.requests) <= 160  # 100 expected; more than 5 standard deviations away


# MARK: CORS

ALLOWED = cors(allowOrigins=["https://shop.example", "https://*.trusted.example"], allowMethods=["GET", "PUT"],
               allowHeaders=["X-Token"], exposeHeaders=["X-Total"], allowCredentials=True, maxAge=600)


def preflight(routed, origin, method="PUT"):
    return routed.fetch(method="OPTIONS", headers=[("Origin", origin), ("Access-Control-Request-Method", method),
                                                   ("Access-Control-Request-Headers", "x-token")])


@pytest.mark.parametrize("origin", ["https://shop.example", "https://a.trusted.example"])
def test_preflight_of_an_allowed_origin(routed, origin):
    server = routed.upstream("app")
    routed.start(rule("app", filters=[ALLOWED]))
    response = preflight(routed, origin)
    assert response.status in (200, 204) and response.get("access-control-allow-origin") == origin
    assert {one.strip() for one in response.get("access-control-allow-methods").split(",")} == {"GET", "PUT"}
    assert response.get("access-control-allow-headers").lower() == "x-token"
    assert response.get("access-control-max-age") == "600"
    assert response.get("access-control-allow-credentials") == "true"
    assert "origin" in (response.get("vary") or "").lower()
    assert not server.requests


@pytest.mark.parametrize("origin", [
    "https://evil.example", "http://shop.example", "https://shop.example.evil.example", "https://trusted.example",
    "https://shop.example:444", "null"])
def test_preflight_of_another_origin_allows_nothing(routed, origin):
    routed.start(rule("app", filters=[ALLOWED]))
    response = preflight(routed, origin)
    assert not [name for name, _ in response.headers if name.lower().startswith("access-control-allow")]


def test_answer_to_an_allowed_origin(routed):
    routed.start(rule("app", filters=[ALLOWED]))
    response = routed.fetch(headers=[("Origin", "https://shop.example")])
    assert response.get("access-control-allow-origin") == "https://shop.example"
    assert response.get("access-control-expose-headers").lower() == "x-total"
    assert json.loads(response.body)["upstream"] == "app"


@pytest.mark.parametrize("headers", [[], [("Origin", "https://evil.example")]])
def test_request_without_an_allowed_origin_is_served_without_permission(routed, headers):
    routed.start(rule("app", filters=[ALLOWED]))
    response = routed.fetch(headers=headers)
    assert response.status == 200 and response.get("access-control-allow-origin") is None


def test_options_that_is_no_preflight_reaches_the_upstream(routed):
    routed.start(rule("app", filters=[ALLOWED]))
    assert routed.to(method="OPTIONS") == "app"


def test_any_origin(routed):
    routed.start(rule("app", filters=[cors(allowOrigins=["*"])]))
    response = routed.fetch(headers=[("Origin", "https://x.example")])
    # Fetch standard: the origin itself says as much as "*", and is right with credentials too.
    assert response.get("access-control-allow-origin") == "https://x.example"
    assert "origin" in response.get("vary").lower()


def test_upstream_cannot_widen_what_the_filter_allows(routed):
    routed.upstream("app", lambda *_: answer("x", headers=[("Access-Control-Allow-Origin", "*")]))
    routed.start(rule("app", filters=[ALLOWED]))
    response = routed.fetch(headers=[("Origin", "https://shop.example")])
    assert response.all("access-control-allow-origin") == ["https://shop.example"]

