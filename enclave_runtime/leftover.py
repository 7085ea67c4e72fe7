"""Names that tell which process made a folder, so that the folder can go once that process was killed."""

from __future__ import annotations

from pathlib import Path

_PROC = Path("/proc")
_START_TIME = 19
"""Of the fields of proc_pid_stat(5) after the command's name, which is in brackets."""


def tag(proc: Path = _PROC) -> str:
    """The calling process: its process namespace, its id and when it started, since ids are used again."""
    process = (proc / "self").resolve()
    return f"{_namespace(proc)}.{process.name}.{_started(process)}"


def is_gone(tag: str, proc: Path = _PROC) -> bool:
    """Whether the process of that tag has ended. That of another namespace cannot be seen, and so counts as alive."""
    namespace, _, rest = tag.partition(".")
    pid, _, started = rest.partition(".")
    return bool(namespace == _namespace(proc) and pid.isdecimal() and started and started != _started(proc / pid))


def _namespace(proc: Path) -> str:
    return str((proc / "self" / "ns" / "pid").stat().st_ino)


def _started(process: Path) -> str:
    try:
        return (process / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[_START_TIME]
    except (OSError, IndexError):
        return ""
