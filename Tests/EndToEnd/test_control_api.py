"""The control plane's HTTP API and the commands of martlet that use it."""
import json
import os
import re
import subprocess
import urllib.error
import urllib.request

import pytest
import yaml
from openapi_spec_validator import validate as validate_openapi

from harness import config
from harness.plane import service, settings, workload
from harness.ports import free_port
from harness.proxy import BINARIES, martlet


@pytest.fixture
def plane(mesh):
    return mesh.control([settings()])


def write(path, *documents):
    path.write_text(yaml.safe_dump_all(documents, sort_keys=False))
    return path


def named(objects):
    return {(one["id"]["kind"], one["id"]["name"]) for one in objects}


# Objects

def test_apply_get_and_delete(plane, tmp_path):
    file = write(tmp_path / "shop.yaml", service("web"), service("cart"), workload("web", "cart"))
    result = plane.json("apply", "-f", file, "--message", "the shop")
    assert result["isAccepted"] and {one["effect"] for one in result["objects"]} == {"created"}
    assert {("Service", "web"), ("Service", "cart"), ("Workload", "web"), ("Mesh", "default")} \
        <= named(plane.json("get"))
    assert named(plane.json("get", "services", "-n", "shop")) == {("Service", "web"), ("Service", "cart")}
    one = plane.json("get", "service", "cart", "-n", "shop")
    assert one["source"] == "api" and yaml.safe_load(one["text"])["metadata"]["name"] == "cart"
    printed = plane.tool("get", "Service", "cart", "-o", "yaml").stdout
    assert yaml.safe_load(printed) == service("cart")
    again = plane.json("apply", "-f", file)
    assert {one["effect"] for one in again["objects"]} == {"unchanged"} and again["revision"] == result["revision"]

    gone = plane.tool("delete", "Workload", "web", "-n", "shop")
    assert "Workload shop/web deleted" in gone.stdout
    missing = plane.tool("get", "Workload", "web", check=False)
    assert missing.returncode == 1 and "there is no Workload web" in missing.stderr


def test_apply_reads_a_directory_and_standard_input(plane, tmp_path):
    (tmp_path / "all" / "deeper").mkdir(parents=True)
    write(tmp_path / "all" / "a.yaml", service("web"))
    write(tmp_path / "all" / "deeper" / "b.yml", service("cart"))
    assert len(plane.json("apply", "-f", tmp_path / "all")["objects"]) == 2
    command = [BINARIES / "martlet", "apply", "-f", "-", "--server", plane.server,
               "--token-file", plane.data / "admin-token"]
    done = subprocess.run(list(map(str, command)), input=yaml.safe_dump(service("pay")), capture_output=True, text=True,
                          timeout=30)
    assert done.returncode == 0 and "Service shop/pay created" in done.stdout, done.stderr


def test_dry_run_changes_nothing(plane, tmp_path):
    file = write(tmp_path / "web.yaml", service("web"))
    before = plane.json("revisions")
    done = plane.tool("apply", "-f", file, "--dry-run")
    assert "Service shop/web created" in done.stdout and "dry run" in done.stdout
    assert plane.json("revisions") == before and ("Service", "web") not in named(plane.json("get"))


def test_delete_by_file_and_without_a_namespace(plane, tmp_path):
    file = write(tmp_path / "shop.yaml", service("web"), service("cart"))
    plane.tool("apply", "-f", file)
    done = plane.tool("delete", "Service", "web", check=False)
    assert done.returncode == 1 and "write -n shop" in done.stderr
    assert len(plane.json("delete", "-f", file)["objects"]) == 2
    assert not plane.json("get", "Service")
    for arguments in (["Service"], ["Service", "web", "-f", file]):
        done = plane.tool("delete", *arguments, check=False)
        assert done.returncode == 2 and "KIND and NAME, or -f FILE" in done.stderr


def test_mistakes_name_file_line_field_and_remedy(plane, tmp_path):
    file = tmp_path / "web.yaml"
    file.write_text("apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec:\n"
                    "  portz: [{port: 80}]\n")
    before = plane.json("revisions")
    done = plane.tool("apply", "-f", file, check=False)
    assert done.returncode == 1 and done.stdout == ""
    assert re.search(r"web\.yaml:5:3: error: spec\.portz: unknown field \"portz\".*ports", done.stderr), done.stderr
    assert "martlet: nothing was changed" in done.stderr
    file.write_text("a: [\n")
    done = plane.tool("apply", "-f", file, check=False)
    assert done.returncode == 1 and re.search(r"web\.yaml:\d+:\d+: error: ", done.stderr), done.stderr
    assert plane.json("revisions") == before


def test_objects_of_the_directory_are_not_changed_by_the_api(plane, tmp_path):
    done = plane.tool("apply", "-f", write(tmp_path / "m.yaml", settings(trustDomain="other.mesh")), check=False)
    assert done.returncode == 1 and "comes from the directory" in done.stderr and "mesh.yaml" in done.stderr


@pytest.mark.parametrize("arguments, says", [
    (["apply", "-f", "absent"], "absent does not exist"),
    (["apply"], "missing expected argument '--file <file>"),
    (["token", "create"], "one of --workload NAMESPACE/NAME and --gateway NAMESPACE/NAME"),
    (["token", "create", "--workload", "web"], '--workload wants NAMESPACE/NAME, for example shop/cart, not "web"'),
    (["token", "create", "--workload", "a/b", "--expires", "soon"], "--expires wants a time such as 30s"),
    (["edges", "--seconds", "0"], "--seconds wants a number from 1 to 600, not 0"),
    (["status", "--server", "localhost:1"], "--server wants a URL, for example http://127.0.0.1:15020"),
    (["status", "--token-file", "absent"], "the token file absent does not exist"),
    (["explain", "--proxy", "web-1", "dir", "GET", "http://a/"], "not both"),
])
def test_wrong_usage(arguments, says):
    done = martlet(*arguments)
    assert done.returncode == 2 and done.stdout == "" and says in done.stderr, done.stderr


@pytest.mark.parametrize("command", [
    "apply", "get", "delete", "diff", "revisions", "rollback", "status", "proxies", "token", "token create",
    "token list", "token revoke", "stat", "edges", "certificates", "certificates rotate-root", "revoke"])
def test_help_has_examples(command):
    done = martlet(*command.split(), "--help")
    assert done.returncode == 0 and re.search(r"Examples:\n  martlet ", done.stdout)


# Differences and revisions

def test_diff(plane, tmp_path):
    write(tmp_path / "web.yaml", service("web"))
    plane.tool("apply", "-f", tmp_path / "web.yaml")
    changed = write(tmp_path / "next.yaml", service("web", 8080), service("cart"))
    before = plane.json("revisions")
    text = plane.tool("diff", "-f", changed, "--proxies").stdout
    assert "Service shop/web changed" in text and re.search(r"^\+.*port: 8080", text, re.M), text
    assert "Service shop/cart created" in text and "no proxy would receive anything" in text
    value = plane.json("diff", "-f", changed)
    assert value["isValid"] and [one["effect"] for one in value["objects"]] == ["changed", "created"]
    (tmp_path / "bad.yaml").write_text("apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {portz: []}\n")
    done = plane.tool("diff", "-f", tmp_path / "bad.yaml", check=False)
    assert done.returncode == 1 and "bad.yaml:4:" in done.stderr
    assert plane.json("revisions") == before


def test_diff_names_the_proxies_that_would_receive_something(mesh, upstream, tmp_path):
    plane = mesh.control([settings()])
    plane.tool("apply", "-f", write(tmp_path / "a.yaml", service("web"), service("cart"), workload("web", "cart")))
    web = mesh.sidecar("shop/web", app=upstream().port)
    plane.wait_for("web-1")
    file = write(tmp_path / "b.yaml", service("cart", 8080))
    text = plane.tool("diff", "-f", file, "--proxies").stdout
    assert "1 proxy would receive something" in text and "workload:shop/web/web-1" in text
    assert json.dumps(plane.json("proxies", "web-1")).count('"resources"') == 1
    assert "shop/cart" in plane.tool("proxies", "web-1").stdout
    explained = plane.tool("explain", "--proxy", "web-1", "GET", "http://cart/", "--brief").stdout
    assert "rule" in explained and "shop/cart" in explained, explained
    absent = plane.tool("explain", "--proxy", "web-2", "GET", "http://cart/", check=False)
    assert absent.returncode == 1 and "there is no proxy web-2" in absent.stderr
    connected = plane.json("diff", "-f", file)["proxies"]
    web.stop()
    plane.wait(lambda: plane.proxies()["web-1"]["sync"] == "disconnected", "told that web-1 is away")
    away = plane.json("diff", "-f", file)["proxies"]
    assert [(one["isConnected"], one["resources"]) for one in away] == [(False, connected[0]["resources"])]
    text = plane.tool("diff", "-f", file, "--proxies").stdout
    assert "1 of them when they are back" in text and "workload:shop/web/web-1 (away)" in text


def test_revisions_and_rollback(plane, tmp_path):
    first = plane.json("apply", "-f", write(tmp_path / "a.yaml", service("web")), "-m", "one")["revision"]
    second = plane.json("apply", "-f", write(tmp_path / "b.yaml", service("web", 8080)), "-m", "two")["revision"]
    assert second == first + 1
    known = plane.json("revisions", "--limit", "2")
    assert [one["message"] for one in known] == ["two", "one"] and known[0]["isCurrent"]
    assert known[0]["author"] == "admin token"
    assert f"{second} *" in plane.tool("revisions").stdout
    done = plane.tool("rollback", first, "--dry-run")
    assert "Service shop/web changed" in done.stdout and "dry run" in done.stdout
    assert plane.json("rollback", first)["revision"] == second + 1
    text = plane.json("get", "Service", "web")["text"]
    assert yaml.safe_load(text) == service("web")
    assert plane.json("revisions", "--limit", "1")[0]["message"] == f"rollback to {first}"
    done = plane.tool("rollback", "999", check=False)
    assert done.returncode == 1 and "there is no revision 999" in done.stderr


def test_status(plane, tmp_path):
    plane.tool("apply", "-f", write(tmp_path / "a.yaml", service("web"), workload("web")))
    text = plane.tool("status").stdout
    assert text.startswith("OBJECT") and "Workload shop/web" in text
    assert [one["id"]["name"] for one in plane.json("status", "workload", "web")] == ["web"]
    assert "no proxy needs it" in plane.tool("status", "Workload", "web", "-n", "shop").stdout
    done = plane.tool("status", "Workload", "absent", check=False)
    assert done.returncode == 1 and "there is no Workload absent" in done.stderr
    assert "no proxy has joined yet" in plane.tool("proxies").stdout
    assert "no traffic" in plane.tool("edges").stdout and "no traffic" in plane.tool("stat").stdout


# Identity

def test_tokens(plane):
    edge = config.document(config.GATEWAY_API, "Gateway", "edge", {"listeners": [
        {"name": "http", "protocol": "HTTP", "port": free_port()}]}, "shop")
    plane.edit([settings(), service("web"), workload("web"), edge])
    plane.wait(lambda: plane.get("/v1/objects?kind=Gateway"), "aware of the gateway")
    made = plane.json("token", "create", "--workload", "shop/web", "--expires", "15m", "--uses", "3")
    assert made["secret"].startswith("mt1.") and made["token"]["uses"] == 3
    text = plane.tool("token", "create", "--gateway", "shop/edge")
    assert re.fullmatch(r"mt1\.\S+\n", text.stdout) and "gateway:shop/edge" in text.stderr
    listed = plane.tool("token", "list")
    assert "3/3" in listed.stdout and made["secret"] not in listed.stdout
    plane.tool("token", "revoke", made["token"]["id"])
    known = {one["id"]: one for one in plane.json("token", "list")}
    assert known[made["token"]["id"]]["isRevoked"] and len(known) == 2
    assert plane.tool("token", "revoke", "absent", check=False).returncode == 1


def test_rotation_of_the_root(plane):
    assert "no replacement" in plane.tool("certificates", "rotate-root", "status").stdout
    early = plane.tool("certificates", "rotate-root", "activate", check=False)
    assert early.returncode == 1 and early.stderr.startswith("martlet: ")
    assert plane.json("certificates", "rotate-root", "begin")["phase"] == "begun"
    assert len(plane.json("certificates", "rotate-root", "status")["roots"]) == 2


def test_revocation_of_an_instance(mesh, upstream):
    plane = mesh.control([settings(), service("web"), workload("web")])
    mesh.sidecar("shop/web", app=upstream().port)
    assert len(plane.json("revoke", "--workload", "shop/web", "web-1")["serials"]) == 1
    done = plane.tool("revoke", "--workload", "shop/web", "web-9", check=False)
    assert done.returncode == 1


# Who may

def bare(plane, *arguments, **environment):
    """Without the token that is where an installation has it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MARTLET_")}
    return martlet(*arguments, "--server", plane.server, env={**clean, **environment})


def test_changes_need_the_token_and_reading_does_not(plane, tmp_path):
    file = write(tmp_path / "web.yaml", service("web"))
    assert bare(plane, "get").returncode == 0
    done = bare(plane, "apply", "-f", file)
    assert done.returncode == 2 and "--token-file FILE or MARTLET_API_TOKEN" in done.stderr
    assert str(plane.data / "admin-token") in done.stderr
    wrong = bare(plane, "apply", "-f", file, MARTLET_API_TOKEN="mta1.0123456789abcdef")
    assert wrong.returncode == 2 and "not the admin token" in wrong.stderr
    assert ("Service", "web") not in named(plane.json("get"))
    token = (plane.data / "admin-token").read_text().strip()
    assert bare(plane, "apply", "-f", file, MARTLET_API_TOKEN=token).returncode == 0
    assert token not in plane.log()


def test_no_control_plane():
    done = martlet("status", "--server", f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 2 and "nothing listens there" in done.stderr
    assert "martlet-control serve --data DIR" in done.stderr and done.stderr.count("\n") == 1


def ask(plane, path, **headers):
    """(status, JSON) with these headers."""
    request = urllib.request.Request(plane.server + path, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_rebound_names_and_forwarded_requests_are_refused(plane):
    assert ask(plane, "/v1/health")[0] == 200
    assert ask(plane, "/v1/objects", Host="evil.example")[0] == 403
    assert ask(plane, "/v1/objects", Host="127.0.0.1.evil.example")[0] == 403
    status, problem = ask(plane, "/v1/objects", **{"X-Forwarded-For": "192.0.2.1"})
    assert status == 401 and problem["type"] == "urn:martlet:problem:unauthenticated"
    token = (plane.data / "admin-token").read_text().strip()
    assert ask(plane, "/v1/objects", Host="control.example", Authorization=f"Bearer {token}")[0] == 200


def test_the_description_is_valid_openapi_and_complete(plane):
    description = plane.get("/openapi.json")
    validate_openapi(description)
    assert {"/v1/apply", "/v1/objects", "/v1/proxies", "/v1/traffic", "/v1/tokens"} <= set(description["paths"])
    status, problem = ask(plane, "/v1/absent")
    assert status == 404 and "/openapi.json" in problem["remedy"]
