"""What a command writes takes the place of a regular file only, whole or not at all, and a refusal is one line."""

from __future__ import annotations

import base64
import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from blindsight.release_file import dsse
from blindsight_cli import statelock
from enclave_function.bundle import build
from tests.support import releases, userfiles
from tests.support.eif_golden import CERTIFICATE, FOLDER, KEY_PEM
from tests.support.models import write_colour_model

if TYPE_CHECKING:
    from pathlib import Path

CLI = "blindsight_cli.main"
SIGNED = FOLDER / "signed.eif"
ACCOUNT = "arn:aws:iam::123456789012:role"
COMMANDS: dict[str, tuple[object, ...]] = {
    "eif sign": (CLI, "eif", "sign", SIGNED, "--key", "key.pem", "--certificate", "crt.pem", "--out", "OUT"),
    "eif policy": (CLI, "eif", "policy", SIGNED, "--function-checksum", "ab" * 32, "--model-sha256", "cd" * 32,
                   "--out", "OUT"),
    "kms policy": (CLI, "kms", "policy", "--role", f"{ACCOUNT}/a", "--admin", f"{ACCOUNT}/b", "--pcr",
                   f"0={'ab' * 48}", "--out", "OUT"),
    "release verify --policy-out": (CLI, "release", "verify", "release.json", "--policy-out", "OUT"),
    "bundle encrypt": (CLI, "bundle", "encrypt", "bundle.zip", "--key", "data-key.json", "--out", "OUT"),
    "bundle build": (CLI, "bundle", "build", "--model", "model", "--out", "OUT"),
    "eif build": (CLI, "eif", "build", "--cache", "cache", "--out", "OUT", "--bundle", "bundle.zip"),
}  # fmt: skip


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "release.json").write_bytes(releases.release(folder).encode())
    (folder / "key.pem").write_bytes(KEY_PEM)
    (folder / "crt.pem").write_bytes(CERTIFICATE.public_bytes(dsse.Encoding.PEM))
    (folder / "signed.eif").write_bytes(SIGNED.read_bytes())
    (folder / "measured.json").write_text(
        json.dumps({"Measurements": {f"PCR{index}": "ab" * 48 for index in (0, 1, 2)}})
    )
    (folder / "kms.json").write_text("{}")
    signer = Ed25519PrivateKey.generate()
    (folder / "release.pem").write_bytes(signer.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    envelope = dsse.sign((folder / "release.json").read_bytes(), signer)
    (folder / "release.dsse.json").write_bytes(envelope)
    public = signer.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "release.pub").write_bytes(public)
    (folder / "model").mkdir()
    write_colour_model(folder / "model")
    build(folder / "model", folder / "bundle.zip")
    key = {"Plaintext": base64.b64encode(bytes(32)).decode(), "CiphertextBlob": base64.b64encode(b"blob").decode()}
    (folder / "data-key.json").write_text(json.dumps(key))
    return folder


def _command(name: str, out: Path) -> tuple[object, ...]:
    return tuple(out if part == "OUT" else part for part in COMMANDS[name])


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "no folder"])
@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_no_regular_file_stays(inputs: Path, tmp_path: Path, name: str, kind: str) -> None:
    out = tmp_path / "out"
    (tmp_path / "target").write_text("old")
    match kind:
        case "link":
            out.symlink_to("target")
        case "pipe":
            os.mkfifo(out)
        case "folder":
            out.mkdir()
        case _:
            out = tmp_path / "none" / "out"
    before = sorted(path.lstat().st_mode for path in tmp_path.iterdir())
    said = userfiles.refused(userfiles.run(inputs, *_command(name, out)))
    assert f"{out} cannot be written" in said
    assert (tmp_path / "target").read_text() == "old"
    assert sorted(path.lstat().st_mode for path in tmp_path.iterdir()) == before, "something was left or replaced"


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "eif build"])
def test_a_file_that_cannot_be_written_whole_is_not_written_at_all(inputs: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "out").write_text("old")
    done = userfiles.run(inputs, *_command(name, tmp_path / "out"), file_bytes=100)
    said = userfiles.refused(done)
    assert f"{tmp_path / 'out'} cannot be written" in said
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize("name", COMMANDS)
def test_what_a_running_stack_reads_is_not_written_over(inputs: Path, tmp_path: Path, name: str) -> None:
    with statelock.alone_in(tmp_path / "state"):
        (tmp_path / "state" / "policy.json").write_text("old")
        said = userfiles.refused(userfiles.run(inputs, *_command(name, tmp_path / "state" / "policy.json")))
    assert "is of the stack that runs in" in said
    assert (tmp_path / "state" / "policy.json").read_text() == "old"


READ: dict[str, tuple[str, ...]] = {
    "eif sign": ("key.pem", "crt.pem"),
    "eif policy": ("signed.eif",),
    "kms policy": ("measured.json",),
    "release verify --policy-out": ("release.dsse.json", "release.pub"),
    "release sign": ("release.json", "release.pem"),
    "bundle encrypt": ("bundle.zip", "data-key.json"),
    "bundle build": ("model/model.json",),
    "eif build": ("bundle.zip", "key.pem", "crt.pem", "kms.json"),
    "enclave_runtime policy": ("bundle.zip",),
}
READING: dict[str, tuple[object, ...]] = {
    "eif policy": (CLI, "eif", "policy", "signed.eif", *COMMANDS["eif policy"][4:]),
    "kms policy": (CLI, "kms", "policy", "--role", f"{ACCOUNT}/a", "--admin", f"{ACCOUNT}/b", "--measurements",
                   "measured.json", "--out", "OUT"),
    "release verify --policy-out": (CLI, "release", "verify", "release.dsse.json", "--key", "release.pub",
                                    "--policy-out", "OUT"),
    "release sign": (CLI, "release", "sign", "release.json", "--key", "release.pem", "--out", "OUT"),
    "eif build": (*COMMANDS["eif build"], "--sign", "key.pem", "--certificate", "crt.pem", "--config", "kms.json"),
    "enclave_runtime policy": ("enclave_runtime", "policy", "--bundle", "bundle.zip", "--state", "state",
                               "--out", "OUT"),
}  # fmt: skip


@pytest.mark.parametrize("way", ["name", "another name"])
@pytest.mark.parametrize(("name", "source"), [(name, source) for name, sources in READ.items() for source in sources])
def test_what_a_command_reads_is_not_written_over(
    inputs: Path, tmp_path: Path, name: str, source: str, way: str
) -> None:
    folder = shutil.copytree(inputs, tmp_path / "inputs")
    out = folder / source
    before = out.read_bytes()
    if way == "another name":
        os.link(out, out := tmp_path / "other")
    command = tuple(out if part == "OUT" else part for part in (COMMANDS | READING)[name])
    said = userfiles.refused(userfiles.run(folder, *command))
    assert f"{out} cannot be written: it is read, too" in said
    assert (folder / source).read_bytes() == out.read_bytes() == before


def test_a_cache_that_is_no_folder_is_said(inputs: Path, tmp_path: Path) -> None:
    done = userfiles.run(inputs, "enclave_image", "build", "--cache", "/dev/null", "--out", tmp_path / "out",
                         "--bundle", "bundle.zip")  # fmt: skip
    assert "/dev/null" in userfiles.refused(done)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("out", [".", "/", ""])
def test_an_image_needs_a_name(inputs: Path, tmp_path: Path, out: str) -> None:
    done = userfiles.run(inputs, "enclave_image", "build", "--cache", tmp_path, "--out", out, "--bundle", "bundle.zip")
    if out:
        assert "cannot be written: it is a folder" in userfiles.refused(done)
    else:
        assert (done.returncode, "the path is empty" in done.stderr) == (2, True)


@pytest.mark.parametrize("file", ["missing.zip", "/dev/zero", "."])
def test_a_release_that_could_not_be_made_leaves_no_folder(inputs: Path, tmp_path: Path, file: str) -> None:
    out = tmp_path / "out"
    done = userfiles.run(inputs, "release_build", "make", "--out", out, "--bundle", file)
    assert userfiles.refused(done).startswith(f"error: {file} cannot be copied: ")
    assert not list(tmp_path.iterdir())


def test_a_release_of_a_missing_model_names_it_once(inputs: Path, tmp_path: Path) -> None:
    done = userfiles.run(inputs, "release_build", "make", "--out", tmp_path / "out", "--model", "missing")
    first = userfiles.refused(done).splitlines()[0]
    assert first.startswith("error: missing cannot be read")
    assert not list(tmp_path.iterdir())


def test_a_state_folder_that_is_a_file_is_said(inputs: Path) -> None:
    done = userfiles.run(inputs, CLI, "up", "--port", "18371", "--tls-port", "0", "--metrics-port", "0", "--state",
                         "key.pem")  # fmt: skip
    assert "key.pem" in userfiles.refused(done)


def test_a_folder_for_keys_that_is_a_file_is_said(inputs: Path) -> None:
    assert "key.pem" in userfiles.refused(userfiles.run(inputs, CLI, "tls", "--out", "key.pem"))


@pytest.mark.parametrize("name", ["nowhere/file", "/proc/none"])
def test_a_token_file_that_cannot_be_written_has_a_next_step(inputs: Path, name: str) -> None:
    said = userfiles.refused(userfiles.run(inputs, "gateway", "token", "owner", "--file", name))
    assert name in said
    assert "Give --file" in said


def test_a_missing_boot_configuration_has_a_next_step(inputs: Path) -> None:
    done = userfiles.run(inputs, "gateway", "boot-config", "--listen", "unix:///tmp/none/none", "--file", "/nonexist")
    said = userfiles.refused(done)
    assert said.startswith("gateway: /nonexist cannot be used: No such file or directory. ")


def test_a_key_that_is_no_arn_is_said(inputs: Path, tmp_path: Path) -> None:
    done = userfiles.run(inputs, "kms_standin", "serve", "--state", tmp_path, "--key", "foo", "--policy", "key.pem",
                         "--root", "crt.pem", "--role", f"{ACCOUNT}/a")  # fmt: skip
    assert "foo is not a key's ARN" in userfiles.refused(done)


def test_a_missing_key_is_told_from_a_bad_one(inputs: Path) -> None:
    done = userfiles.run(inputs, CLI, "release", "verify", "release.json", "--key", "nope.pub")
    assert "nope.pub cannot be read: No such file or directory" in userfiles.refused(done)


def test_a_page_that_is_an_artifact_is_checked_once(tmp_path: Path) -> None:
    statement = releases.members(tmp_path)
    page = releases.subject(tmp_path / "index.html")
    digests = {"sha256": page.sha256, "sha384": page.sha384}
    statement["subject"] = [*statement["subject"], {"name": page.name, "digest": digests}]
    (tmp_path / "release.json").write_bytes(releases.encoded(statement))
    done = userfiles.run(tmp_path, CLI, "release", "verify", "release.json", "--page", "index.html", "--json")
    report = json.loads(done.stdout)
    assert "index.html" not in report["not_checked"]
    assert "function.zip" in report["not_checked"]
