"""Creation of model directories from ResNet50 or from an ONNX file."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from model_build import answers, formats, hugging_face, inline, labels, manifest, onnx_file
from model_build.contract import RESNET50, check_contract
from model_build.discover import discover
from model_build.errors import ContractError, ModelBuildError
from model_build.general import softmax_of_logits
from model_build.precision import LEFT_OUT, Precision, unmeasured
from model_build.session import Session
from model_build.told import Told, of_facts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from PIL import Image

    from model_build.answers import Expected
    from model_build.export import Network
    from model_build.general import Facts
    from model_build.manifest import AnyManifest, Format

RESNET50_FILE = "resnet50.onnx"


def build_resnet50(
    out: Path, network: Network, *, plain: bool, pictures: list[Image.Image], say: Callable[[str], None]
) -> AnyManifest:
    """Export `network`, optimise it unless `plain`, compare it with torch, and write the model directory `out`.

    `pictures` are compared in addition to synthetic ones; `say` gets one line for each step. Raises `DifferenceError`
    or `ContractError`, and then writes nothing.
    """
    # Imported here: these need torch and onnx, which the import of an ONNX file does without.
    from model_build import check, export, optimise  # noqa: PLC0415 -- torch takes seconds

    with staged(out) as staging:
        path = staging / RESNET50_FILE
        say("Exporting to ONNX (about 10 s)")
        export.export_onnx(network.module, path)
        if not plain:
            say("Optimising the graph")
            exported = path.rename(staging / "exported.onnx")
            optimise.optimise(exported, path)
            exported.unlink()
        say("Checking it against torch")
        worst = check.check_against_torch(network, path, pictures)
        say(f"Largest difference {worst:.1e} of the logits' range, same top 5")
        labels.write(staging / labels.FILE_NAME, network.categories)
        return _write_manifest(
            staging,
            onnx=path.name,
            label_file=labels.FILE_NAME,
            facts=replace(
                RESNET50,
                preprocessing=network.preprocessing.spelt_out,
                output=softmax_of_logits(RESNET50.output.name, len(network.categories)),
            ),
            said={
                "name": "resnet50",
                "version": network.version,
                "trained": network.trained,
                "weights": network.weights,
                "versions": manifest.installed_versions("onnx", "onnxruntime", "onnxscript", "torch", "torchvision"),
            },
        )


def import_onnx(
    out: Path,
    source: Path,
    *,
    label_file: Path | None = None,
    name: str | None = None,
    version: str | None = None,
    trained: bool = True,
    told: Told | None = None,
    expected: Sequence[Expected] = (),
    say: Callable[[str], None] = lambda _line: None,
) -> AnyManifest:
    """Determine input and output of the ONNX classifier `source`, verify them, and write the model directory `out`.

    Facts come from `told`, then from a `model.json` beside `source`, which must be its manifest, or else from files of
    the Hugging Face hub (`hugging_face`), and then from the graph (`discover`). Labels come from `label_file`, else
    from those files, else from `imagenet_classes.txt` beside `source`, else they are ImageNet's. `name` is by default
    the file name without suffix, and `version` the first 12 digits of the graph's SHA-256. `say` gets lines about
    determined and assumed facts. The model must give the answers of `expected`.

    Raises `ContractError` or `ModelBuildError`, and then writes nothing.
    """
    if not source.is_file():
        raise ContractError(f"{source} is not a file", "give an ONNX model")
    described = manifest.beside(source)
    files = _Beside.read(source, described, label_file)
    onnx_name, label_name = _plain(source.name), _plain(files.label_name)
    if label_name in {onnx_name, manifest.FILE_NAME}:
        raise ContractError(f"the labels cannot be named {files.label_name}", "rename the file")
    with staged(out) as staging:
        # The copy is checked, so that what was checked is what is kept.
        content, inside = inline.inlined(source)
        path = staging / onnx_name
        path.write_bytes(content)
        labels.write(staging / label_name, files.labels)
        found = discover(Session(path), (told or Told()).over(files.told), len(files.labels))
        said = _said(source, described, manifest.file_sha256(path))
        said |= {"name": name or said["name"], "version": version or said["version"]}
        said["trained"] = trained and said["trained"]
        if described is not None and described.precision is not None and found.facts != described.facts:
            # Its agreement with float32 was measured with the transform that the manifest stated.
            said["precision"] = unmeasured(described.precision)
        made = _write_manifest(staging, onnx=onnx_name, label_file=label_name, facts=found.facts, said=said)
        for line in (*files.lines(inside), *found.lines()):
            say(line)
        if described is not None and made.precision != described.precision:
            say(LEFT_OUT)
        answers.check(staging, made, expected, say)
        return made


def _said(source: Path, described: AnyManifest | None, sha256: str) -> dict[str, Any]:
    """The members of the manifest that the graph does not determine."""
    if described is not None:
        measured = {"format", "onnx", "input", "output", "labels", "preprocessing"}
        return {field: getattr(described, field) for field in type(described).model_fields if field not in measured}
    return {
        "name": source.stem,
        "version": sha256[:12],
        "trained": True,
        "weights": manifest.Weights(name=source.name, sha256=sha256),
        "versions": manifest.installed_versions("onnxruntime"),
    }


@dataclass(frozen=True)
class _Beside:
    """Facts and labels from files beside an ONNX file."""

    told: Told
    labels: tuple[str, ...]
    label_name: str
    hub: tuple[Path, ...] = ()

    @classmethod
    def read(cls, source: Path, described: AnyManifest | None, label_file: Path | None) -> _Beside:
        """Raises `ContractError`."""
        told, named, hub = hugging_face.beside(source) if described is None else (of_facts(described.facts), None, ())
        if label_file is None and named is not None:
            return cls(told, named, labels.OTHER_FILE_NAME, hub)
        if label_file is None:
            beside = source.with_name(described.labels.file if described else labels.FILE_NAME)
            # A link that leads nowhere, or a folder: reading it says so, where ImageNet's labels would be wrong.
            label_file = beside if described or os.path.lexists(beside) else labels.IMAGENET
        return cls(told, labels.read(label_file), label_file.name, hub)

    def lines(self, inside: tuple[str, ...]) -> list[str]:
        """Lines for the user that name the files."""
        lines = [f"Said by: {', '.join(path.name for path in self.hub)}"] if self.hub else []
        return [*lines, *([f"Weights: put into the graph from {', '.join(inside)}"] if inside else [])]


def copy(
    out: Path,
    source: Path,
    taken: tuple[Format, ...] | None,
    *,
    dct_scaling: bool | None = None,
    say: Callable[[str], None] = lambda _line: None,
) -> AnyManifest:
    """Write the model directory `out`: a copy of `source` with the formats `taken` and this `dct_scaling`.

    None keeps the value of `source`. `say`: see `formats.settle`. Raises `ContractError`, and then writes nothing.
    """
    described = manifest.read(source)
    if out.resolve() == source.resolve():
        raise ContractError(f"{out} is the model directory itself", "give another folder to write to")
    with staged(out) as staging:
        for part in (described.onnx, described.labels):
            path = Path(shutil.copyfile(source / part.file, staging / part.file))
            if manifest.file_sha256(path) != part.sha256:
                raise ContractError(
                    f"{source / part.file} is not the file that its manifest names", "build the model again"
                )
        shutil.copyfile(source / manifest.FILE_NAME, staging / manifest.FILE_NAME)
        return formats.settle(staging, taken, dct_scaling=dct_scaling, copied=True, say=say)


def _plain(name: str) -> str:
    """`name` in the characters that a manifest permits: `my model.onnx` becomes `my_model.onnx`."""
    plain = re.sub(r"[^A-Za-z0-9._+-]+", "_", name)
    return plain if plain[0].isalnum() else f"_{plain.lstrip('_')}"


def _write_manifest(staging: Path, *, onnx: str, label_file: str, facts: Facts, said: dict[str, Any]) -> AnyManifest:
    """Check the contract of the graph `onnx` in `staging`, and write a manifest for it and its labels there.

    `said` has the members that the files do not determine. Raises `ContractError`.
    """
    path = staging / onnx
    check_contract(path, facts)
    count = len(labels.read(staging / label_file))
    if count != facts.output.classes - facts.offset:
        raise ContractError(
            f"{onnx} has {facts.output.classes} classes, but there are {count} labels in {label_file}",
            f"give one label a line, in class order, in {labels.FILE_NAME} beside the ONNX file"
            " or with `model build --labels FILE`; for first classes without one, `model build --label-offset N`",
        )
    said = said | {"precision": _arithmetic(path, said.get("precision"))}
    try:
        described = manifest.of_facts(
            facts,
            manifest.Labels(file=label_file, count=count, sha256=manifest.file_sha256(staging / label_file)),
            onnx=manifest.Onnx(
                file=onnx,
                sha256=manifest.file_sha256(path),
                bytes=path.stat().st_size,
                opset=onnx_file.opset(path),
            ),
            **said,
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise ContractError(
            f"{first['input']!r} cannot stand in a manifest: {first['msg']}", "give another name"
        ) from error
    (staging / manifest.FILE_NAME).write_bytes(described.canonical())
    return described


def _arithmetic(graph: Path, precision: Precision | None) -> Precision | None:
    """The manifest's `precision` for `graph`; None means float32. Raises `ContractError` if it contradicts
    `precision`.
    """
    integers = onnx_file.computes_with_integers(graph)
    if precision is not None and not integers:
        raise ContractError(f"{graph.name} computes in float32, its manifest says {precision.name}", "build it again")
    return precision or (Precision(name="int8") if integers else None)


@contextlib.contextmanager
def staged(out: Path) -> Iterator[Path]:
    """Yield a folder beside `out`. If the block succeeds, its files replace those in `out`, the manifest last.

    Raises `ModelBuildError` if `out` is not a folder.
    """
    out = out.resolve()
    if out.exists() and not out.is_dir():
        raise ModelBuildError(f"{out} is not a folder", "give another folder to write to")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as name:
        staging = Path(name)
        yield staging
        out.mkdir(exist_ok=True)
        for file in sorted(staging.iterdir(), key=lambda file: (file.name == manifest.FILE_NAME, file.name)):
            file.replace(out / file.name)
