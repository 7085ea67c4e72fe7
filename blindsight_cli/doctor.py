"""`blindsight doctor`: checks this machine and the stack on it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import httpx2
import typer
from rich.table import Table
from rich.text import Text

from blindsight.attestation import matching
from blindsight.attestation.policy import Policy
from blindsight.attestation.report import LEFT_OPEN, PROVES_NOTHING
from blindsight.client import routes
from blindsight.errors import PolicyError, ProxyError
from blindsight_cli import confinement, deployment, given, replies, units
from blindsight_cli.console import out
from blindsight_cli.finding import Finding
from blindsight_cli.gateway_url import DEFAULT_URL, Url
from blindsight_cli.local_trust import environment
from blindsight_cli.paths import a_path
from blindsight_cli.printable import cell
from blindsight_cli.proxy import Proxy  # noqa: TC001 -- typer reads the annotations

if TYPE_CHECKING:
    from blindsight_cli.replies import Reply

_NEEDED = {
    "gateway": ["fastapi", "uvicorn", "prometheus-client", "pydantic-settings", "python-multipart"],
    "enclave": ["numpy", "onnxruntime", "pillow"],
}
_MODULES = {"gateway": "gateway", "enclave": "enclave_runtime"}
_MIN_FREE_BYTES = 2 << 30
_MIN_MEMORY_BYTES = 2 << 30
_GATEWAY_SECONDS = 5.0
_SHOWN = 300
_CONFINEMENT_SECONDS = 30.0


def doctor(
    context: typer.Context,
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
            help="The policy to check; default: that of --state, of BLINDSIGHT_POLICY, or of the state folder.",
            envvar="BLINDSIGHT_POLICY",
            parser=a_path,
        ),
    ] = None,
) -> None:
    """Check this machine and the stack on it. Exit status: 0 if all checks pass, 1 if not."""
    folder = environment.stack_folder(state, os.environ)
    if given.on_the_command_line(context, "state") and not given.on_the_command_line(context, "policy"):
        policy = None  # The environment's may be another stack's.
    checked, accepted = _policies(folder, policy)
    findings = [
        _python(), *_units(), _memory(), _disk(folder), _state(folder), *checked, _security_module(), *_confinement(),
        *deployment.of_store(folder), *deployment.of_ports(url, folder), *deployment.of_tls(url, folder, _now(), proxy),
        *_gateway(url, proxy), *deployment.of_gateway(url, proxy, accepted),
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


def _now() -> datetime:
    return datetime.now(UTC)


def _policies(state: Path, named: Path | None) -> tuple[list[Finding], Policy | None]:
    """The findings about the policy, and the policy if it can be used."""
    file = named or state / "policy.json"
    if named is None and not file.exists():
        return [], None
    try:
        policy = Policy.load(file)
        matching.check_policy(policy, at=_now())
    except PolicyError as error:
        return [Finding("policy", good=False, seen=str(error), next_step=error.next_step)], None
    if policy.left_open:
        seen = " ".join(LEFT_OPEN[part] for part in policy.left_open)
        first = Finding("policy", good=False, seen=seen, next_step="pin it, unless you mean to accept any")
    else:
        first = Finding("policy", good=True, seen=f"{file}, code and function pinned")
    return [first, *deployment.of_policy(file, policy, _now())], policy


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
        reply = replies.statement(url, "/readyz", proxy=proxy, seconds=_GATEWAY_SECONDS)
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.InvalidURL, OSError) as error:
        if fault := routes.fault(error):
            return [Finding("gateway", good=False, seen=f"{url}: {fault}", next_step=fault.next_step)]
        step = "start it with `make run`, or give --url"
        return [Finding("gateway", good=True, seen=f"nothing answers at {url}", next_step=step, absent=True)]
    except (httpx2.HTTPError, ValueError) as error:
        return [_unusable("gateway", url, error)]
    except ProxyError as error:
        return [Finding("gateway", good=False, seen=str(error), next_step=error.next_step)]
    if reply.status != 200:
        return [_refusal("gateway", reply, "look into the logs of the state folder")]
    if reply.members().get("status") != "ready":
        return [_other("gateway", f"{url} answers, but is no Blindsight gateway")]
    return [Finding("gateway", True, f"ready at {url}"), _evidence(url, proxy), _model(url, proxy)]


def _evidence(url: str, proxy: str | None) -> Finding:
    """The kind of the gateway's evidence, as the gateway states it; only `attest` verifies it."""
    reply = _reply("evidence", url, "/attestation", proxy)
    if isinstance(reply, Finding):
        return reply
    kind = reply.members().get("kind")
    if not isinstance(kind, str):
        return _other("evidence", "the answer is no evidence")
    meaning = next((text for known, text in PROVES_NOTHING.items() if known == kind), f"of kind {_short(kind)}.")
    return Finding("evidence", good=True, seen=f"{meaning} So the gateway reads its enclave's; `attest` verifies it.")


def _model(url: str, proxy: str | None) -> Finding:
    reply = _reply("model", url, "/info", proxy)
    if isinstance(reply, Finding):
        return reply
    match reply.members().get("model"):
        case {"name": str() as name, "version": str() as version, "trained": bool() as trained}:
            seen = f"{_short(name)} {_short(version)}"
            return Finding("model", trained, seen, "untrained: its answers are noise")
    return _other("model", "the answer names no model")


def _reply(name: str, url: str, path: str, proxy: str | None) -> Reply | Finding:
    """The success at `path`, or the finding for something else."""
    try:
        reply = replies.statement(url, path, proxy=proxy, seconds=_GATEWAY_SECONDS)
    except (httpx2.HTTPError, ValueError) as error:
        return _unusable(name, url, error)
    return reply if reply.status == 200 else _refusal(name, reply, "look into the gateway's log")


def _refusal(name: str, reply: Reply, next_step: str) -> Finding:
    """The finding for a reply that is no success: a gateway's problem, or something else."""
    detail = reply.members().get("detail")
    if isinstance(detail, str):
        return Finding(name, good=False, seen=_short(detail), next_step=next_step)
    return _other(name, f"HTTP {reply.status}, but no Blindsight gateway")


def _unusable(name: str, url: str, error: Exception) -> Finding:
    if isinstance(error, httpx2.TimeoutException):
        return Finding(name, False, f"{url} does not answer in time", "try again, or look into the gateway's log")
    if fault := routes.fault(error):
        return Finding(name, good=False, seen=f"{url}: {fault}", next_step=fault.next_step)
    if isinstance(error, httpx2.HTTPError):
        return _other(name, f"the connection to {url} was lost ({type(error).__name__})")
    return _other(name, f"{url} answers with more than a Blindsight gateway does, so it is no Blindsight gateway")


def _other(name: str, seen: str) -> Finding:
    return Finding(name, good=False, seen=seen, next_step="check --url")


def _short(text: str) -> str:
    """`text`, which a server chose, cut to what a table can hold."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
