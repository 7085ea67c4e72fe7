"""`blindsight kms policy`: the stand-in's engine evaluates what it writes; what would be too wide is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from blindsight_cli import main
from kms_standin.keypolicy import Asked, KeyPolicy
from tests.support import releases
from tests.support.command import blindsight

ROLE, ADMIN, OWNER = (f"arn:aws:iam::111122223333:role/{name}" for name in ("parent", "admin", "owner"))
KEY = "arn:aws:kms:eu-central-1:111122223333:key/1"
EIF = Path(__file__).parents[2] / "vectors" / "eif"
A, B, C = ("0a" * 48, "0b" * 48, "0c" * 48)


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def command(*arguments: object) -> Done:
    """In this process: twenty of them would take a minute otherwise."""
    result = CliRunner().invoke(main.app, ["kms", "policy", *map(str, arguments)])
    return Done(result.exit_code, result.stdout, result.stderr)


def written(*arguments: object) -> tuple[KeyPolicy, dict[str, Any], str]:
    done = command("--role", ROLE, "--admin", ADMIN, *arguments)
    assert done.returncode == 0, done.stderr
    return KeyPolicy(done.stdout), json.loads(done.stdout), " ".join(done.stderr.split())


def decrypts(policy: KeyPolicy, *, principal: str = ROLE, purpose: str = "root-secret", **pcrs: str) -> bool:
    values = {f"kms:RecipientAttestation:{name}": (value,) for name, value in pcrs.items()}
    if "PCR0" in pcrs:
        values["kms:RecipientAttestation:ImageSha384"] = (pcrs["PCR0"],)
    values["kms:EncryptionContext:blindsight:purpose"] = (purpose,)
    return policy.allows(Asked(principal, "kms:Decrypt", KEY, values))


def may(policy: KeyPolicy, principal: str, action: str, purpose: str = "root-secret") -> bool:
    return policy.allows(Asked(principal, action, KEY, {"kms:EncryptionContext:blindsight:purpose": (purpose,)}))


def test_who_may_do_what():
    policy, _, told = written("--pcr", f"0={A}", "--pcr", f"1={B.upper()}", "--pcr", f"2={C}", "--owner", OWNER)
    measured = {"PCR0": A, "PCR1": B, "PCR2": C}
    assert decrypts(policy, **measured)
    assert decrypts(policy, purpose="bundle-key", **measured)
    assert not decrypts(policy, purpose="other", **measured)
    for changed in ({"PCR0": B}, {"PCR1": A}, {"PCR2": A}):
        assert not decrypts(policy, **(measured | changed))
    for missing in measured:
        assert not decrypts(policy, **{name: value for name, value in measured.items() if name != missing})
    for other in (ADMIN, OWNER, "arn:aws:iam::111122223333:root", "arn:aws:iam::999922223333:role/parent"):
        assert not decrypts(policy, principal=other, **measured)
    everyone = (ROLE, ADMIN, OWNER)
    for action in ("Encrypt", "CreateGrant", "ReEncryptFrom", "ReEncryptTo", "ReplicateKey", "GenerateDataKeyPair"):
        assert not any(may(policy, each, f"kms:{action}") for each in everyone), action
    assert [may(policy, each, "kms:GenerateDataKey", "bundle-key") for each in everyone] == [False, False, True]
    assert not any(may(policy, each, "kms:GenerateDataKey") for each in everyone)
    assert [may(policy, each, "kms:GenerateDataKeyWithoutPlaintext") for each in everyone] == [False, True, False]
    assert [may(policy, each, "kms:PutKeyPolicy") for each in everyone] == [False, True, False]
    for sid in ("Release1", "MakeBundleKeys", "MakeRootSecrets", "Administer", "NoUnattestedDecrypt"):
        assert f"{sid}:" in told
    assert "AND CHANGE THIS POLICY" in told


def test_locked_lets_none_change_it():
    policy, members, told = written("--pcr", f"0={A}", "--locked")
    assert not any(may(policy, each, "kms:PutKeyPolicy") for each in (ROLE, ADMIN, OWNER))
    assert "PutKeyPolicy" not in json.dumps(members)
    assert "A new image needs a new key" in told
    assert "AWS itself" in told


def test_each_image_has_a_statement_of_its_own(tmp_path: Path):
    """Registers of two images are not mixed: neither kernel with the other's application."""
    files = []
    for number, (first, second) in enumerate(((A, B), (B, C))):
        files.append(tmp_path / f"{number}.json")
        files[-1].write_text(json.dumps({"pcrs": {"1": first, "2": second, "16": "00" * 48}}))
    policy, _, _ = written("--measurements", files[0], "--measurements", files[1])
    assert decrypts(policy, PCR0=A, PCR1=A, PCR2=B)
    assert decrypts(policy, PCR0=A, PCR1=B, PCR2=C)
    assert not decrypts(policy, PCR0=A, PCR1=A, PCR2=C)


def test_the_files_that_it_reads(tmp_path: Path):
    nitro_cli = {"Measurements": {"HashAlgorithm": "Sha384 { ... }", "PCR0": A, "PCR1": B, "PCR2": C}}
    release = {"kind": "nitro", "name": "mine", "pcrs": {"0": [A, B]}, "function_in_image": True}
    ours = {"schema": "blindsight-policy/2", "releases": [release, {**release, "kind": "nitro", "pcrs": {"0": [C]}}]}
    for content, accepted, refused in ((nitro_cli, (A,), (B,)), (ours, (A, B, C), ("0d" * 48,))):
        path = tmp_path / "measurements.json"
        path.write_text(json.dumps(content))
        policy, _, _ = written("--measurements", path)
        for value in accepted:
            assert decrypts(policy, PCR0=value, PCR1=B, PCR2=C), content
        for value in refused:
            assert not decrypts(policy, PCR0=value, PCR1=B, PCR2=C), content


def test_a_release_file(tmp_path: Path):
    statement = releases.members(tmp_path)
    simulated = statement["predicate"]["measurements"][0]
    image = {**simulated, "kind": "nitro", "file": "enclave.eif", "pcrs": simulated["pcrs"] | {"0": A, "1": B, "2": C}}
    kernel = {"name": "aws-6.6", "version": "6.6.79", "sha256": "ab" * 32}
    image = {name: value for name, value in image.items() if name != "python"} | {"kernel": kernel}
    statement["subject"].append({"name": "enclave.eif", "digest": {"sha256": "cd" * 32, "sha384": "cd" * 48}})
    path = tmp_path / "release.json"
    path.write_bytes(releases.encoded(statement))
    refused = command("--role", ROLE, "--admin", ADMIN, "--measurements", path)
    assert refused.returncode == 1
    assert "no enclave image of kind nitro" in " ".join(refused.stderr.split())
    statement["predicate"]["measurements"].append(image)
    path.write_bytes(releases.encoded(statement))
    policy, members, _ = written("--measurements", path)
    assert decrypts(policy, PCR0=A, PCR1=B, PCR2=C)
    assert not decrypts(policy, PCR0=releases.PCRS[0], PCR1=releases.PCRS[1], PCR2=releases.PCRS[2])
    assert "PCR16" not in json.dumps(members)


def test_an_administrator_may_own_models(tmp_path: Path):
    policy, _, _ = written("--pcr", f"0={A}", "--owner", ADMIN)
    assert may(policy, ADMIN, "kms:GenerateDataKey", "bundle-key")


ZERO = "00" * 48


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "no measurement"),
        (["--pcr", f"0={ZERO}"], "debug mode"),
        (["--pcr", f"0={A}", "--pcr", f"2={ZERO}"], "debug mode"),
        (["--pcr", f"1={A}"], "any image"),
        (["--pcr", f"3={A}"], "any image"),
        (["--pcr", f"0={A}", "--pcr", f"16={A}"], "before the enclave starts"),
        (["--pcr", f"0={A[:-1]}"], "96 hexadecimal"),
        (["--pcr", f"0={A}zz"], "96 hexadecimal"),
        (["--pcr", A], "INDEX=HEX"),
        (["--pcr", f"0={A}", "--role", "*"], "--role"),
        (["--pcr", f"0={A}", "--role", "arn:aws:iam::111122223333:root"], "--role"),
        (["--pcr", f"0={A}", "--admin", "arn:aws:iam::*:role/x"], "--admin"),
        (["--pcr", f"0={A}", "--owner", "me"], "--owner"),
        (["--pcr", f"0={A}", "--admin", ROLE], "--role and --admin are the same"),
        (["--pcr", f"0={A}", "--admin", ROLE.replace("parent", "Parent")], "--role and --admin are the same"),
        (["--pcr", f"0={A}", "--owner", ROLE], "--role and --owner are the same"),
        (["--pcr", f"0={A}", "--pcr", f"0={B}"], "--pcr names PCR 0 twice"),
        (["--pcr", f"0={A}", "--pcr", f"00={A}"], "--pcr names PCR 0 twice"),
    ],
)
def test_what_would_accept_too_much_is_refused(arguments: list[str], reason: str):
    done = command("--role", ROLE, "--admin", ADMIN, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert reason in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"pcrs": {}}',
        json.dumps({"pcrs": {"0": ZERO, "1": ZERO, "2": ZERO}}),
        json.dumps({"Measurements": {"PCR0": ZERO, "PCR1": ZERO, "PCR2": ZERO}}),
        json.dumps({"Measurements": {"PCR8": A}}),
        json.dumps({"schema": "blindsight-policy/2", "releases": []}),
    ],
)
def test_files_that_name_no_image_are_refused(tmp_path: Path, content: str):
    path = tmp_path / "measurements.json"
    path.write_text(content)
    done = command("--role", ROLE, "--admin", ADMIN, "--measurements", path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "next:" in done.stderr


def test_a_simulated_enclaves_policy_is_refused(tmp_path: Path):
    """KMS verifies AWS's evidence only; a simulated release would become a condition that nothing meets."""
    release = {"kind": "simulated", "roots": ["ab" * 32], "pcrs": {"0": [A]}, "any_function": True}
    path = tmp_path / "policy.json"
    path.write_text(json.dumps({"schema": "blindsight-policy/2", "releases": [release]}))
    done = command("--role", ROLE, "--admin", ADMIN, "--measurements", path)
    assert done.returncode == 1
    assert "no release of kind nitro" in " ".join(done.stderr.split())


def test_it_goes_into_a_file(tmp_path: Path):
    out = tmp_path / "policy.json"
    done = blindsight(tmp_path, "kms", "policy", "--role", ROLE, "--admin", ADMIN, "--pcr", f"0={A}", "--out", out)
    assert (done.returncode, done.stdout) == (0, "")
    assert decrypts(KeyPolicy(out.read_text()), PCR0=A)


@pytest.mark.parametrize("out", [".", "none/policy.json", "measured.json"])
def test_a_policy_that_was_not_written_is_not_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    """Its explanation would look like success."""
    monkeypatch.chdir(tmp_path)
    Path("measured.json").write_text(json.dumps({"Measurements": {"PCR0": A, "PCR1": B, "PCR2": C}}))
    done = command("--role", ROLE, "--admin", ADMIN, "--measurements", "measured.json", "--out", out)
    assert (done.returncode, done.stdout) == (1, "")
    assert [line[:7] for line in done.stderr.splitlines()] == ["error: ", "next:  "], done.stderr


def test_a_described_image_is_a_measured_one(tmp_path: Path) -> None:
    """`blindsight eif describe --json` states the registers, too, under the same name in lower case."""
    image = EIF / "signed.eif"
    description = tmp_path / "description.json"
    description.write_text(blindsight(tmp_path, "eif", "describe", "--json", image).stdout)
    measured = tmp_path / "measured.json"
    measured.write_text(blindsight(tmp_path, "eif", "measure", "--json", image).stdout)
    assert written("--measurements", description)[1] == written("--measurements", measured)[1]


OTHER_FILES = {
    "a hardware report": ({"schema": "blindsight-hardware-report/1", "body": {}, "evidence": {}},
                          "is a hardware report (blindsight-hardware-report/1)"),
    "a key policy": ({"Version": "2012-10-17", "Statement": []}, "states no measurements"),
}  # fmt: skip


@pytest.mark.parametrize(("members", "said"), OTHER_FILES.values(), ids=OTHER_FILES)
def test_another_file_of_ours_is_called_by_its_name(tmp_path: Path, members: dict[str, object], said: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(json.dumps(members))
    done = command("--role", ROLE, "--admin", ADMIN, "--measurements", path)
    assert done.returncode == 1
    assert said in " ".join(done.stderr.split())
    assert "PCR 0" not in done.stderr
