"""Local rate limits: who shares a bucket, what a refusal says, and that tokens come back."""
import subprocess
import time

import grpc
import pytest

from harness import config
from harness.grpc_echo import Request, channel, stub
from harness.upstream import answer


@pytest.fixture
def limited(serve):
    def start(*limits, **more):
        return serve(lambda *_: answer("ok"), config.traffic_policy("app", rateLimits=list(limits), **more))
    return start


@pytest.mark.parametrize("protocol", ["h1", "h2"])
def test_refusal_says_when_to_come_back(limited, client, proxy, protocol, eventually):
    server = limited({"requests": 2, "unit": "minute"})
    get = client.get if protocol == "h1" else client.http2().get
    assert [get().status for _ in range(3)] == [200, 200, 429]
    refused = get()
    assert refused.get("x-martlet-reason") == "rate_limited"
    assert (refused.get("ratelimit-limit"), refused.get("ratelimit-remaining")) == ("2", "0")
    assert 0 < int(refused.get("retry-after")) <= 30 and 30 < int(refused.get("ratelimit-reset")) <= 60
    assert len(server.requests) == 2
    eventually(lambda: proxy.metric("martlet_local_answers_total", reason="rate_limited") == 2)


def test_tokens_come_back(limited, client):
    limited({"requests": 5, "burst": 1})
    assert client.get().status == 200
    assert client.get().status == 429
    time.sleep(0.25)
    assert client.get().status == 200


def test_by_header(limited, client):
    limited({"by": "HEADER", "header": "x-key", "requests": 1, "unit": "minute"})
    assert [client.get(headers=[("x-key", key)]).status for key in "aabb"] == [200, 429, 200, 429]
    assert [client.get().status for _ in range(2)] == [200, 429]


def test_by_address(limited, client):
    """A bucket for each address, whatever the connection."""
    limited({"by": "ADDRESS", "requests": 2, "unit": "minute"})

    def statuses(address):
        return [client.http1(source_address=(address, 0)).get().status for _ in range(3)]
    assert statuses("127.0.0.1") == [200, 200, 429]
    assert statuses("127.0.0.2") == [200, 200, 429]


def test_by_identity(proxy, upstream, pki, client):
    """A bucket for each client certificate, and one for all without."""
    server = upstream(lambda *_: answer("ok"))
    validation = {"mode": "AllowInsecureFallback",
                  "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "ca"}]}
    proxy.start([
        config.gateway(config.https(proxy.port, "cert"), tls={"frontend": {"default": {"validation": validation}}}),
        config.secret("cert", pki, "localhost"), config.authority("ca", pki), config.backend("app", server.port),
        config.route(config.rule("app")),
        config.traffic_policy("app", rateLimits=[{"by": "IDENTITY", "requests": 2, "unit": "minute"}])])

    def statuses(certificate):
        return [client.get(tls=pki.client("http/1.1", certificate=certificate)).status for _ in range(3)]
    assert statuses("client") == [200, 200, 429]
    assert statuses("other-client") == [200, 200, 429]
    assert statuses("client") == [429] * 3
    assert statuses(None) == [200, 200, 429]


def test_all_limits_hold(limited, client):
    limited({"requests": 3, "unit": "minute"},
            {"by": "HEADER", "header": "x-key", "requests": 2, "unit": "minute"})
    assert [client.get(headers=[("x-key", "a")]).status for _ in range(4)] == [200, 200, 429, 429]
    assert [client.get(headers=[("x-key", "b")]).status for _ in range(2)] == [200, 429]


def test_loops_share_the_bucket(limited, client, proxy):
    """Connections land on different loops: together they get what one would."""
    limited({"requests": 50, "unit": "hour"})
    assert [client.get().status for _ in range(80)].count(200) == 50


def test_buckets_outlive_a_reload(proxy, upstream, client):
    server = upstream(lambda *_: answer("ok"))
    documents = [*config.simple(proxy.port, server.port),
                 config.traffic_policy("app", rateLimits=[{"requests": 1, "unit": "hour"}])]
    proxy.start(documents)
    assert [client.get().status for _ in range(2)] == [200, 429]
    before = proxy.metric("martlet_configuration_reloads_total", result="accepted")
    more = config.route(config.rule("app"), hostnames=["more.example"], name="more")
    proxy.reload([*documents, more],
                 lambda: proxy.metric("martlet_configuration_reloads_total", result="accepted") > before, "reloaded")
    assert client.get().status == 429


def test_grpc_is_resource_exhausted(proxy, echo, closing):
    proxy.start([*config.simple(proxy.port, echo.port, protocol=config.H2C),
                 config.traffic_policy("app", rateLimits=[{"requests": 1, "unit": "minute"}])])
    calls = stub(closing.enter_context(channel(proxy.port)))
    calls.Unary(Request(), timeout=5)
    with pytest.raises(grpc.RpcError) as error:
        calls.Unary(Request(), timeout=5)
    assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and "rate_limited" in error.value.details()


def test_nobody_uses_up_the_bucket_of_another(proxy, upstream, pki, client, tmp_path):
    """A certificate that nobody vouches for may name anybody: who sends it counts as one without."""
    server = upstream(lambda *_: answer("ok"))
    validation = {"mode": "AllowInsecureFallback", "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "ca"}]}
    proxy.start([
        config.gateway(config.https(proxy.port, "cert"), tls={"frontend": {"default": {"validation": validation}}}),
        config.secret("cert", pki, "localhost"), config.authority("ca", pki), config.backend("app", server.port),
        config.route(config.rule("app")),
        config.traffic_policy("app", rateLimits=[{"by": "IDENTITY", "requests": 2, "unit": "minute"}])])
    identity = "spiffe://mesh.test/ns/default/sa/client"
    key, certificate = tmp_path / "forged.key", tmp_path / "forged.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                    "1", "-subj", "/CN=client", "-addext", f"subjectAltName=DNS:client,URI:{identity}", "-keyout", key,
                    "-out", certificate], check=True, capture_output=True)

    def statuses(context):
        return [client.get(tls=context()).status for _ in range(3)]

    def forged():
        context = pki.client("http/1.1")
        context.load_cert_chain(certificate, key)
        return context
    assert statuses(forged) == [200, 200, 429]
    assert statuses(lambda: pki.client("http/1.1", certificate="client")) == [200, 200, 429]
    assert statuses(lambda: pki.client("http/1.1")) == [429] * 3
    assert [one["peer"] for one in proxy.access_log(9)] == [None] * 3 + [identity] * 3 + [None] * 3
