"""The LED board: the decoder finds the moment that the renderer put into a photograph, or says why it cannot."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from controller.errors import ConfigurationError
from controller.optical_skew.board_detection import BoardUnreadable, find_board, measure_lamps
from controller.optical_skew.board_drawing import face_svg
from controller.optical_skew.board_rendering import RenderedShot, homography, render
from controller.optical_skew.exposure_timing import ExposureInterval, find_exposure
from controller.optical_skew.led_board import LedBoard, read_board
from controller.optical_skew.skew_measurement import BoardPhotograph, OpticalSkew, measure_skew
from controller.optical_skew.skew_report import report_data, report_lines

BOARD = LedBoard(bits=12)  # its period is a second: less to search than the standard board's sixteen
BOARD_FILE = "bits = 12\ntick_us = 250\n"
MODEL, EXIF_IFD, EXPOSURE_TIME = 0x0110, 0x8769, 0x829A


def apart_ms(found_ms: float, true_ms: float) -> float:
    half = BOARD.period_ms / 2
    return abs((found_ms - true_ms + half) % BOARD.period_ms - half)


def decode(shot: RenderedShot, seed: int = 0, nominal: bool = True, readout: bool = True) -> ExposureInterval:
    photo = render(BOARD, shot, np.random.default_rng(seed))
    lamps = measure_lamps(photo, BOARD)
    nominal_ms = 1.1 * shot.exposure_ms if nominal else None  # EXIF is not exact
    return find_exposure(BOARD, lamps, nominal_ms, shot.readout_ms if readout else None)


# --- the code ---


@given(st.integers(8, 16), st.integers(0, 2**16 - 1))
def test_one_bit_changes_at_each_tick_also_where_the_code_begins_anew(bits: int, count: int) -> None:
    board = LedBoard(bits=bits)
    at = (np.array([count, count + 1]) + 0.5) * board.tick_ms
    changes = [board.state(at, bit) for bit in range(bits)]
    assert sum(int(before != after) for before, after in changes) == 1


@given(st.floats(0, 17_000), st.floats(0.05, 60), st.integers(0, 11))
def test_shares_are_what_sampling_the_counter_gives(middle: float, exposure: float, bit: int) -> None:
    share = BOARD.shares(np.array(middle), np.array(exposure), np.array(bit))
    moments = middle - exposure / 2 + exposure * (np.arange(20_000) + 0.5) / 20_000
    sampled = BOARD.state(moments % BOARD.period_ms, bit).mean()
    assert float(share) == pytest.approx(float(sampled), abs=2e-3)


def test_a_board_that_no_photograph_could_tell_is_refused(tmp_path: Path) -> None:
    for text, told in (("bits = 20", "8 to 16"), ("tick_us = 2000", "10 to 1000"), ("tick_ms = 1", "unknown key")):
        (tmp_path / "board.toml").write_text(text)
        with pytest.raises(ConfigurationError, match=told):
            read_board(tmp_path / "board.toml")
    (tmp_path / "board.toml").write_text("bits = 12\ntick_us = 1000")
    assert read_board(tmp_path / "board.toml") == LedBoard(12, 1000)
    assert read_board(None) == LedBoard()


# --- one photograph ---

CONDITIONS = {
    "straight": RenderedShot(0),
    "tilted": RenderedShot(0, tilt_deg=38, yaw_deg=-30, turn_deg=75),
    "upside down": RenderedShot(0, turn_deg=181),
    "blurred": RenderedShot(0, blur_px=4.0),
    "noisy": RenderedShot(0, noise=14.0, lamp=0.25),
    "small": RenderedShot(0, board_px=250.0, blur_px=0.6),
    "shorter than two ticks": RenderedShot(0, exposure_ms=0.4),
    "1/500": RenderedShot(0, exposure_ms=2.0),
    "1/60": RenderedShot(0, exposure_ms=16.7),
    "another tone curve": RenderedShot(0, tone=1.25),
    "half hidden": RenderedShot(0, covered_mm=((0, 0, 240, 62),)),
    "corner hidden": RenderedShot(0, covered_mm=((0, 0, 100, 80),)),
    "dead lamps": RenderedShot(0, dead=(3, 7)),
    "at the edge": RenderedShot(0, centre=(0.14, 0.5)),
    "curtain, board low": RenderedShot(0, readout_ms=3.2, centre=(0.5, 0.75)),
    "rolling, board high": RenderedShot(0, readout_ms=20.0, centre=(0.4, 0.25)),
    "rolling, portrait, last row first": RenderedShot(0, readout_ms=-15.0, turn_deg=92, centre=(0.6, 0.65)),
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_the_moment_is_found_within_a_third_of_a_millisecond(name: str) -> None:
    """And within four of the standard errors that the decoder itself states."""
    rng = np.random.default_rng(len(name))
    for seed in range(1):
        begin = rng.uniform(0, BOARD.period_ms)
        shot = replace(CONDITIONS[name], begin_ms=begin)
        found = decode(shot, seed)
        error = apart_ms(found.middle_ms, begin + shot.exposure_ms / 2)
        assert error < 0.35, f"{error:.3f} ms at {begin}"
        assert error < 4 * found.sigma_ms + 0.01
        assert found.exposure_ms == pytest.approx(shot.exposure_ms, rel=0.15, abs=0.1)


def test_the_exposure_time_and_the_rows_are_learnt_where_nobody_says_them() -> None:
    for seed, readout in enumerate((20.0, -7.0)):
        shot = RenderedShot(321.0 + seed, exposure_ms=5.0, readout_ms=readout, centre=(0.5, 0.3))
        found = decode(shot, seed, nominal=False, readout=False)
        assert found.exposure_ms == pytest.approx(5.0, abs=0.4)
        assert abs(found.readout_ms - readout) < 4 * found.readout_sigma_ms + 0.3
        assert apart_ms(found.middle_ms, shot.begin_ms + 2.5) < 4 * found.sigma_ms + 0.1


def test_overexposed_lamps_are_told_and_trusted_less() -> None:
    shot = RenderedShot(777.0, lamp=5.0)
    lamps = measure_lamps(render(BOARD, shot, np.random.default_rng(1)), BOARD)
    assert lamps.clipped.mean() > 0.9
    dim, bright = decode(replace(shot, lamp=0.5)), find_exposure(BOARD, lamps, 8.0, 0.0)
    assert bright.sigma_ms > 2 * dim.sigma_ms
    assert apart_ms(bright.middle_ms, 781.0) < 4 * bright.sigma_ms


@pytest.mark.parametrize(
    ("shot", "told"),
    [
        (RenderedShot(5.0, covered_mm=((-5, -5, 245, 155),)), "no marker"),
        (RenderedShot(5.0, covered_mm=((55, -5, 245, 155), (-5, 60, 60, 155))), "one marker"),
        (RenderedShot(5.0, lamp=0.0), "switched on"),
        (RenderedShot(5.0, covered_mm=((55, 0, 185, 150),)), "lamps"),
    ],
)
def test_a_board_that_cannot_be_read_says_why(shot: RenderedShot, told: str) -> None:
    with pytest.raises(BoardUnreadable, match=told):
        decode(shot)


def test_a_bit_that_is_hidden_on_both_ends_is_not_guessed() -> None:
    lamps = measure_lamps(render(BOARD, RenderedShot(100.0), np.random.default_rng(0)), BOARD)
    usable = lamps.usable.copy()
    usable[BOARD.pair_bits == 9] = False
    lamps = replace(lamps, usable=usable)
    with pytest.raises(BoardUnreadable, match="pairs of lamps"):
        find_exposure(BOARD, replace(lamps, usable=usable & (np.arange(24) < 12)), 8.0, 0.0)
    with pytest.raises(BoardUnreadable, match="bit 9"):
        find_exposure(BOARD, lamps, 8.0, 0.0)


def test_a_board_with_another_tick_is_not_read_as_ours() -> None:
    photo = render(LedBoard(bits=12, tick_us=333.0), RenderedShot(400.7, exposure_ms=2.0), np.random.default_rng(2))
    lamps = measure_lamps(photo, BOARD)
    with pytest.raises(BoardUnreadable, match="code"):
        find_exposure(BOARD, replace(lamps, light=lamps.light[:, ::-1]), 2.0, 0.0)


def test_the_homography_is_the_renderers() -> None:
    shot = RenderedShot(0.0, tilt_deg=25, yaw_deg=20, turn_deg=-40, face=3)
    face, markers, to_board = find_board(render(BOARD, shot, np.random.default_rng(0)))
    assert (face, markers) == (3, 4)
    corners = np.array([[10.0, 10, 1], [230, 20, 1], [120, 140, 1]]).T
    there = homography(shot) @ corners
    back = to_board @ (there / there[2])
    assert np.abs(back[:2] / back[2] - corners[:2]).max() < 0.5


# --- a rig ---


def save(path: Path, shot: RenderedShot, seed: int, model: str = "") -> None:
    exif = Image.Exif()
    exif[MODEL] = model
    exif.get_ifd(EXIF_IFD)[EXPOSURE_TIME] = shot.exposure_ms / 1000
    Image.fromarray(render(BOARD, shot, np.random.default_rng(seed))[..., ::-1].copy()).save(
        path, quality=92, exif=exif
    )


def photograph_rig(folder: Path, middles_ms: list[float], changes: dict[int, dict[str, Any]]) -> list[BoardPhotograph]:
    """Two models with rows of opposite order, boards anywhere in the picture, exposure times of their own."""
    rng = np.random.default_rng(11)
    views = []
    for view, middle in enumerate(middles_ms):
        exposure = 8.0 if view % 2 else 4.0
        shot = RenderedShot(
            middle - exposure / 2,
            exposure_ms=exposure,
            readout_ms=6.0 if view % 2 else -8.0,
            centre=(rng.uniform(0.35, 0.65), rng.uniform(0.3, 0.7)),
            turn_deg=rng.choice([0.0, 90.0, 180.0]) + rng.uniform(-6, 6),
            tilt_deg=rng.uniform(-25, 25),
            blur_px=rng.uniform(0.5, 1.5),
        )
        path = folder / f"{view}.jpg"
        save(path, replace(shot, **changes.get(view, {})), view, f"BODY-{view % 2}")
        views.append(BoardPhotograph(f"cam-{view:02d}", "side", path))
    return views


def test_the_skew_of_a_rig_across_the_wrap_of_the_code(tmp_path: Path) -> None:
    """Rows learnt by model, the board's clock running over, one camera that does not see the board."""
    middles = [BOARD.period_ms + delta for delta in (-2.0, 0.3, -0.7, 1.9, 0.1, 0.0)]
    views = photograph_rig(tmp_path, middles, {5: {"covered_mm": ((-5.0, -5.0, 245.0, 155.0),)}})
    found = measure_skew(BOARD, views)
    assert found.skew_ms == pytest.approx(3.9, abs=0.5)
    assert [reading.camera for reading in found.readings if reading.problem] == ["cam-05"]
    for reading, middle in zip(found.read, middles, strict=False):
        assert reading.moment_ms == pytest.approx(middle - min(middles), abs=0.45)
    assert found.readouts_ms["BODY-0"] == pytest.approx(-8.0, abs=1.5)
    assert found.readouts_ms["BODY-1"] == pytest.approx(6.0, abs=1.5)
    assert not found.complete
    text = "\n".join(report_lines(found, 5.0))
    assert "the 5 cameras that read the board, within 5 ms; the last is cam-03" in text
    assert "Read by some cameras only; nothing is known of cam-05" in text
    assert report_data(found, 5.0)["read"] == 5


def test_a_camera_that_cannot_learn_its_rows_knows_its_moment_less_well(tmp_path: Path) -> None:
    """A board that lies along the rows shows both copies of the code on the same ones."""
    found = {}
    for turn in (3.0, 87.0):
        shot = RenderedShot(300.0, exposure_ms=8.0, readout_ms=6.0, centre=(0.5, 0.7), turn_deg=turn)
        save(tmp_path / "0.jpg", shot, 5)
        save(tmp_path / "1.jpg", replace(shot, begin_ms=302.0), 6)
        found[turn] = measure_skew(BOARD, [BoardPhotograph(str(i), "side", tmp_path / f"{i}.jpg") for i in range(2)])
    upright, along = found[3.0].read[0], found[87.0].read[0]
    assert upright.sigma_ms is not None
    assert along.sigma_ms is not None
    assert along.sigma_ms > 1.5 * upright.sigma_ms


def test_nothing_is_said_of_a_rig_of_which_one_camera_reads_the_board(tmp_path: Path) -> None:
    save(tmp_path / "0.jpg", RenderedShot(50.0), 0)
    (tmp_path / "1.jpg").write_bytes(b"no photograph")
    views = [BoardPhotograph("a", "side", tmp_path / "0.jpg"), BoardPhotograph("b", "side", tmp_path / "1.jpg")]
    found = measure_skew(BOARD, views, missing=["c"])
    assert (found.skew_ms, found.cameras, len(found.read)) == (None, 3, 1)
    assert "takes two cameras" in report_lines(found, 5.0)[0]
    assert isinstance(found, OpticalSkew)


def test_the_standard_board_is_read_too() -> None:
    board = LedBoard()
    shot = RenderedShot(12_345.6, exposure_ms=8.0, tilt_deg=20)
    lamps = measure_lamps(render(board, shot, np.random.default_rng(4)), board)
    assert find_exposure(board, lamps, 8.0, 0.0).middle_ms == pytest.approx(12_349.6, abs=0.35)


def test_the_printed_face_has_the_markers_and_lamps_that_are_looked_for() -> None:
    import xml.etree.ElementTree as ElementTree

    drawn = ElementTree.fromstring(face_svg(BOARD, 1))
    assert drawn.attrib["width"] == "240mm"
    places = [(float(lamp.attrib["cx"]), float(lamp.attrib["cy"])) for lamp in drawn if lamp.tag.endswith("circle")]
    assert np.allclose(places, BOARD.lamps_mm.reshape(-1, 2))
    picture = np.full((680, 1040, 3), 90, np.uint8)
    picture[40:640, 40:1000] = 0
    for rect in (part for part in drawn if part.tag.endswith("rect")):
        x, y, w, h = (float(rect.attrib.get(key, "0")) * 4 for key in ("x", "y", "width", "height"))
        white = rect.attrib["fill"] == "white"
        picture[40 + round(y) : 40 + round(y + h), 40 + round(x) : 40 + round(x + w)] = 255 if white else 0
    face, markers, to_board = find_board(picture)
    assert (face, markers) == (1, 4)
    middle = to_board @ [519.5, 339.5, 1]
    assert np.allclose(middle[:2] / middle[2], [120, 75], atol=0.3)


# --- the command and the records ---


@pytest.fixture
def take_of(home: Any, rig_of: Callable[..., Any]) -> Callable[..., tuple[Any, str]]:
    """take_of(folder): a studio home with a take that has these photographs and no measured skew."""

    def make(folder: Path, cameras: int) -> tuple[Any, str]:
        from controller.rig_file import format_rig
        from db import captures
        from db.engine import transaction
        from db.models import TakeState
        from db.rigs import rig_records

        rig = rig_of(cameras)
        studio = home.open(rig)
        (home.folder / "rig.toml").write_text(format_rig(rig))
        (home.folder / "board.toml").write_text(BOARD_FILE)
        session = studio.start_session(home.subject, "short")
        take = studio.records.plan(session, 1)
        studio.records.fired(take)
        with transaction(studio.engine) as tx:
            row = captures.get_take(tx, take)
            places = {camera.name: camera.id for camera in rig_records.get_rig(tx, rig.name).cameras}
            frames = [
                captures.FrameData(places[camera.name], studio.store.put_file(path), path.stat().st_size, 1500, 1000)
                for camera in rig.cameras
                if (path := folder / f"{camera.view}.jpg").exists()
            ]
            captures.add_frames(tx, row, frames)
            assert row.state is TakeState.FIRED
        return studio, take

    return make


def run(*arguments: str) -> tuple[int, str]:
    from typer.testing import CliRunner

    from controller.commands.rig import app

    result = CliRunner().invoke(app, ["optical-skew", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_a_whole_take_keeps_its_optical_skew_and_one_over_the_limit_is_flagged(
    tmp_path: Path, take_of: Callable[..., tuple[Any, str]], home: Any
) -> None:
    photos = tmp_path / "board"
    photos.mkdir()
    upright = {view: {"turn_deg": 3.0} for view in range(2)}  # a model's only camera learns its rows from it
    photograph_rig(photos, [300.0, 306.2], upright)
    studio, take = take_of(photos, 2)
    code, text = run(take, "--board", str(home.folder / "board.toml"), "--home", str(home.folder))
    assert code == 0
    assert "OVER 5 ms; the last is cam-01" in text
    kept = studio.records.take(take)
    assert kept.exposure_source == "optical"
    assert kept.exposure_skew_ms == pytest.approx(6.2, abs=0.6)
    assert kept.problem is not None
    assert "is over 5 ms" in kept.problem
    run(take, "--board", str(home.folder / "board.toml"), "--home", str(home.folder))  # again: the flag is not doubled
    assert studio.records.take(take).problem.count("exposure skew") == 1


def test_a_take_that_only_some_cameras_can_tell_keeps_no_skew(
    tmp_path: Path, take_of: Callable[..., tuple[Any, str]], home: Any
) -> None:
    photos = tmp_path / "board"
    photos.mkdir()
    changes: dict[int, dict[str, Any]] = {view: {"turn_deg": 3.0} for view in range(2)}
    photograph_rig(photos, [300.0, 301.0, 301.0], changes | {2: {"covered_mm": ((-5.0, -5.0, 245.0, 155.0),)}})
    studio, take = take_of(photos, 3)
    code, text = run(take, "--board", str(home.folder / "board.toml"), "--home", str(home.folder), "--json")
    assert code == 0
    assert "read by 2 of 3 cameras" in text
    assert studio.records.take(take).exposure_source == "not_measured"


def test_a_hot_shoe_figure_is_not_overwritten_by_accident(
    tmp_path: Path, take_of: Callable[..., tuple[Any, str]], home: Any
) -> None:
    from db import captures
    from db.engine import transaction
    from db.errors import StateConflict
    from db.models import ExposureSource

    photos = tmp_path / "board"
    photos.mkdir()
    photograph_rig(photos, [300.0, 301.5], {view: {"turn_deg": 3.0} for view in range(2)})
    studio, take = take_of(photos, 2)
    with transaction(studio.engine) as tx:
        captures.record_sync(
            tx,
            captures.get_take(tx, take),
            command_skew_ms=0.4,
            clock_uncertainty_ms=0.1,
            exposure_skew_ms=1.3,
            exposure_source=ExposureSource.HOT_SHOE,
        )
    with pytest.raises(StateConflict, match="--replace"):
        run(take, "--board", str(home.folder / "board.toml"), "--home", str(home.folder))
    assert studio.records.take(take).exposure_source == "hot_shoe"
    assert run(take, "--board", str(home.folder / "board.toml"), "--home", str(home.folder), "--replace")[0] == 0
    assert studio.records.take(take).exposure_source == "optical"
