"""The proxies, one module each, all given the same work.

20 path-prefix routes on one host, the request header `x-bench` set, the response header `last-modified` removed,
`x-forwarded-for` and `x-forwarded-proto` added, metrics on where the product has them, access log off, one worker.
The works `policies-…` add the same resilience to each: one retry on connect failures and 503, limits far above the
load, outlier detection by failures in a row, an active health check each second. `martlet-off` is Martlet without.
A peer is a function (work, site) → Launch, or None where the product cannot do the work.
"""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Launch:
    """How to start a proxy that listens on `site.FRONT`."""
    command: list
    environment: dict = dataclasses.field(default_factory=dict)
    cpu: str = "0"


from .envoy import envoy  # noqa: E402 - the modules above need Launch
from .haproxy import haproxy  # noqa: E402
from .martlet import martlet, martlet_off, martlet_one_loop, martlet_twenty_routes  # noqa: E402
from .nghttpx import nghttpx  # noqa: E402
from .nginx import nginx  # noqa: E402
from .prototype import prototype  # noqa: E402

PEERS = {
    "martlet": martlet, "nginx": nginx, "haproxy": haproxy, "nghttpx": nghttpx, "envoy": envoy,
    "prototype": prototype, "martlet-1": martlet_one_loop, "martlet-20": martlet_twenty_routes,
    "martlet-off": martlet_off,
}
