"""The contact sheet: every photograph of a take small, in order of view, those that deserve a look framed in red."""

import io
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

WIDEST_PX = 1920
LABEL_PX = 16
GAP_PX = 6
GROUND, INK, ALARM, FAINT = (24, 24, 24), (220, 220, 220), (226, 50, 50), (140, 140, 140)
TILE_PX = 200


def contact_sheet(
    title: str,
    thumbnails: Sequence[tuple[str, bytes]],
    flagged: Mapping[str, str],
    absent: Mapping[str, str] | None = None,
) -> bytes:
    """A JPEG. thumbnails: camera and small JPEG (empty: none) in order of view; flagged: camera -> a short why.

    absent: camera -> a word that stands in place of its photograph, as in "aside".
    """
    absent = absent or {}
    pictures = [(camera, _tile(data) if data else None) for camera, data in thumbnails]
    width = max([96, *(picture.width for _, picture in pictures if picture)])
    height = max([64, *(picture.height for _, picture in pictures if picture)])
    cell_w, cell_h = width + GAP_PX, height + LABEL_PX + GAP_PX
    columns = max(1, min(len(pictures), WIDEST_PX // cell_w))
    rows = -(-len(pictures) // columns)
    head = LABEL_PX * 2
    sheet = Image.new("RGB", (columns * cell_w + GAP_PX, rows * cell_h + head + GAP_PX), GROUND)
    draw = ImageDraw.Draw(sheet)
    large, small = ImageFont.load_default(18), ImageFont.load_default(12)
    draw.text((GAP_PX, GAP_PX), title, INK, font=large)
    for place, (camera, picture) in enumerate(pictures):
        x, y = GAP_PX + place % columns * cell_w, head + place // columns * cell_h
        if picture is not None:
            sheet.paste(picture.convert("RGB"), (x + (width - picture.width) // 2, y + (height - picture.height) // 2))
        elif camera in absent:
            draw.rectangle((x, y, x + width - 1, y + height - 1), outline=FAINT)
            draw.text((x + width / 2, y + height / 2), absent[camera], FAINT, font=large, anchor="mm")
        why = flagged.get(camera)
        if why is not None:
            draw.rectangle((x - 3, y - 3, x + width + 2, y + height + LABEL_PX), outline=ALARM, width=3)
        draw.text((x + 2, y + height), f"{camera}  {why or ''}".rstrip(), ALARM if why else INK, font=small)
    stream = io.BytesIO()
    sheet.save(stream, "JPEG", quality=85)
    return stream.getvalue()


def _tile(thumbnail: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(thumbnail))
    picture.thumbnail((TILE_PX, TILE_PX))
    return picture
