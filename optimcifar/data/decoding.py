"""Decode image files to the RGB values that an eye sees."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from optimcifar.data.images import DataError

#: The endings of image files, and the format behind each.
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}

# The modes in which Pillow opens PNG and JPEG files and from which it converts to RGB as it should.
_CONVERTIBLE = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK")

# What Pillow raises for a broken file.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


def read_image(path: Path) -> NDArray[np.uint8]:
    """Return the pixels of a 32x32 PNG or JPEG file, (32, 32, 3), as an eye sees them.

    Transparent pixels show white behind them, 16-bit values keep their upper eight bits, and EXIF's orientation is
    applied. Colour profiles and gamma are not.

    Raises:
        DataError: the file is broken, holds another format or size, several images, or colours that cannot be
            converted.
        OSError: it cannot be read.
    """
    try:
        with Image.open(path) as image:
            _check_contents(image, path)
            ImageOps.exif_transpose(image, in_place=True)
            return as_rgb(image)
    except DataError as error:
        raise DataError(f"{path} {error}") from error
    except _BROKEN as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(f"{path} cannot be decoded as an image: replace or remove this file") from error


def as_rgb(image: Image.Image) -> NDArray[np.uint8]:
    """Return an image as RGB over white, (height, width, 3).

    Raises:
        DataError: its mode is not one in which Pillow opens PNG and JPEG files.
    """
    if image.mode == "I;16":
        return _grey16_as_rgb(image)
    if image.mode not in _CONVERTIBLE:
        raise DataError(f"has Pillow's mode {image.mode}: expected one of {', '.join(_CONVERTIBLE)}, I;16")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return np.array(image.convert("RGB"))


def _grey16_as_rgb(image: Image.Image) -> NDArray[np.uint8]:
    # Pillow's own conversion clips to 255, and ignores the transparent value.
    values = np.array(image)
    grey = (values >> 8).astype(np.uint8)
    if "transparency" in image.info:
        grey[values == image.info["transparency"]] = 255
    return np.repeat(grey[..., None], 3, axis=2)


def _check_contents(image: Image.Image, path: Path) -> None:
    expected = FORMATS[path.suffix.lower()]
    # MPO is a JPEG file that may hold several images.
    if image.format != expected and (image.format, expected) != ("MPO", "JPEG"):
        raise DataError(f"holds a {image.format} image: expected {expected}; convert it, or correct its name")
    if (number := getattr(image, "n_frames", 1)) != 1:
        raise DataError(f"holds {number} images: expected one")
    if image.size != (32, 32):
        raise DataError(f"must be 32x32 pixels, got {image.width}x{image.height}")
    if image.format == "PNG" and image.mode in ("L", "RGB") and "transparency" in image.info:
        _check_depth_of_transparent_colour(path)


def _check_depth_of_transparent_colour(path: Path) -> None:
    """Refuse a transparent colour that Pillow compares with pixels of another depth."""
    with path.open("rb") as file:
        depth = file.read(25)[24]  # in every PNG file, after the signature and the size
    if depth != 8:
        raise DataError(f"has a transparent colour of {depth} bits a channel: save it with an alpha channel instead")
