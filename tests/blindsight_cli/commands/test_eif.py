"""`blindsight eif`, as a user runs it."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from typer.testing import CliRunner

from blindsight.attestation.policy import Policy
from blindsight_cli.main import app
from tests.support import command, kernels
from tests.support.eif_golden import APPLICATION, BASE, CERTIFICATE, FOLDER, KEY_PEM, cpio, fixed, image

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

EXPECTED = json.loads((FOLDER / "expected.json").read_text("utf-8"))
SIGNED = FOLDER / "signed.eif"
CHECKSUM, MODEL = "ab" * 32, "cd" * 32


def blindsight(folder: Path, *arguments: object) -> Result:
    """The command in this process: a new one for each call takes a second."""
    with contextlib.chdir(folder):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])


def pcrs(name: str) -> dict[str, str]:
    return {register: value for register, value in EXPECTED[name].items() if register != "crc"}


def test_measure_prints_the_registers(tmp_path: Path) -> None:
    done = command.blindsight(tmp_path, "eif", "measure", SIGNED)
    assert done.stdout.splitlines() == [f"{register}: {value}" for register, value in pcrs("signed").items()]
    assert (done.returncode, len(done.stderr.splitlines())) == (0, 1)
    assert "metadata" in done.stderr


def test_a_refusal_is_one_line_and_a_next_step_in_a_process_too(tmp_path: Path) -> None:
    done = command.blindsight(tmp_path, "eif", "measure", "absent.eif")
    assert (done.returncode, done.stdout) == (1, "")
    assert [line[:7] for line in done.stderr.splitlines()] == ["error: ", "next:  "]


def test_measurements_compare_with_those_of_nitro_cli_as_they_are(tmp_path: Path) -> None:
    done = blindsight(tmp_path, "eif", "measure", SIGNED, "--json")
    assert json.loads(done.stdout) == {"Measurements": {"HashAlgorithm": "Sha384 { ... }", **pcrs("signed")}}


def test_describe_shows_what_is_inside(tmp_path: Path) -> None:
    done = blindsight(tmp_path, "eif", "describe", SIGNED, "--files")
    assert done.exit_code == 0
    for words in (*pcrs("signed").values(), "6.6.38-golden (me)", "CN=golden signer", "holds", "app/labels.txt"):
        assert words in done.stdout
    plain = blindsight(tmp_path, "eif", "describe", SIGNED)
    assert "app/labels.txt" not in plain.stdout
    found = json.loads(blindsight(tmp_path, "eif", "describe", SIGNED, "--json").stdout)
    assert found["measurements"] == pcrs("signed")


def test_what_an_image_says_reaches_no_terminal_as_a_command(tmp_path: Path) -> None:
    hostile = tmp_path / "hostile.eif"
    sections = [(kind, b"\x1b]0;cmdline\x07" if kind == 2 else data) for kind, data in BASE]
    sections[0] = (1, BASE[0][1].replace(b"6.6.38-golden", b"6.6\x1b[2Jxxxxxx"))
    hostile.write_bytes(image([*sections, (3, cpio(("a\x1b[31m[red]\n", 0o100644, b"")))]))
    for options in ((), ("--files",), ("--json",)):
        done = blindsight(tmp_path, "eif", "describe", hostile, *options)
        assert done.exit_code == 0
        assert "\x1b" not in done.stdout + done.stderr
        assert "\x07" not in done.stdout + done.stderr
    done = blindsight(tmp_path, "eif", "diff", hostile, SIGNED)
    assert (done.exit_code, "\x1b" in done.stdout) == (1, False)


def test_diff_names_registers_and_files(tmp_path: Path) -> None:
    old, new = tmp_path / "old.eif", tmp_path / "new.eif"
    old.write_bytes(image([*BASE, (3, APPLICATION)]))
    new.write_bytes(image([*BASE, (3, cpio(("app/labels.txt", 0o100644, b"cat\nfox\n")))]))
    done = blindsight(tmp_path, "eif", "diff", old, new)
    assert done.exit_code == 1
    assert "PCR1 differs" not in done.stdout
    assert "  changed  app/labels.txt (sha256)  in ramdisk 1: PCR 0 and PCR 2" in done.stdout.splitlines()
    kept = tmp_path / "old.json"
    kept.write_text(blindsight(tmp_path, "eif", "describe", old, "--json").stdout)
    again = blindsight(tmp_path, "eif", "diff", kept, new)
    assert (again.exit_code, again.stdout) == (1, done.stdout)
    same = blindsight(tmp_path, "eif", "diff", kept, old, "--json")
    assert (same.exit_code, json.loads(same.stdout)["same_measurements"]) == (0, True)


def test_metadata_that_was_changed_leaves_the_measurements_and_is_told(tmp_path: Path) -> None:
    content = SIGNED.read_bytes()
    changed = tmp_path / "changed.eif"
    changed.write_bytes(fixed(content.replace(b'"golden"', b'"forged"')))
    done = blindsight(tmp_path, "eif", "diff", SIGNED, changed)
    assert done.exit_code == 0
    assert "metadata differs; it changes no register" in done.stdout


def test_an_image_is_signed_and_the_signature_is_checked(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(KEY_PEM)
    (tmp_path / "certificate.pem").write_bytes(CERTIFICATE.public_bytes(Encoding.PEM))
    given = ("--key", "key.pem", "--certificate", "certificate.pem", "--out", "signed.eif")
    for image_file in (FOLDER / "two-ramdisks.eif", SIGNED):
        done = blindsight(tmp_path, "eif", "sign", image_file, *given)
        assert (done.exit_code, done.stderr) == (0, "")
        assert done.stdout.splitlines() == [f"{register}: {value}" for register, value in pcrs("signed").items()]
        assert blindsight(tmp_path, "eif", "measure", "signed.eif").stdout == done.stdout
    # The signature of another image: PCR 8 stays, and nothing may be believed.
    signature = SIGNED.read_bytes()[
        -(len(SIGNED.read_bytes()) - len((FOLDER / "two-ramdisks.eif").read_bytes())) + 12 :
    ]
    (tmp_path / "moved.eif").write_bytes(image([*BASE, (4, signature)]))
    done = blindsight(tmp_path, "eif", "measure", "moved.eif")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "[signed_register_mismatch]" in done.stderr
    shown = blindsight(tmp_path, "eif", "describe", "moved.eif")
    assert (shown.exit_code, "DOES NOT HOLD" in shown.stdout) == (0, True)


def test_a_refused_signature_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(b"no key")
    done = blindsight(
        tmp_path, "eif", "sign", SIGNED, "--key", "key.pem", "--certificate", "key.pem", "--out", "signed.eif"
    )
    assert (done.exit_code, "[signing_key_unusable]" in done.stderr) == (1, True)
    assert [path.name for path in tmp_path.iterdir()] == ["key.pem"]


def test_a_policy_accepts_the_image_and_its_function(tmp_path: Path) -> None:
    given = ("--function-checksum", CHECKSUM, "--model-sha256", MODEL, "--name", "first")
    done = blindsight(tmp_path, "eif", "policy", SIGNED, *given, "--out", "policy.json")
    assert (done.exit_code, done.stdout) == (0, "")
    (release,) = Policy.load(tmp_path / "policy.json").releases
    assert (release.kind, release.name, release.function_checksums) == ("nitro", "first", frozenset([CHECKSUM]))
    assert {f"PCR{index}": values for index, values in release.pcrs.items() if index != 16} == {
        name: frozenset([value]) for name, value in pcrs("signed").items()
    }
    assert blindsight(tmp_path, "eif", "policy", SIGNED, *given).stdout == (tmp_path / "policy.json").read_text()


@pytest.mark.parametrize(
    ("kernel", "said"),
    [
        (kernels.bzimage("6.12.117+deb12-cloud-amd64 (debian-kernel@lists.debian.org)"), "6.12.117+deb12-cloud-amd64"),
        (kernels.bzimage("6.6.380"), "6.6.380"),
        (kernels.bzimage("6.6.38\x1b[2J"), "6.6.38"),
        (b"\xff\xd8\xff\xe0 a photo", "states no version"),
    ],
)
def test_a_policy_for_nitro_of_a_kernel_that_is_not_known_to_be_aws_s_warns(
    tmp_path: Path, kernel: bytes, said: str
) -> None:
    (tmp_path / "e.eif").write_bytes(image([(1, kernel), *BASE[1:], (3, APPLICATION)]))
    given = ("--function-checksum", CHECKSUM, "--model-sha256", MODEL)
    done = blindsight(tmp_path, "eif", "policy", "e.eif", *given)
    assert done.exit_code == 0, done.stderr
    assert said in done.stderr
    assert "not known to start on AWS" in " ".join(done.stderr.split())
    assert "\x1b" not in done.stderr
    emulated = blindsight(tmp_path, "eif", "policy", "e.eif", *given, "--machine", "qemu")
    assert "not known" not in emulated.stderr


def test_a_policy_of_a_kernel_for_aws_does_not_warn(tmp_path: Path) -> None:
    given = ("--function-checksum", CHECKSUM, "--model-sha256", MODEL)
    assert blindsight(tmp_path, "eif", "policy", SIGNED, *given).stderr == ""


def test_a_policy_for_the_emulation_is_of_its_kind_and_says_what_it_is_worth(tmp_path: Path) -> None:
    given = ("--function-checksum", CHECKSUM, "--model-sha256", MODEL)
    done = blindsight(tmp_path, "eif", "policy", SIGNED, *given, "--machine", "qemu", "--out", "policy.json")
    assert done.exit_code == 0
    assert "EMULATED ENCLAVE (QEMU)" in done.stderr
    (release,) = Policy.load(tmp_path / "policy.json").releases
    assert (release.kind, release.roots) == ("qemu-nitro-enclave", frozenset())
    genuine = blindsight(tmp_path, "eif", "policy", SIGNED, *given)
    assert "EMULATED" not in genuine.stderr
    assert json.loads(genuine.stdout)["releases"][0]["kind"] == "nitro"


REFUSED = {
    "no such file": (("measure", "absent.eif"), "cannot be read"),
    "a folder": (("measure", "."), "cannot be read"),
    "no image": (("measure", "text"), "[not_an_image]"),
    "no image to describe": (("describe", "text"), "[not_an_image]"),
    "no image to compare": (("diff", SIGNED, "text"), "[not_an_image]"),
    "no description to compare": (("diff", "object", SIGNED), "[not_an_image]"),
    "a damaged image": (("measure", "damaged.eif"), "[crc_mismatch]"),
    "a policy without a function": (("policy", SIGNED), "[function_missing]"),
    "half a function": (("policy", SIGNED, "--function-checksum", CHECKSUM), "--model-sha256"),
    "a short checksum": (("policy", SIGNED, "--function-checksum", "ab", "--model-sha256", MODEL), "64 hexadecimal"),
    "a checksum of zeros": (
        ("policy", SIGNED, "--function-checksum", "0" * 64, "--model-sha256", MODEL),
        "--function-checksum is all zeros",
    ),
    "a model of zeros": (
        ("policy", SIGNED, "--function-checksum", CHECKSUM, "--model-sha256", "0" * 64),
        "--model-sha256 is all zeros",
    ),
    "no version": (
        ("policy", SIGNED, "--function-checksum", CHECKSUM, "--model-sha256", MODEL, "--version", "new"),
        "version",
    ),
    "no name": (("policy", SIGNED, "--function-checksum", CHECKSUM, "--model-sha256", MODEL, "--name", ""), "name"),
    "another machine": (("policy", SIGNED, "--machine", "xen"), "no machine is called xen"),
    "no key": (("sign", SIGNED, "--key", "x", "--certificate", "x", "--out", "y"), "x cannot be read"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_are_one_line_and_a_next_step(name: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    (tmp_path / "object").write_text("{}")
    (tmp_path / "damaged.eif").write_bytes(SIGNED.read_bytes()[:-1] + b"\xff")
    arguments, words = REFUSED[name]
    done = blindsight(tmp_path, "eif", *arguments)
    assert (done.exit_code, done.stdout) == (1, "")
    error, step = done.stderr.splitlines()
    assert error.startswith("error: ")
    assert words in error
    assert step.startswith("next:  ")


@pytest.mark.parametrize("name", ["a checksum of zeros", "a model of zeros", "no version", "no name"])
def test_an_option_that_is_wrong_is_not_the_images_fault(name: str, tmp_path: Path) -> None:
    error, step = blindsight(tmp_path, "eif", *REFUSED[name][0]).stderr.splitlines()
    assert SIGNED.name not in error
    assert "image" not in step
