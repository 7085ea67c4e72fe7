"""A `model.json` beside an ONNX file: what it says of the model holds for an import, or the import is refused."""

from __future__ import annotations

import pytest

from model_build import build, check, labels, manifest
from model_build.cli import main
from model_build.errors import ContractError

LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 100\n"


@pytest.fixture
def directory(tiny, tmp_path):
    """A model directory that says of its model what no default would."""
    source = tiny("birds.onnx")
    folder = tmp_path / "birds"
    made = build.import_onnx(
        folder, source, label_file=source.with_name("labels.txt"), name="Birds", version="7", trained=False
    )
    said = {
        "preprocessing": manifest.Preprocessing(resize=256),
        "notice": "Garden birds only.",
        "formats": ("jpeg", "avif"),
    }
    (folder / "model.json").write_bytes(made.model_copy(update=said).canonical())
    return folder


def test_what_the_manifest_says_holds(directory, tmp_path):
    made = build.import_onnx(tmp_path / "out", directory / "birds.onnx")
    assert made == manifest.read(directory)
    assert (made.name, made.trained, made.preprocessing.resize) == ("Birds", False, 256)
    assert check.check_directory(tmp_path / "out") == made


def test_options_go_before_it_but_none_makes_the_model_trained(directory, tmp_path):
    made = build.import_onnx(tmp_path / "out", directory / "birds.onnx", name="Owls", version="8", trained=True)
    assert (made.name, made.version, made.trained) == ("Owls", "8", False)


def test_it_may_be_written_as_people_write_json(directory, tmp_path):
    described = manifest.read(directory)
    (directory / "model.json").write_text(described.model_dump_json(indent=2, exclude_none=True))
    assert build.import_onnx(tmp_path / "out", directory / "birds.onnx") == described


def test_changed_labels_are_taken_by_writing_the_directory_anew(directory):
    (directory / "labels.txt").write_text("".join(f"bird {index}\n" for index in range(7)))
    with pytest.raises(ContractError, match="its manifest says"):
        check.check_directory(directory)
    made = build.import_onnx(directory, directory / "birds.onnx")
    assert check.check_directory(directory) == made
    assert labels.read(directory / made.labels.file)[3] == "bird 3"
    assert (made.name, made.trained, made.formats) == ("Birds", False, ("jpeg", "avif"))


def test_other_weights_are_another_model(directory, tmp_path):
    with (directory / "birds.onnx").open("ab") as file:
        file.write(b"\x00")
    with pytest.raises(ContractError, match="its manifest says"):
        build.import_onnx(tmp_path / "out", directory / "birds.onnx")


def test_the_manifest_of_another_file_is_not_passed_over(directory, tmp_path):
    (directory / "birds.onnx").rename(directory / "others.onnx")
    with pytest.raises(ContractError, match=r"is the manifest of birds\.onnx, not of others\.onnx"):
        build.import_onnx(tmp_path / "out", directory / "others.onnx")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"trained": false}', r"model\.json is not a valid manifest: name: Field required"),
        (b"not JSON", r"model\.json is not a valid manifest"),
        (LFS_POINTER, r"model\.json is a Git LFS pointer, not the file"),
    ],
)
def test_what_is_no_manifest_is_not_passed_over(tiny, tmp_path, content, reason):
    source = tiny(classes=1000)
    source.with_name("model.json").write_bytes(content)
    with pytest.raises(ContractError, match=reason):
        build.import_onnx(tmp_path / "out", source)


def test_the_command_says_that_the_model_is_not_trained(directory, tmp_path, capsys):
    assert main(["build", "--onnx", str(directory / "birds.onnx"), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert "NOT TRAINED" in said.out
    assert "is not trained" in said.err
