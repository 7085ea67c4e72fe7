"""No command reads a device without end, a file larger than memory, or waits at a pipe that nothing writes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from blindsight.release_file import dsse
from tests.support import releases, userfiles
from tests.support.eif_golden import CERTIFICATE, FOLDER, KEY_PEM

SIGNED = FOLDER / "signed.eif"
CLI = "blindsight_cli.main"
KMS = ("kms_standin", "serve", "--state", "state", "--key", "arn:aws:kms:eu-west-1:123456789012:key/x", "--role",
       "arn:aws:iam::123456789012:role/x")  # fmt: skip

COMMANDS: dict[str, tuple[object, ...]] = {
    "receipt verify": (CLI, "receipt", "verify", "BAD"),
    "receipt verify --policy": (CLI, "receipt", "verify", "object.json", "--policy", "BAD"),
    "receipt verify --photo": (CLI, "receipt", "verify", "object.json", "--policy", "policy.json", "--photo", "BAD"),
    "attest --policy": (CLI, "attest", "http://127.0.0.1:1", "--policy", "BAD"),
    "attest diff": (CLI, "attest", "diff", "BAD", "BAD"),
    "classify --policy": (CLI, "classify", "--sealed", "--url", "http://127.0.0.1:1", "--policy", "BAD", "object.json"),
    "classify": (CLI, "classify", "--url", "http://127.0.0.1:1", "BAD"),
    "hardware-report verify": (CLI, "hardware-report", "verify", "BAD", "--policy", "policy.json"),
    "hardware-report verify --policy": (CLI, "hardware-report", "verify", "object.json", "--policy", "BAD"),
    "hardware-report --photo": (CLI, "hardware-report", "--out", "new", "--policy", "policy.json", "--photo", "BAD"),
    "release verify": (CLI, "release", "verify", "BAD"),
    "release verify --key": (CLI, "release", "verify", "release.json", "--key", "BAD"),
    "release sign --key": (CLI, "release", "sign", "release.json", "--key", "BAD", "--out", "new"),
    **{
        f"release verify --{option}": (CLI, "release", "verify", "release.json", f"--{option}", "BAD")
        for option in ("wheel", "bundle", "eif", "sbom", "page", "artifact")
    },
    "eif measure": (CLI, "eif", "measure", "BAD"),
    "eif describe": (CLI, "eif", "describe", "BAD"),
    "eif policy": (CLI, "eif", "policy", "BAD"),
    "eif diff": (CLI, "eif", "diff", "BAD", SIGNED),
    "eif sign": (CLI, "eif", "sign", "BAD", "--key", "key.pem", "--certificate", "crt.pem", "--out", "new"),
    "eif sign --key": (CLI, "eif", "sign", SIGNED, "--key", "BAD", "--certificate", "crt.pem", "--out", "new"),
    "eif sign --certificate": (CLI, "eif", "sign", SIGNED, "--key", "key.pem", "--certificate", "BAD", "--out", "new"),
    "kms policy": (CLI, "kms", "policy", "--role", "arn:aws:iam::123456789012:role/a", "--admin",
                   "arn:aws:iam::123456789012:role/b", "--measurements", "BAD"),
    "up --model": (CLI, "up", "--port", "18371", "--tls-port", "0", "--metrics-port", "0", "--state", "up",
                   "--model", "BAD"),
    "up --state": (CLI, "up", "--port", "18371", "--tls-port", "0", "--metrics-port", "0", "--state", "BAD/state"),
    "eif build --bundle": ("enclave_image", "build", "--cache", "cache", "--out", "new", "--bundle", "BAD"),
    "eif build --config": ("enclave_image", "build", "--cache", "cache", "--out", "new", "--config", "BAD"),
    "eif build --sign": ("enclave_image", "build", "--cache", "cache", "--out", "new", "--sign", "BAD",
                         "--certificate", "crt.pem"),
    "eif build --certificate": ("enclave_image", "build", "--cache", "cache", "--out", "new", "--sign", "key.pem",
                                "--certificate", "BAD"),
    "eif build --kernel-image": ("enclave_image", "build", "--cache", "cache", "--out", "new", "--kernel", "aws-6.6",
                                 "--kernel-image", "BAD", "--nsm-module", "object.json"),
    "eif build --nsm-module": ("enclave_image", "build", "--cache", "cache", "--out", "new", "--kernel", "aws-6.6",
                               "--kernel-image", "object.json", "--nsm-module", "BAD"),
    "bundle inspect": ("enclave_function", "bundle", "inspect", "BAD"),
    "bundle encrypt": ("enclave_function", "bundle", "encrypt", "BAD", "--key", "key.json", "--out", "new"),
    "bundle encrypt --key": ("enclave_function", "bundle", "encrypt", "function.zip", "--key", "BAD", "--out", "new"),
    "bundle build --model": ("enclave_function", "bundle", "build", "--model", "BAD/model.onnx", "--out", "new"),
    "bundle build, model.json": ("enclave_function", "bundle", "build", "--model", "model", "--out", "new"),
    "release make --bundle": ("release_build", "make", "--out", "new", "--bundle", "BAD"),
    "gateway token": ("gateway", "token", "name", "--file", "BAD"),
    "gateway boot-config": ("gateway", "boot-config", "--listen", "unix:///tmp/none/none", "--file", "BAD"),
    "kms_standin --policy": (*KMS, "--policy", "BAD", "--root", "crt.pem"),
    "kms_standin --root": (*KMS, "--policy", "object.json", "--root", "BAD"),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of each that cannot be read, and files that can."""
    path = tmp_path_factory.mktemp("files")
    made = releases.release(path)
    (path / "release.json").write_bytes(made.encode())
    assert made.policy is not None
    (path / "policy.json").write_text(made.policy.to_json())
    (path / "object.json").write_text("{}")
    (path / "key.pem").write_bytes(KEY_PEM)
    (path / "crt.pem").write_bytes(CERTIFICATE.public_bytes(dsse.Encoding.PEM))
    with (path / "sparse").open("wb") as file:
        file.truncate(3 << 30)
    os.mkfifo(path / "pipe")
    return path


def _bad(folder: Path, kind: str, command: tuple[object, ...]) -> tuple[object, ...]:
    name = {"device": "/dev/zero", "pipe": str(folder / "pipe"), "sparse": str(folder / "sparse")}[kind]
    if "model" in command and command[0] == "enclave_function":
        model = folder / f"model-{kind}"
        model.mkdir(exist_ok=True)
        (model / "model.json").unlink(missing_ok=True)
        os.link(name, model / "model.json") if kind != "device" else os.mknod(
            model / "model.json", 0o20666, Path("/dev/zero").stat().st_rdev
        )
        command = tuple(model if part == "model" else part for part in command)
    return tuple(part.replace("BAD", name) if isinstance(part, str) else part for part in command)


_IN_PIECES = ("classify", "release verify --", "up --model", "bundle encrypt", "eif", "bundle inspect", "release make")
"""Commands that may read a large file: they hash it in pieces. Of those, what is small by its nature is tried."""
_SMALL = ("eif sign --key", "eif sign --certificate", "eif build --sign", "eif build --certificate",
          "eif build --config", "release verify --key", "classify --policy")  # fmt: skip
CASES = [
    (name, kind)
    for name in COMMANDS
    for kind in ("device", "pipe", "sparse")
    if kind != "sparse" or name in _SMALL or not name.startswith(_IN_PIECES)
]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_it_is_refused_in_one_line(folder: Path, name: str, kind: str) -> None:
    done = userfiles.run(folder, *_bad(folder, kind, COMMANDS[name]))
    said = userfiles.refused(done)
    assert len(said.strip().splitlines()) <= 4, said
    assert not (folder / "new").exists()
