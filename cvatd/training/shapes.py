"""Draws a data set that can be learned in half a minute: red squares and blue circles on light grounds."""

import io
import random
import zipfile
from pathlib import Path

SQUARE, CIRCLE = 0, 1
MOST_SHAPES = 3
JPEG_QUALITY = 90


def draw_shapes(file: Path, train: int, val: int, size: int, seed: int) -> None:
    """Write a zip of images/{train,val} and labels/{train,val}, without data.yaml.

    `train` and `val` count images, `size` is their width and height in pixels. The same arguments give the same bytes.
    """
    dice = random.Random(seed)  # noqa: S311 - pictures, not secrets
    temporary = file.with_name(f".{file.name}.part")
    # JPEGs do not get smaller by being deflated.
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for split, count in (("train", train), ("val", val)):
            for number in range(count):
                picture, labels = draw_one(dice, size)
                for folder, ending, content in (("images", "jpg", picture), ("labels", "txt", labels.encode())):
                    # A fixed date: ZipInfo's own default is 1980.
                    archive.writestr(zipfile.ZipInfo(f"{folder}/{split}/shape-{number:03d}.{ending}"), content)
    temporary.rename(file)


def draw_one(dice: random.Random, size: int) -> tuple[bytes, str]:
    """A JPEG and its labels: class, x, y, width, height of each box, as shares of the picture."""
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (size, size), tuple(dice.randint(200, 255) for _ in range(3)))
    pen = ImageDraw.Draw(picture)
    lines = []
    for left, top, side in place(dice, size):
        kind = dice.choice((SQUARE, CIRCLE))
        box = (left, top, left + side, top + side)
        if kind == SQUARE:
            pen.rectangle(box, fill=(dice.randint(180, 255), dice.randint(0, 60), dice.randint(0, 60)))
        else:
            pen.ellipse(box, fill=(dice.randint(0, 60), dice.randint(0, 60), dice.randint(180, 255)))
        centre = ((left + side / 2) / size, (top + side / 2) / size)
        lines.append(f"{kind} {centre[0]:.6f} {centre[1]:.6f} {side / size:.6f} {side / size:.6f}\n")
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=JPEG_QUALITY)
    return stream.getvalue(), "".join(lines)


def place(dice: random.Random, size: int) -> list[tuple[int, int, int]]:
    """One to three squares (left, top, side in pixels) that do not overlap."""
    placed: list[tuple[int, int, int]] = []
    for _ in range(dice.randint(1, MOST_SHAPES)):
        for _ in range(20):
            side = dice.randint(size // 6, size // 3)
            left, top = dice.randint(1, size - side - 2), dice.randint(1, size - side - 2)
            if all(left + side < x or x + other < left or top + side < y or y + other < top for x, y, other in placed):
                placed.append((left, top, side))
                break
    return placed
