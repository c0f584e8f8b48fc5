"""One take by itself: its results live as long as they are needed, and a refusal says what the stage said."""

import json
from pathlib import Path

import pytest

from processing.errors import DataError
from processing.farm.execution.single_take import SingleTake, take_results
from processing.farm.execution.stage_run import made
from processing.stages.discovery import discover, upstream
from processing.stages.outputs import OutputName

TOYS = discover(Path(__file__).parents[1] / "toy_stages")


@pytest.fixture
def take(tmp_path: Path) -> SingleTake:
    folder = tmp_path / "2_smile"
    folder.mkdir()
    (folder / "0.jpg").write_bytes(b"a photograph")
    (tmp_path / "control").mkdir()
    (tmp_path / "template.txt").write_text("a template")
    (tmp_path / "neutral.json").write_text(json.dumps({"take": "1_neutral", "bytes": 6}))
    given = {"take": folder, "template": tmp_path / "template.txt", "neutral:measure.size": tmp_path / "neutral.json"}
    params = {"measure": {"control": str(tmp_path / "control")}}
    return SingleTake("2_smile", given, upstream(TOYS, "compare"), params, "smile")


def test_files_given_stand_for_the_neutral_and_results_go_with_the_block(take: SingleTake) -> None:
    with take_results(take) as results:
        assert set(results) == {"measure", "compare"}
        ratio = made(results, OutputName("compare", "ratio"))
        assert json.loads(ratio.read_text()) == {"take": "2_smile", "ratio": 2.0, "expression": "smile"}
    assert not ratio.exists()


def test_a_refusal_is_the_stages_own_and_leaves_nothing(
    take: SingleTake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    (tmp_path / "control" / "poison-2_smile").touch()
    with pytest.raises(DataError, match=r"^2_smile is poisoned$"), take_results(take):
        pass
    assert not list(temporary.iterdir())
