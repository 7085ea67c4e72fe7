"""Writes the int8 variant of a float32 model directory, with the measured agreement in its manifest."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from model_build import agreement, answers, check, images, integers, manifest, onnx_file
from model_build.build import staged
from model_build.contract import Classifier, check_contract
from model_build.errors import ContractError
from model_build.precision import LEAST_SPEED, Calibration, Precision

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from model_build.answers import Expected
    from model_build.manifest import AnyManifest
    from model_build.precision import Activations

SYNTHETIC_NOTICE: Final = (
    "INT8, CALIBRATED ON SYNTHETIC PICTURES: the agreement of its answers with float32 on photos was not measured."
)


def quantise(
    out: Path,
    source: Path,
    *,
    photos: Path | None,
    activations: Activations = "uint8",
    speed_test: bool = True,
    expected: Sequence[Expected] = (),
    say: Callable[[str], None],
) -> AnyManifest:
    """Write the model directory `out`: the int8 variant of the float32 model directory `source`.

    The photos below `photos` are used for calibration and comparison; without them, synthetic pictures, and the
    manifest gets a notice. With `speed_test`, the variant must be `LEAST_SPEED` times as fast as float32. It must give
    the answers of `expected`. `say` gets one line for each step.

    Raises `AgreementError` or `SpeedError` if the variant is not good enough, and `ContractError` or `ModelBuildError`
    if the model cannot have one; then it writes nothing.
    """
    described = check.check_directory(source)
    _require_float32(source, described)
    if out.resolve() == source.resolve():
        raise ContractError(f"{out} is the model directory itself", "give another folder to write to")
    facts, graph = described.facts, source / described.onnx.file
    chosen = images.drawn(source, facts.input) if photos is None else images.given(photos, source, facts.input, say)
    with staged(out) as folder:
        path = folder / f"{Path(described.onnx.file).stem}.int8.onnx"
        say(f"Calibrating on {chosen.set} images")
        calibrating = list(chosen.calibrating())
        kept = integers.quantise(graph, path, facts, calibrating, activations=activations, say=say)
        check_contract(path, facts)
        say("Comparing with float32")
        reference = Classifier(graph, facts, threads=1)
        agreed = agreement.measure(reference, Classifier(path, facts, threads=1, exact=True), chosen, calibrating)
        say(
            f"Same best class on {agreed.top1:.1%} of {agreed.images} other {chosen.set} images, {agreed.top5:.1%} of"
            f" the five best; logits differ by at most {agreed.logits:.1%} of their range"
        )
        agreement.require(agreed)
        shutil.copyfile(source / described.labels.file, folder / described.labels.file)
        precision = Precision(
            name="int8",
            of=described.onnx.sha256,
            weights="int8",
            activations=activations,
            float=kept,
            calibration=Calibration(images=sum(map(len, calibrating)), set=chosen.set),
            agreement=agreed,
        )
        made = _written(described, path, precision)
        if speed_test:
            ratio = agreement.speed(source, folder)
            say(f"{ratio:.2f} times as fast as float32 on one thread")
            agreement.require_speed(ratio)
            agreed = agreed.model_copy(update={"speed": LEAST_SPEED})
            made = _written(described, path, precision.model_copy(update={"agreement": agreed}))
        answers.check(folder, made, expected, say)
        return made


def _require_float32(source: Path, described: AnyManifest) -> None:
    """Raise `ContractError` for a model that cannot have an int8 variant."""
    if described.precision is not None:
        raise ContractError(f"{source} computes in {described.precision.name} already", "give the float32 model")
    facts = described.facts
    for what, dtype in (("input", facts.input.dtype), ("output", facts.output.dtype)):
        if dtype != "float32":
            raise ContractError(
                f"{source} has an {what} of {dtype}: only models with float32 input and output are quantised",
                "export the model in float32, or serve it as it is",
            )
    if facts.output.classes == 1:
        raise ContractError(
            f"{source} has one class, so agreement on the best class cannot be measured", "serve it as it is"
        )


def _written(described: AnyManifest, graph: Path, precision: Precision) -> AnyManifest:
    """The manifest of the int8 variant `graph` of the model `described`, written beside it."""
    kept = ("name", "version", "trained", "weights", "formats", "decoding")
    made = manifest.of_facts(
        described.facts,
        described.labels,
        precision=precision,
        onnx=manifest.Onnx(
            file=graph.name,
            sha256=manifest.file_sha256(graph),
            bytes=graph.stat().st_size,
            opset=onnx_file.opset(graph),
        ),
        versions=described.versions | manifest.installed_versions("onnx", "onnxruntime"),
        notice=_notice(described.notice, synthetic=precision.agreement is None or precision.agreement.set != "given"),
        **{name: getattr(described, name) for name in kept},
    )
    graph.with_name(manifest.FILE_NAME).write_bytes(made.canonical())
    return made


def _notice(said: str | None, *, synthetic: bool) -> str | None:
    return " ".join(filter(None, (said, SYNTHETIC_NOTICE if synthetic else None))) or None
