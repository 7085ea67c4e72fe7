"""Making a model directory: from ResNet50, or from a user's ONNX file."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from model_build import formats, labels, manifest, onnx_file
from model_build.contract import check_contract
from model_build.errors import ContractError, ModelBuildError
from model_build.manifest import Manifest
from model_build.precision import Precision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from PIL import Image

    from model_build.export import Network
    from model_build.manifest import Format

RESNET50_FILE = "resnet50.onnx"


def build_resnet50(
    out: Path, network: Network, *, plain: bool, pictures: list[Image.Image], say: Callable[[str], None]
) -> Manifest:
    """Export `network`, optimise it unless `plain`, check it against torch and write the model directory `out`.

    `say` is told each step. Raises `DifferenceError` or `ContractError`, and then writes nothing.
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
            said={
                "name": "resnet50",
                "version": network.version,
                "trained": network.trained,
                "weights": network.weights,
                "preprocessing": network.preprocessing,
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
) -> Manifest:
    """Check the ONNX classifier `source` for the contract and write the model directory `out` with it.

    A `model.json` beside `source` must be its manifest: what it says of the model holds, and other labels may take the
    place of those that it names. Without one the labels are `label_file`, else `imagenet_classes.txt` beside `source`,
    else ImageNet's. `name` is the file's without its suffix by default, `version` the first 12 digits of its SHA-256.
    Raises `ContractError`, and then writes nothing.
    """
    if not source.is_file():
        raise ContractError(f"{source} is not a file", "give an ONNX model")
    described = manifest.beside(source)
    sha256 = manifest.file_sha256(source)
    if described is None:
        said: dict[str, Any] = {
            "name": source.stem,
            "version": sha256[:12],
            "trained": True,
            "weights": manifest.Weights(name=source.name, sha256=sha256),
            "preprocessing": manifest.Preprocessing(),
            "versions": manifest.installed_versions("onnxruntime"),
        }
    else:
        measured = {"onnx", "input", "output", "labels"}
        said = {field: getattr(described, field) for field in Manifest.model_fields if field not in measured}
    said |= {"name": name or said["name"], "version": version or said["version"]}
    said |= {"trained": trained and said["trained"]}
    if label_file is None:
        beside = source.with_name(described.labels.file if described else labels.FILE_NAME)
        # A link that leads nowhere, or a folder: reading it says so, where ImageNet's labels would be wrong.
        label_file = beside if described or os.path.lexists(beside) else labels.IMAGENET
    onnx_name, label_name = _plain(source.name), _plain(label_file.name)
    if label_name in {onnx_name, manifest.FILE_NAME}:
        raise ContractError(f"the labels cannot be named {label_file.name}", "rename the file")
    with staged(out) as staging:
        # The copy is checked, so that what was checked is what is kept.
        shutil.copyfile(source, staging / onnx_name)
        labels.write(staging / label_name, labels.read(label_file))
        return _write_manifest(staging, onnx=onnx_name, label_file=label_name, said=said)


def copy(out: Path, source: Path, taken: tuple[Format, ...] | None) -> Manifest:
    """Write the model directory `out`: `source` with `taken` as its formats.

    Raises `ContractError`, and then writes nothing.
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
        return formats.settle(staging, taken)


def _plain(name: str) -> str:
    """`name` as a manifest takes it: `my model.onnx` becomes `my_model.onnx`."""
    plain = re.sub(r"[^A-Za-z0-9._+-]+", "_", name)
    return plain if plain[0].isalnum() else f"_{plain.lstrip('_')}"


def _write_manifest(staging: Path, *, onnx: str, label_file: str, said: dict[str, Any]) -> Manifest:
    """Check the graph `onnx` in `staging` for the contract and describe it and its labels in a manifest there.

    `said` has the fields that are not found by looking at the files.
    """
    path = staging / onnx
    classes = check_contract(path).classes
    count = len(labels.read(staging / label_file))
    if count != classes:
        raise ContractError(
            f"{onnx} has {classes} classes, but there are {count} labels in {label_file}",
            f"give one label a line, in class order, in {labels.FILE_NAME} beside the ONNX file",
        )
    said = said | _arithmetic(path, said.get("precision"))
    try:
        described = Manifest(
            onnx=manifest.Onnx(
                file=onnx,
                sha256=manifest.file_sha256(path),
                bytes=path.stat().st_size,
                opset=onnx_file.opset(path),
            ),
            output=manifest.Output(shape=("N", classes)),
            labels=manifest.Labels(
                file=label_file,
                count=count,
                sha256=manifest.file_sha256(staging / label_file),
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


def _arithmetic(graph: Path, precision: Precision | None) -> dict[str, Any]:
    """What a manifest says of the arithmetic of `graph`, if `precision` was said of it. Raises `ContractError`."""
    integers = onnx_file.computes_with_integers(graph)
    if precision is not None and not integers:
        raise ContractError(f"{graph.name} computes in float32, its manifest says {precision.name}", "build it again")
    if not integers:
        return {}
    return {"format": manifest.FORMAT_2, "precision": precision or Precision(name="int8")}


@contextlib.contextmanager
def staged(out: Path) -> Iterator[Path]:
    """Give a folder beside `out`; its files move into `out`, the manifest last, only if the block ends well."""
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
