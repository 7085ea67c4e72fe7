"""Answers of the deployed function for image files, to check a model before it is served."""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blindsight.files import read
from enclave_function.bundle import BundleError
from enclave_function.bundle.builder import contents

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def of_images(model: Path, images: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Yield the function's answers for `images`, with all classes; the function is loaded into this process.

    Raises `BundleError`.
    """
    with tempfile.TemporaryDirectory(prefix="function-") as name:
        for entry, content in contents(model).items():
            path = Path(name) / entry
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        sys.path.insert(0, name)
        try:
            function = importlib.import_module("app")
            limit = importlib.import_module("photo_classifier.decode").MAX_BYTES
        except Exception as error:
            raise BundleError(f"The function does not take the model: {error}", "Build the model again.") from error
        classes = function.ready()["classes"]
        for image in images:
            try:
                yield function.classify(read(image, limit), top_k=classes)
            except OSError as error:
                raise BundleError(f"{image} cannot be read: {error.strerror}.", "Check the path.") from error
            except Exception as error:
                raise BundleError(f"{image} cannot be classified: {error}", "Give another image.") from error
