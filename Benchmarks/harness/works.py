"""The works, their protocols, and the bars that the project holds itself to."""
import dataclasses

THREE = ("nginx", "haproxy", "nghttpx")
FOUR = (*THREE, "envoy")


@dataclasses.dataclass(frozen=True)
class Bar:
    """limit × the best of `against`; an absolute limit in the work's unit where `against` is empty."""
    limit: float
    against: tuple = ()
    of: str = "value"  # or "rss_mib"

    def text(self, unit):
        if self.against:
            names = ", ".join(self.against)
            return f"≤ {self.limit:.2f} × {'best of ' if len(self.against) > 1 else ''}{names}"
        return f"≤ {self.limit:g} {'MiB RSS' if self.of == 'rss_mib' else unit}"


@dataclasses.dataclass(frozen=True)
class Work:
    """What is done, over which protocols: front is h1, h2c or tls, back is h1, h2c or h2tls."""
    name: str
    what: str
    front: str
    back: str
    bars: tuple = ()
    unit: str = "µs CPU/request"
    scale: float = 1  # × -n requests, so that cheap works run as long as dear ones
    only: tuple = ()  # peers that it is about; all where empty

    @property
    def is_pair(self):
        """Whether there are two proxies, one beside the client and one beside the service."""
        return self.name.startswith("pair")

    @property
    def has_policies(self):
        """Whether retry, limits, outlier detection and active health checks are on."""
        return self.name.startswith("policies")


ENVOY = Bar(1 / 3, ("envoy",))
CPU_PER_HANDSHAKE = "µs CPU/handshake"
KIB = "KiB/connection"
PAIR = "two sidecars: HTTP/1.1 → mutual TLS, HTTP/2 → HTTP/1.1, 1 KiB"
PAIR_PEERS = ("martlet", "haproxy", "nghttpx", "envoy")
POLICIES = "retry, limits, outlier detection and health checks on"
POLICY_PEERS = ("martlet", "martlet-off", "haproxy", "envoy")

WORKS = {work.name: work for work in (
    Work("h1", "HTTP/1.1 → HTTP/1.1, 1 KiB, 32 connections", "h1", "h1",
         (Bar(0.85, THREE), Bar(1.15, ("prototype",)), ENVOY)),
    Work("h2", "h2c → h2c, 1 KiB, 8 × 10 streams", "h2c", "h2c",
         (Bar(0.9, ("haproxy", "nghttpx")), Bar(1.25, ("prototype",)), ENVOY), scale=4),
    Work("h2-h1", "h2c → HTTP/1.1, 1 KiB", "h2c", "h1", (Bar(0.85, ("haproxy", "nghttpx")), ENVOY)),
    Work("h1-h2", "HTTP/1.1 → h2c, 1 KiB", "h1", "h2c", (Bar(0.85, ("haproxy", "nghttpx")), ENVOY)),
    Work("tls", "h2 over TLS 1.3 → h2 over TLS 1.3, verified, 1 KiB", "tls", "h2tls", (Bar(0.9, FOUR), ENVOY), scale=2),
    Work("pair", PAIR, "h1", "h1", (Bar(0.85, ("haproxy", "nghttpx")), ENVOY), only=PAIR_PEERS),
    Work("pair-p50", "the same, 1 connection: added to the median", "h1", "h1", unit="µs", only=PAIR_PEERS),
    Work("pair-p99", "the same: added to the 99th percentile", "h1", "h1", unit="µs", only=PAIR_PEERS),
    Work("full", "TLS 1.3 full handshake and one request", "tls", "h1", (Bar(1.0, FOUR),), CPU_PER_HANDSHAKE,
         scale=1 / 30),
    Work("resumed", "TLS 1.3 resumed handshake and one request", "tls", "h1", (Bar(1.0, FOUR),), CPU_PER_HANDSHAKE,
         scale=1 / 30),
    Work("big", "HTTP/1.1 → HTTP/1.1, 1 MiB", "h1", "h1", (Bar(0.85, FOUR),), scale=1 / 30),
    Work("big2", "h2c → h2c, 1 MiB", "h2c", "h2c", (Bar(0.85, FOUR),), scale=1 / 30),
    Work("idle", "memory per idle HTTP/1.1 connection", "h1", "h1", (Bar(0.5),), KIB),
    Work("idletls", "memory per idle TLS connection", "tls", "h1", (Bar(15.5),), KIB),
    Work("idleh2", "memory per idle h2c connection", "h2c", "h2c", (Bar(14),), KIB),
    Work("start", "start to first served request, and memory then", "h1", "h1",
         (Bar(50), Bar(10, of="rss_mib")), "ms"),
    Work("loops-h1", "two loops, HTTP/1.1 (against one loop)", "h1", "h1", (Bar(2 / 1.8, ("martlet-1",)),),
         only=("martlet-1", "martlet")),
    Work("loops-h2", "two loops, h2c (against one loop)", "h2c", "h2c", (Bar(2 / 1.8, ("martlet-1",)),), scale=4,
         only=("martlet-1", "martlet")),
    Work("policies-h1", f"HTTP/1.1, {POLICIES} (against none of them)", "h1", "h1",
         (Bar(1.05, ("martlet-off",)), Bar(1.0, ("haproxy",)), ENVOY), only=POLICY_PEERS),
    Work("policies-h2", f"h2c, {POLICIES} (against none of them)", "h2c", "h2c",
         (Bar(1.05, ("martlet-off",)), Bar(1.0, ("haproxy",)), ENVOY), scale=4, only=POLICY_PEERS),
    Work("routes", "10,000 routes on 1,000 hosts (against 20 routes)", "h1", "h1", (Bar(1.1, ("martlet-20",)),),
         only=("martlet-20", "martlet")),
    Work("adopt", "10,000 routes swapped in: longest wait of a request", "h1", "h1", (Bar(5),), "ms",
         only=("martlet",)),
)}
