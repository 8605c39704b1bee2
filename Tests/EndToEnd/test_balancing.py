"""Who gets a request: weights, hashes, sessions, backups, subsets, slow endpoints; over both protocols."""
import collections
import http.cookies
import time

import pytest

from harness import config
from harness.http2 import H2Client
from harness.upstream import answer


@pytest.fixture(params=["h1", "h2"])
def protocol(request):
    """What is spoken on both sides of the proxy."""
    return request.param


class NewConnections:
    """Each request on a connection of its own, which any of the loops may get."""

    def __init__(self, proxy):
        self.proxy = proxy

    def get(self, path="/", headers=()):
        with H2Client(self.proxy.port) as http2:
            return http2.get(path, headers=headers)


@pytest.fixture
def client(client, proxy, protocol):
    return client if protocol == "h1" else NewConnections(proxy)


class Site:
    """A Backend of named upstreams behind one route."""

    def __init__(self, proxy, upstream, h2_upstream, protocol):
        self.proxy, self.protocol, self.ports = proxy, protocol, {}
        self.upstream, self.h2_upstream = upstream, h2_upstream

    def port(self, name, delay=0):
        """The port of the upstream that answers with its name, after some seconds."""
        def http1(*_):
            time.sleep(delay)
            return answer(name)

        def http2(connection, number, request):
            time.sleep(delay)
            connection.respond(number, body=name.encode())

        if name not in self.ports:
            self.ports[name] = (self.upstream(http1) if self.protocol == "h1" else self.h2_upstream(http2)).port
        return self.ports[name]

    def documents(self, names, balancer=None, endpoints=None, **rule):
        endpoints = endpoints or {}
        places = [{"ip": {"address": "127.0.0.1", "port": self.port(name)}, **endpoints.get(name, {})}
                  for name in names]
        more = {"loadBalancer": balancer} if balancer else {}
        if self.protocol == "h2":
            more["appProtocol"] = config.H2C
        return [config.gateway(config.http(self.proxy.port)), config.backend("app", endpoints=places, **more),
                config.route(config.rule("app", **rule))]


@pytest.fixture
def site(proxy, upstream, h2_upstream, protocol):
    return Site(proxy, upstream, h2_upstream, protocol)


def shares(client, count, **request):
    return collections.Counter(client.get(**request).body.decode() for _ in range(count))


def cookie(response, name):
    """The Set-Cookie of this name, as a Morsel."""
    for key, value in response.headers:
        if key.lower() == "set-cookie":
            jar = http.cookies.SimpleCookie(value)
            if name in jar:
                return jar[name]
    return None


@pytest.mark.parametrize("kind", ["ROUND_ROBIN", "LEAST_REQUEST", "PEAK_EWMA", "RANDOM"])
def test_weights(site, proxy, client, kind):
    proxy.start(site.documents("abc", {"type": kind}, {"a": {"weight": 6}, "b": {"weight": 2}}), "--loops", "1")
    seen = shares(client, 450)
    if kind == "ROUND_ROBIN":
        assert seen == {"a": 300, "b": 100, "c": 50}
    elif kind != "PEAK_EWMA":  # Which looks at times, too.
        # Six standard deviations.
        assert abs(seen["a"] - 300) < 60 and abs(seen["c"] - 50) < 40, seen


@pytest.mark.parametrize("kind", ["RING_HASH", "MAGLEV"])
def test_a_header_says_where(site, proxy, client, kind):
    """The same endpoint for a user, in every loop; when one leaves, only its users move."""
    balancer = {"type": kind, "hash": [{"header": {"name": "x-user"}}]}
    proxy.start(site.documents("abc", balancer))
    users = [f"user-{number}" for number in range(60)]

    def homes():
        return {user: client.get(headers=[("X-User", user)]).body.decode() for user in users}

    before = homes()
    assert set(before.values()) == {"a", "b", "c"}
    assert homes() == before
    proxy.edit(site.documents("ab", balancer))
    proxy.wait(lambda: "c" not in homes().values(), "c is gone")
    after = homes()
    moved = [user for user in users if before[user] != "c" and after[user] != before[user]]
    assert len(moved) <= (0 if kind == "RING_HASH" else 6), moved


def test_query_parameter(site, proxy, client):
    proxy.start(site.documents("abc", {"type": "MAGLEV", "hash": [{"queryParam": {"name": "id"}}]}))
    homes = {number: client.get(f"/?id={number}").body for number in range(20)}
    assert len(set(homes.values())) > 1
    assert all(client.get(f"/x?a=b&id={number}").body == home for number, home in homes.items())


def test_a_cookie_is_given_and_leads_back(site, proxy, client):
    balancer = {"type": "RING_HASH", "hash": [{"cookie": {"name": "lb", "ttl": "1h"}}]}
    proxy.start(site.documents("abc", balancer))
    for _ in range(10):
        first = client.get()
        given = cookie(first, "lb")
        assert given["max-age"] == "3600" and given["path"] == "/" and given["httponly"]
        assert given["samesite"] == "Lax"
        again = client.get(headers=[("Cookie", f"x=y; lb={given.value}")])
        assert again.body == first.body and cookie(again, "lb") is None


def test_session_by_cookie(site, proxy, client):
    session = {"sessionName": "s", "absoluteTimeout": "1h", "cookieConfig": {"lifetimeType": "Permanent"}}
    proxy.start(site.documents("abc", sessionPersistence=session))
    first = client.get()
    given = cookie(first, "s")
    assert given["max-age"] == "3600" and "127.0.0.1" not in given.value
    held = [("Cookie", f"s={given.value}")]
    assert shares(client, 30, headers=held) == {first.body.decode(): 30}
    assert cookie(client.get(headers=held), "s") is None
    # Its endpoint leaves: another takes over, with a session of its own.
    rest = "abc".replace(first.body.decode(), "")
    proxy.edit(site.documents(rest, sessionPersistence=session))
    proxy.wait(lambda: client.get(headers=held).body != first.body, "the endpoint is gone")
    moved = client.get(headers=held)
    held = [("Cookie", f"s={cookie(moved, 's').value}")]
    assert shares(client, 20, headers=held) == {moved.body.decode(): 20}


def test_session_ends_in_time(site, proxy, client):
    session = {"sessionName": "s", "absoluteTimeout": "1s"}
    proxy.start(site.documents("abc", sessionPersistence=session))
    given = cookie(client.get(), "s")
    held = [("Cookie", f"s={given.value}")]
    proxy.wait(lambda: cookie(client.get(headers=held), "s") is not None, "the session has ended", seconds=5)


def test_session_by_header(site, proxy, client):
    session = {"sessionName": "X-Session", "type": "Header"}
    proxy.start(site.documents("abc", {"type": "ROUND_ROBIN"}, sessionPersistence=session))
    first = client.get()
    token = first.get("x-session")
    assert token and shares(client, 20, headers=[("X-Session", token)]) == {first.body.decode(): 20}


def test_backups_wait(site, proxy, client):
    proxy.start(site.documents("abc", endpoints={"c": {"backup": True}}))
    assert set(shares(client, 60)) == {"a", "b"}


def test_own_zone(site, proxy, client):
    zones = {"a": {"zone": "z1"}, "b": {"zone": "z2"}, "c": {"zone": "z1"}}
    documents = site.documents("abc", {"type": "LEAST_REQUEST", "zonePreference": {}}, zones)
    proxy.start([*documents, config.settings(zone="z1")])
    assert set(shares(client, 60)) == {"a", "c"}


def test_a_slow_endpoint_gets_less(site, proxy, client):
    """Peak EWMA measures: 150 ms against next to nothing."""
    site.port("slow", delay=0.15)
    proxy.start(site.documents(["slow", "a", "b"], {"type": "PEAK_EWMA"}), "--loops", "1")
    seen = shares(client, 200)
    assert seen["slow"] <= 5, seen


class TestSubsets:
    """Versions of one Backend, named by the labels of its endpoints."""

    def documents(self, site, *rules, labels=("v1", "v1", "v2")):
        endpoints = {name: {"labels": {"version": version}} for name, version in zip("abc", labels)}
        subsets = [config.document(config.MARTLET_API, "BackendSubset", f"app-{version}", {
            "backendRef": {"group": "martlet.dev", "kind": "Backend", "name": "app"},
            "labels": {"version": version}}) for version in ("v1", "v2")]
        plain = site.documents("abc", {"type": "ROUND_ROBIN"}, endpoints)
        return [*plain[:-1], *subsets, config.route(*rules)]

    def version(self, name, weight=None):
        return config.ref(f"app-{name}", weight, kind="BackendSubset")

    def test_weights_between_versions(self, site, proxy, client):
        """Three to one between the versions, whatever the number of their endpoints."""
        proxy.start(self.documents(site, config.rule(self.version("v1", 3), self.version("v2", 1))), "--loops", "1")
        seen = shares(client, 400)
        # Six standard deviations.
        assert abs(seen["c"] - 100) < 52, seen
        assert abs(seen["a"] - seen["b"]) <= 1, "the balancer of the whole holds within a subset"

    def test_a_header_names_the_version(self, site, proxy, client):
        canary = {"headers": [{"name": "x-version", "value": "v2"}], **config.path("/")}
        proxy.start(self.documents(site, config.rule(self.version("v2"), matches=[canary]),
                                   config.rule(self.version("v1"))))
        assert shares(client, 20, headers=[("X-Version", "v2")]) == {"c": 20}
        assert set(shares(client, 20, headers=[("X-Version", "v1")])) == {"a", "b"}
        assert set(shares(client, 20)) == {"a", "b"}

    def test_a_label_that_changes_moves_the_endpoint(self, site, proxy, client):
        rules = [config.rule(self.version("v2"))]
        proxy.start(self.documents(site, *rules))
        assert shares(client, 10) == {"c": 10}
        proxy.edit(self.documents(site, *rules, labels=("v1", "v2", "v1")))
        proxy.wait(lambda: client.get().body == b"b", "b is v2")
        assert shares(client, 10) == {"b": 10}

    def test_a_version_without_endpoints(self, site, proxy, client):
        proxy.start(self.documents(site, config.rule(self.version("v2")), labels=("v1", "v1", "v1")))
        assert client.get().status == 503
