"""Traffic that moves from one backend to another: at once, without a failure, and sessions with it as they should."""
import time

import pytest

from harness import config
from harness.load import HTTP1, HTTP2, Load
from harness.upstream import answer

from test_balancing import cookie


class Versions:
    """Two backends behind one route: documents(100, 0) are their weights."""

    def __init__(self, proxy, ports):
        self.proxy, self.ports = proxy, ports

    def documents(self, old, new, **rule):
        backends = [config.backend(name, *ports) for name, ports in zip(("old", "new"), self.ports)]
        return [config.gateway(config.http(self.proxy.port)), *backends,
                config.route(config.rule(config.ref("old", old), config.ref("new", new), **rule), name="all")]


@pytest.mark.parametrize("worker", [HTTP1, HTTP2])
def test_a_changed_weight_moves_traffic_within_a_second(proxy, upstream, worker):
    """The last answer of the old one comes less than a second after the edit, and no request fails meanwhile."""
    seen = {"old": [], "new": []}

    def script(name):
        def script(request, connection):
            time.sleep(0.01)  # some are in flight whenever the weights change
            seen[name].append(time.monotonic())
            return answer(name)
        return script
    versions = Versions(proxy, [[upstream(script(name)).port] for name in ("old", "new")])
    proxy.start(versions.documents(100, 0))
    edits = []
    with Load(lambda: worker(proxy.port), threads=6) as load:
        proxy.wait(lambda: len(seen["old"]) > 50, "under load")
        for weights, grows in (((0, 100), "new"), ((100, 0), "old")):
            before = len(seen[grows])
            edits.append((grows, time.monotonic()))
            proxy.edit(versions.documents(*weights))
            proxy.wait(lambda: len(seen[grows]) > before + 20, f"moved to {grows}")
            time.sleep(max(0, edits[-1][1] + 1.2 - time.monotonic()))
    assert load.failures == [] and load.done > 100
    for index, (grows, at) in enumerate(edits):
        end = edits[index + 1][1] if index + 1 < len(edits) else time.monotonic()
        late = [when - at for when in seen["old" if grows == "new" else "new"] if at + 1 < when < end]
        assert not late, f"edit {index}: the other one still answered {late[-1]:.2f} s later"


@pytest.fixture(params=["h1", "h2"])
def fetched(request, client):
    return client.get if request.param == "h1" else lambda **more: client.http2().get(**more)


def test_a_session_stays_while_weights_are_split(proxy, upstream, fetched):
    """Half the new clients each, and each stays where it began, until the weight of that is 0."""
    names = {"old": "ab", "new": "cd"}
    ports = [[upstream(lambda *_, name=name: answer(name)).port for name in names[version]] for version in names]
    versions, session = Versions(proxy, ports), {"sessionPersistence": {"sessionName": "s"}}
    proxy.start(versions.documents(50, 50, **session))
    homes = {}
    for _ in range(24):
        first = fetched()
        homes[cookie(first, "s").value] = first.body
    # 2 in 2^24 that all land on one side.
    assert {name in (b"a", b"b") for name in homes.values()} == {True, False}

    def asked(token):
        return fetched(headers=[("cookie", f"s={token}")])
    for token, home in homes.items():
        for _ in range(3):
            again = asked(token)
            assert again.body == home and cookie(again, "s") is None
    proxy.edit(versions.documents(0, 100, **session))
    proxy.wait(lambda: {fetched().body for _ in range(10)} <= {b"c", b"d"}, "shifted")
    for token, home in homes.items():
        moved = asked(token)
        if home in (b"c", b"d"):
            assert moved.body == home and cookie(moved, "s") is None
        else:
            assert moved.body in (b"c", b"d")
            assert asked(cookie(moved, "s").value).body == moved.body
