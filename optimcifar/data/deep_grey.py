"""Convert grey images of more than eight bits to RGB."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from optimcifar.data.images import DataError

#: Pillow's modes of such images: 16 bits in both byte orders, 32-bit integers, and 32-bit floating-point numbers.
DEEP_MODES = ("I;16", "I;16B", "I", "F")

# Values of TIFF's tag SampleFormat, and of PhotometricInterpretation.
_SIGNED = 2
_WHITE_IS_ZERO = 0


def deep_grey_as_rgb(image: Image.Image) -> Image.Image:
    """Return a grey image of one of ``DEEP_MODES`` as RGB over white.

    Integers keep their upper eight bits. Black is 0 and white 1 in floating-point numbers, as in TIFF and PFM files.

    Raises:
        DataError: the range of its values has no known meaning.
    """
    # Pillow's own conversion clips to 255, and ignores the transparent value.
    values = np.array(image)
    grey = _float_grey(values) if image.mode == "F" else _upper_bits(values, image)
    # Pillow itself inverts values of eight bits only.
    if image.format == "TIFF" and _tag(image, "PhotometricInterpretation") == _WHITE_IS_ZERO:
        grey = 255 - grey
    if "transparency" in image.info:
        grey[values == image.info["transparency"]] = 255
    return Image.fromarray(grey).convert("RGB")


def _upper_bits(values: NDArray[Any], image: Image.Image) -> NDArray[np.uint8]:
    if image.format != "TIFF":
        if image.mode == "I" and image.format != "PPM":  # whose values Pillow scales to 16 bits
            raise DataError("has Pillow's mode I: expected this only of TIFF and PGM files")
        return (values >> 8).astype(np.uint8)
    if _tag(image, "SampleFormat") == _SIGNED:
        raise DataError("has signed values, for which no black is defined: save it with unsigned ones")
    if image.mode != "I":
        bits = _tag(image, "BitsPerSample") or 16  # or 12
        return (values >> (bits - 8)).astype(np.uint8)
    unsigned = values.view(np.uint32)  # Pillow has no mode for them
    if 0 < unsigned.max() < 1 << 24:
        raise DataError(
            f"has 32-bit values up to {unsigned.max()}, all black where white is {(1 << 32) - 1}: scale them"
        )
    return (unsigned >> 24).astype(np.uint8)


def _float_grey(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= 1):  # neither holds for NaN
        raise DataError(f"has values from {low:.4g} to {high:.4g}, where black is 0 and white 1: scale them")
    return np.round(values * 255).astype(np.uint8)


def _tag(image: Any, name: str) -> int | None:
    """Return the first value of a TIFF file's tag; None if it has none."""
    value = image.tag_v2.get(ExifTags.Base[name])
    return int(value[0] if isinstance(value, tuple) else value) if value is not None else None
