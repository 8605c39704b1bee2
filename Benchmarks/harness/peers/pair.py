"""Two proxies of a kind: client → FRONT ⇒ mutual TLS 1.3, HTTP/2 ⇒ MIDDLE → service, HTTP/1.1 outside.

Both check the other's certificate; `x-forwarded-for` is added where the product does so by a setting. Both run on CPU 0, with one worker
each; the cost is that of both.
"""
import json
import shlex

from ..site import FRONT, H1, MIDDLE


def both(*commands):
    """One command that runs all of them in one process group."""
    return ["sh", "-c", " & ".join(shlex.join(command) for command in commands) + " & wait"]


def haproxy(site):
    d = site.dir
    mutual = f"ssl crt {d}/both.pem ca-file {d}/ca.pem verify required alpn h2"

    def one(name, bind, server):
        return ["haproxy", "-db", "-f", site.write(f"haproxy-{name}.cfg", f"""global
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
 default_backend b
backend b
 server s {server} pool-max-conn -1
""")]
    return both(one("front", f"127.0.0.1:{FRONT}", f"127.0.0.1:{MIDDLE} {mutual} sni str(localhost)"),
                one("back", f"127.0.0.1:{MIDDLE} {mutual}", f"127.0.0.1:{H1}"))


def nghttpx(site):
    d = site.dir
    common = ["nghttpx", "-n1", "--conf=/dev/null", "--accesslog-file=", "--errorlog-file=/dev/null",
              "--add-x-forwarded-for"]
    front = [*common, f"--frontend=127.0.0.1,{FRONT};no-tls", f"--backend=127.0.0.1,{MIDDLE};;proto=h2;tls;sni=localhost",
             f"--cacert={d}/ca.pem", f"--client-private-key-file={d}/leaf.key", f"--client-cert-file={d}/leaf.pem"]
    back = [*common, f"--frontend=127.0.0.1,{MIDDLE}", f"--backend=127.0.0.1,{H1};;proto=http/1.1", "--verify-client",
            f"--verify-client-cacert={d}/ca.pem", f"{d}/leaf.key", f"{d}/leaf.pem"]
    return both(front, back)


def envoy(site, binary, address, typed, many):
    d = site.dir
    own = {"tls_certificates": [{"certificate_chain": {"filename": f"{d}/leaf.pem"},
                                 "private_key": {"filename": f"{d}/leaf.key"}}]}
    trust = {"validation_context": {"trusted_ca": {"filename": f"{d}/ca.pem"}}}
    only13 = {"tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"}}
    mutual = {"alpn_protocols": ["h2"], **only13, **own, **trust}
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

    def one(name, port, upstream, listens_tls):
        manager = typed(
            "hcm", "filters.network.http_connection_manager.v3.HttpConnectionManager", stat_prefix="b",
            codec_type="AUTO", use_remote_address=True, generate_request_id=False,
            route_config={"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [
                {"match": {"prefix": "/"}, "route": {"cluster": "b"}}]}]},
            http_filters=[typed("router", "filters.http.router.v3.Router")])
        chain = {"filters": [manager]}
        cluster = {"name": "b", "type": "STATIC", "circuit_breakers": {"thresholds": [many]},
                   "load_assignment": {"cluster_name": "b", "endpoints": [{"lb_endpoints": [
                       {"endpoint": {"address": address(upstream)}}]}]}}
        if listens_tls:
            chain["transport_socket"] = typed(
                "tls", "transport_sockets.tls.v3.DownstreamTlsContext", common_tls_context=mutual,
                require_client_certificate=True)
        else:
            cluster["transport_socket"] = typed(
                "tls", "transport_sockets.tls.v3.UpstreamTlsContext", sni="localhost", common_tls_context=mutual)
            cluster["typed_extension_protocol_options"] = {options: {
                "@type": f"type.googleapis.com/{options}", "explicit_http_config": {"http2_protocol_options": {}}}}
        listener = {"name": "l", "address": address(port), "filter_chains": [chain]}
        configuration = {"static_resources": {"listeners": [listener], "clusters": [cluster]}}
        return [binary, "-c", site.write(f"envoy-{name}.json", json.dumps(configuration)), "--concurrency", "1",
                "--disable-hot-restart", "-l", "off"]
    return both(one("front", FRONT, MIDDLE, False), one("back", MIDDLE, H1, True))
