"""Lazy photographs of a take: held in memory while they are small, else decoded again each time."""

from collections.abc import Callable, Iterable, Sequence
from typing import overload

from common.array_types import Image


class LazyPhotographs(Sequence[Image]):
    """A sequence of (H, W, 3) uint8 BGR whose items are made when they are asked for.

    Take one at a time: a list of all of them would hold them all.
    """

    def __init__(self, makers: Iterable[Callable[[], Image]]) -> None:
        self._makers = tuple(makers)

    def __len__(self) -> int:
        return len(self._makers)

    @overload
    def __getitem__(self, at: int) -> Image: ...

    @overload
    def __getitem__(self, at: slice) -> "LazyPhotographs": ...

    def __getitem__(self, at: int | slice) -> "Image | LazyPhotographs":
        return LazyPhotographs(self._makers[at]) if isinstance(at, slice) else self._makers[at]()

    def changed(self, change: Callable[[int, Image], Image]) -> "LazyPhotographs":
        """The same with each passed through change(position, image) when it is asked for."""

        def maker(at: int) -> Callable[[], Image]:
            return lambda: change(at, self._makers[at]())

        return LazyPhotographs(maker(at) for at in range(len(self)))

    def held(self, limit_bytes: float) -> "LazyPhotographs":
        """The same, with the first of them made now and held, as many as fit."""
        makers: list[Callable[[], Image]] = []
        for maker in self._makers:
            if limit_bytes > 0:
                image = maker()
                limit_bytes -= image.nbytes
                makers.append(constant_maker(image))
            else:
                makers.append(maker)
        return LazyPhotographs(makers)


def constant_maker(image: Image) -> Callable[[], Image]:
    """What gives an image that is there already."""
    return lambda: image


def selected_photographs(images: Sequence[Image], positions: Iterable[int]) -> LazyPhotographs:
    """Those at such positions; none is made yet."""

    def maker(at: int) -> Callable[[], Image]:
        return lambda: images[at]

    return LazyPhotographs(maker(at) for at in positions)
