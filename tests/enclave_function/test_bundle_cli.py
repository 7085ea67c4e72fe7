"""`python -m enclave_function bundle …`: output, exit codes, one-line errors."""

from __future__ import annotations

import dataclasses
import json

import pytest

from enclave_function import bundle
from enclave_function.commands import main


@pytest.fixture
def built(tiny, tmp_path, capsys):
    out = tmp_path / "bundle.zip"
    assert main(["bundle", "build", "--model", str(tiny.folder), "--out", str(out)]) == 0
    return out, capsys.readouterr()


def test_build_reports_the_checksum_and_keeps_progress_off_the_output(built):
    out, captured = built
    assert bundle.inspect(out).checksum in captured.out
    assert "packing" not in captured.out


def test_inspect_as_text(built, capsys):
    assert main(["bundle", "inspect", str(built[0])]) == 0
    text = capsys.readouterr().out
    info = bundle.inspect(built[0])
    for value in (
        info.checksum,
        info.model.digest,
        "tiny 1, trained",
        *(e.name for e in info.entries),
        *(e.sha256 for e in info.entries),
    ):
        assert value in text


def test_inspect_as_json(built, capsys):
    assert main(["bundle", "inspect", str(built[0]), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(dataclasses.asdict(bundle.inspect(built[0]))))


def test_an_untrained_model_is_marked(make_model, tmp_path, capsys):
    folder = make_model(10).folder
    manifest = json.loads((folder / "model.json").read_text()) | {"trained": False}
    (folder / "model.json").write_text(json.dumps(manifest))
    assert main(["bundle", "build", "--model", str(folder), "--out", str(tmp_path / "b.zip")]) == 0
    assert "UNTRAINED" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["bundle", "inspect", "{tmp}/none.zip"],
        ["bundle", "build", "--model", "{tmp}", "--out", "{tmp}/b.zip"],
        ["bundle", "build", "--model", "{tmp}/none", "--out", "{tmp}/b.zip"],
        ["bundle", "build", "--model", "x" * 300, "--out", "{tmp}/b.zip"],
        ["bundle", "build", "--model", "{model}", "--out", "{tmp}/no/such/folder/b.zip"],
        ["bundle", "build", "--model", "{model}", "--out", "{tmp}/b.zip", "--vendor", "python=3"],
    ],
)
def test_errors_are_one_line_with_a_next_step(arguments, tiny, tmp_path, capsys):
    assert main([argument.format(tmp=tmp_path, model=tiny.folder) for argument in arguments]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = [line for line in captured.err.splitlines() if not line.startswith("packing")]
    assert line.startswith("error: ")
    assert line.count(". ") >= 1


@pytest.mark.parametrize("arguments", [[], ["bundle"], ["bundle", "build"], ["bundle", "inspect"], ["other"]])
def test_misuse_exits_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err
