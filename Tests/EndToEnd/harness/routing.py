"""Routes to named upstreams, and who answered."""
import json

from . import config
from .http1 import fetch
from .upstream import Upstream, describe


class Routed:
    """Upstreams made by name as rules refer to them; `ask` says who answered and what it saw."""

    def __init__(self, proxy, closing):
        self.proxy, self.closing, self.upstreams = proxy, closing, {}

    def upstream(self, name, script=None):
        if name not in self.upstreams:
            made = Upstream(script or describe(name))
            self.closing.callback(made.close)
            self.upstreams[name] = made
        return self.upstreams[name]

    def start(self, *routes, listeners=None, documents=()):
        """Serves routes (rules and dictionaries become one); every Backend they name gets an upstream."""
        rules = [one for one in routes if "kind" not in one]
        made = [one for one in routes if "kind" in one]
        if rules:
            made.append(config.route(*rules, name="all"))
        names = sorted(set(named(made)))
        given = {one["metadata"]["name"] for one in documents if one["kind"] == "Backend"}
        self.proxy.start([
            config.gateway(*(listeners or [config.http(self.proxy.port)])),
            *(config.backend(name, self.upstream(name).port) for name in names if name not in given),
            *made, *documents])
        return self

    def fetch(self, path="/", **request):
        return fetch(self.proxy.port, path, **request)

    def to(self, path="/", **request):
        """The name of the upstream that answered, or the status of another answer."""
        response = self.fetch(path, **request)
        return json.loads(response.body)["upstream"] if response.status == 200 else response.status

    def saw(self, path="/", **request):
        """What the upstream saw: {"target", "headers" by lower-case name, …}."""
        response = self.fetch(path, **request)
        assert response.status == 200, response
        seen = json.loads(response.body)
        seen["target"] = seen["start"].split(" ")[1]
        seen["fields"] = [(name.lower(), value) for name, value in seen["headers"]]
        seen["headers"] = dict(seen["fields"])
        return seen


def named(value):
    """Names of the Backends that a document refers to, wherever."""
    if isinstance(value, dict):
        if value.get("kind") == "Backend" and value.get("group") == "martlet.dev" and "apiVersion" not in value:
            yield value["name"]
        for inner in value.values():
            yield from named(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from named(inner)
