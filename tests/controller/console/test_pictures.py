"""Pictures by hash: upright, small, kept by browsers; shown as long as the consent stands, and to nobody by a trick."""

import io
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from PIL import Image

from controller.take_checks.thumbnail_shelf import THUMBNAIL_PX, ThumbnailShelf, make_thumbnail
from db.engine import open_database, transaction
from db.erasure.take_withdrawals import withdraw_take
from db.subjects import get_subject, withdraw_consent


def photograph(size: tuple[int, int], orientation: int) -> bytes:
    """White above, black below, as the sensor sees it."""
    picture = Image.new("RGB", size)
    picture.paste((255, 255, 255), (0, 0, size[0], size[1] // 2))
    exif = picture.getexif()
    exif[0x0112] = orientation
    stream = io.BytesIO()
    picture.save(stream, "JPEG", exif=exif, quality=95)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("orientation", "size", "white"),
    [(1, (320, 213), "top"), (3, (320, 213), "bottom"), (6, (213, 320), "right"), (8, (213, 320), "left")],
)
def test_a_thumbnail_is_upright_and_of_its_size(orientation: int, size: tuple[int, int], white: str) -> None:
    with Image.open(io.BytesIO(make_thumbnail(photograph((3000, 2000), orientation)))) as small:
        assert max(small.size) == THUMBNAIL_PX
        assert small.size == pytest.approx(size, abs=1)
        width, height = small.size
        spots = {"top": (width // 2, 5), "bottom": (width // 2, height - 5), "left": (5, height // 2)}
        spots["right"] = (width - 5, height // 2)
        grey = small.convert("L")
        opposite = {"top": "bottom", "bottom": "top", "left": "right", "right": "left"}[white]
        assert grey.getpixel(spots[white]) > 200
        assert grey.getpixel(spots[opposite]) < 50
        assert small.getexif().get(0x0112, 1) == 1


def test_a_small_photograph_is_not_blown_up() -> None:
    with Image.open(io.BytesIO(make_thumbnail(photograph((90, 60), 1)))) as small:
        assert small.size == (90, 60)


def test_the_shelf_is_bounded_and_keeps_what_is_asked_for() -> None:
    shelf = ThumbnailShelf(most_bytes=100)
    for name in "abcd":
        shelf.put(name, b"x" * 25)
    assert shelf.get("a") is not None
    shelf.put("e", b"x" * 25)
    assert shelf.get("b") is None
    assert shelf.get("a") is not None
    shelf.put("a", b"y" * 30)
    assert shelf.get("c") is None
    shelf.discard("a")
    assert shelf.get("a") is None
    shelf.discard("nothing")
    assert shelf._bytes == sum(len(one) for one in shelf._shelf.values()) == 50


def test_photographs_are_shown_until_the_subject_withdraws(shooting: Callable[..., Any], home: Any) -> None:
    served, session = shooting()
    page = served.follow()
    page.until(lambda s: s["bar"])
    result = served.studio.fire(session)
    assert result.kept, result.message
    told = time.monotonic()
    pictures = page.until(lambda s: s["take"]["in"] == 2 and s["take"]["pictures"])
    hashes = [one["photograph"] for one in pictures.values()]
    for sha256 in hashes:
        answer = served.ask("GET", f"/pictures/thumbnails/{sha256}.jpg")
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        whole = served.ask("GET", f"/pictures/photographs/{sha256}.jpg")
        with served.studio.store.open(sha256) as file:
            assert whole.content == file.read()
    assert time.monotonic() - told < 20  # of a machine that runs other things too
    assert page.state["cameras"]["cam-00"]["picture"] in hashes
    assert page.state["cameras"]["cam-00"]["picture_take"] == result.take
    # Another process writes the withdrawal: there is nothing to see any more, on any page, within a second or two.
    other = open_database(f"sqlite:///{home.folder / 'studio.sqlite'}")
    with transaction(other) as tx:
        withdraw_consent(tx, get_subject(tx, home.subject))
    other.dispose()
    page.until(lambda s: s["session"]["consent"]["standing"] == "withdrawn" and not s["take"]["pictures"])
    page.until(lambda s: "picture" not in s["cameras"]["cam-00"] and "neutral" not in s)
    for sha256 in hashes:
        for kind in ("thumbnails", "photographs"):
            assert served.ask("GET", f"/pictures/{kind}/{sha256}.jpg").status_code == 404
        assert served.studio.reviewer.thumbnails.get(sha256) is None


@pytest.mark.slow
def test_a_take_that_was_withdrawn_is_shown_no_more(shooting: Callable[..., Any], home: Any) -> None:
    served, session = shooting()
    result = served.studio.fire(session)
    shas = list(served.studio.records.photographs(result.take).values())
    assert served.ask("GET", f"/pictures/photographs/{shas[0]}.jpg").status_code == 200
    with transaction(served.studio.engine) as tx:
        withdraw_take(tx, home.subject, result.take)
    assert served.ask("GET", f"/pictures/photographs/{shas[0]}.jpg").status_code == 404


TRICKS = (
    "thumbnails/../photographs/x.jpg", "thumbnails/..%2f..%2fstudio.toml", "photographs/%2e%2e%2fkeys.jpg",
    f"photographs/{'A' * 64}.jpg", f"photographs/{'a' * 63}.jpg", f"photographs/{'a' * 64}.png",
    f"photographs/{'a' * 64}%00.jpg", "photographs//etc/passwd.jpg", f"photographs/{'a' * 64}.jpg/",
    f"thumbnails/{'a' * 64}%0a.jpg",
)  # fmt: skip


def test_no_trick_with_paths_finds_a_file(home: Any, serve: Any, rig_of: Any) -> None:
    served = serve(home.open(rig_of(1)))
    for path in TRICKS:
        assert served.ask("GET", f"/pictures/{path}").status_code in (400, 404, 405, 422), path
    assert httpx.get(f"{served.url}/pictures/photographs/{'a' * 64}.jpg").status_code == 401
