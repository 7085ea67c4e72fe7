"""From a float32 model directory to one of its int8 variant, whose manifest states how far the two agree."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from model_build import agreement, check, images, integers, manifest, onnx_file
from model_build.build import staged
from model_build.contract import Classifier, check_contract
from model_build.errors import ContractError
from model_build.precision import LEAST_SPEED, Calibration, Precision

if TYPE_CHECKING:
    from collections.abc import Callable

    from model_build.manifest import Manifest
    from model_build.precision import Activations

SYNTHETIC_NOTICE: Final = (
    "INT8, CALIBRATED ON SYNTHETIC PICTURES: how far its answers agree with float32's on photos was not measured."
)


def quantise(
    out: Path,
    source: Path,
    *,
    photos: Path | None,
    activations: Activations = "uint8",
    speed_test: bool = True,
    say: Callable[[str], None],
) -> Manifest:
    """Write the model directory `out`: the int8 variant of the float32 one `source`.

    Calibrated and compared on the folder `photos`, or without one on drawn pictures, which its notice then says.
    `say` is told each step. Raises `AgreementError` or `SpeedError` where the variant is not worth having,
    `ContractError` or `ModelBuildError` where there can be none, and then writes nothing.
    """
    described = check.check_directory(source)
    if described.precision is not None:
        raise ContractError(f"{source} computes in {described.precision.name} already", "give the float32 model")
    if out.resolve() == source.resolve():
        raise ContractError(f"{out} is the model directory itself", "give another folder to write to")
    chosen = images.drawn(described.preprocessing) if photos is None else images.given(photos, described.preprocessing)
    graph = source / described.onnx.file
    with staged(out) as folder:
        path = folder / f"{Path(described.onnx.file).stem}.int8.onnx"
        say(f"Calibrating on {chosen.set} images")
        calibrating = list(chosen.calibrating())
        kept = integers.quantise(graph, path, calibrating, activations, say)
        check_contract(path)
        say("Comparing with float32")
        reference = Classifier(graph, threads=1)
        agreed = agreement.measure(reference, Classifier(path, threads=1, exact=True), chosen)
        say(
            f"Same best class on {agreed.top1:.1%} of {agreed.images} other {chosen.set} images, {agreed.top5:.1%} of"
            f" the five best; logits differ by at most {agreed.logits:.1%} of their range"
        )
        agreement.require(agreed)
        if speed_test:
            ratio = agreement.speed(reference, Classifier(path, threads=1))
            say(f"{ratio:.2f} times as fast as float32 on one thread")
            agreement.require_speed(ratio)
            agreed = agreed.model_copy(update={"speed": LEAST_SPEED})
        shutil.copyfile(source / described.labels.file, folder / described.labels.file)
        made = described.model_copy(
            update={
                "format": manifest.FORMAT_2,
                "onnx": manifest.Onnx(
                    file=path.name,
                    sha256=manifest.file_sha256(path),
                    bytes=path.stat().st_size,
                    opset=onnx_file.opset(path),
                ),
                "precision": Precision(
                    name="int8",
                    of=described.onnx.sha256,
                    weights="int8",
                    activations=activations,
                    float=kept,
                    calibration=Calibration(images=sum(map(len, calibrating)), set=chosen.set),
                    agreement=agreed,
                ),
                "versions": described.versions | manifest.installed_versions("onnx", "onnxruntime"),
                "notice": _notice(described.notice, synthetic=photos is None),
            }
        )
        (folder / manifest.FILE_NAME).write_bytes(made.canonical())
        return made


def _notice(said: str | None, *, synthetic: bool) -> str | None:
    return " ".join(filter(None, (said, SYNTHETIC_NOTICE if synthetic else None))) or None
