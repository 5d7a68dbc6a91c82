"""Decode image files to the RGB values that an eye sees."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from optimcifar.data.deep_grey import DEEP_MODES, deep_grey_as_rgb
from optimcifar.data.images import DataError

# The modes of eight bits a channel in which Pillow opens files and from which it converts to RGB as it should.
_CONVERTIBLE = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")

# What Pillow raises for a broken file.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)

_COPY_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}

_FORMATS = _COPY_FORMATS | {
    ".bmp": "BMP",
    ".gif": "GIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
    **dict.fromkeys((".ppm", ".pgm", ".pbm", ".pnm"), "PPM"),
}

#: The endings of all formats that any decoder reads.
IMAGE_ENDINGS = tuple(_FORMATS)


@dataclass(frozen=True)
class Decoder:
    """What image files there may be, and how they are decoded.

    Transparent pixels show white behind them, values of more than eight bits are scaled, and EXIF's orientation is
    applied. Colour profiles and gamma are not.

    Args:
        size: height and width of the decoded images in pixels.
        formats: the endings of the files' names, and the format behind each.
        resizes: whether images of other sizes are scaled and their middle is cut out. If not, they are refused, and so
            are files of another format than their name says.
    """

    size: int
    formats: Mapping[str, str]
    resizes: bool

    @property
    def key(self) -> str:
        """The size as part of a cache's fingerprint; empty if images are not resized."""
        return f" {self.size}x{self.size}" if self.resizes else ""

    def read(self, path: Path) -> NDArray[np.uint8]:
        """Return the pixels of a file, (size, size, 3).

        Raises:
            DataError: the file is broken, holds another format or size, several images, or colours that cannot be
                converted.
            OSError: it cannot be read.
        """
        try:
            with Image.open(path, formats=sorted({*self.formats.values()}) if self.resizes else None) as image:
                self._check(image, path)
                ImageOps.exif_transpose(image, in_place=True)
                return np.array(self._resized(as_rgb(image)))
        except DataError as error:
            raise DataError(f"{path} {error}") from error
        except _BROKEN as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise DataError(f"{path} cannot be decoded as an image: replace or remove this file") from error

    def _check(self, image: Image.Image, path: Path) -> None:
        # MPO is a JPEG file that may hold several images: phones add a preview to the one that viewers show.
        expected = self.formats[path.suffix.lower()]
        if not self.resizes and image.format != expected and (image.format, expected) != ("MPO", "JPEG"):
            raise DataError(f"holds a {image.format} image: expected {expected}; convert it, or correct its name")
        number = getattr(image, "n_frames", 1)
        if number != 1 and not (self.resizes and image.format == "MPO"):
            raise DataError(f"holds {number} images: expected one")
        if not self.resizes and image.size != (self.size, self.size):
            raise DataError(f"must be {self.size}x{self.size} pixels, got {image.width}x{image.height}")
        if image.format == "PNG" and image.mode in ("L", "RGB") and "transparency" in image.info:
            _check_depth_of_transparent_colour(path)

    def _resized(self, image: Image.Image) -> Image.Image:
        if not self.resizes:
            return image
        return ImageOps.fit(image, (self.size, self.size), Image.Resampling.BICUBIC)


#: Decodes copies of small images, such as CIFAR-10's, which have the right size.
COPIES = Decoder(32, _COPY_FORMATS, resizes=False)


def resizing(size: int) -> Decoder:
    """Return a decoder for all formats that resizes every image.

    Args:
        size: height and width of the decoded images in pixels, at least 1.
    """
    return Decoder(size, _FORMATS, resizes=True)


def as_rgb(image: Image.Image) -> Image.Image:
    """Return an image as RGB over white.

    Raises:
        DataError: its mode, or the range of its values, has no known meaning.
    """
    if image.mode in DEEP_MODES:
        return deep_grey_as_rgb(image)
    if image.mode not in _CONVERTIBLE:
        raise DataError(f"has Pillow's mode {image.mode}: expected one of {', '.join((*_CONVERTIBLE, *DEEP_MODES))}")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")


def _check_depth_of_transparent_colour(path: Path) -> None:
    """Refuse a transparent colour that Pillow compares with pixels of another depth."""
    with path.open("rb") as file:
        depth = file.read(25)[24]  # in every PNG file, after the signature and the size
    if depth != 8:
        raise DataError(f"has a transparent colour of {depth} bits a channel: save it with an alpha channel instead")
