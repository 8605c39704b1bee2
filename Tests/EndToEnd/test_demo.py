"""`martlet demo`: the whole mesh, with its faults, as a newcomer runs it."""
import os
import re

from harness.ports import free_port
from harness.proxy import ROOT, martlet


def test_no_request_fails_in_the_demo(tmp_path):
    done = martlet("demo", "--dir", ROOT / "mesh-config/shop", "--seconds", "1", "--port", free_port(), timeout=240,
                   env={**os.environ, "TMPDIR": str(tmp_path)})
    assert done.returncode == 0, done.stdout + done.stderr
    for step in ("weights", "canary", "kill -9", "control plane stopped", "control plane started", "catalog-1 again",
                 "root certificate"):
        assert re.search(rf"^ok +{step} ", done.stdout, re.M), done.stdout
    hops = re.findall(r"^(shop/\S+) +(shop/\S+) .* yes$", done.stdout, re.M)
    assert len(hops) >= 7, done.stdout
    assert re.search(r"[1-9]\d+ requests, none failed", done.stdout)
    assert not list(tmp_path.iterdir()), "the demo leaves files behind"


def test_the_demo_says_where_its_files_should_be(tmp_path):
    done = martlet("demo", "--dir", tmp_path)
    assert done.returncode != 0 and "no YAML files" in done.stderr + done.stdout, done.stderr
