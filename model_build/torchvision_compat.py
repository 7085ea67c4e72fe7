"""Import torchvision beside any torch.

torchvision's module body registers fake kernels for its detection operators, which its compiled extension defines. The
extension of the wheel on PyPI needs CUDA libraries; beside a CPU-only torch it does not load, and the import fails with
`operator torchvision::nms does not exist`. ResNet50 uses none of these operators, so declaring their schemas is enough.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
"""From torchvision/csrc/ops/nms.cpp."""


@functools.cache
def import_torchvision() -> Any:  # noqa: ANN401 - torchvision ships no types
    """Import and return `torchvision`. Does nothing else where its own extension defines the operators."""
    _declare_missing_operators()
    return importlib.import_module("torchvision")


@functools.cache
def _declare_missing_operators() -> torch.library.Library | None:
    """Declare the schemas; the cached result keeps them alive, since they go with their `Library` object."""
    import torch  # noqa: PLC0415 - a start without torch must be able to import this module

    _load_extension()
    missing = [schema for name, schema in _SCHEMAS.items() if not hasattr(torch.ops.torchvision, name)]
    if not missing:
        return None
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]  # torch does not type it
    for schema in missing:
        library.define(schema)  # type: ignore[no-untyped-call]  # as above
    return library


def _load_extension() -> None:
    """Load torchvision's extension as torchvision itself would, without importing torchvision yet."""
    import torch  # noqa: PLC0415 - as above

    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("No module named 'torchvision'", name="torchvision")
    for extension in Path(spec.origin).parent.glob("_C*.so"):
        try:
            torch.ops.load_library(str(extension))  # type: ignore[no-untyped-call]  # as above
        except OSError:
            return  # The case this module is for: the operators stay undefined and are declared instead.
