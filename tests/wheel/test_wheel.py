"""The published wheel alone, in an environment of its own: what a caller gets, and what not."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import images, wheels
from tests.support.wheels import REPOSITORY, run

if TYPE_CHECKING:
    from tests.support.stack import Stack


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheels.build(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheels.install(wheel, tmp_path_factory.mktemp("caller") / "venv")


def test_it_holds_client_and_commands_and_nothing_else(wheel: Path):
    assert wheel.name.startswith("blindsight_classify-")
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
        names = set(archive.namelist())
    assert {top for top in tops if not top.endswith(".dist-info")} == {"blindsight", "blindsight_cli"}
    assert "blindsight/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_what_turns_heic_into_jpeg_is_an_extra(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        lines = archive.read(metadata).decode().splitlines()
    assert "Provides-Extra: heic" in lines
    assert [line for line in lines if "pillow" in line and "extra == 'heic'" not in line] == []


@pytest.mark.parametrize("unit", ["gateway", "enclave_runtime", "enclave_function", "model_build", "evil_gateway"])
def test_no_unit_is_in_a_callers_environment(environment: Path, tmp_path: Path, unit: str):
    done = run(environment, "python", "-c", f"import {unit}", folder=tmp_path, status=1)
    assert f"No module named '{unit}'" in done.stderr


def test_what_needs_a_unit_says_so_in_one_line(environment: Path, tmp_path: Path):
    for command in (["up"], ["bundle", "build"], ["model", "check"], ["demo", "evil-gateway"], ["eif", "build"]):
        done = run(environment, "blindsight", *command, folder=tmp_path, status=1)
        assert "Traceback" not in done.stderr
        first, second = done.stderr.strip().splitlines()[:2]
        assert re.match(r"error: the unit \w+ is not installed with the commands", first)
        assert second.startswith("next:")


def test_the_doctor_finds_nothing_to_mend(environment: Path, tmp_path: Path):
    done = run(environment, "blindsight", "doctor", "--url", "http://127.0.0.1:9", folder=tmp_path)
    assert "client and commands only" in done.stdout


def test_enclave_images_are_measured_and_compared(environment: Path, tmp_path: Path):
    folder = REPOSITORY / "tests" / "vectors" / "eif"
    expected = json.loads((folder / "expected.json").read_text("utf-8"))["signed"]
    done = run(environment, "blindsight", "eif", "measure", str(folder / "signed.eif"), folder=tmp_path)
    assert done.stdout.splitlines() == [f"{name}: {value}" for name, value in expected.items() if name != "crc"]
    compared = (str(folder / "signed.eif"), str(folder / "two-ramdisks.eif"))
    done = run(environment, "blindsight", "eif", "diff", *compared, folder=tmp_path, status=1)
    assert "PCR8 differs" in done.stdout


def test_sealed_from_the_command_line_with_a_receipt(environment: Path, tiny_stack: Stack, tmp_path: Path):
    photo = tmp_path / "photo.png"
    photo.write_bytes(images.plain(9))
    ours = ["--url", tiny_stack.gateway.url, "--policy", str(tiny_stack.policy_file)]
    kept = tmp_path / "kept"
    done = run(environment, "blindsight", "classify", "--sealed", "--json", "--receipts", str(kept), *ours, str(photo),
               folder=tmp_path)  # fmt: skip
    assert json.loads(done.stdout)["predictions"][0]["rank"] == 1
    (receipt,) = kept.iterdir()
    verified = run(environment, "blindsight", "receipt", "verify", str(receipt), "--photo", str(photo), *ours[2:],
                   folder=tmp_path)  # fmt: skip
    assert "this enclave gave this answer" in verified.stdout + verified.stderr
    attested = run(environment, "blindsight", "attest", tiny_stack.gateway.url, *ours[2:], folder=tmp_path)
    assert "11. Binding" in attested.stdout


README_EXAMPLE = re.compile(r"```python\n(from pathlib import Path\nfrom blindsight import Client\n.*?)```", re.DOTALL)


def test_the_readme_s_python_example(environment: Path, tiny_stack: Stack, tmp_path: Path):
    (example,) = README_EXAMPLE.findall((REPOSITORY / "README.md").read_text(encoding="utf-8"))
    (tmp_path / "dog.jpeg").write_bytes(images.plain(9))
    (tmp_path / ".blindsight").mkdir()
    (tmp_path / ".blindsight" / "policy.json").write_bytes(tiny_stack.policy_file.read_bytes())
    script = example.replace("http://localhost:8000", tiny_stack.gateway.url)
    assert script != example
    (tmp_path / "script.py").write_text(script, encoding="utf-8")
    done = run(environment, "python", "script.py", folder=tmp_path)
    assert done.stdout.strip().endswith("simulated")


TYPED = """
    from pathlib import Path

    from blindsight import BlindsightError, Classification, Client, EvidenceError, Policy, Problem, Recipient


    def labels(url: str, photo: Path) -> list[str]:
        try:
            with Client(url, policy=Policy.load(Path("policy.json"))) as client:
                answer: Classification = client.classify(photo.read_bytes(), with_receipt=True)
                enclave: Recipient = answer.recipient
                print(enclave.report.render(), answer.timings_ms["run"])
                return [prediction.label for prediction in answer.predictions]
        except EvidenceError as error:
            print(error.step, error.code, error.next_step)
        except Problem as problem:
            print(problem.code, problem.detail, problem.retryable)
        except BlindsightError as error:
            print(error.next_step)
        return []
"""


def test_a_callers_script_passes_mypy_strict(environment: Path, tmp_path: Path):
    (tmp_path / "script.py").write_text(textwrap.dedent(TYPED), encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(environment / "bin" / "python"),
               "--config-file", "/dev/null", "--cache-dir", str(tmp_path / "cache"), "script.py"]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_no_document_tells_anyone_to_install_our_names_from_a_registry():
    """On PyPI `blindsight` belongs to another project; our other names are registered nowhere and can be taken."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    kinds = {".md", ".py", ".ts", ".js", ".mjs", ".html", ".toml", ".yml", ".sh", ""}
    documents = [
        REPOSITORY / name
        for name in listed.split("\0")
        if name and not name.startswith("tests/") and Path(name).suffix in kinds and "/dist/" not in name
    ]
    installs = re.compile(
        r"\b(?:pip install|pipx|uvx|uv (?:add|pip|tool)|npm (?:install|i|add|exec)|npx|(?:pnpm|yarn|bun) add)\b"
        r"[^&|;]*(?<![-_./\w])blindsight(?:-classify|-client)?(?![-_./\w])"
        r"|\bblindsight-classify\\?\["  # the extra is part of what an installer is told
    )
    for document in documents:
        for line in document.read_text(encoding="utf-8", errors="replace").splitlines():
            assert not installs.search(line), f"{document}: {line}"
    for wrong in (
        "pip install blindsight",
        "pip install blindsight-classify",
        "pip install 'blindsight-classify[heic]'",
        "the extra blindsight-classify\\[heic]",
        "pipx run blindsight attest",
        "npm install --save blindsight-client",
        "npx blindsight-client",
    ):
        assert installs.search(wrong), wrong
    for right in (
        "pip install . && client/bin/blindsight --version",
        "pip install dist/blindsight_classify-0.2.0-py3-none-any.whl",
        "npm install ./blindsight-client-0.2.0.tgz",
        "npm pack ../blindsight/clients/js",
    ):
        assert not installs.search(right), right
