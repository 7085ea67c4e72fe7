"""Errors of models, and of inputs; the latter have stable codes.

Only `code`, `detail` and the numbers in `limits` of a refused input leave the worker: never its bytes, and never a
decoder's message, which may quote them.
"""

from __future__ import annotations

_MESSAGE_CHARACTERS = 500


class ModelError(Exception):
    """The model must not be used: it does not match its manifest, or this function cannot run it.

    The message is one line of printable characters, whatever names from the model's files are in it.
    """

    def __init__(self, message: str) -> None:
        line = " ".join(message.split())
        super().__init__("".join(each if each.isprintable() else "?" for each in line)[:_MESSAGE_CHARACTERS])


class InputProblem(Exception):
    """The input cannot be classified; the caller can correct it. `code` is one of the constants below."""

    def __init__(self, code: str, detail: str, **limits: int) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.limits = limits


EMPTY_BODY = "empty_body"
NOT_AN_IMAGE = "not_an_image"
TRUNCATED_IMAGE = "truncated_image"
UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
IMAGE_TOO_LARGE = "image_too_large"
TOO_MANY_PIXELS = "too_many_pixels"
INVALID_TENSOR = "invalid_tensor"
INVALID_TOP_K = "invalid_top_k"
TOO_MANY_IMAGES = "too_many_images"
