"""Statements 41 to 51: deployments, REST, the command line, and what a function may do."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from blindsight.cape import ids, tokens
from blindsight_cli.cape.package import package
from tests.support.cape_client import sha256
from tests.support.cape_host import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.cape_host import CapeHost, Deployed, Person


def write_function(folder: Path, answer: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "app.py").write_text(f"def cape_handler(x):\n    return {answer!r}\n")
    return folder


def archive_of(folder: Path) -> bytes:
    with package(str(folder)) as archive:
        return archive.file.read()


def test_41_deploy(cape_host: CapeHost, ada: Person, tmp_path: Path) -> None:
    """Raw `cape:` bytes of a folder and of a zip are deployed; ids are UUIDs. (cli: raw client, cape)"""
    folder = shutil.copytree(FUNCTIONS / "echo", tmp_path / "folder")
    content = archive_of(folder)
    zipped = tmp_path / "zipped.v1.zip"
    zipped.write_bytes(content)
    token = ada.deploy_token("by-hand", sha256(content))
    with cape_host.go("/v1/deploy", token) as go:
        found = [go.deploy("by-hand", content, ada.key_der)]
    for path in (folder, zipped):
        said = ada.cape("deploy", str(path))
        name = path.name.partition(".")[0]
        lines = re.fullmatch(
            r"Function ID       ➜  (\w{22})\nFunction Checksum ➜  (\w{64})\nFunction Name     ➜  (\S+)\n", said.text
        )
        assert lines is not None, said.text
        assert lines[2] == sha256(content)
        assert lines[3] == f"ada/{name}"
        assert "Deploying function to Cape ..." in said.err
        found.append(lines[1])
    assert len(set(found)) == 3
    for function_id in found:
        assert ids.decode(function_id).version == 4
        assert ada.cape("run", function_id, "hello").out == b"hello\n"


def test_42_key_while_deploying(cape_host: CapeHost, ada: Person) -> None:
    """Without a cached key, it can be fetched over a second socket while the first waits. (cli: raw client, cape)"""
    content = archive_of(FUNCTIONS / "echo")
    with cape_host.go("/v1/deploy", ada.deploy_token("two-sockets", sha256(content))) as go:
        with cape_host.go("/v1/key", ada.token("account")) as keys:
            key = keys.document.user_data["key"]
            assert keys.socket.close() in {1000, None}
        assert key == go.document.user_data["key"]
        assert ids.is_id(go.deploy("two-sockets", content, ada.key_der))
    cached = ada.config / "capekey.pub.der"
    cached.unlink()
    deployed = ada.cape("deploy", str(FUNCTIONS / "echo"), "--name", "no-cached-key", "-o", "json").json
    assert ada.cape("run", deployed["function_id"], "x").out == b"x\n"
    assert cached.read_bytes() == ada.key_der


def test_43_same_name_again(ada: Person, tmp_path: Path) -> None:
    """A name resolves to the newest of its functions; the old one's id still runs. (cli: cape)"""
    deployed = []
    for answer in ("old", "new"):
        folder = write_function(tmp_path / answer, answer)
        deployed.append(ada.cape("deploy", str(folder), "-n", "twice", "-o", "json").json)
        assert deployed[-1]["function_name"] == "ada/twice"
        assert ada.cape("run", "ada/twice", "x").text == f"{answer}\n"
    assert [ada.cape("run", each["function_id"], "x").text for each in deployed] == ["old\n", "new\n"]


def test_44_tokens(cape_host: CapeHost, pycape: Callable[..., Any], ada: Person, echo: Deployed, lab: Deployed) -> None:
    """A token runs functions, a scoped one only its own, a deleted one none. (cli, py: cape, pycape)"""
    made = ada.cape("token", "create", "--name", "any", "--expiry", "1h").text
    anywhere = made.removeprefix("Success! Your token: ").strip()
    scoped = ada.cape("token", "create", "--name", "scoped", "--function", echo.id, "--bare").text.strip()
    script = """
        got = []
        for token, function in given["runs"]:
            try:
                got.append(Cape().run(function, token, given["order"].encode()).decode())
            except Exception as error:
                got.append(type(error).__name__)
        answer(got)
    """
    order = json.dumps({"do": "echo", "text": "x"})
    runs = [(anywhere, lab.id), (scoped, echo.id), (scoped, echo.name), (scoped, lab.id)]
    assert pycape(script, runs=runs, order=order) == ["x", order, order, "InvalidStatus"]

    listed = ada.cape("token", "list", "-o", "json").json["tokens"]
    mine = {each["name"]: each for each in listed}
    assert (mine["any"]["expiry"] is None, mine["scoped"]["expiry"]) == (False, None)
    assert mine["scoped"]["last_used"] is not None
    assert ada.cape("token", "delete", mine["any"]["id"]).text == f"Deleted token {mine['any']['id']}\n"
    assert "the token" in ada.cape("run", lab.id, order, "-t", anywhere, status=1).err
    assert mine["any"]["id"] not in ada.cape("token", "list").text

    minted = ada.token()
    body = {"name": "by hand", "description": "", "function_id": "", "token": minted}
    expires = tokens.peek(minted).expires
    assert expires is not None
    body["expiry"] = expires.isoformat()
    with httpx2.Client(base_url=cape_host.plain_url, trust_env=False) as client:
        bearer = {"authorization": f"Bearer {ada.token('account')}"}
        # Without a Content-Type, as Cape's command line sends it.
        response = client.post("/v1/token", content=json.dumps(body), headers=bearer)
    assert (response.status_code, response.json()) == (201, {"token": minted})


def test_45_list(sign_up: Callable[[str], Person], tmp_path: Path) -> None:
    """`list` pages; it has its words for none and for a bad token. (cli: cape)"""
    dora = sign_up("dora")
    assert dora.cape("list").text == "No functions deployed.\n"
    names = ["one", "two", "three"]
    deployed = [dora.deploy(write_function(tmp_path / name, name)) for name in names]
    first = dora.cape("list", "--limit", "2", "-o", "json").json
    second = dora.cape("list", "--limit", "2", "--offset", "2", "-o", "json").json
    shown = [*first["deployments"], *second["deployments"]]
    assert (first["count"], second["count"]) == (2, 1)
    assert [(each["id"], each["name"]) for each in shown] == [
        (each.id, name) for each, name in zip(deployed, names, strict=True)
    ]
    table = dora.cape("list").text
    assert re.search(r"│ # │ NAME  │ ID +│ CREATED AT +│", table)
    assert all(each.id in table for each in deployed)
    said = dora.cape("list", "-t", "unknown", status=1).err
    assert "Error: list failed: unauthorized: authentication required" in said


def test_46_delete(ada: Person, tmp_path: Path) -> None:
    """A deleted function runs no more; deleting it again is a 404. (cli: cape)"""
    function = ada.deploy(write_function(tmp_path / "short-lived", "x"))
    assert ada.cape("run", function.id, "x").text == "x\n"
    assert f"Success! Function {function.id} deleted." in ada.cape("delete", function.id).err
    for name in (function.id, function.name):
        assert "error code: 404" in ada.cape("run", name, "x", status=1).err
    said = ada.cape("delete", function.id, status=1).err
    assert f"Error: delete failed: function ID not found: {function.id}" in said


@pytest.fixture
def processes() -> Iterator[ExitStack]:
    """Ended with the test, whatever becomes of it."""
    with ExitStack() as stack:
        yield stack


def test_47_device_flow(cape_host: CapeHost, ada: Person, processes: ExitStack, tmp_path: Path) -> None:
    """Pending, then success or access_denied; slow_down for who hurries. (cli: cape, raw HTTP)"""
    command = [sys.executable, "-m", "blindsight_cli.cape.main", "login", "--yes"]
    devices = []
    for name in ("welcome", "stranger"):
        variables = ada.variables(CAPE_LOCAL_CONFIG_DIR=str(tmp_path / name))
        process = subprocess.Popen(
            command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ada.home
        )
        processes.enter_context(process)
        processes.callback(process.kill)
        assert process.stdout is not None
        code = process.stdout.readline().removeprefix("Your CLI confirmation code is: ").strip()
        assert f"/device?user_code={code}" in process.stdout.readline()
        devices.append((process, code))
    (welcome, code), (stranger, other_code) = devices
    assert ada.cape("login", "--approve", code, "--yes").text == f"Login with code {code} approved.\n"
    assert ada.cape("login", "--deny", other_code).text == f"Login with code {other_code} denied.\n"

    form = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "client_id": "x", "client_secret": ""}
    with httpx2.Client(base_url=cape_host.plain_url, trust_env=False) as client:
        started = client.post("/oauth/device/code", data={"client_id": "x", "scope": "openid"}).json()
        assert {"error", "error_description", "error_uri"}.isdisjoint(started)
        assert started["interval"] >= 1
        form["device_code"] = started["device_code"]
        answers = [client.post("/oauth/token", data=form).json()["error"] for _ in range(2)]
    assert answers == ["authorization_pending", "slow_down"]

    said, _ = welcome.communicate(timeout=60)
    assert (welcome.returncode, said.splitlines()[-1]) == (0, "Congratulations, you're all set!")
    _, refusal = stranger.communicate(timeout=60)
    assert (stranger.returncode, "Error: access denied by user" in refusal) == (1, True)
    assert not (tmp_path / "stranger" / "auth").exists()
    # The device has a login, and no owner key.
    device = {"CAPE_LOCAL_CONFIG_DIR": str(tmp_path / "welcome")}
    assert ada.cape("list", **device).status == 0
    assert "no owner key" in ada.cape("token", "create", "-n", "x", status=1, **device).err


def test_48_public_and_private(pycape: Callable[..., Any], ada: Person, bob: Person, echo: Deployed) -> None:
    """Any account's token runs a public function, only its owner's a private one. (py: pycape)"""
    public = ada.deploy(FUNCTIONS / "echo", "public-echo", public=True)
    script = """
        got = []
        for function in given["functions"]:
            try:
                got.append(Cape().run(function, given["token"], b"x").decode())
            except Exception as error:
                got.append(str(error))
        answer(got)
    """
    functions = [public.id, public.name, echo.id, echo.name]
    refusal = "server rejected WebSocket connection: HTTP 403"
    assert pycape(script, functions=functions, token=bob.token()) == ["x", "x", refusal, refusal]
    assert pycape(script, functions=functions, token=ada.token()) == ["x"] * 4


def test_49_experimental_cli(cape_host: CapeHost, pycape: Callable[..., Any], ada: Person, tmp_path: Path) -> None:
    """`pycape.experimental.cli` deploys and makes tokens with our `cape`. (py: pycape, cape)"""
    script = """
        from pycape.experimental import cli
        function = cli.deploy(given["folder"], given["url"])
        token = cli.token("from-pycape", expiry="300")
        try:
            cli.deploy("/nowhere")
        except RuntimeError as error:
            answer([function.checksum, Cape().run(function, token, b"hello").decode(), str(error)])
    """
    # Under a name of its own: the newest of a name is what the name means.
    folder = shutil.copytree(FUNCTIONS / "echo", tmp_path / "from-pycape")
    programs = Path(sys.executable).parent
    assert (programs / "cape").exists()
    changes = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    checksum, ran, refusal = pycape(script, folder=str(folder), url=cape_host.url, changes=changes)
    assert (checksum, ran) == (sha256(archive_of(folder)), "hello")
    assert refusal.startswith("Cape deploy error -  unable to read function directory or file: open /nowhere:")


def test_50_sandbox(cape_host: CapeHost, ada: Person, lab: Deployed, tmp_path: Path) -> None:
    """A handler opens no TCP connection and no other's file, and writes in its own folder. (fn: a deployed function)"""
    theirs = tmp_path / "theirs"
    theirs.write_text("secret")
    theirs.chmod(0o644)
    tried = {
        "connect": {"port": cape_host.stack.gateway.port},
        "read": {"path": str(theirs)},
        "write": {"text": "a,b\n1,2\n"},
    }
    with cape_host.js(f"/v1/run/{lab.id}", ada.token()) as js:
        got = {do: js.invoke(json.dumps({"do": do, **more}).encode()).decode() for do, more in tried.items()}
        state = js.invoke(json.dumps({"do": "read", "path": str(cape_host.stack.state)}).encode()).decode()
        own = js.invoke(json.dumps({"do": "read", "path": "app.py"}).encode())
    assert (got["connect"], got["write"], own) == ("PermissionError", "a,b\n1,2\n", b"it could")
    # Not there, or not to be opened, as the kernel's layers have it.
    assert {got["read"], state} <= {"PermissionError", "FileNotFoundError"}


def test_51_output_of_a_handler(cape_host: CapeHost, ada: Person, lab: Deployed) -> None:
    """What a handler prints does not change its result. (fn: a deployed function)"""
    with cape_host.js(f"/v1/run/{lab.id}", ada.token()) as js:
        noise, count = (json.dumps({"do": do}).encode() for do in ("noise", "count"))
        assert js.invoke_all([noise, noise, count]) == [b"quiet", b"quiet", b"3"]
    assert "a leader was elected" not in cape_host.stack.logs()
