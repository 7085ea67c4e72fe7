"""An ONNX graph in ONNX Runtime, and the library's reasons if it cannot load or run it."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime

from model_build import lfs, onnx_file
from model_build.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Array = npt.NDArray[Any]

KEEPS_NO_FLOATS: Final = "WeightBiasQuantization"
"""An optimisation of onnxruntime that converts float weights between integer layers to integers. The function and
these checks disable it, so that the layers that the manifest lists as float32 are computed in float32."""

ONNX_ALONE: Final = ("session.load_model_format", "ONNX")
"""A session option. Otherwise ONNX Runtime decides by the first bytes, and a file can be one model in ONNX and another
in ORT format."""

_FLOAT_PRODUCTS: Final = ("session.qdq_matmulnbits_accuracy_level", "1")
"""A session option. Otherwise products of float activations and weights that are stored as integers are computed in 8
bits. The function sets it, too."""

_REASON_CHARACTERS = 300
_STATUS = re.compile(r"\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ")
_SOURCE_LINE = re.compile(r"\S+\.(?:cc|h):\d+ (?:(?:[\w:<>&*]+ )?[\w:<>~]+\((?:[^()]|\([^()]*\))*\)(?: const)?|\w+) ")
"""A line of ONNX Runtime's source, with the signature or name of its function."""


class RunError(Exception):
    """The graph does not run on an input; the message is ONNX Runtime's reason, in one line."""


class Session:
    """A loaded ONNX file. `inputs` and `outputs` have names, types and shapes as onnxruntime reports them.

    It runs on `threads` threads; 0 means one for each processor. With `exact`, products of 8-bit integers are exact on
    every processor, but slower; otherwise x86-64 processors without VNNI saturate large sums.
    """

    def __init__(self, path: Path, *, threads: int = 0, exact: bool = False) -> None:
        """Raises `ContractError` if the file is not a model, or this version of ONNX Runtime cannot load it."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        if exact:
            options.add_session_config_entry("session.x64quantprecision", "1")
        # Threads that wait busily take the time of the others on a machine that builds something else at once.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4  # onnxruntime's own lines on stderr would say it a second time.
        # As the deployed function loads it: the graph's bytes, and no further files with weights.
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
        options.add_session_config_entry(*ONNX_ALONE)
        options.add_session_config_entry(*_FLOAT_PRODUCTS)
        graph = path.read_bytes()
        onnx_file.require_onnx(path.name, graph)
        try:
            self._session = onnxruntime.InferenceSession(
                graph,
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=[KEEPS_NO_FLOATS],
                enable_fallback=False,  # It would print the reason, and try a second time.
            )
        except Exception as error:  # onnxruntime's errors share no base class
            raise _not_loaded(path.name, graph, error) from error
        self.name = path.name
        self.path = path
        self.inputs: list[Any] = self._session.get_inputs()
        self.outputs: list[Any] = self._session.get_outputs()

    def run(self, outputs: Sequence[str], feed: tuple[str, Array]) -> list[Array]:
        """The values of `outputs` for one named input. Raises `RunError`."""
        options = onnxruntime.RunOptions()
        options.log_severity_level = 4
        try:
            return [np.asarray(each) for each in self._session.run(list(outputs), dict([feed]), options)]
        except Exception as error:  # As above.
            raise RunError(_said(error)) from error


def _said(error: Exception) -> str:
    """The message of an ONNX Runtime error in one line, without the position in its source."""
    text = _SOURCE_LINE.sub("", _STATUS.sub("", str(error))).replace(f"{os.devnull}/", "")
    line = " ".join(text.split()).removesuffix(".")
    return "".join(character for character in line if character.isprintable())[:_REASON_CHARACTERS]


def _not_loaded(name: str, graph: bytes, error: Exception) -> ContractError:
    said = _said(error)
    why, step = "", "give a complete ONNX model"
    if lfs.is_pointer(graph):
        why, step = " (it is a Git LFS pointer, not the file)", lfs.FETCH
    elif not graph:
        why = " (the file is empty)"
    elif "External data" in said:
        why = " (its weights are in a second file)"
        step = "save it with its weights inside: in Python, `onnx.save(onnx.load(FILE), OTHER_FILE)`"
    elif "version" in said or "opset" in said:
        step = "export it again with an older operator set, or with an older version of its exporter"
    return ContractError(f"{name} cannot be loaded by ONNX Runtime {onnxruntime.__version__}: {said}{why}", step)
