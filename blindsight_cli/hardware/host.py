"""Facts about the machine, as its operating system states them. No evidence covers them.

They contain no name, address, account or id of the machine, only its hardware and software.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import httpx2

from blindsight.client import routes

IMDS: Final = "http://169.254.169.254"
"""EC2's instance metadata service, version 2 (EC2 user guide, "Use IMDSv2")."""

_IMDS_FACTS: Final = {
    "instance_type": "instance-type",
    "region": "placement/region",
    "availability_zone": "placement/availability-zone",
    "image": "ami-id",
}
_SECONDS: Final = 2.0
_CLI_SECONDS: Final = 20.0
_MOST_CHARACTERS: Final = 200
"""Maximum length of a fact, because it comes from a command or a service."""


def facts(*, instance: bool = False, imds: str = IMDS) -> dict[str, Any]:
    """Processor, memory, kernel, system and Nitro's tools, by name.

    `instance`: also what the instance metadata service at the URL `imds` states. Does not raise: facts that cannot be
    determined are None or `unknown`.
    """
    cpu = _fields(Path("/proc/cpuinfo"), ":")
    system = _fields(Path("/etc/os-release"), "=")
    return {
        "processor": _short(cpu.get("model name", platform.processor() or "unknown")),
        "processors": os.cpu_count() or 0,
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "machine": platform.machine(),
        "kernel": _short(f"{platform.system()} {platform.release()}"),
        "system": _short(system.get("PRETTY_NAME", "unknown").strip('"')),
        "devices": [device for device in ("/dev/nitro_enclaves", "/dev/nsm", "/dev/kvm") if Path(device).exists()],
        "nitro_cli": _nitro_cli(),
        "enclaves": _enclaves(),
        "instance": _instance(imds) if instance else None,
    }


def _fields(file: Path, separator: str) -> dict[str, str]:
    """The first value of each name in a file of lines `NAME SEPARATOR VALUE`; empty if the file cannot be read."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    found: dict[str, str] = {}
    for line in lines:
        name, parted, value = line.partition(separator)
        if parted:
            found.setdefault(name.strip(), value.strip())
    return found


def _nitro_cli() -> str | None:
    """The version of `nitro-cli`; None if it is not installed or fails."""
    said = _output("nitro-cli", "--version")
    return None if said is None else _short(said)


def _enclaves() -> list[dict[str, Any]] | None:
    """Size and mode of the running enclaves, from `nitro-cli describe-enclaves`; None if that fails."""
    said = _output("nitro-cli", "describe-enclaves")
    try:
        described = json.loads(said) if said is not None else None
    except ValueError:
        return None
    if not isinstance(described, list):
        return None
    kept = ("NumberOfCPUs", "MemoryMiB", "State", "Flags")
    return [{name: _plain(each[name]) for name in kept if name in each} for each in described if isinstance(each, dict)]


def _output(*command: str) -> str | None:
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_CLI_SECONDS)
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout.strip()


def _instance(imds: str) -> dict[str, str] | None:
    """Instance type, region and image; None if the service does not answer, as outside of EC2."""
    try:
        with routes.blocking(imds, timeout=_SECONDS) as client:
            token = client.put("/latest/api/token", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"})
            token.raise_for_status()
            header = {"X-aws-ec2-metadata-token": token.text}
            answers = {
                name: client.get(f"/latest/meta-data/{path}", headers=header) for name, path in _IMDS_FACTS.items()
            }
    except httpx2.HTTPError:
        return None
    return {name: _short(answer.text) for name, answer in answers.items() if answer.status_code == 200}


def _plain(value: object) -> str | int:
    return value if isinstance(value, int) else _short(str(value))


def _short(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)[:_MOST_CHARACTERS].strip()
