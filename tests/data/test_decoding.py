from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from optimcifar.data.decoding import COPIES, as_rgb, resizing
from optimcifar.data.images import DataError

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
COLOURS = bytes([10, 20, 30, 200, 100, 50, 0, 0, 0])
WHITE = (255, 255, 255)

Pixels = Sequence[tuple[int, ...]]


def write_png(path: Path, depth: int, colours: int, pixels: Pixels, **chunks: bytes) -> None:
    """Write a 32x32 PNG file as its specification says, without Pillow; the pixels repeat along each row."""
    samples = [sample for x in range(32) for sample in pixels[x % len(pixels)]]
    bits = "".join(f"{sample:0{depth}b}" for sample in samples)
    row = b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big")
    header = struct.pack(">IIBBBBB", 32, 32, depth, colours, 0, 0, 0)
    parts = [(b"IHDR", header), *((name.encode(), data) for name, data in chunks.items())]
    parts += [(b"IDAT", zlib.compress(row * 32)), (b"IEND", b"")]
    content = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


# Colour type, bits a channel, other chunks, stored pixels, and what an eye sees of each, worked out by hand.
PNG_FILES: dict[str, tuple[int, int, dict[str, bytes], Pixels, Pixels]] = {
    "1-bit": (GREY, 1, {}, [(0,), (1,)], [(0, 0, 0), WHITE]),
    "2-bit grey": (GREY, 2, {}, [(1,), (2,)], [(85, 85, 85), (170, 170, 170)]),
    "4-bit grey": (GREY, 4, {}, [(3,), (12,)], [(51, 51, 51), (204, 204, 204)]),
    "grey": (GREY, 8, {}, [(7,), (200,)], [(7, 7, 7), (200, 200, 200)]),
    "16-bit grey": (GREY, 16, {}, [(0x0102,), (0xC8FF,)], [(1, 1, 1), (200, 200, 200)]),
    "1-bit, black is transparent": (GREY, 1, {"tRNS": b"\0\0"}, [(0,), (1,)], [WHITE, WHITE]),
    "grey, 7 is transparent": (GREY, 8, {"tRNS": b"\0\7"}, [(7,), (200,)], [WHITE, (200, 200, 200)]),
    "16-bit grey, 0x0102 is transparent": (
        *(GREY, 16, {"tRNS": b"\1\2"}),
        *([(0x0102,), (0x0103,)], [WHITE, (1, 1, 1)]),
    ),
    "RGB": (RGB, 8, {}, [(1, 2, 3), (250, 0, 9)], [(1, 2, 3), (250, 0, 9)]),
    "16-bit RGB": (RGB, 16, {}, [(0x01FF, 0x0200, 0xFFFF)], [(1, 2, 255)]),
    "RGB, one colour is transparent": (
        *(RGB, 8, {"tRNS": b"\0\1\0\2\0\3"}),
        *([(1, 2, 3), (1, 2, 4)], [WHITE, (1, 2, 4)]),
    ),
    "1-bit palette": (PALETTE, 1, {"PLTE": COLOURS[:6]}, [(0,), (1,)], [(10, 20, 30), (200, 100, 50)]),
    "2-bit palette": (PALETTE, 2, {"PLTE": COLOURS}, [(2,), (1,)], [(0, 0, 0), (200, 100, 50)]),
    "4-bit palette": (PALETTE, 4, {"PLTE": COLOURS}, [(2,), (1,)], [(0, 0, 0), (200, 100, 50)]),
    "palette": (PALETTE, 8, {"PLTE": COLOURS}, [(2,), (1,)], [(0, 0, 0), (200, 100, 50)]),
    "palette, one colour is transparent": (
        *(PALETTE, 8, {"PLTE": COLOURS, "tRNS": b"\xff\0"}),
        *([(0,), (1,), (2,), (2,)], [(10, 20, 30), WHITE, (0, 0, 0), (0, 0, 0)]),
    ),
    # 128 parts of black and 127 of white are 127; a fifth of (200, 100, 50) and four of white are (244, 224, 214).
    "palette with alpha": (
        *(PALETTE, 8, {"PLTE": COLOURS, "tRNS": bytes([255, 51, 128])}),
        *([(0,), (1,), (2,), (2,)], [(10, 20, 30), (244, 224, 214), (127, 127, 127), (127, 127, 127)]),
    ),
    "grey with alpha": (
        *(GREY_ALPHA, 8, {}, [(100, 255), (100, 51), (100, 0), (0, 128)]),
        [(100, 100, 100), (224, 224, 224), WHITE, (127, 127, 127)],
    ),
    "16-bit grey with alpha": (GREY_ALPHA, 16, {}, [(0x64FF, 0xFFFF), (0x6400, 0x3300)], [(100,) * 3, (224,) * 3]),
    "RGBA": (
        *(RGBA, 8, {}, [(1, 2, 3, 255), (200, 100, 50, 51), (1, 2, 3, 0), (0, 0, 0, 128)]),
        [(1, 2, 3), (244, 224, 214), WHITE, (127, 127, 127)],
    ),
    "16-bit RGBA": (
        *(RGBA, 16, {}, [(0x0100, 0x02FF, 0x0300, 0xFFFF), (0xC800, 0x6400, 0x3200, 0x3300)]),
        [(1, 2, 3), (244, 224, 214)],
    ),
}


@pytest.mark.parametrize("name", PNG_FILES)
def test_png_file_has_the_values_that_an_eye_sees(name: str, tmp_path: Path) -> None:
    colours, depth, chunks, pixels, expected = PNG_FILES[name]
    write_png(tmp_path / "a.png", depth, colours, pixels, **chunks)
    found = COPIES.read(tmp_path / "a.png")
    assert found.dtype == np.uint8
    rows = [[list(expected[x % len(expected)]) for x in range(32)]] * 32
    assert found.tolist() == rows


@pytest.mark.parametrize(
    ("depth", "colours", "transparent"), [(2, GREY, b"\0\1"), (4, GREY, b"\0\1"), (16, RGB, b"\1\0\2\0\3\0")]
)
def test_transparent_colour_that_pillow_misreads_is_refused(
    depth: int, colours: int, transparent: bytes, tmp_path: Path
) -> None:
    write_png(tmp_path / "a.png", depth, colours, [(1,) * (3 if colours == RGB else 1)], tRNS=transparent)
    with pytest.raises(DataError, match=rf"a.png has a transparent colour of {depth} bits a channel"):
        COPIES.read(tmp_path / "a.png")


# The mode and colour of an image saved as JPEG, and what an eye sees. JPEG is lossy, so the values are close.
JPEG_FILES: dict[str, tuple[str, Any, tuple[int, ...]]] = {
    "grey": ("L", 90, (90, 90, 90)),
    "RGB": ("RGB", (200, 100, 50), (200, 100, 50)),
    "YCbCr": ("YCbCr", (90, 128, 128), (90, 90, 90)),
    "CMYK without black": ("CMYK", (0, 255, 255, 0), (255, 0, 0)),
    "CMYK with half black": ("CMYK", (0, 0, 255, 128), (127, 127, 0)),
}


@pytest.mark.parametrize("name", JPEG_FILES)
def test_jpeg_file_has_the_values_that_an_eye_sees(name: str, tmp_path: Path) -> None:
    mode, colour, expected = JPEG_FILES[name]
    Image.new(mode, (32, 32), colour).save(tmp_path / "a.JPG", "JPEG", quality=100)
    found = COPIES.read(tmp_path / "a.JPG")
    assert np.abs(found.astype(int) - expected).max() <= 2


# How a viewer turns what is stored, by the value of EXIF's orientation.
TURNS: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    1: lambda stored: stored,
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),  # clockwise
    7: lambda stored: np.rot90(stored, 2).transpose(1, 0, 2),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", TURNS)
def test_orientation_is_applied(orientation: int, tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(COPIES.read(tmp_path / "a.png"), TURNS[orientation](stored))


@pytest.mark.parametrize("mode", Image.MODES)
def test_mode_that_no_file_has_is_refused(mode: str) -> None:
    image = Image.new(mode, (32, 32))
    if mode in ("HSV", "La", "LAB", "RGBa", "I", "I;16L", "I;16N"):
        with pytest.raises(DataError, match=f"has Pillow's mode {mode}: expected "):
            as_rgb(image)
    else:
        assert as_rgb(image).mode == "RGB"


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
@pytest.mark.parametrize("format_", ["GIF", "BMP", "WEBP", "TIFF", "PNG", "JPEG"])
def test_file_of_another_format_than_its_name_says_is_refused(name: str, format_: str, tmp_path: Path) -> None:
    path = tmp_path / name
    Image.new("RGB", (32, 32)).save(path, format_)
    if {"a.png": "PNG", "a.jpg": "JPEG"}[name] == format_:
        assert not COPIES.read(path).any()
    else:
        with pytest.raises(DataError, match=f"{name} holds a {format_} image: expected"):
            COPIES.read(path)


def test_file_with_several_images_is_refused(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=frames[1:])
    for name in ("a.png", "a.jpg"):
        with pytest.raises(DataError, match=f"{name} holds 2 images: expected one"):
            COPIES.read(tmp_path / name)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # about damaged EXIF data
def test_broken_file_is_refused_by_name_whatever_is_broken(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    text = PngInfo()
    text.add_text("comment", "x" * 50, zip=True)
    image = Image.fromarray(generator.integers(0, 256, (32, 32, 4), dtype=np.uint8))
    image.save(tmp_path / "a.png", exif=exif, pnginfo=text)
    image.convert("RGB").save(tmp_path / "a.jpg", exif=exif)
    refused = 0
    for name in ("a.png", "a.jpg"):
        content = (tmp_path / name).read_bytes()
        path = tmp_path / f"broken-{name}"
        for _ in range(100):
            broken = bytearray(content)
            for place in generator.integers(0, min(len(content), 700), 3):
                broken[place] = generator.integers(0, 256)
            path.write_bytes(broken[: generator.integers(1, 2 * len(content))])
            try:
                COPIES.read(path)
            except DataError as error:
                assert str(error).startswith(str(path))  # noqa: PT017  most of them are refused, not all
                refused += 1
    assert refused > 100


def stripes(width: int, height: int) -> Image.Image:
    """Return an image whose middle, as long as its shorter side, is green; its ends are red and blue."""
    image = Image.new("RGB", (width, height), (0, 255, 0))
    end = abs(width - height) // 2
    size = (end, height) if width > height else (width, end)
    image.paste((255, 0, 0), (0, 0, *size))
    image.paste((0, 0, 255), (width - size[0], height - size[1], width, height))
    return image


@pytest.mark.parametrize("size", [(60, 40), (40, 60), (5, 3), (3, 5), (1000, 2)])
def test_the_middle_of_an_image_is_cut_out(size: tuple[int, int], tmp_path: Path) -> None:
    stripes(*size).save(tmp_path / "a.png")
    found = resizing(8).read(tmp_path / "a.png")
    assert (found[2:-2, 2:-2] == (0, 255, 0)).all()
    assert (found[..., 1] > 160).all()  # scaling takes something of the ends, but nowhere as much as of the middle
    if size[0] > size[1]:
        assert np.array_equal(found[..., 0], found[:, ::-1, 2])  # equally much of both ends
    else:
        assert np.array_equal(found[..., 0], found[::-1, :, 2])


def test_scaling_down_averages_over_pixels(tmp_path: Path) -> None:
    board = np.indices((64, 64)).sum(0).astype(np.uint8) % 2 * 255
    Image.fromarray(board).save(tmp_path / "a.png")
    found = resizing(8).read(tmp_path / "a.png")
    assert found.shape == (8, 8, 3)
    assert np.abs(found.astype(int) - 127.5).max() < 8  # single pixels would be 0 or 255


# The format of a file, and how it is saved in it without a loss.
FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "a.png": ("PNG", {}),
    "a.bmp": ("BMP", {}),
    "a.GIF": ("GIF", {}),
    "a.tif": ("TIFF", {}),
    "a.tiff": ("TIFF", {"compression": "tiff_lzw"}),
    "a.webp": ("WEBP", {"lossless": True}),
    "a.ppm": ("PPM", {}),
    "a.jpg": ("WEBP", {"lossless": True}),  # whatever its name says
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_read(name: str, tmp_path: Path) -> None:
    # Eight colours, which fit into a palette.
    expected = np.random.default_rng(0).integers(0, 2, (12, 12, 3), dtype=np.uint8) * 255
    format_, options = FORMATS[name]
    Image.fromarray(expected).save(tmp_path / name, format_, **options)
    assert np.array_equal(resizing(12).read(tmp_path / name), expected)


@pytest.mark.parametrize(("name", "options"), [("a.tif", {}), ("a.webp", {"lossless": True})])
def test_transparent_pixels_of_other_formats_are_over_white(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    Image.new("RGBA", (9, 7), (200, 100, 50, 51)).save(tmp_path / name, **options)
    assert (resizing(5).read(tmp_path / name) == (244, 224, 214)).all()  # a fifth of the colour, four of white


def test_transparent_colour_of_a_gif_is_white_before_it_is_scaled(tmp_path: Path) -> None:
    image = Image.new("P", (16, 16), 1)
    image.putpalette(COLOURS)
    image.paste(0, (0, 0, 8, 16))
    image.save(tmp_path / "a.gif", transparency=0)
    found = resizing(2).read(tmp_path / "a.gif").astype(int)
    assert np.abs(found[:, 0] - WHITE).max() <= 24  # what scaling takes from the neighbour
    assert np.abs(found[:, 1] - (200, 100, 50)).max() <= 24


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_orientation_is_applied_once_to_every_format(format_: str, tmp_path: Path) -> None:
    # Taken with the camera on its side: stored as red above blue, to be turned clockwise, so that blue is on the left.
    stored = np.zeros((40, 40, 3), np.uint8)
    stored[:20], stored[20:] = (255, 0, 0), (0, 0, 255)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(stored).save(tmp_path / "a.jpg", format_, exif=exif)
    found = resizing(40).read(tmp_path / "a.jpg").astype(int)
    assert np.abs(found[:, :16] - (0, 0, 255)).max() < 20
    assert np.abs(found[:, 24:] - (255, 0, 0)).max() < 20


def test_a_phones_preview_is_left_out_but_frames_are_refused(tmp_path: Path) -> None:
    def save(name: str, format_: str | None = None) -> None:
        first, second = (Image.new("RGB", (40, 60), colour) for colour in ("red", "blue"))
        first.save(tmp_path / name, format_, save_all=True, append_images=[second])

    save("a.jpg", "MPO")
    assert np.abs(resizing(8).read(tmp_path / "a.jpg").astype(int) - (255, 0, 0)).max() < 8
    for name in ("a.png", "a.gif", "a.tif", "a.webp"):
        save(name)
        with pytest.raises(DataError, match=f"{name} holds 2 images: expected one"):
            resizing(8).read(tmp_path / name)


def test_file_of_a_format_that_is_not_read_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", "TGA")
    with pytest.raises(DataError, match=r"a\.png cannot be decoded as an image: replace or remove this file"):
        resizing(8).read(tmp_path / "a.png")
