"""The list of harnesses. A harness is imported only when it is used, because the engine instruments imports."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from fuzz.target import Target

HERE: Final = Path(__file__).parent
SEEDS: Final = HERE / "seeds"
FINDINGS: Final = HERE / "findings"
CORPUS: Final = HERE / "corpus"
"""The engine's corpus, logs and records. Git ignores the folder."""

NAMES: Final = tuple(sorted(path.stem for path in (HERE / "targets").glob("*.py") if path.stem != "__init__"))


def load(name: str) -> Target:
    """Import the harness `name`. Raises `ModuleNotFoundError` for a name that is not in `NAMES`."""
    return cast("Target", importlib.import_module(f"fuzz.targets.{name}").TARGET)


def files(folder: Path, name: str) -> list[Path]:
    """The inputs of the harness `name` in `folder` (`SEEDS`, `FINDINGS` or `CORPUS`), sorted by name."""
    return sorted(path for path in (folder / name).glob("*") if path.is_file())
