"""The substituted root in Node: for programs that talk to loopback hosts and no others, beside their own options."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import subprocess
import zipfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from blindsight_cli import localca
from blindsight_cli.local_trust import environment
from enclave_runtime.evidence.simulated_pki import load_or_create_root

if TYPE_CHECKING:
    from pathlib import Path

ROOT_OF_AWS = "aws-nitro-enclaves.amazonaws.com"

BEFORE = """
// The genuine download, which the suite has no network for. The caller's own preload comes first.
const { PassThrough, Readable } = require("node:stream");
require("node:https").request = () => {
  const asked = new PassThrough();
  const answer = Object.assign(Readable.from([Buffer.from("the root of AWS")]), { statusCode: 200, headers: {} });
  setImmediate(() => asked.emit("response", answer));
  return asked;
};
"""

DOWNLOAD = """
const https = require("node:https");
const told = JSON.parse(process.argv[1]);
// As a socket is opened, also one that nothing answers on.
const tried = (open) => new Promise((done) => open().on("error", done).on("close", done).end?.());
(async () => {
  for (const opened of told.opened) await eval(opened);
  https.request({ hostname: told.host, path: "/AWS_NitroEnclaves_Root-G1.zip" }).on("response", async (answer) => {
    const pieces = [];
    for await (const piece of answer) pieces.push(piece);
    console.log(answer.statusCode, Buffer.concat(pieces).toString("base64"));
  }).end();
})();
"""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The folder of a stack, as far as trust goes; with what needs quoting in its name."""
    folder = tmp_path / 'a "state"'
    load_or_create_root(folder / "enclave", datetime.now(UTC))
    localca.ensure(folder / "tls", ["localhost"])
    return folder


@pytest.fixture
def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("no Node")
    return found


def download(node: str, state: Path, *opened: str, host: str = ROOT_OF_AWS, **variables: str) -> tuple[bytes, str]:
    """What a program gets that first does what is `opened`, and what it says on standard error."""
    (state / "before.cjs").write_text(BEFORE)
    options = f"--require {json.dumps(str(state / 'before.cjs'))}"
    before = {**os.environ, "NODE_OPTIONS": options, **variables}
    trusting = environment.trusting(state, "https://localhost:8443", before)
    given = json.dumps({"opened": opened, "host": host})
    done = subprocess.run(
        [node, "-e", DOWNLOAD, given], env={**trusting, **variables}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    status, content = done.stdout.split()
    assert status == "200"
    return base64.b64decode(content), done.stderr


LOCAL = [
    'tried(() => require("node:net").connect(1, "127.0.0.1"))',
    'tried(() => require("node:net").connect(1))',
    'tried(() => require("node:net").connect("/no/such/socket"))',
    'tried(() => require("node:tls").connect({ host: "localhost", port: 1 }))',
    'tried(() => require("node:http").request("http://[::1]:1"))',
    'fetch("http://127.3.2.1:49999").catch(() => 0)',
]

ELSEWHERE = [
    'tried(() => require("node:net").connect(1, "192.0.2.1").setTimeout(1, function () { this.destroy(); }))',
    'tried(() => require("node:net").connect({ host: "cape.invalid", port: 1 }))',
    'tried(() => require("node:tls").connect(1, "localhost.invalid"))',
    'tried(() => require("node:http").request("http://127.0.0.1.invalid:1"))',
    'tried(() => require("node:http2").connect("http://cape.invalid:1"))',
    'fetch("http://cape.invalid:49999").catch(() => 0)',
]


@pytest.mark.parametrize("opened", [[], LOCAL])
def test_a_program_that_talks_to_this_machine_gets_the_local_root_loudly(
    node: str, state: Path, opened: list[str]
) -> None:
    content, said = download(node, state, *opened)
    assert content != b"the root of AWS"
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == ["root.pem"]
        pem = archive.read("root.pem")
    assert x509.load_pem_x509_certificate(pem) == load_or_create_root(state / "enclave", datetime.now(UTC)).certificate
    assert b"PRIVATE KEY" not in pem
    assert "LOCAL TRUST" in said


@pytest.mark.parametrize("opened", ELSEWHERE)
def test_one_that_has_talked_to_another_host_gets_the_genuine_root(node: str, state: Path, opened: str) -> None:
    # Whatever comes before and after it.
    assert download(node, state, LOCAL[0], opened, LOCAL[1]) == (b"the root of AWS", "")


@pytest.mark.parametrize("host", ["aws-nitro-enclaves.amazonaws.com.invalid", "app.capeprivacy.com"])
def test_other_downloads_are_not_touched(node: str, state: Path, host: str) -> None:
    assert download(node, state, host=host) == (b"the root of AWS", "")


def test_without_a_local_root_nothing_is_substituted(node: str, state: Path) -> None:
    assert download(node, state, BLINDSIGHT_LOCAL_ROOT="") == (b"the root of AWS", "")


def test_inside_another_local_trust_the_options_stay(state: Path) -> None:
    once = environment.trusting(state, "https://localhost:8443", {"NODE_OPTIONS": "--no-warnings"})
    assert once["NODE_OPTIONS"].startswith("--no-warnings --require ")
    assert environment.trusting(state, "https://localhost:8443", once)["NODE_OPTIONS"] == once["NODE_OPTIONS"]
