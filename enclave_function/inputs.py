"""Input tensors that the deployed function computes for image files, to calibrate a model."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blindsight.files import read
from enclave_function.bundle import BundleError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SOURCE = Path(__file__).resolve().parent


def of_images(model: Path, images: Sequence[Path]) -> Iterator[bytes | str]:
    """The input tensor of each of `images` for the model directory `model`: its size, layout and numbers.

    Yields the reason, in one sentence, for an image that cannot be classified; it does not affect the others. Every
    format that the function can decode is accepted, whether or not the manifest lists it. Raises `BundleError`.
    """
    sys.path.insert(0, str(_SOURCE))
    manifest, decode, formats = (
        importlib.import_module(f"photo_classifier.{name}") for name in ("manifest", "decode", "formats")
    )
    try:
        files: Any = manifest.read(model)
    except manifest.ModelError as error:
        raise BundleError(f"The function does not take the model: {error}", "Build the model again.") from error
    for image in images:
        try:
            picture = decode.picture(
                read(image, decode.MAX_BYTES), taken=formats.DECODABLE, least_side=files.least_side
            )
        except OSError as error:
            yield f"It cannot be read: {error.strerror}."
        except decode.InputProblem as error:
            yield str(error)
        else:
            yield files.input.of_picture(picture, files.preprocessing).tobytes()
