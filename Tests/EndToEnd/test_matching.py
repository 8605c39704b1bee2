"""Which rule wins: every match of HTTPRoute, alone, together, and against others (Gateway API v1)."""
import pytest

from harness import config
from harness.config import path, rule


def header(value, name="x-to", kind=None):
    return {"name": name, "value": value, **({"type": kind} if kind else {})}


@pytest.mark.parametrize("target, winner", [
    ("/exact", "exact"), ("/exact/", "other"), ("/exact/more", "other"), ("/Exact", "other"), ("/exact?q=1", "exact"),
    ("/exac", "other"), ("/", "other")])
def test_exact_path(routed, target, winner):
    routed.start(rule("exact", matches=[path("/exact", "Exact")]), rule("other"))
    assert routed.to(target) == winner


@pytest.mark.parametrize("target, winner", [
    ("/shop", "shop"), ("/shop/", "shop"), ("/shop/cart", "shop"), ("/shop?q", "shop"), ("/shopping", "other"),
    ("/sho", "other"), ("/Shop", "other"), ("/x/shop", "other")])
def test_prefix_is_of_whole_segments(routed, target, winner):
    routed.start(rule("shop", matches=[path("/shop")]), rule("other"))
    assert routed.to(target) == winner


def test_trailing_slash_of_a_prefix_does_not_count(routed):
    routed.start(rule("shop", matches=[path("/shop/")]), rule("other"))
    assert [routed.to(target) for target in ("/shop", "/shop/", "/shop/a", "/shops")] == ["shop", "shop", "shop", "other"]


@pytest.mark.parametrize("target, winner", [
    ("/items/42", "regex"), ("/items/42?full=1", "regex"), ("/items/42/x", "other"), ("/items/x", "other"),
    ("/a/items/42", "other")])
def test_regular_expression_is_of_the_whole_path(routed, target, winner):
    routed.start(rule("regex", matches=[path("/items/[0-9]+", "RegularExpression")]), rule("other"))
    assert routed.to(target) == winner


def test_percent_encoding_makes_no_other_path(routed):
    """One path before routing: what the upstream would decode anyway is decoded first."""
    routed.start(rule("admin", matches=[path("/admin")]), rule("other"))
    assert routed.to("/%61dmin/x") == "admin"
    assert routed.to("/other/../admin") in ("admin", 400)
    assert routed.to("//admin") in ("admin", "other", 400)


@pytest.mark.parametrize("headers, winner", [
    ([("X-To", "one")], "one"), ([("x-to", "one")], "one"), ([("X-To", "ONE")], "other"), ([("X-To", "one1")], "other"),
    ([], "other"), ([("X-To", "v12")], "regex"), ([("X-To", "av12")], "other")])
def test_header(routed, headers, winner):
    routed.start(rule("one", matches=[{"headers": [header("one")]}]),
                 rule("regex", matches=[{"headers": [header("v[0-9]+", kind="RegularExpression")]}]), rule("other"))
    assert routed.to(headers=headers) == winner


def test_all_headers_of_a_match_must_match(routed):
    routed.start(rule("both", matches=[{"headers": [header("1", "a"), header("2", "b")]}]), rule("other"))
    assert routed.to(headers=[("a", "1"), ("b", "2")]) == "both"
    assert routed.to(headers=[("a", "1")]) == "other"


@pytest.mark.parametrize("target, winner", [
    ("/?v=1", "one"), ("/?x=0&v=1", "one"), ("/?v=1&v=2", "one"), ("/?v=2&v=1", "other"), ("/?V=1", "other"),
    ("/?v=10", "other"), ("/?v", "other"), ("/?w=abc", "regex"), ("/?w=ab", "other"), ("/?v=%31", "one")])
def test_query_parameter(routed, target, winner):
    routed.start(rule("one", matches=[{"queryParams": [{"name": "v", "value": "1"}]}]),
                 rule("regex", matches=[{"queryParams": [
                     {"name": "w", "value": "[a-z]{3}", "type": "RegularExpression"}]}]), rule("other"))
    assert routed.to(target) == winner


@pytest.mark.parametrize("method, winner", [("GET", "get"), ("POST", "post"), ("DELETE", "other"), ("PATCH", "other")])
def test_method(routed, method, winner):
    routed.start(rule("get", matches=[{"method": "GET"}]), rule("post", matches=[{"method": "POST"}]), rule("other"))
    assert routed.to(method=method) == winner


def test_matches_of_a_rule_are_alternatives(routed):
    routed.start(rule("one", matches=[path("/a", "Exact"), path("/b", "Exact"), {"method": "PUT"}]), rule("other"))
    assert [routed.to("/a"), routed.to("/b"), routed.to("/c", method="PUT"), routed.to("/c")] == \
        ["one", "one", "one", "other"]


def test_conditions_of_a_match_stand_together(routed):
    whole = path("/shop", headers=[header("1")], queryParams=[{"name": "q", "value": "1"}], method="POST")
    routed.start(rule("all", matches=[whole]), rule("other"))
    ask = {"method": "POST", "headers": [("x-to", "1")]}
    assert routed.to("/shop/x?q=1", **ask) == "all"
    assert routed.to("/shop/x", **ask) == "other"
    assert routed.to("/shop/x?q=1", method="POST") == "other"
    assert routed.to("/shop/x?q=1", headers=[("x-to", "1")]) == "other"
    assert routed.to("/x?q=1", **ask) == "other"


def test_precedence_of_matches_whatever_the_order(routed):
    """Exact path, longest prefix, method, most headers, most query parameters, first rule."""
    routed.start(
        rule("prefix", matches=[path("/a")]),
        rule("query", matches=[path("/a/b", queryParams=[{"name": "q", "value": "1"}])]),
        rule("header", matches=[path("/a/b", headers=[header("1")])]),
        rule("headers", matches=[path("/a/b", headers=[header("1"), header("2", "y")])]),
        rule("method", matches=[path("/a/b", method="PUT")]),
        rule("long", matches=[path("/a/b")]),
        rule("exact", matches=[path("/a/b/c", "Exact")]),
        rule("same", matches=[path("/a/b")]))
    one, two = [("x-to", "1")], [("x-to", "1"), ("y", "2")]
    assert routed.to("/a/b/c", headers=two, method="PUT") == "exact"
    assert routed.to("/a/b?q=1", headers=two, method="PUT") == "method"
    assert routed.to("/a/b?q=1", headers=two) == "headers"
    assert routed.to("/a/b?q=1", headers=one) == "header"
    assert routed.to("/a/b?q=1") == "query"
    assert routed.to("/a/b") == "long"
    assert routed.to("/a/c") == "prefix"


@pytest.mark.parametrize("host, winner", [
    ("shop.example", "exact"), ("SHOP.example", "exact"), ("shop.example:80", "exact"), ("a.example", "wildcard"),
    ("a.b.example", "wildcard"), ("example", "any"), ("a.deep.example", "deeper"), ("other.test", "any")])
def test_hostname_of_a_route(routed, host, winner):
    routed.start(
        config.route(rule("any"), name="r1"), config.route(rule("wildcard"), hostnames=["*.example"], name="r2"),
        config.route(rule("deeper"), hostnames=["*.deep.example"], name="r3"),
        config.route(rule("exact"), hostnames=["shop.example"], name="r4"))
    assert routed.to(host=host) == winner


def test_more_specific_host_wins_over_a_longer_path(routed):
    routed.start(config.route(rule("path", matches=[path("/long/path")]), hostnames=["*.example"], name="r1"),
                 config.route(rule("host", matches=[path("/")]), hostnames=["shop.example"], name="r2"))
    assert routed.to("/long/path", host="shop.example") == "host"
    assert routed.to("/long/path", host="x.example") == "path"


def test_hostname_of_a_listener_bounds_its_routes(routed, proxy):
    listeners = [config.http(proxy.port, name="shop", hostname="*.shop.example"),
                 config.http(proxy.port, name="rest")]
    routed.start(config.route(rule("shop"), section="shop", name="r1"), config.route(rule("rest"), section="rest", name="r2"),
                 listeners=listeners)
    assert routed.to(host="a.shop.example") == "shop"
    assert routed.to(host="other.example") == "rest"


def test_listener_that_matches_best_answers_alone(routed, proxy):
    """A request of the more specific listener that has no route there is 404, not the other listener's."""
    listeners = [config.http(proxy.port, name="shop", hostname="shop.example"), config.http(proxy.port, name="rest")]
    routed.start(config.route(rule("shop", matches=[path("/cart")]), section="shop", name="r1"),
                 config.route(rule("rest"), section="rest", name="r2"), listeners=listeners)
    assert routed.to("/cart", host="shop.example") == "shop"
    assert routed.to("/other", host="shop.example") == 404
    assert routed.to("/other", host="x.example") == "rest"


@pytest.mark.parametrize("protocol", ["h1", "h2"])
def test_no_route(routed, client, protocol):
    routed.start(rule("only", matches=[path("/only")]))
    response = client.get("/other") if protocol == "h1" else client.http2().get("/other")
    assert (response.status, response.get("x-martlet-reason")) == (404, "route_not_found")


def test_a_thousand_rules_do_not_confuse_each_other(routed, proxy):
    """Each request reaches the rule that names it, first and last included."""
    rules = [rule("last", matches=[path(f"/p{number}", "Exact") for number in range(start, start + 12)])
             for start in range(0, 120, 12)]
    routed.start(config.route(*rules, name="many"), *(
        config.route(rule(f"b{number % 3}"), hostnames=[f"h{number}.example"], name=f"h{number}") for number in range(900)))
    assert routed.to("/p119", host="any.test") == "last" and routed.to("/p120", host="any.test") == 404
    for number in (0, 1, 449, 898, 899):
        assert routed.to("/x", host=f"h{number}.example") == f"b{number % 3}"
