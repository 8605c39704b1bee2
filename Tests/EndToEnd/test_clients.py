"""Clients that nobody here wrote: curl, nghttp, h2load, Node; over HTTP/1.1, h2c and TLS."""
import json
import pathlib
import re
import subprocess

import pytest

from harness import config
from harness.upstream import answer, describe

NODE_CLIENT = pathlib.Path(__file__).parent / "harness/node_client.mjs"


def script(request, connection):
    if request.target == "/large":
        return answer(request.body)
    return describe("app")(request, connection)


@pytest.fixture(params=["http", "https"])
def site(request, proxy, upstream, pki):
    """(origin, path of the CA or None) of a proxy, in clear text and over TLS."""
    server = upstream(script)
    listener = config.http(proxy.port) if request.param == "http" else config.https(proxy.port, "cert")
    proxy.start([config.gateway(listener), config.secret("cert", pki, "localhost"),
                 config.backend("app", server.port), config.route(config.rule("app"))])
    return f"{request.param}://localhost:{proxy.port}", pki.directory / "ca.pem" if request.param == "https" else None


def curl(site, path, *arguments):
    origin, authority = site
    trust = ["--cacert", authority] if authority else []
    done = subprocess.run(["curl", "-sS", "-4", *map(str, trust), "-w", "\n%{http_version} %{http_code}", *arguments,
                           origin + path], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    body, _, last = done.stdout.rpartition("\n")
    return body, last


def versions(site):
    return {"1.1": "--http1.1", "2": "--http2" if site[1] else "--http2-prior-knowledge"}


def test_curl_over_both_versions(site):
    for version, option in versions(site).items():
        body, last = curl(site, "/a?b=c", option)
        assert last == f"{version} 200" and json.loads(body)["start"] == "GET /a?b=c HTTP/1.1"


def test_curl_posts_a_form_and_uploads_a_file(site, tmp_path):
    (tmp_path / "file").write_bytes(b"f" * 300_000)
    for option in versions(site).values():
        assert json.loads(curl(site, "/form", option, "-d", "a=b&c=d")[0])["body"] == "a=b&c=d"
        body, last = curl(site, "/large", option, "-X", "POST", "-T", str(tmp_path / "file"))
        assert len(body) == 300_000 and last.endswith("200")


def test_curl_head(site):
    for option in versions(site).values():
        assert curl(site, "/", option, "-I")[1].endswith(" 200")


def test_curl_keeps_one_connection_for_many_urls(site, proxy):
    done = subprocess.run(["curl", "-sS", "-4", *(["--cacert", site[1]] if site[1] else []), "-o", "/dev/null", "-w",
                           "%{num_connects} ", f"{site[0]}/[1-20]"], capture_output=True, text=True, timeout=30)
    assert done.stdout.split() == ["1"] + ["0"] * 19


def test_curl_compressed_passes_untouched(proxy, upstream):
    import gzip
    packed = gzip.compress(b"plain text" * 1000)
    server = upstream(lambda *_: answer(packed, content_encoding="gzip"))
    proxy.start(config.simple(proxy.port, server.port))
    assert curl((f"http://localhost:{proxy.port}", None), "/", "--compressed")[0] == "plain text" * 1000


@pytest.mark.parametrize("option", [("--h1",), ()], ids=["h1", "h2"])
def test_h2load_fails_no_request(site, option):
    output = subprocess.run(["h2load", *option, "-n3000", "-c10", "-m10", site[0].replace("localhost", "127.0.0.1") + "/"],
                            capture_output=True, text=True, timeout=60).stdout
    assert "3000 succeeded, 0 failed, 0 errored, 0 timeout" in output, output
    assert "status codes: 3000 2xx" in output
    if site[1]:
        assert re.search(r"TLS Protocol: TLSv1\.3", output)


def test_nghttp_with_continuation_and_padding(site):
    """A header block over several frames, padded."""
    output = subprocess.run(["nghttp", "-nvs", "--continuation", "-b", "20", "-H", "x-large: " + "v" * 3000,
                             site[0].replace("localhost", "127.0.0.1") + "/"], capture_output=True, text=True, timeout=10).stdout
    assert ":status: 200" in output
    assert not re.search(r"error_code=(?!NO_ERROR)", output), output


def test_nghttp_with_many_urls(site):
    origin = site[0].replace("localhost", "127.0.0.1")
    output = subprocess.run(["nghttp", "-nv", "-m", "5", f"{origin}/1", f"{origin}/2", f"{origin}/3"],
                            capture_output=True, text=True, timeout=20).stdout
    assert output.count(":status: 200") == 15


def test_node_client(site):
    origin, authority = site
    done = subprocess.run(["node", NODE_CLIENT, origin, *([authority] if authority else [])], capture_output=True,
                          text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    assert json.loads(got["simple"]["body"])["start"] == "GET /simple?q=1 HTTP/1.1"
    assert json.loads(got["posted"]["body"])["body"] == "from node"
    assert got["statuses"] == [200] * 100 and (got["largeStatus"], got["largeLength"]) == (200, 1 << 20) and got["ping"]


def test_node_on_both_ends(proxy, node_upstream):
    proxy.start(config.simple(proxy.port, node_upstream, protocol=config.H2C))
    done = subprocess.run(["node", NODE_CLIENT, f"http://127.0.0.1:{proxy.port}"], capture_output=True, text=True,
                          timeout=30)
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    assert got["simple"]["trailers"] == {"x-trailer": "from-node"} and got["statuses"] == [200] * 100
