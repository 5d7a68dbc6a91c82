"""Grey images of more than eight bits, in files that are written by hand."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from PIL import Image

from optimcifar.data.decoding import as_rgb, resizing
from optimcifar.data.images import DataError

UNSIGNED, SIGNED, FLOAT = 1, 2, 3
WHITE_IS_0, BLACK_IS_0 = 0, 1


def tiff(order: str, bits: int, kind: int, interpretation: int, row: bytes) -> bytes:
    """Return a TIFF file of two pixels in a row, as its specification says."""
    # Width, height, bits, no compression, what is white; place of the row, samples, rows, bytes, kind of number.
    numbers = (256, 257, 258, 259, 262, 273, 277, 278, 279, 339)
    tags = dict(zip(numbers, (2, 1, bits, 1, interpretation, 8, 1, 1, len(row), kind), strict=True))
    entries = [struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags.items()]
    directory = struct.pack(f"{order}H", len(tags)) + b"".join(entries) + struct.pack(f"{order}I", 0)
    start = b"II*\0" if order == "<" else b"MM\0*"
    return start + struct.pack(f"{order}I", 8 + len(row)) + row + directory


def grey_tiff(order: str, letter: str, *numbers: float, interpretation: int = BLACK_IS_0) -> bytes:
    """Return a TIFF file of two numbers, of a type that has this letter in ``struct``."""
    kind = FLOAT if letter == "f" else UNSIGNED if letter.isupper() else SIGNED
    row = struct.pack(f"{order}2{letter}", *numbers)
    return tiff(order, 4 * len(row), kind, interpretation, row)


DEEP, DEEPER = (0x0102, 0xC8FF), (0x01020304, 0xC8FFFFFF)

# Files of two pixels, and what an eye sees of each.
FILES: dict[str, tuple[bytes, list[int]]] = {
    "12 bits": (tiff("<", 12, UNSIGNED, BLACK_IS_0, bytes([0xAB, 0xC1, 0x23])), [0xAB, 0x12]),
    "16 bits": (grey_tiff("<", "H", *DEEP), [1, 200]),
    "16 bits, other order": (grey_tiff(">", "H", *DEEP), [1, 200]),
    "16 bits, white is 0": (grey_tiff("<", "H", *DEEP, interpretation=WHITE_IS_0), [254, 55]),
    "32 bits": (grey_tiff("<", "I", *DEEPER), [1, 200]),
    "32 bits, dark and light": (grey_tiff("<", "I", 5, 0xC8FFFFFF), [0, 200]),
    "32 bits, black": (grey_tiff("<", "I", 0, 0), [0, 0]),
    "float": (grey_tiff("<", "f", 0.25, 1), [64, 255]),
    "float, other order": (grey_tiff(">", "f", 0.25, 1), [64, 255]),
    "float, white is 0": (grey_tiff("<", "f", 0.25, 1, interpretation=WHITE_IS_0), [191, 0]),
    "PGM": (b"P5 2 1 65535\n" + struct.pack(">2H", *DEEP), [1, 200]),
    "PGM up to 1000": (b"P5 2 1 1000\n" + struct.pack(">2H", 252, 1000), [64, 255]),
    "PFM": (b"Pf\n2 1\n-1.0\n" + struct.pack("<2f", 0.25, 1), [64, 255]),
}


@pytest.mark.parametrize("name", FILES)
def test_grey_values_are_scaled_as_an_eye_expects(name: str, tmp_path: Path) -> None:
    content, expected = FILES[name]
    (tmp_path / "a").write_bytes(content)
    with Image.open(tmp_path / "a") as image:
        found = as_rgb(image)
    assert [found.getpixel((x, 0)) for x in (0, 1)] == [(grey,) * 3 for grey in expected]


# Files whose values have no known meaning, and what is said of them.
REFUSED: dict[str, tuple[bytes, str]] = {
    "signed 16": (grey_tiff("<", "h", -5, 5), "has signed values, for which no black is defined"),
    "signed 32": (grey_tiff("<", "i", -5, 5), "has signed values, for which no black is defined"),
    "16 bits in 32": (
        grey_tiff("<", "I", 0, 40000),
        "has 32-bit values up to 40000, all black where white is 4294967295: scale them",
    ),
    "0 to 255": (grey_tiff("<", "f", 0, 255), "has values from 0 to 255, where black is 0 and white 1: scale them"),
    "negative": (grey_tiff("<", "f", -0.5, 1), "has values from -0.5 to 1, where black is 0"),
    "NaN": (grey_tiff("<", "f", 0.5, float("nan")), "has values from nan to nan, where black is 0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_grey_values_of_no_known_scale_are_refused(name: str, tmp_path: Path) -> None:
    content, message = REFUSED[name]
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.tif {message}"):
        resizing(1).read(tmp_path / "a.tif")
