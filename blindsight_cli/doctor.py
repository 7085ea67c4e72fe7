"""`blindsight doctor`: checks this machine and the stack on it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import httpx2
import typer
from rich.table import Table
from rich.text import Text

from blindsight import strict_json
from blindsight.attestation import matching
from blindsight.attestation.policy import Policy
from blindsight.attestation.report import LEFT_OPEN, PROVES_NOTHING
from blindsight.client import routes
from blindsight.errors import PolicyError, ProxyError
from blindsight_cli import confinement, units
from blindsight_cli.console import out
from blindsight_cli.gateway_url import DEFAULT_URL, Url
from blindsight_cli.local_trust import environment
from blindsight_cli.paths import a_path
from blindsight_cli.printable import cell
from blindsight_cli.proxy import Proxy  # noqa: TC001 -- typer reads the annotations

_NEEDED = {
    "gateway": ["fastapi", "uvicorn", "prometheus-client", "pydantic-settings", "python-multipart"],
    "enclave": ["numpy", "onnxruntime", "pillow"],
}
_MODULES = {"gateway": "gateway", "enclave": "enclave_runtime"}
_MIN_FREE_BYTES = 2 << 30
_MIN_MEMORY_BYTES = 2 << 30
_GATEWAY_SECONDS = 5.0
_CONFINEMENT_SECONDS = 30.0


@dataclass(frozen=True)
class Finding:
    """The result of one check: `good`, what was `seen`, and the remedy if it is not good.

    `absent`: there is nothing to check, which is no fault; the next step makes it.
    """

    name: str
    good: bool
    seen: str
    next_step: str = ""
    absent: bool = False


def doctor(
    state: Annotated[
        Path | None,
        typer.Option(
            help="The folder of `blindsight up`. Default: the one of CAPE_LOCAL_CONFIG_DIR, or .blindsight.",
            parser=a_path,
        ),
    ] = None,
    url: Url = DEFAULT_URL,
    proxy: Proxy = None,
    policy: Annotated[
        Path | None,
        typer.Option(
            help="The policy to check; default: the state folder's.", envvar="BLINDSIGHT_POLICY", parser=a_path
        ),
    ] = None,
) -> None:
    """Check this machine and the stack on it. Exit status: 0 if all checks pass, 1 if not."""
    folder = state or environment.state_of(os.environ) or Path(".blindsight")
    findings = [
        _python(), *_units(), _memory(), _disk(folder), _state(folder), *_policies(folder, policy), _security_module(),
        *_confinement(), *_gateway(url, proxy),
    ]  # fmt: skip
    show(findings)
    if not all(finding.good for finding in findings):
        raise typer.Exit(1)


def show(findings: list[Finding]) -> None:
    """Print the results as a table."""
    table = Table(box=None, pad_edge=False)
    for heading in ("", "check", "seen", "next step"):
        table.add_column(heading)
    for finding in findings:
        mark = Text("ok", style="green") if finding.good else Text("mend", style="red")
        if finding.absent:
            mark = Text("none", style="yellow")
        next_step = finding.next_step if finding.absent or not finding.good else ""
        table.add_row(mark, finding.name, cell(finding.seen), cell(next_step))
    out.print(table)


def _python() -> Finding:
    seen = ".".join(str(part) for part in sys.version_info[:3])
    return Finding("Python", sys.version_info >= (3, 11), seen, "install Python 3.11 or newer")


def _units() -> list[Finding]:
    """The packages of each installed unit. A machine with only client and commands has none."""
    here = [unit for unit in _NEEDED if units.is_installed(_MODULES[unit])]
    if not here:
        return [Finding("units", good=True, seen="client and commands only; the units are in the source tree")]
    findings = []
    for unit in here:
        names = _NEEDED[unit]
        missing = [name for name in names if not _installed(name)]
        seen = f"missing: {', '.join(missing)}" if missing else "installed"
        install = f"pip install --require-hashes --no-deps -r requirements/{unit}.txt, in the source tree"
        findings.append(Finding(f"packages of {unit}", not missing, seen, install))
    return findings


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _memory() -> Finding:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Finding("memory", total >= _MIN_MEMORY_BYTES, f"{total / 1e9:.1f} GB", "2 GB are needed")


def _disk(state: Path) -> Finding:
    place = next(folder for folder in (state.resolve(), *state.resolve().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    return Finding("disk", free >= _MIN_FREE_BYTES, f"{free / 1e9:.1f} GB free", "2 GB are needed")


def _state(state: Path) -> Finding:
    if not state.exists():
        return Finding("state folder", good=True, seen=str(state), next_step="`make run` makes it", absent=True)
    mode = state.stat().st_mode & 0o777
    return Finding("state folder", not mode & 0o077, f"{state}, mode {mode:o}", f"chmod 700 {state}: it holds keys")


def _policies(state: Path, given: Path | None) -> list[Finding]:
    file = state / "policy.json"
    if given is None:
        return [_policy(file)] if file.exists() else []
    return [_policy(given)]


def _policy(file: Path) -> Finding:
    try:
        policy = Policy.load(file)
        matching.check_policy(policy, at=datetime.now(UTC))
    except PolicyError as error:
        return Finding("policy", good=False, seen=str(error), next_step=error.next_step)
    if policy.left_open:
        seen = " ".join(LEFT_OPEN[part] for part in policy.left_open)
        return Finding("policy", good=False, seen=seen, next_step="pin it, unless you mean to accept any")
    return Finding("policy", good=True, seen=f"{file}, code and function pinned")


def _security_module() -> Finding:
    """Of this machine, not of an enclave behind a gateway."""
    there = Path("/dev/nsm").exists()
    seen = "/dev/nsm is here: a Nitro enclave, or its emulation" if there else "no /dev/nsm here: no Nitro enclave"
    return Finding("security module", good=True, seen=seen)


def _confinement() -> list[Finding]:
    return [_confinement_here()] if units.is_installed(_MODULES["enclave"]) else []


def _confinement_here() -> Finding:
    """The confinement layers that this machine's kernel provides for this user."""
    command = units.command("enclave_runtime", "confinement")
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_CONFINEMENT_SECONDS)
        found = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return Finding("confinement", good=False, seen="cannot be tried", next_step=f"run {' '.join(command)}")
    absent = "; ".join(f"{layer}: {reason}" for layer, reason in found["absent"].items())
    next_step = f"run the enclave as root, or mend: {absent or 'the kernel'}"
    return Finding("confinement", not found["gaps"], confinement.describe(found), next_step)


def _gateway(url: str, proxy: str | None) -> list[Finding]:
    try:
        with routes.blocking(url, timeout=_GATEWAY_SECONDS, proxy=proxy) as client:
            ready = client.get("/readyz")
            if ready.status_code != 200:
                return [Finding("gateway", False, _problem(ready), "look into the logs of the state folder")]
            return [Finding("gateway", True, f"ready at {url}"), _evidence(client), _model(client)]
    except (httpx2.TransportError, httpx2.InvalidURL, OSError) as error:
        if fault := routes.fault(error):
            return [Finding("gateway", good=False, seen=f"{url}: {fault}", next_step=fault.next_step)]
        step = "start it with `make run`, or give --url"
        return [Finding("gateway", good=True, seen=f"nothing answers at {url}", next_step=step, absent=True)]
    except ProxyError as error:
        return [Finding("gateway", good=False, seen=str(error), next_step=error.next_step)]


def _evidence(client: httpx2.Client) -> Finding:
    """The kind of the gateway's evidence, as the gateway states it; only `attest` verifies it."""
    response = client.get("/attestation")
    if response.status_code != 200:
        return Finding("evidence", False, _problem(response), "look into the gateway's log")
    kind = str(strict_json.loads(response.content)["kind"])
    meaning = next((text for known, text in PROVES_NOTHING.items() if known == kind), f"of kind {kind}.")
    return Finding("evidence", good=True, seen=f"{meaning} So the gateway reads its enclave's; `attest` verifies it.")


def _problem(response: httpx2.Response) -> str:
    try:
        return str(strict_json.loads(response.content)["detail"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {response.status_code}, but no Blindsight gateway"


def _model(client: httpx2.Client) -> Finding:
    model = strict_json.loads(client.get("/info").content)["model"]
    return Finding(
        "model", bool(model["trained"]), f"{model['name']} {model['version']}", "untrained: its answers are noise"
    )
