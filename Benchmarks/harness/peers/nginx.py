"""nginx. Its only HTTP/2 client before 1.29 is the gRPC module, so HTTP/1.1 → h2 is not possible."""
from ..site import FRONT, H1, H2C, H2TLS, NGINX_HEAD, ROUTES
from . import Launch

EDIT = "proxy_set_header X-Bench on; proxy_hide_header Last-Modified; proxy_set_header Host $host; " \
       "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme;"


def nginx(work, site):
    d = site.dir
    if work.back != "h1" and work.front == "h1":
        return None
    listen = {
        "h1": f"listen 127.0.0.1:{FRONT};",
        "h2c": f"listen 127.0.0.1:{FRONT} http2;",
        "tls": f"listen 127.0.0.1:{FRONT} ssl http2; ssl_certificate {d}/leaf.pem; ssl_certificate_key {d}/leaf.key; "
               "ssl_protocols TLSv1.3; ssl_session_cache shared:s:10m;",
    }[work.front]
    if work.back == "h1":
        forward = f'proxy_pass http://b; proxy_http_version 1.1; proxy_set_header Connection ""; {EDIT}'
    else:
        forward = "grpc_pass grpc://b; " if work.back == "h2c" else \
            f"grpc_pass grpcs://b; grpc_ssl_verify on; grpc_ssl_trusted_certificate {d}/ca.pem; " \
            "grpc_ssl_name localhost; "
        forward += EDIT.replace("proxy_set", "grpc_set").replace("proxy_hide", "grpc_hide")
    port = {"h1": H1, "h2c": H2C, "h2tls": H2TLS}[work.back]
    locations = "\n  ".join(f"location /{route}/ {{ {forward} }}" for route in ROUTES)
    configuration = site.write("nginx.conf", NGINX_HEAD.format(dir=d, name="nginx") + f"""
 upstream b {{ server 127.0.0.1:{port}; keepalive 256; keepalive_requests 100000000; }}
 server {{ {listen}
  {locations}
 }} }}
""")
    return Launch(["nginx", "-c", configuration, "-p", str(d)])
