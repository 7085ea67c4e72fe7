"""Making a model directory: from ResNet50, or from a user's ONNX file."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from model_build import formats, labels, manifest, onnx_file
from model_build.contract import check_contract
from model_build.errors import ContractError, ModelBuildError
from model_build.manifest import Manifest

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

    with _staging(out) as staging:
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
            name="resnet50",
            version=network.version,
            trained=network.trained,
            weights=network.weights,
            preprocessing=network.preprocessing,
            versions=manifest.installed_versions("onnx", "onnxruntime", "onnxscript", "torch", "torchvision"),
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

    Labels are `label_file`, else `imagenet_classes.txt` beside `source`, else ImageNet's.
    `name` is the file's without its suffix by default, `version` the first 12 digits of its SHA-256.
    Raises `ContractError`, and then writes nothing.
    """
    if not source.is_file():
        raise ContractError(f"{source} is not a file", "give an ONNX model with --onnx FILE")
    if label_file is None:
        beside = source.with_name(labels.FILE_NAME)
        label_file = beside if beside.is_file() else labels.IMAGENET
    if label_file.name in {source.name, manifest.FILE_NAME}:
        raise ContractError(f"the labels cannot be named {label_file.name}", "rename the file")
    with _staging(out) as staging:
        # The copy is checked: away from its folder, a model that keeps its weights in a second file does not load.
        path = Path(shutil.copyfile(source, staging / source.name))
        labels.write(staging / label_file.name, labels.read(label_file))
        sha256 = manifest.file_sha256(path)
        return _write_manifest(
            staging,
            onnx=path.name,
            label_file=label_file.name,
            name=name or source.stem,
            version=version or sha256[:12],
            trained=trained,
            weights=manifest.Weights(name=source.name, sha256=sha256),
            preprocessing=manifest.Preprocessing(),
            versions=manifest.installed_versions("onnxruntime"),
        )


def copy(out: Path, source: Path, taken: tuple[Format, ...] | None) -> Manifest:
    """Write the model directory `out`: `source` with `taken` as its formats.

    Raises `ContractError`, and then writes nothing.
    """
    described = manifest.read(source)
    if out.resolve() == source.resolve():
        raise ContractError(f"{out} is the model directory itself", "give another folder with --out DIR")
    with _staging(out) as staging:
        for part in (described.onnx, described.labels):
            path = Path(shutil.copyfile(source / part.file, staging / part.file))
            if manifest.file_sha256(path) != part.sha256:
                raise ContractError(
                    f"{source / part.file} is not the file that its manifest names", "build the model again"
                )
        shutil.copyfile(source / manifest.FILE_NAME, staging / manifest.FILE_NAME)
        return formats.settle(staging, taken)


def _write_manifest(
    staging: Path,
    *,
    onnx: str,
    label_file: str,
    name: str,
    version: str,
    trained: bool,
    weights: manifest.Weights,
    preprocessing: manifest.Preprocessing,
    versions: dict[str, str],
) -> Manifest:
    """Check the graph `onnx` in `staging` for the contract and describe it and its labels in a manifest there."""
    path = staging / onnx
    classes = check_contract(path).classes
    count = len(labels.read(staging / label_file))
    if count != classes:
        raise ContractError(
            f"{onnx} has {classes} classes, but there are {count} labels in {label_file}",
            "give them with --labels FILE",
        )
    try:
        described = Manifest(
            name=name,
            version=version,
            trained=trained,
            weights=weights,
            onnx=manifest.Onnx(
                file=onnx,
                sha256=manifest.file_sha256(path),
                bytes=path.stat().st_size,
                opset=onnx_file.opset(path),
            ),
            output=manifest.Output(shape=("N", classes)),
            preprocessing=preprocessing,
            labels=manifest.Labels(
                file=label_file,
                count=count,
                sha256=manifest.file_sha256(staging / label_file),
            ),
            versions=versions,
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise ContractError(
            f"{first['input']!r} cannot stand in a manifest: {first['msg']}", "use a plain file name without spaces"
        ) from error
    (staging / manifest.FILE_NAME).write_bytes(described.canonical())
    return described


@contextlib.contextmanager
def _staging(out: Path) -> Iterator[Path]:
    """Give a folder beside `out`; its files move into `out`, the manifest last, only if the block ends well."""
    out = out.resolve()
    if out.exists() and not out.is_dir():
        raise ModelBuildError(f"{out} is not a folder", "give another one with --out DIR")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as name:
        staging = Path(name)
        yield staging
        out.mkdir(exist_ok=True)
        for file in sorted(staging.iterdir(), key=lambda file: (file.name == manifest.FILE_NAME, file.name)):
            file.replace(out / file.name)
