"""HAProxy, one thread."""
from ..site import FRONT, H1, H2C, H2TLS, ROUTES
from . import Launch, pair


def haproxy(work, site):
    if work.is_pair:
        return Launch(pair.haproxy(site))
    d = site.dir
    bind = {
        "h1": f"127.0.0.1:{FRONT}",
        "h2c": f"127.0.0.1:{FRONT} proto h2",
        "tls": f"127.0.0.1:{FRONT} ssl crt {d}/both.pem alpn h2,http/1.1 ssl-min-ver TLSv1.3",
    }[work.front]
    server = {
        "h1": f"127.0.0.1:{H1}",
        "h2c": f"127.0.0.1:{H2C} proto h2",
        "h2tls": f"127.0.0.1:{H2TLS} ssl alpn h2 ca-file {d}/ca.pem verify required verifyhost localhost "
                 "sni str(localhost)",
    }[work.back]
    check, retries = "", ""
    if work.has_policies:
        back, version = {"h1": ("", "HTTP/1.1"), "h2c": (" check-proto h2", "HTTP/2")}[work.back]
        check = f" check inter 1s{back} maxconn 20000 observe layer7 error-limit 10 on-error mark-down"
        retries = (" retries 1\n retry-on conn-failure 503\n option httpchk\n"
                   f" http-check send meth GET uri /{ROUTES[0]}/1k ver {version} hdr host bench\n")
    routes = "\n".join(f" use_backend b if {{ path_beg /{route}/ }}" for route in ROUTES)
    return Launch(["haproxy", "-db", "-f", site.write("haproxy.cfg", f"""global
 nbthread 1
 maxconn 8192
defaults
 mode http
 timeout connect 5s
 timeout client 600s
 timeout server 600s
 option forwardfor
 http-reuse always
frontend f
 bind {bind}
 http-request set-header x-bench on
 http-request set-header x-forwarded-proto http
 http-response del-header last-modified
{routes}
backend b
{retries} server s {server} pool-max-conn -1{check}
""")])
