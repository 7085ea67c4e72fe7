"""docs/deploy-nitro.md: what can run without AWS is run as it stands, in its order; what cannot says why."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from blindsight.attestation.policy import Policy
from blindsight.wire.address import Address
from blindsight.wire.bootconfig import BootConfig
from enclave_runtime.kms.settings import KmsSettings
from gateway import __main__ as command_line
from gateway.settings import Settings
from tests.support import images
from tests.support.eif_golden import BASE, cpio, image
from tests.support.processes import environment

if TYPE_CHECKING:
    from tests.support.models import TinyModel
    from tests.support.stack import Stack

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "deploy-nitro.md").read_text(encoding="utf-8")
NITRO = REPOSITORY / "deploy" / "nitro"
BLOCK = re.compile(r"^(?P<before>[^\n]*)\n```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
NOT_RUN = re.compile(r"<!-- not-run: [a-zA-Z][^>]+ -->")
RUNS = "<!-- runs-here -->"


def blocks(page: str, mark: str = RUNS) -> list[str]:
    return [block["text"] for block in BLOCK.finditer(page) if block["before"] == mark]


def run(script: str, folder: Path) -> str:
    """Everything in one shell, as its reader has it: variables stay."""
    variables = environment(folder)
    variables["PATH"] = f"{Path(sys.prefix) / 'bin'}:{variables['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=variables, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_block_says_whether_it_runs() -> None:
    found = list(BLOCK.finditer(PAGE))
    assert len(found) == PAGE.count("```") // 2 > 10
    for block in found:
        assert block["language"] == "sh"
        assert block["before"] == RUNS or NOT_RUN.fullmatch(block["before"]), block["text"]
    assert len(blocks(PAGE)) >= 6
    # What needs neither AWS nor the parent is not left out.
    left_out = [block["text"] for block in found if block["before"] != RUNS]
    assert not [text for text in left_out if text.startswith(("blindsight ", "python -m gateway"))]


@pytest.fixture
def folder(tmp_path: Path, colour_model: TinyModel) -> Path:
    """With what the steps that are not run would have brought: an image, and KMS's answer."""
    bundle = io.BytesIO()
    with zipfile.ZipFile(bundle, "w") as archive:
        archive.writestr("model.json", "{}")
    (tmp_path / "enclave.eif").write_bytes(image([*BASE, (3, cpio(("app/function.zip", 0o100644, bundle.getvalue())))]))
    (tmp_path / "root_secret").write_text("AQIDAHhB" * 20 + "\n")
    shutil.copytree(colour_model.folder, tmp_path / "model")
    return tmp_path


def test_the_steps_before_the_instance(folder: Path) -> None:
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    run("\n".join(blocks(PAGE.partition("## 5.")[0])), folder)
    assert KmsSettings.load(folder / "kms.json").connect == "vsock://3:8000"
    assert BootConfig.parse((folder / "boot-config.json").read_bytes()).root_secret
    measured = json.loads((folder / "measured.json").read_text())["Measurements"]
    (release,) = Policy.load(folder / "policy.json").releases
    assert {index: release.pcrs[index] for index in (0, 1, 2)} == {
        index: frozenset({measured[f"PCR{index}"]}) for index in (0, 1, 2)
    }
    assert measured["PCR0"] in (folder / "key-policy.json").read_text()
    assert measured["PCR0"] not in (folder / "draft.json").read_text()
    assert (folder / "tokens").read_text().startswith("owner")


def test_the_first_sealed_answer(tiny_stack: Stack, tmp_path: Path) -> None:
    """Of the simulated stack, whose policy takes the place of the image's."""
    shutil.copy(tiny_stack.policy_file, tmp_path / "policy.json")
    (tmp_path / "dog.png").write_bytes(images.plain(207))
    script = "\n".join(blocks(PAGE.partition("## 5.")[2]))
    said = run(script.replace("https://photos.example:8443", tiny_stack.gateway.url), tmp_path)
    assert "SIMULATED" in said
    assert (tmp_path / "report.json").exists()


# --- the files of deploy/nitro --------------------------------------------------------------------------------------

UNITS = sorted((NITRO / "systemd").glob("*.service"))


def test_the_parts_agree_on_cids_ports_and_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """One number in four files: the enclave's CID, where it looks for the host, and what is set aside for it."""
    enclave = json.loads((NITRO / "enclave.json").read_text())
    allocator = dict(re.findall(r"^(\w+): (\d+)$", (NITRO / "allocator.yaml").read_text(), re.MULTILINE))
    assert (enclave["memory_mib"], enclave["cpu_count"]) == tuple(
        int(allocator[it]) for it in ("memory_mib", "cpu_count")
    )
    assert enclave["debug_mode"] is False
    for name in [name for name in os.environ if name.startswith("BLINDSIGHT_")]:
        monkeypatch.delenv(name)
    settings = Settings(_env_file=NITRO / "gateway.env")
    assert settings.enclaves.listed == (Address("vsock", cid=enclave["enclave_cid"], port=7500),)
    text = "\n".join(unit.read_text() for unit in UNITS)
    assert re.findall(r"--from-cid (\d+)", text) == [str(enclave["enclave_cid"])] * 2
    defaults = {name: KmsSettings.__dataclass_fields__[name].default for name in ("connect", "credentials")}
    for unit, where in (("forward-kms", defaults["connect"]), ("forward-credentials", defaults["credentials"])):
        assert (
            f"--listen {str(where).replace('//3:', '//-1:')} "
            in (NITRO / f"systemd/blindsight-{unit}.service").read_text()
        )
    assert "--listen vsock://-1:9001 " in text


def test_the_units_name_commands_that_exist(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Options are read as `python -m gateway` reads them."""
    start = re.compile(r"^ExecStart=/opt/blindsight/.venv/bin/python -m gateway (.*)$", re.MULTILINE)
    commands = [line.split() for unit in UNITS for line in start.findall(unit.read_text())]
    assert sorted(command for command, *_ in commands) == ["boot-config", "forward", "forward", "serve"]
    for command, *options in commands:
        monkeypatch.setattr(sys, "argv", ["gateway", command, "--help"])
        with pytest.raises(SystemExit):
            command_line.main()
        known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
        assert {option for option in options if option.startswith("--")} <= known


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units with programs that exist here."""
    for unit in UNITS:
        text = unit.read_text().replace("/opt/blindsight/.venv/bin/python", sys.executable)
        (tmp_path / unit.name).write_text(text.replace("/usr/bin/nitro-cli", "/bin/true"))
    (tmp_path / "nitro-enclaves-allocator.service").write_text("[Service]\nExecStart=/bin/true\n")
    return tmp_path


needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")


@needs_systemd
def test_systemd_understands_the_units(installed: Path) -> None:
    units = [str(installed / unit.name) for unit in UNITS]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{installed}:"},
    )  # fmt: skip
    ours = [line for line in done.stderr.splitlines() if "blindsight" in line]
    assert (done.returncode, ours) == (0, [])


@needs_systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_what_systemd_says_of_their_exposure(installed: Path, unit: Path) -> None:
    """From 0, safe, to 10; a unit without any directive has 9.6."""
    done = subprocess.run(
        ["systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=20", str(installed / unit.name)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_credentials_forwarder_reaches_one_address() -> None:
    text = (NITRO / "systemd" / "blindsight-forward-credentials.service").read_text()
    assert "IPAddressDeny=any\nIPAddressAllow=169.254.169.254/32\n" in text
    for name in ("gateway", "forward-kms"):
        assert (
            "IPAddressDeny=169.254.169.254/32 fd00:ec2::254/128"
            in (NITRO / f"systemd/blindsight-{name}.service").read_text()
        )
