"""Graph rewriting that changes nothing but speed, done once at build time.

Dead nodes removed, then onnxruntime's *basic* level: constant folding, BatchNormalization folded into convolutions,
identity nodes removed. Higher levels also choose memory layouts for the CPU they run on and belong to the machine that
serves the model. torch's present exporter already folds BatchNormalization itself; graphs of older exporters gain more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import onnxruntime

from model_build.errors import ContractError
from model_build.session import ONNX_ALONE

if TYPE_CHECKING:
    from pathlib import Path


def optimise(source: Path, target: Path, *, fold_integers: bool = False) -> None:
    """Write the optimised graph of the ONNX file `source` to `target`.

    The result contains only standard operators, so it runs on any hardware and ONNX runtime. With `fold_integers`,
    weights stored as integers are converted to the floats that they represent. Raises `ContractError` if the result
    would contain other operators.
    """
    # The format is stated everywhere: by default it depends on the file's name and its first bytes.
    model = onnx.load(source, format="protobuf")
    _remove_dead_nodes(model.graph)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    options.log_severity_level = 3
    options.add_session_config_entry(*ONNX_ALONE)
    options.add_session_config_entry("session.save_model_format", "ONNX")
    if fold_integers:
        # Otherwise DequantizeLinear of a constant is kept, for operators on integers.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    model = onnx.load(target, format="protobuf")
    special = sorted(
        {f"{node.domain}.{node.op_type}" for node in model.graph.node if node.domain not in {"", "ai.onnx"}}
    )
    if special:
        raise ContractError(
            f"the optimised graph has non-standard operators: {', '.join(special)}",
            "build with `python -m model_build build --plain --out DIR`",
        )
    strip_metadata(model)
    target.write_bytes(model.SerializeToString(deterministic=True))


def _remove_dead_nodes(graph: onnx.GraphProto) -> None:
    """Remove the nodes that no output depends on; onnxruntime keeps them."""
    needed = {output.name for output in graph.output}
    for node in reversed(list(graph.node)):  # Nodes stand in order of computation (onnx.proto3).
        if needed.isdisjoint(node.output):
            graph.node.remove(node)
        else:
            needed |= _reads(node)


def _reads(node: onnx.NodeProto) -> set[str]:
    """The names that `node` reads, those of its branches and loop bodies included."""
    inner = (child for attribute in node.attribute for child in attribute.g.node)
    return set(node.input).union(*map(_reads, inner))


def strip_metadata(model: onnx.ModelProto) -> None:
    """Remove what does not compute: documentation, stack traces with this machine's paths, unused operator sets.

    The producer's version goes too: torch's names the index its wheel came from. The manifest has the versions.
    """
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    model.ClearField("producer_version")
    used = {node.domain for node in graph.node} | {""}
    kept = [opset for opset in model.opset_import if opset.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
