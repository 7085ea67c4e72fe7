"""A photo as ResNet50 takes it: what `ResNet50_Weights.DEFAULT.transforms()` of torchvision does, without torch."""

import numpy as np
from PIL import Image

RESIZE, CROP = 232, 224
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)


def tensor(path: str) -> bytes:
    """The normalised float32 tensor (1, 3, 224, 224) of a picture, as 602112 bytes."""
    picture = Image.open(path).convert("RGB")
    width, height = picture.size
    shorter = min(width, height)
    # Whole pixels are cut off, not rounded, and the middle is rounded as torchvision does.
    width, height = int(RESIZE * width / shorter), int(RESIZE * height / shorter)
    picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - CROP) / 2), round((height - CROP) / 2)
    picture = picture.crop((left, top, left + CROP, top + CROP))
    pixels = np.asarray(picture).transpose(2, 0, 1).astype(np.float32) / np.float32(255)
    normalised = (pixels - MEAN[:, None, None]) / STD[:, None, None]
    return np.ascontiguousarray(normalised[None], "<f4").tobytes()
