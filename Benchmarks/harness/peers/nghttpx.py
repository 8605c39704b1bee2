"""nghttpx, one worker. It cannot remove a response header without a script, so it is spared that."""
from ..site import FRONT, H1, H2C, H2TLS, ROUTES
from . import Launch, pair


def nghttpx(work, site):
    if work.is_pair:
        return Launch(pair.nghttpx(site))
    d = site.dir
    # The catch-all pattern "/" is required.
    patterns = ":".join(["/", *(f"/{route}/" for route in ROUTES)])
    backend = {
        "h1": f"{H1};{patterns};proto=http/1.1",
        "h2c": f"{H2C};{patterns};proto=h2",
        "h2tls": f"{H2TLS};{patterns};proto=h2;tls;sni=localhost",
    }[work.back]
    tls = work.front == "tls"
    return Launch([
        "nghttpx", "-n1", "--conf=/dev/null", "--accesslog-file=", "--errorlog-file=/dev/null",
        f"--frontend=127.0.0.1,{FRONT}" + ("" if tls else ";no-tls"), f"--backend=127.0.0.1,{backend}",
        f"--cacert={d}/ca.pem", "--add-request-header=x-bench: on", "--add-x-forwarded-for",
        *([f"{d}/leaf.key", f"{d}/leaf.pem"] if tls else [])])
