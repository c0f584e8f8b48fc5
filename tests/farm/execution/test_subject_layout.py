"""Results come to their places together, replace only what an earlier call placed, and the report comes last."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from processing.errors import DataError
from processing.farm.display.subject_report import Report, ReportTake, render_report, write_report
from processing.farm.execution.subject_layout import REPORT, place


def prepared(work: Path, **texts: str) -> tuple[Path, list[Path]]:
    """A folder of prepared files: name with __ for / -> text."""
    folder = work / ".placing"
    files = [Path(name.replace("__", "/") + ".txt") for name in texts] + [Path(REPORT)]
    for file, text in zip(files, [*texts.values(), "the report"], strict=True):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)
    return folder, files


def there(out: Path) -> dict[str, str]:
    return {str(p.relative_to(out)): p.read_text() for p in out.rglob("*") if p.is_file() and ".work" not in p.parts}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / ".work").mkdir()
    return tmp_path / ".work"


def test_a_second_call_replaces_the_first_and_drops_what_it_no_longer_has(work: Path) -> None:
    out = work.parent
    place(*prepared(work, models__1="one", models__2="two"), out, work)
    assert there(out) == {"models/1.txt": "one", "models/2.txt": "two", REPORT: "the report"}
    place(*prepared(work, models__1="other"), out, work)
    assert there(out) == {"models/1.txt": "other", REPORT: "the report"}


def test_a_file_of_someone_else_is_never_replaced(work: Path) -> None:
    out = work.parent
    (out / "models").mkdir()
    (out / "models" / "1.txt").write_text("precious")
    with pytest.raises(DataError, match=r"already holds models/1\.txt, which this command did not make"):
        place(*prepared(work, models__1="one"), out, work)
    assert there(out) == {"models/1.txt": "precious"}


def test_interrupted_among_the_renames_there_is_no_report_and_the_next_call_mends_it(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = work.parent
    place(*prepared(work, a="old", b="old"), out, work)
    rename = Path.replace

    def broken(self: Path, target: Path) -> Path:
        if self.name == "b.txt":
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", broken)
    with pytest.raises(KeyboardInterrupt):
        place(*prepared(work, a="new", b="new", c="new"), out, work)
    assert REPORT not in there(out)
    monkeypatch.undo()
    place(*prepared(work, a="new", b="new", c="new"), out, work)
    assert there(out) == {"a.txt": "new", "b.txt": "new", "c.txt": "new", REPORT: "the report"}


def test_the_report_holds_its_pictures_and_escapes_what_people_wrote(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((40, 3000, 3), np.uint8)).save(tmp_path / "wide.png")
    takes = [
        ReportTake("1_neutral", {"Error": "0.1 mm"}, [("scan <b>", tmp_path / "wide.png")]),
        ReportTake("2_smile", {"Error": "0.2 mm", "Frames": "67 of 68"}),
    ]
    write_report(tmp_path / "report.html", Report("Subject <11>", takes, {"Takes": "2"}, ["note"], ["view 3 & 4"]))
    page = (tmp_path / "report.html").read_text()
    assert "Subject &lt;11&gt;" in page
    assert "scan &lt;b&gt;" in page
    assert "view 3 &amp; 4" in page
    assert "data:image/jpeg;base64," in page
    assert 'width="1400"' in page
    assert "67 of 68" in page
    assert "http" not in page.replace('charset="utf-8"', "")  # nothing is fetched from elsewhere
    (tmp_path / "wide.png").write_text("no picture")
    with pytest.raises(DataError, match=r"wide\.png"):
        render_report(Report("x", takes))
