"""Facts from files of the Hugging Face hub beside an ONNX file: `config.json` and `preprocessor_config.json`.

Exports of transformers (Optimum) have both; timm's models have a `config.json` with `pretrained_cfg`. They contain
labels, whether the model is multi-label, and the transform. Options override them; unsupported values are refused.
Sources: the image processors of transformers, `timm.data.create_transform`.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from blindsight import strict_json
from model_build.errors import ContractError
from model_build.told import Told

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from model_build.general import Size

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"

_FILTERS = {2: "bilinear", 3: "bicubic", "bilinear": "bilinear", "bicubic": "bicubic"}
"""By Pillow's number of the filter, and by timm's name."""

_PROCESSOR = re.compile(
    r"(?:(?:ViT|DeiT|Beit|ConvNext|EfficientNet|MobileViT|MobileNetV[12]|CLIP|Siglip|Bit)"
    r"(?:ImageProcessor(?:Fast|Pil)?|FeatureExtractor))?"
)
"""Image processors whose transform `_transformers` implements."""

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
    if not _PROCESSOR.fullmatch(kind):
        raise ValueError(f"the transform of {kind!r} is not known here")
    size, resize = _sizes(config)
    scale = float(config.get("rescale_factor", 1 / 255)) if config.get("do_rescale", True) else 1.0
    normalised = config.get("do_normalize", True)
    mean = _three(config["image_mean"]) if normalised else (0.0, 0.0, 0.0)
    std = _three(config["image_std"]) if normalised else (1.0, 1.0, 1.0)
    if config.get("rescale_offset"):
        # EfficientNet's: 1 is subtracted before they are normalised.
        mean = mean[0] + 1, mean[1] + 1, mean[2] + 1
    return Told(
        size=size,
        resize=resize,
        interpolation=_filter(config.get("resample")),
        channels="BGR" if config.get("do_flip_channel_order") else "RGB",
        scale=scale,
        mean=mean,
        std=std,
    )


def _sizes(config: Mapping[str, Any]) -> tuple[Size | None, int | Size | None]:
    """The input's size, and the size or shorter side before the centre is cropped. Raises `ValueError`."""
    if not config.get("do_resize", True):
        raise ValueError("pictures are not resized by it")
    size = config["size"]
    crop = _pair(config["crop_size"]) if config.get("do_center_crop") else None
    if isinstance(size, dict) and "shortest_edge" in size and "crop_pct" in config:
        # ConvNeXT's, which always crops to the edge that it names, or squashes.
        edge = int(size["shortest_edge"])
        if edge >= _CONVNEXT_SQUASHES_FROM:
            return (edge, edge), (edge, edge)
        return (edge, edge), int(edge / (config["crop_pct"] or 224 / 256))
    if isinstance(size, dict) and "shortest_edge" in size:
        if crop is None:
            raise ValueError("pictures keep their shape, and are not cropped")
        return crop, int(size["shortest_edge"])
    if isinstance(size, int) and crop is not None:
        raise ValueError("its size is one number, of the shorter side or of a square")
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
