"""What another party wrote is shown as text: no terminal's commands, no markup."""

from __future__ import annotations

from pathlib import Path

import pytest

from blindsight_cli import classify, console

HOSTILE = "\x1b]0;owned\x07[red]cat[/red] [link=x]\x1b[2J\r\nerror: forged"


def prediction(label: str) -> dict[str, object]:
    return {"model": {}, "predictions": [{"rank": 1, "class_id": 0, "label": label, "score": 0.5}]}


@pytest.mark.parametrize("label", [HOSTILE, "[/red]", "dog[final]", "a\u202eb"])
def test_labels_and_names_of_files(label: str, capsys: pytest.CaptureFixture[str]):
    classify._show(Path(f"photo{label}.jpg"), prediction(label))
    shown = capsys.readouterr().out
    assert not {"\x1b", "\x07", "\r", "\u202e"} & set(shown)
    visible = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in label)
    assert visible in shown
    assert len(shown.splitlines()) == 3


def test_problems_of_a_gateway(capsys: pytest.CaptureFixture[str]):
    classify._show(Path("photo.jpg"), {"problem": {"title": HOSTILE, "detail": HOSTILE}})
    shown = capsys.readouterr().err
    assert "\x1b" not in shown
    assert "[red]cat[/red]" in shown
    assert len(shown.splitlines()) == 1


def test_errors(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(Exception, match="1"):
        console.fail(HOSTILE, HOSTILE)
    shown = capsys.readouterr().err
    assert "\x1b" not in shown
    assert len(shown.splitlines()) == 2
