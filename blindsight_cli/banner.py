"""The banner of `blindsight up`: addresses, kind of evidence, and commands to copy.

The commands work from any folder, in any shell of the Bourne family.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from blindsight.answers import is_multi_label
from blindsight_cli import provision, quantised
from blindsight_cli.confinement import describe
from blindsight_cli.console import out
from blindsight_cli.local_trust import environment
from blindsight_cli.printable import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blindsight_cli.models import Chosen
    from blindsight_cli.ports import Ports
    from blindsight_cli.provision import Provisioned

_WIDTH = 14


def show(
    chosen: Chosen,
    state: Path,
    ports: Ports,
    *,
    seconds: float,
    confinement: Mapping[str, Any] | None,
    prepared: Provisioned | None,
) -> None:
    """Print the banner. `confinement` is the enclave's statement about its confinement of untrusted code."""
    manifest = chosen.manifest
    out.print(f"Blindsight serves after {seconds:.1f} s", style="bold", end="\n\n")
    _row("Page", f"http://localhost:{ports.http}/   (API: http://localhost:{ports.http}/docs)")
    if ports.tls:
        _row("HTTPS", f"https://localhost:{ports.tls}/   (authority: {state / 'tls' / 'ca.pem'})")
    if ports.metrics:
        _row("Metrics", f"http://localhost:{ports.metrics}/metrics")
    several = " of which several can be right" if is_multi_label(manifest) else ""
    model = f"{manifest['name']} {manifest['version']}, {manifest['labels']['count']} classes{several}, "
    if manifest["trained"]:
        _row("Model", f"{model}trained")
    else:
        _row("Model", model, Text("UNTRAINED: its answers are noise", style="bold red"))
    _row("Precision", quantised.describe(manifest))
    _row("Enclave", Text("SIMULATED: it proves nothing about this host", style="bold yellow"))
    show_confinement(confinement)
    _row("Policy", str(state / "policy.json"))
    _row("Logs", str(state / "logs"))
    out.print()
    if chosen.remark:
        out.print(chosen.remark, style="yellow", end="\n\n")
    out.print("Try it:", end="\n\n")
    out.print(f"    curl -F file=@photo.jpg localhost:{ports.http}/classify", end="\n\n")
    out.print("For `blindsight classify` and the other commands, from any folder:", end="\n\n")
    _exports({"BLINDSIGHT_URL": f"http://127.0.0.1:{ports.http}", "BLINDSIGHT_POLICY": state / "policy.json"})
    if prepared is not None:
        out.print("For pycape and Cape's scripts:", end="\n\n")
        _exports(
            {
                "CAPE_ENCLAVE_HOST": f"https://localhost:{ports.tls}",
                "CAPE_LOCAL_CONFIG_DIR": environment.config_folder(state),
                "FUNCTION_ID": prepared.function_id,
                "FUNCTION_CHECKSUM": prepared.function_checksum,
                "TOKEN": prepared.token,
            }
        )
        out.print("and then:", end="\n\n")
        out.print(f"    {_this_command()} with-local-trust python script.py", end="\n\n")
        folder = provision.example_folder(state)
        out.print(f"{provision.EXAMPLE} is an example account; its owner key is in {folder}", end="\n\n")
    out.print("Ctrl-C stops everything.")


def _row(name: str, *parts: str | Text) -> None:
    """A single line of any length, because a wrapped path cannot be copied."""
    shown = [printable(part) if isinstance(part, str) else part for part in parts]
    out.print(Text.assemble(f"  {name:<{_WIDTH}}", *shown))


def show_confinement(told: Mapping[str, Any] | None) -> None:
    """Print the row on confinement; None if the enclave has not stated it."""
    if told is None:
        _row("Confinement", Text("unknown", style="yellow"))
    elif told["gaps"]:
        _row("Confinement", Text("incomplete", style="bold yellow"), f": {describe(told)}")
    else:
        _row("Confinement", describe(told))


def _exports(variables: Mapping[str, object]) -> None:
    for name, value in variables.items():
        out.print(f"    export {name}={shlex.quote(str(value))}")
    out.print()


def _this_command() -> str:
    """The command line of this `blindsight` for use in other folders."""
    script = Path(sys.executable).with_name("blindsight")
    words = [str(script)] if script.exists() else [sys.executable, "-m", "blindsight_cli"]
    return shlex.join(words)
