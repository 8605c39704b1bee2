"""The services of the demo, and the gateway before them."""
import dataclasses
import http.client
import sys

from .processes import accepts
from .site import BINARIES, HERE

SERVICES = HERE / "services"
START_SECONDS = 20


@dataclasses.dataclass(frozen=True)
class Service:
    """One service: `port` is its port in the YAML files, `command` what starts it, up to the port, `rest` what follows."""
    name: str
    language: str
    protocol: str
    port: int
    command: tuple
    rest: tuple = ()


def services(site):
    """All of them, in the order of their ports."""
    python, node = sys.executable, "node"
    return [
        Service("cart-v1", "Python", "HTTP/1.1", 9001, (python, SERVICES / "cart.py")),
        Service("cart-v2", "Node", "HTTP/1.1", 9002, (node, SERVICES / "cart.mjs")),
        Service("catalog", "C", "HTTP/1.1", 9003, (site.catalog,)),
        Service("stock", "Node", "HTTP/2 (h2c)", 9004, (node, SERVICES / "stock.mjs")),
        Service("chat", "Python", "WebSocket", 9005, (python, SERVICES / "chat.py")),
        Service("reviews", "Python", "HTTP/1.1", 9007, (python, SERVICES / "reviews.py")),
        Service("reviews, failing", "Python", "HTTP/1.1", 9008, (python, SERVICES / "reviews.py"), ("failing",)),
        Service("orders", "Python", "gRPC", 9006, (python, SERVICES / "orders.py")),
    ]


def start(service, site, processes):
    """Starts a service without waiting for it."""
    return processes.start(service.name, *service.command, site.ports[service.port], *service.rest)


def wait(process, port):
    """Returns when the process accepts connections."""
    process.wait_until(lambda: accepts(port), f"does not listen on port {port}", START_SECONDS)


def start_gateway(site, processes):
    """Starts martlet and returns it when it says that it is ready."""
    gateway = processes.start(
        "martlet", BINARIES / "martlet", "run", site.configuration, "--admin", f"127.0.0.1:{site.admin}")
    gateway.wait_until(lambda: _is_ready(site.admin), "is not ready", START_SECONDS)
    return gateway


def _is_ready(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
