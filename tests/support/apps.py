"""The programs of docs/from-an-app.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

PAGE: Final = (Path(__file__).resolve().parents[2] / "docs" / "from-an-app.md").read_text("utf-8")
GATEWAY: Final = "http://localhost:8000"


def blocks(heading: str, language: str) -> list[str]:
    """The programs of a language below a heading, in their order."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def program(url: str, heading: str, language: str, number: int = 0) -> str:
    """The text of one of them, for the gateway at `url`."""
    text = blocks(heading, language)[number]
    assert GATEWAY in text
    return text.replace(GATEWAY, url)
