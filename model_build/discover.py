"""Determines input and output of a classifier: from its graph, by running it, or from options; the rest is assumed.

If two interpretations are possible, `ContractError` names the option that decides. Assumptions are reported.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, get_args

from pydantic import ValidationError

from model_build import onnx_file, probes, transforms
from model_build.contract import names
from model_build.errors import ContractError
from model_build.general import Facts, Input, Layout, Output
from model_build.session import RunError

if TYPE_CHECKING:
    from collections.abc import Callable

    from model_build.general import Activation, AppliedBy, Size
    from model_build.session import Array, Session
    from model_build.told import Told

_SIZES: Final = (224, 384, 256, 299, 448, 512, 240, 260, 288, 300, 320, 380, 456, 528, 600, 192, 160, 128, 96, 64, 32)
"""Sides in pixels that are tried in this order if the graph leaves them open: those of published classifiers."""

_INPUT_DTYPES: Final[dict[str, Literal["float32", "float16", "uint8"]]] = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(uint8)": "uint8",
}
_OUTPUT_DTYPES: Final[dict[str, Literal["float32", "float16"]]] = {"float32": "float32", "float16": "float16"}

_BACKGROUND_CLASSES: Final = 1001
"""ImageNet's 1000 classes after a background class, as in networks trained with TensorFlow."""


_LINEAR: Final = frozenset({"Add", "Conv", "Gemm", "MatMul"})
"""Operators whose results are logits, whatever their range."""

_TRIES: Final = 4


@dataclass
class Found:
    """Facts of a classifier. `assumed`: one sentence for each assumption, with the option that changes it."""

    facts: Facts
    assumed: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Lines for the user: facts and assumptions."""
        given, taken, output = self.facts.input, self.facts.preprocessing, self.facts.output
        batch = "any batch" if given.batch == "free" else f"a batch of {given.batch}"
        scores = "computed by the graph" if output.applied_by == "graph" else "applied by the function"
        offset = f", the first {self.facts.offset} without a label" if self.facts.offset else ""
        return [
            f"Input:   `{given.name}` {given.layout} {_by(given.size)} {given.dtype}, {batch}",
            f"Picture: {transforms.described(taken)}",
            f"Output:  `{output.name}` {output.dtype}, {output.classes} classes{offset}, {output.activation} {scores}",
            *(f"Assumed: {each}" for each in self.assumed),
        ]


def discover(session: Session, told: Told, labels: int) -> Found:
    """Determine input, transform and output of the graph in `session`.

    `told` has facts that were given; `labels` is the number of labels. Raises `ContractError`.
    """
    return _Discovery(session, told, labels).found()


class _Discovery:
    def __init__(self, session: Session, told: Told, labels: int) -> None:
        self._session, self._told, self._labels = session, told, labels
        self._assumed: list[str] = []

    def found(self) -> Found:
        given, outputs = self._input()
        name, values = self._output(outputs)
        dtype = _OUTPUT_DTYPES[values.dtype.name]
        classes = int(values.shape[1])
        activation, applied_by = self._activation(given, name, values)
        offset = self._offset(classes)
        try:
            taken, assumed = transforms.settled(self._told, given)
        except ValidationError as error:
            self._refuse(error.errors()[0]["msg"].removeprefix("Value error, "), "see `model build --resize N`")
        output = Output(name=name, classes=classes, activation=activation, applied_by=applied_by, dtype=dtype)
        return Found(Facts(given, taken, output, offset), [*self._assumed, *assumed])

    # The input

    def _input(self) -> tuple[Input, dict[str, Array]]:
        """The input, and all outputs of one run with noise."""
        node = self._input_node()
        if node.type not in _INPUT_DTYPES:
            self._refuse(f"`{node.name}` is {node.type}, not float32, float16 or uint8", "convert it before")
        tried: list[tuple[Input, dict[str, Array]]] = []
        reason = ""
        for layout in self._layouts(node):
            for size in self._sizes(node, layout):
                given = self._described(node, layout, size)
                try:
                    tried.append((given, self._run(given)))
                    break
                except RunError as error:
                    reason = reason or f"it does not run on {_by(size)} {layout}: {error}"
        if not tried:
            self._refuse(reason, "say what it takes with `model build --layout NCHW --size HxW --batch N`")
        if len(tried) > 1:
            self._refuse(
                f"`{node.name}` {node.shape} runs as NCHW and as NHWC", "say which with `model build --layout NCHW`"
            )
        given, outputs = tried[0]
        if self._told.size is None and not self._declared(node, given.layout):
            self._assumed.append(f"{_by(given.size)} pictures, the graph leaves it open; or `model build --size HxW`")
        return given, outputs

    def _described(self, node: Any, layout: Layout, size: Size) -> Input:  # noqa: ANN401 -- onnxruntime's
        dtype, batch = _INPUT_DTYPES[node.type], self._batch(node)
        try:
            return Input(name=node.name, layout=layout, size=size, batch=batch, dtype=dtype)
        except ValidationError as error:
            said = error.errors()[0]["msg"].removeprefix("Value error, ")
            self._refuse(f"`{node.name}` of {batch} x {_by(size)} {layout}: {said}", "give a smaller size or batch")

    def _input_node(self) -> Any:  # noqa: ANN401 -- onnxruntime's, which is not typed
        inputs = self._session.inputs
        if self._told.input is not None and self._told.input not in {node.name for node in inputs}:
            self._refuse(f"it has no input `{self._told.input}`, but {names(inputs)}", "see `model build --input NAME`")
        if len(inputs) != 1:
            self._refuse(
                f"it takes {names(inputs) or 'nothing'}, and the service gives it a picture and nothing else",
                "export the part that takes a picture alone",
            )
        return inputs[0]

    def _layouts(self, node: Any) -> tuple[Layout, ...]:  # noqa: ANN401 -- as above
        shape = node.shape
        if len(shape) != 4:
            self._refuse(f"`{node.name}` has shape {shape}, not (N, 3, H, W) or (N, H, W, 3)", _OTHER_INPUT)
        axes = {"NCHW": shape[1], "NHWC": shape[3]}
        possible = tuple(
            layout for layout in get_args(Layout) if axes[layout] == 3 or not isinstance(axes[layout], int)
        )
        if self._told.layout is not None:
            if self._told.layout not in possible:
                self._refuse(f"`{node.name}` has shape {shape}, which is not {self._told.layout}", _OTHER_INPUT)
            return (self._told.layout,)
        if not possible:
            self._refuse(f"`{node.name}` has shape {shape}, not (N, 3, H, W) or (N, H, W, 3)", _OTHER_INPUT)
        sure = tuple(layout for layout in possible if axes[layout] == 3)
        return sure or possible

    def _declared(self, node: Any, layout: Layout) -> Size | None:  # noqa: ANN401 -- as above
        height, width = node.shape[2:] if layout == "NCHW" else node.shape[1:3]
        return (height, width) if isinstance(height, int) and isinstance(width, int) else None

    def _sizes(self, node: Any, layout: Layout) -> tuple[Size, ...]:  # noqa: ANN401 -- as above
        declared = self._declared(node, layout)
        if self._told.size is not None:
            if declared not in {None, self._told.size}:
                self._refuse(f"`{node.name}` has shape {node.shape}, not {_by(self._told.size)}", "leave the size out")
            return (self._told.size,)
        return (declared,) if declared else tuple((side, side) for side in _SIZES)

    def _batch(self, node: Any) -> int | Literal["free"]:  # noqa: ANN401 -- as above
        declared, told = node.shape[0], self._told.batch
        if not isinstance(declared, int):
            return told or "free"
        if told not in {None, declared}:
            self._refuse(f"`{node.name}` has shape {node.shape}, not a batch of {told}", "leave the batch out")
        return declared

    def _run(self, given: Input) -> dict[str, Array]:
        """Raises `RunError`."""
        outputs = [node.name for node in self._session.outputs]
        batch = probes.noise(given, 1 if given.batch == "free" else given.batch)
        return dict(zip(outputs, self._session.run(outputs, (given.name, batch)), strict=True))

    # The output

    def _output(self, outputs: dict[str, Array]) -> tuple[str, Array]:
        """Name and values (N, K) of the output with one value for each class."""
        rows: dict[str, Array] = {
            name: values.reshape(values.shape[:2])
            for name, values in outputs.items()
            if values.dtype.name in _OUTPUT_DTYPES
            and values.ndim >= 2
            and values.size == values.shape[0] * values.shape[1]
        }
        shapes = ", ".join(f"`{name}` {list(values.shape)}" for name, values in outputs.items())
        if self._told.output is not None:
            if self._told.output not in rows:
                self._refuse(
                    f"`{self._told.output}` is no output with a value for each class; it gives {shapes}",
                    "see `model build --output NAME`",
                )
            return self._told.output, rows[self._told.output]
        if not rows:
            self._refuse(f"it gives {shapes}: none is (N, number of classes) of float32 or float16", _OTHER_OUTPUT)
        fitting = [name for name, values in rows.items() if self._fits(values.shape[1])]
        chosen = fitting if len(rows) > 1 else list(rows)
        if len(chosen) != 1:
            self._refuse(
                f"it gives {shapes}, and which of them has the classes cannot be seen",
                "say which with `model build --output NAME`",
            )
        return chosen[0], rows[chosen[0]]

    def _fits(self, classes: int) -> bool:
        return classes - self._offset(classes) == self._labels

    def _offset(self, classes: int) -> int:
        if self._told.label_offset is not None:
            return self._told.label_offset
        return 1 if classes == _BACKGROUND_CLASSES and self._labels == classes - 1 else 0

    def _activation(self, given: Input, output: str, values: Array) -> tuple[Activation, AppliedBy]:
        told, by, single = self._told.activation, self._told.applied_by, values.shape[1] == 1
        operator = onnx_file.last_operator(self._session.path, output)
        inside: Activation | None = None
        if operator not in _LINEAR and self._always(probes.are_scores, given, output):
            if operator in {"Sigmoid", "HardSigmoid"}:
                inside = "sigmoid"
            elif not single and self._always(probes.are_probabilities, given, output):
                inside = "softmax"
            elif by is None:
                self._refuse(
                    f"`{output}` gives values of 0 to 1, and whether they are scores already cannot be seen",
                    "say who computes scores with `model build --applied-by graph`, or `function`",
                )
        if inside and told not in {None, inside} and by != "function":
            self._refuse(f"the graph ends in {inside}, not in {told}", "see `model build --activation NAME`")
        if single and told == "softmax":
            self._refuse(f"`{output}` has one value, of which softmax is always 1", "leave the activation out")
        if not (told or inside or single):
            self._assumed.append("one class is right (softmax); if several can be, `model build --activation sigmoid`")
        return told or inside or ("sigmoid" if single else "softmax"), by or ("graph" if inside else "function")

    def _always(self, are: Callable[[Array], bool], given: Input, output: str) -> bool:
        """Whether the output's values satisfy `are` for several inputs; for one input logits might by chance."""
        batch = 1 if given.batch == "free" else given.batch
        runs = (self._session.run([output], (given.name, probes.noise(given, batch, seed))) for seed in range(_TRIES))
        return all(are(values.reshape(batch, -1)) for (values,) in runs)

    def _refuse(self, reason: str, step: str) -> NoReturn:
        raise ContractError(f"{self._session.name} cannot be taken: {reason}", f"{step}; see docs/models.md")


_OTHER_INPUT: Final = "export it with pictures of three channels as its input"
_OTHER_OUTPUT: Final = "export it with the values of its classes as an output"


def _by(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
