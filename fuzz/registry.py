"""Which harnesses there are. A harness is imported only when it is used: the engine instruments what it imports."""

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
"""What the engine has kept, and its records: made by running it, ignored by git."""

NAMES: Final = tuple(sorted(path.stem for path in (HERE / "targets").glob("*.py") if path.stem != "__init__"))


def load(name: str) -> Target:
    """The harness called `name`, one of `NAMES`."""
    return cast("Target", importlib.import_module(f"fuzz.targets.{name}").TARGET)


def files(folder: Path, name: str) -> list[Path]:
    """The inputs of harness `name` in `folder`, in a fixed order."""
    return sorted(path for path in (folder / name).glob("*") if path.is_file())
