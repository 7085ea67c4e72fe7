"""The ONNX model in warm ONNX Runtime sessions, one for each number of threads.

A session's thread pool has a fixed size. A single caller's image runs on a session with one thread for each processor;
concurrent images each run on a session with one thread. They share weights as `load` describes.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from photo_classifier.problems import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from photo_classifier.contract import Array
    from photo_classifier.manifest import ModelFiles

_PROVIDERS = ["CPUExecutionProvider"]
_GRAPH, _WEIGHTS = "model.onnx", "model.weights"
_ONNX_ALONE = ("session.load_model_format", "ONNX")
"""Otherwise ONNX Runtime decides by the first bytes, and a file can be one model in ONNX and another in ORT format."""

_FLOAT_PRODUCTS = ("session.qdq_matmulnbits_accuracy_level", "1")
"""Otherwise products of float activations and weights that are stored as integers are computed in 8 bits."""

_LOG_ERRORS = 3
_SUMMED = 32
_PRODUCT = bytes.fromhex(
    "08083a620a180a01610a0162120163220d4d61744d756c496e74656765721201705a150a016112100a0e0802120a0a031201"
    "6e0a0312016b5a150a016212100a0e0803120a0a0312016b0a0312016d62150a016312100a0e0806120a0a0312016e0a0312"
    "016d42040a001011"
)
"""An ONNX graph: the MatMulInteger of `a`, uint8, and `b`, int8. A test generates it again."""

DISABLED_OPTIMIZERS: Final = ["WeightBiasQuantization"]
"""An optimisation of ONNX Runtime that converts float weights between integer layers to integers, which the graph
does not state."""

_SHARE_FROM_BYTES = 1024
"""Initializers below this size stay in the graph's file; mapping them would save nothing."""


class Model:
    """Warm sessions of one model; `thread_counts` in ascending order."""

    def __init__(self, files: ModelFiles, graph: Path | bytes, thread_counts: Sequence[int]) -> None:
        self._input, self._output = files.input, files.output
        self._sessions = {threads: _session(graph, threads) for threads in sorted(set(thread_counts))}
        self.thread_counts = tuple(self._sessions)
        zeros = files.input.of_bytes(bytes(files.input.byte_count))
        for threads in self.thread_counts:
            # The first run allocates and plans; no caller should wait for that.
            self.logits(zeros, threads=threads)

    def logits(self, tensors: Array, *, threads: int) -> npt.NDArray[np.float32]:
        """Run `tensors`, (N, ...) as `Input` states, on at most `threads` threads; returns float32 (N, classes).

        Uses the session with the most threads up to `threads`, or else the smallest one. A graph with a fixed batch
        size runs as often as necessary. Raises `ModelError` if the graph does not match its manifest.
        """
        fitting = [count for count in self.thread_counts if count <= threads]
        session = self._sessions[fitting[-1] if fitting else self.thread_counts[0]]
        batch = self._input.batch
        if not batch:
            return self._run(session, tensors)
        parts = [tensors[start : start + batch] for start in range(0, len(tensors), batch)]
        return np.concatenate([self._run(session, _filled(part, batch))[: len(part)] for part in parts])

    def _run(self, session: ort.InferenceSession, tensors: Array) -> npt.NDArray[np.float32]:
        try:
            (values,) = session.run([self._output.name], {self._input.name: tensors})
        except Exception as error:  # ONNX Runtime's exceptions have no common base class.
            raise ModelError(f"ONNX Runtime cannot run the model: {error}") from error
        values = np.asarray(values)
        # Some graphs keep the two axes that their last pooling reduced to 1.
        if values.shape[:1] != (len(tensors),) or values.size != len(tensors) * self._output.classes:
            raise ModelError("the model's output is not (N, classes) as model.json says")
        if values.dtype.name != self._output.dtype:
            raise ModelError(f"the model's output is not {self._output.dtype} as model.json says")
        return values.reshape(len(tensors), self._output.classes).astype(np.float32, copy=False)


def _filled(tensors: Array, batch: int) -> Array:
    """`tensors`, followed by zeros up to `batch`."""
    return np.concatenate([tensors, np.zeros((batch - len(tensors), *tensors.shape[1:]), dtype=tensors.dtype)])


def load(files: ModelFiles, *, thread_counts: Sequence[int] = (1,), shared: Path | None = None) -> Model:
    """Create and warm up one session for each of `thread_counts`. Raises `ModelError`.

    ONNX Runtime optimises the graph for the processor and keeps rearranged weights in private memory, once for each
    session (100 MB for ResNet50). With a folder `shared`, the first session writes the optimised graph there, and all
    sessions of all processes map it: one copy for all, and a session loads in 20 ms instead of 300. Outputs are
    identical to the last bit. These files are not checked and fit only this processor: the folder must be new at each
    boot, and only the processes of this function's runtime and workers may write to it.

    The manifest contains the digest of one file, so a graph must not refer to further files with weights: ONNX Runtime
    gets the graph's bytes, and searches for such files in a place that has none.
    """
    try:
        graph = files.onnx.read_bytes() if shared is None else _prepared(files, shared)
        model = Model(files, graph, thread_counts)
    except OSError as error:
        raise ModelError(f"the folder for shared weights cannot be used: {error}") from error
    _return_free_memory()
    return model


def _session(graph: Path | bytes, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that spin while they wait are quicker for a caller who has the machine to himself, and only for him.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if threads > 1 else "0")
    # Only within a run: for some ten milliseconds after it they would keep the next image's second thread waiting.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    # The arena would keep the memory of the largest batch ever seen; the system's allocator is as fast and returns it.
    options.enable_cpu_mem_arena = False
    return create_session(graph, options)


def create_session(graph: Path | bytes, options: ort.SessionOptions) -> ort.InferenceSession:
    """A session on the processor that computes what the graph states; `options` determine all else.

    Integer products are exact, float weights remain float, and float activations are multiplied as floats. `graph`: a
    file in ONNX format, or the bytes of one without external data. Modifies `options`. Raises `ModelError`.
    """
    options.log_severity_level = _LOG_ERRORS
    options.add_session_config_entry(*_ONNX_ALONE)
    options.add_session_config_entry(*_FLOAT_PRODUCTS)
    if _cuts_sums():
        options.add_session_config_entry("session.x64quantprecision", "1")
    if isinstance(graph, bytes):
        # Without this it would look in the working folder, which is the bundle's.
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
    try:
        return ort.InferenceSession(
            graph if isinstance(graph, bytes) else str(graph),
            options,
            providers=_PROVIDERS,
            disabled_optimizers=DISABLED_OPTIMIZERS,
            # It would print the reason of a failure, with names of the graph, and try again with the same provider.
            enable_fallback=False,
        )
    except Exception as error:  # As above.
        raise ModelError(f"ONNX Runtime cannot load the model: {error}") from error


@functools.cache
def _cuts_sums() -> bool:
    """Whether ONNX Runtime's fast product of uint8 and int8 saturates large sums on this processor.

    x86-64 processors without VNNI add pairs of products in 16 bits, so answers would depend on the processor. An option
    then selects a slower, exact product.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry(*_ONNX_ALONE)
    session = ort.InferenceSession(_PRODUCT, options, providers=_PROVIDERS)
    (sums,) = session.run(
        None, {"a": np.full((_SUMMED, _SUMMED), 255, np.uint8), "b": np.full((_SUMMED, _SUMMED), 127, np.int8)}
    )
    return bool((sums != 255 * 127 * _SUMMED).any())


def _prepared(files: ModelFiles, shared: Path) -> Path:
    """The optimised graph of `files` in `shared`, written there if it does not exist."""
    key = hashlib.sha256(f"{files.manifest['onnx']['sha256']} {ort.__version__}".encode()).hexdigest()
    place = shared / key
    if not place.is_dir():
        shared.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=shared, prefix="draft-"))
        try:
            options = ort.SessionOptions()
            options.intra_op_num_threads = 1
            options.optimized_model_filepath = str(draft / _GRAPH)
            entry = "session.optimized_model_external_initializers_"
            options.add_session_config_entry(f"{entry}file_name", _WEIGHTS)
            options.add_session_config_entry(f"{entry}min_size_in_bytes", str(_SHARE_FROM_BYTES))
            create_session(files.onnx.read_bytes(), options)
            try:
                draft.rename(place)
            except OSError:
                # Another worker was faster. Its files are the same; a rename replaces no folder that has files in it.
                if not place.is_dir():
                    raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return place / _GRAPH


def _return_free_memory() -> None:
    """Return freed memory to the system: 140 MB after loading ResNet50, which glibc would keep."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
