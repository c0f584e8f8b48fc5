"""What the bodies of a rehearsal look at: the subject's face, as each take and each fault has it."""

from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image, ImageFilter

from common.files.atomic_write import atomic_write
from deploy.demo.local_studio import perform_expression
from deploy.rehearsal.fault_plan import Fault

BLUR_SHARE = 0.02  # of the height
ASIDE_SHARE = 0.3  # of the width
Render = Callable[[Path, str], None]  # photographs of an expression into a folder, <view>.jpg


class RehearsedScene:
    """pictures: rendered once, each in a folder named after its expression."""

    def __init__(self, folder: Path, views: int, render: Render) -> None:
        self.now = folder / "now"  # what the bodies look at
        self._folder = folder
        self._views = views
        self._render = render

    def prepare(self, expressions: Sequence[str], told: Callable[[str], None]) -> None:
        """Render what is not there yet; the first is looked at."""
        for name in expressions:
            folder = self._folder / name
            if not all((folder / f"{view}.jpg").is_file() for view in range(self._views)):
                told(f"rendering {name}")
                folder.mkdir(parents=True, exist_ok=True)
                self._render(folder, name)
        perform_expression(self.now, self._folder / expressions[0])

    def perform(self, expression: str, fault: Fault | None, view: int | None) -> None:
        """The subject makes this face; view: of the camera that a fault of the take befalls."""
        folder = self._folder / expression
        if fault is None:
            perform_expression(self.now, folder)
            return
        spoilt = self._folder / f"{expression}-{fault.kind}-{fault.fire}"
        spoilt.mkdir(exist_ok=True)
        for number in range(self._views):
            target = spoilt / f"{number}.jpg"
            if fault.kind == "moved" or (fault.kind == "defocus" and number == view):
                _spoil(folder / f"{number}.jpg", target, fault.kind == "moved")
            elif not (fault.kind == "drop" and number == view) and not target.exists():
                target.hardlink_to(folder / f"{number}.jpg")
        perform_expression(self.now, spoilt)


def _spoil(source: Path, target: Path, moved: bool) -> None:
    with Image.open(source) as opened:
        picture = opened.convert("RGB")
    if moved:
        aside = round(picture.width * ASIDE_SHARE)
        spoilt = Image.new("RGB", picture.size, picture.getpixel((2, 2)))
        spoilt.paste(picture, (aside, 0))
    else:
        spoilt = picture.filter(ImageFilter.GaussianBlur(BLUR_SHARE * picture.height))
    with atomic_write(target) as temporary:
        spoilt.save(temporary, "JPEG", quality=92)
