"""Facts from files of the Hugging Face hub beside an ONNX file: `config.json` and `preprocessor_config.json`.

Exports of transformers (Optimum) have both; timm's models have a `config.json` with `pretrained_cfg`. They contain
labels, whether the model is multi-label, and the transform. Options override them; unsupported values are refused.
Sources: the image processors of transformers, `timm.data.create_transform`.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final

from blindsight import strict_json
from model_build.errors import ContractError
from model_build.told import Told

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from model_build.general import Divisors, Size, Triple

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"

_FILTERS = {2: "bilinear", 3: "bicubic", "bilinear": "bilinear", "bicubic": "bicubic"}
"""By Pillow's number of the filter, and by timm's name."""

_PROCESSOR = re.compile(
    r"(?:(?P<family>ViT|DeiT|Beit|ConvNext|EfficientNet|MobileViT|MobileNetV[12]|CLIP|Siglip|Bit)"
    r"(?:ImageProcessor(?:Fast|Pil)?|FeatureExtractor))?"
)
"""Image processors whose transform `_transformers` implements."""

_EDGE: Final = {"default_to_square": False}
_CROPS: Final = {"do_center_crop": True}
_DEFAULTS: Final[dict[str, dict[str, bool]]] = {
    "ViT": {},
    "DeiT": _CROPS,
    "Beit": {},
    "ConvNext": _EDGE,
    "EfficientNet": {"include_top": True},
    "MobileViT": _EDGE | _CROPS | {"do_flip_channel_order": True},
    "MobileNetV1": _EDGE | _CROPS,
    "MobileNetV2": _EDGE | _CROPS,
    "CLIP": _EDGE | _CROPS,
    "Siglip": _EDGE,
    "Bit": _EDGE | _CROPS,
}
"""Class attributes of the processors in transformers 5.24, which apply if a file leaves a member out or gives null.

`default_to_square`: what one number as `size` means, both sides or the shorter one.
"""

_ON: Final = {"do_resize": True, "do_rescale": True, "do_normalize": True}
"""Defaults of all of them."""

_CONVNEXT_SQUASHES_FROM = 384
"""From this side in pixels on, transformers' ConvNeXT preprocessing squashes instead of cropping."""


def beside(source: Path) -> tuple[Told, tuple[str, ...] | None, tuple[Path, ...]]:
    """Facts from the files beside `source`, labels in class order (None if they name none), and the files' paths.

    For a graph in a folder `onnx` also the files in the folder above. Raises `ContractError`.
    """
    folders = [source.parent, *([source.parent.parent] if source.parent.name == "onnx" else [])]
    found = {
        name: path for name in (PREPROCESSOR, CONFIG) for folder in folders[::-1] if (path := folder / name).is_file()
    }
    contents = {name: _read(path) for name, path in found.items()}
    config, preprocessor = contents.get(CONFIG, {}), contents.get(PREPROCESSOR, {})
    try:
        told = _transformers(preprocessor).over(_timm(config.get("pretrained_cfg") or {}))
        if config.get("problem_type") == "multi_label_classification":
            told = Told(activation="sigmoid").over(told)
        return told, _labels(config), tuple(found.values())
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        places = ", ".join(map(str, found.values()))
        raise ContractError(
            f"{places} cannot be followed: {error}", "move the files away and say it with `model build --resize N`"
        ) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        content = strict_json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ContractError(f"{path} cannot be read: {error}", "remove it, or put it right") from error
    if not isinstance(content, dict):
        raise ContractError(f"{path} is no object", "remove it, or put it right")
    return content


def _labels(config: Mapping[str, Any]) -> tuple[str, ...] | None:
    named = config.get("id2label")
    if named is not None:
        labels = {int(index): str(label) for index, label in named.items()}
        return tuple(labels[index] for index in range(len(labels))) or None
    listed = config.get("label_names")
    return tuple(map(str, listed)) if listed else None


def _transformers(config: Mapping[str, Any]) -> Told:
    """Facts from an image processor of transformers. Raises `ValueError`, `KeyError` for an unsupported one."""
    if not config.keys() & {"image_mean", "do_resize", "do_rescale", "do_normalize", "size"}:
        return Told()
    kind = str(config.get("image_processor_type") or config.get("feature_extractor_type") or "")
    known = _PROCESSOR.fullmatch(kind)
    if known is None:
        raise ValueError(f"the transform of {kind!r} is not known here")
    family = _family(known["family"], config)
    config = _ON | _DEFAULTS.get(family, {}) | {name: value for name, value in config.items() if value is not None}
    if config.get("do_pad"):
        raise ValueError("pictures are padded")
    size, resize = _sizes(config, family)
    scale, mean, std = _normalisation(config, family)
    flipped = family == "MobileViT" and config["do_flip_channel_order"]
    return Told(
        size=size,
        resize=resize,
        interpolation=_filter(config.get("resample")),
        channels="BGR" if flipped else "RGB",
        scale=scale,
        mean=mean,
        std=std,
    )


def _family(named: str | None, config: Mapping[str, Any]) -> str:
    """The family of the image processor; of one that is not named, if it has members that only one family has."""
    if named:
        return named
    for family, members in (
        ("EfficientNet", {"include_top", "rescale_offset"}),
        ("MobileViT", {"do_flip_channel_order"}),
        ("ConvNext", {"crop_pct"}),
    ):
        if config.keys() & members:
            return family
    return ""


def _normalisation(config: Mapping[str, Any], family: str) -> tuple[float, Triple, Divisors]:
    """Scale, mean and standard deviation."""
    scale = float(config.get("rescale_factor", 1 / 255)) if config["do_rescale"] else 1.0
    zeros, ones = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if family == "MobileViT":
        return scale, zeros, ones  # It knows no other, whatever the file has.
    normalised = config["do_normalize"]
    mean, std = (_three(config["image_mean"]), _three(config["image_std"])) if normalised else (zeros, ones)
    if family == "EfficientNet":
        if config["do_rescale"] and config.get("rescale_offset"):
            # 1 is subtracted before they are normalised.
            mean = mean[0] + 1, mean[1] + 1, mean[2] + 1
        if config["include_top"]:
            # They are divided again, without a mean. Google's have the roots of ImageNet's standard deviations.
            again = _three(config["image_std"])
            std = std[0] * again[0], std[1] * again[1], std[2] * again[2]
    return scale, mean, std


def _sizes(config: Mapping[str, Any], family: str) -> tuple[Size | None, int | Size | None]:
    """The input's size, and the size or shorter side before the centre is cropped. Raises `ValueError`."""
    if not config["do_resize"]:
        raise ValueError("pictures are not resized by it")
    size = config["size"]
    crop = _pair(config["crop_size"]) if config.get("do_center_crop") else None
    if not isinstance(size, dict):
        if not family and crop is not None:
            raise ValueError("its size is one number, of the shorter side or of a square")
        square = config.get("default_to_square", True)
        size = {"height": size, "width": size} if square else {"shortest_edge": size}
    named = {name for name, value in size.items() if value is not None}
    if named == {"shortest_edge"}:
        edge = int(size["shortest_edge"])
        if family == "ConvNext":
            # It always crops to the edge that it names, or squashes.
            if edge >= _CONVNEXT_SQUASHES_FROM:
                return (edge, edge), (edge, edge)
            return (edge, edge), int(edge / config.get("crop_pct", 224 / 256))
        if crop is None:
            raise ValueError("pictures keep their shape, and are not cropped")
        return crop, edge
    if named != {"height", "width"} or family == "ConvNext":
        raise ValueError(f"its size has {', '.join(sorted(named)) or 'nothing'}")
    resized = _pair(size)
    return crop or resized, resized


def _pair(size: Any) -> Size:  # noqa: ANN401 -- JSON
    return (int(size["height"]), int(size["width"])) if isinstance(size, dict) else (int(size), int(size))


def _timm(config: Mapping[str, Any]) -> Told:
    """Facts from timm's evaluation transform (`timm.data.create_transform`). Raises `ValueError`."""
    if not config:
        return Told()
    channels, height, width = config["input_size"]
    if channels != 3:
        raise ValueError(f"pictures have {channels} channels")
    mode, fraction = config.get("crop_mode") or "center", float(config.get("crop_pct") or 0.875)
    resize: int | Size
    if mode == "squash":
        resize = (math.floor(height / fraction), math.floor(width / fraction))
    elif mode == "center" and height == width:
        resize = math.floor(height / fraction)
    else:
        raise ValueError(f"pictures of {height}x{width} are cropped in the mode {mode}")
    return Told(
        size=(height, width),
        resize=resize,
        interpolation=_filter(config.get("interpolation") or "bilinear"),
        channels="RGB",
        scale=1 / 255,
        mean=_three(config["mean"]),
        std=_three(config["std"]),
    )


def _filter(name: object) -> Any:  # noqa: ANN401 -- one of `Interpolation`
    if name not in _FILTERS:
        raise ValueError(f"pictures are resampled by {name!r}; the service knows bilinear and bicubic")
    return _FILTERS[name]


def _three(numbers: Any) -> tuple[float, float, float]:  # noqa: ANN401 -- JSON
    first, second, third = map(float, numbers)
    return first, second, third
