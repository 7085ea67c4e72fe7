"""The table of docs/settings.md, made from the settings themselves.

`python -m tests.support.settings_table` writes it anew, and the lists of .env.example, the compose file and the chart.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic_core import PydanticUndefined

from gateway.settings import Settings
from tests.support import settings_places

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"
BEGIN = "<!-- generated: python -m tests.support.settings_table -->\n"
END = "<!-- end of the generated table -->\n"


def table() -> str:
    rows = [
        f"| `BLINDSIGHT_{name.upper()}` | {_default(field)} | {field.description} |\n"
        for name, field in Settings.model_fields.items()
    ]
    return "| variable | default | meaning |\n|---|---|---|\n" + "".join(rows)


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "must be set"
    if field.default == "":
        return "empty"
    return "not set" if field.default is None else f"`{field.default}`"


def generated(page: str) -> str:
    """What stands between the marks of `page`."""
    return page.partition(BEGIN)[2].partition(END)[0]


def main() -> None:
    page = PAGE.read_text(encoding="utf-8")
    head, tail = page.partition(BEGIN)[0], page.partition(END)[2]
    PAGE.write_text(head + BEGIN + table() + END + tail, encoding="utf-8")
    settings_places.write()


if __name__ == "__main__":
    main()
