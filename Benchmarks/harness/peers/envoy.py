"""Envoy, one worker, circuit breakers lifted and request ids off, as its own benchmarking advice says."""
import json
import os
import shutil

from ..site import FRONT, H1, H2C, H2TLS, ROOT, ROUTES
from . import Launch, pair

TYPE = "type.googleapis.com/envoy.extensions."
MANY = {"max_connections": 20000, "max_pending_requests": 20000, "max_requests": 200000}


def address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def typed(name, kind, **fields):
    return {"name": name, "typed_config": {"@type": TYPE + kind, **fields}}


RETRY = {"retry_on": "connect-failure,refused-stream,retriable-status-codes", "retriable_status_codes": [503],
         "num_retries": 1}
OUTLIERS = {"consecutive_5xx": 5, "consecutive_gateway_failure": 5, "enforcing_consecutive_gateway_failure": 100}


def health_check(work):
    check = {"path": f"/{ROUTES[0]}/1k", "codec_client_type": "HTTP1" if work.back == "h1" else "HTTP2"}
    return {"timeout": "1s", "interval": "1s", "healthy_threshold": 2, "unhealthy_threshold": 3,
            "http_health_check": check}


def listener(work, d):
    action = {"cluster": "b", "retry_policy": RETRY} if work.has_policies else {"cluster": "b"}
    routes = [{"match": {"prefix": f"/{route}/"}, "route": action} for route in ROUTES]
    edits = {
        "request_headers_to_add": [
            {"header": {"key": "x-bench", "value": "on"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}],
        "response_headers_to_remove": ["last-modified"],
    }
    manager = typed(
        "hcm", "filters.network.http_connection_manager.v3.HttpConnectionManager", stat_prefix="b", codec_type="AUTO",
        use_remote_address=True, generate_request_id=False,
        route_config={"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": routes}], **edits},
        http_filters=[typed("router", "filters.http.router.v3.Router")])
    chain = {"filters": [manager]}
    if work.front == "tls":
        chain["transport_socket"] = typed(
            "tls", "transport_sockets.tls.v3.DownstreamTlsContext", common_tls_context={
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
                "tls_certificates": [{"certificate_chain": {"filename": f"{d}/leaf.pem"},
                                      "private_key": {"filename": f"{d}/leaf.key"}}]})
    return {"name": "l", "address": address(FRONT), "filter_chains": [chain]}


def cluster(work, d):
    port = {"h1": H1, "h2c": H2C, "h2tls": H2TLS}[work.back]
    endpoint = {"endpoint": {"address": address(port)}}
    made = {"name": "b", "type": "STATIC", "circuit_breakers": {"thresholds": [MANY]},
            "load_assignment": {"cluster_name": "b", "endpoints": [{"lb_endpoints": [endpoint]}]}}
    if work.has_policies:
        made |= {"outlier_detection": OUTLIERS, "health_checks": [health_check(work)]}
    if work.back != "h1":
        options = "upstreams.http.v3.HttpProtocolOptions"
        made["typed_extension_protocol_options"] = {"envoy.extensions." + options: {
            "@type": TYPE + options, "explicit_http_config": {"http2_protocol_options": {}}}}
    if work.back == "h2tls":
        made["transport_socket"] = typed(
            "tls", "transport_sockets.tls.v3.UpstreamTlsContext", sni="localhost", common_tls_context={
                "validation_context": {"trusted_ca": {"filename": f"{d}/ca.pem"}}, "alpn_protocols": ["h2"],
                "tls_params": {"tls_maximum_protocol_version": "TLSv1_3"}})
    return made


def envoy(work, site):
    beside = ROOT / ".venv/bin/envoy"
    binary = os.environ.get("ENVOY") or (str(beside) if beside.exists() else shutil.which("envoy"))
    if not binary:
        return None
    if work.is_pair:
        return Launch(pair.envoy(site, binary, address, typed, MANY))
    configuration = {"static_resources": {"listeners": [listener(work, site.dir)], "clusters": [cluster(work, site.dir)]}}
    return Launch([binary, "-c", site.write("envoy.json", json.dumps(configuration)), "--concurrency", "1",
                   "--disable-hot-restart", "-l", "off"])
