"""The simulated camera's faults are those asked for; a misspelt address is explained."""

import dataclasses
from pathlib import Path

import pytest

from camera_nodes.backends import make_camera, open_camera
from camera_nodes.errors import BadAddress, CameraBusy, CameraFault, CameraMissing, CardFull, FileTruncated
from camera_nodes.sim_camera import SimOptions, SimReleaseOptions
from camera_nodes.wire import Exposure


def shoot(camera):
    camera.max_late_ns = 10**9
    camera.arm(Exposure())
    frame = camera.expose(camera.clock.now_ns())
    files = camera.listen(0.1).files
    camera.finish()
    return frame, camera.read(files[0]) if files else None


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sim:jiter_ms=1", "did you mean 'jitter_ms'"),
        ("gphoto2:virtual?photo=x", "did you mean 'photos'"),
        ("sin:seed=1", "did you mean 'sim'"),
        ("sim:seed=one", "seed is 'one', not of type int"),
        ("sim:seed=1&seed=2", "given twice"),
        ("sim:seed", "not 'key=value"),
        ("sim:lag_ms=nan", "out of range"),
        ("gphoto2:COM1", "'usb:BUS,DEVICE'"),
        ("", "is no camera address"),
    ],
)
def test_a_misspelt_address_is_explained(url, says):
    with pytest.raises(BadAddress) as refusal:
        make_camera(url)
    assert says in str(refusal.value)
    assert refusal.value.exit_code == 2


def test_the_same_seed_gives_the_same_lags():
    lags = []
    for seed in (1, 1, 2):
        with open_camera(f"sim:seed={seed}&lag_ms=10") as camera:
            frames = [shoot(camera)[0].release for _ in range(3)]
            lags.append([frame.exposed_at_ns - frame.released_at_ns for frame in frames])
    assert lags[0] == lags[1] != lags[2]
    assert len(set(lags[0])) == 3


def test_the_photograph_is_the_one_at_the_exposure(tmp_path):
    for name in ("neutral", "smile"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "3.jpg").write_text(name)
    link = tmp_path / "now"
    link.symlink_to("neutral")
    with open_camera(f"sim:photos={link}&view=3") as camera:
        camera.max_late_ns = 10**9
        camera.arm(Exposure())
        camera.expose(camera.clock.now_ns())
        link.unlink()
        link.symlink_to("smile")  # the subject performs the next expression
        file = camera.listen(0.1).files[0]
        assert camera.read(file) == b"neutral"
        camera.finish()
        assert shoot(camera)[1] == b"smile"


def test_faults_are_injected():
    with open_camera("sim:drop=1") as camera:
        assert shoot(camera)[1] is None
        assert camera.search() == ()
    with open_camera("sim:busy=1") as camera, pytest.raises(CameraBusy):
        shoot(camera)
    with open_camera("sim:card=2") as camera:
        shoot(camera)
        shoot(camera)
        with pytest.raises(CardFull):
            shoot(camera)
    with open_camera("sim:seed=5") as camera:
        whole = shoot(camera)[1]
    with open_camera("sim:seed=5&truncate=1") as camera:
        assert shoot(camera)[1] == whole[: len(whole) // 2]
    with open_camera("sim:seed=5&corrupt=1") as camera:
        corrupt = shoot(camera)[1]
        assert len(corrupt) == len(whole)
        assert corrupt != whole
    with open_camera("sim:late=1&late_ms=20&lag_ms=5&jitter_ms=0") as camera:
        release = shoot(camera)[0].release
        assert release.exposed_at_ns - release.released_at_ns == 25_000_000
    with open_camera("sim:dead_after=1") as camera:
        shoot(camera)
        with pytest.raises(CameraMissing):
            shoot(camera)
        with pytest.raises(CameraMissing):
            camera.open()


def test_files_misbehave_as_those_of_real_bodies():
    def files(options, listens=1):
        with open_camera(f"sim:seed=5&{options}") as camera:
            camera.max_late_ns = 10**9
            camera.arm(Exposure())
            camera.expose(camera.clock.now_ns())
            camera.finish()
            heard = [file for _ in range(listens) for file in camera.listen(0.5).files]
            return camera, heard, camera.search()

    _, heard, found = files("unheard=1")
    assert heard == []
    assert [file.name for file in found] == ["SIM_0001.JPG"]
    _, heard, found = files("twice=1", listens=3)
    assert [file.path for file in heard] == [found[0].path] * 2
    _, heard, found = files("second_slot=1", listens=3)
    assert [file.name for file in heard] == ["SIM_0001.JPG"] * 2
    assert len({file.folder for file in heard}) == len(found) == 2
    _, heard, found = files("tardy=1&tardy_s=60")
    assert (heard, found) == ([], ())
    with open_camera("sim:seed=5&cut=1") as camera:
        camera.max_late_ns = 10**9
        camera.arm(Exposure())
        camera.expose(camera.clock.now_ns())
        file = camera.listen(0.1).files[0]
        with pytest.raises(FileTruncated) as cut:
            camera.read(file)
        assert camera.read(file).startswith(cut.value.data)
    with open_camera("sim:seed=5&by_hand=1") as camera:
        camera.check()
        assert [file.name for file in camera.listen(0.1).files] == ["SIM_0001.JPG"]
        assert camera.counter == 1


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CameraMissing, match="nowhere"):
        open_camera(f"sim:photos={tmp_path}/nowhere")


@pytest.mark.parametrize("kind", [SimOptions, SimReleaseOptions])
def test_every_key_stands_in_the_guide_with_its_default(kind: type) -> None:
    guide = (Path(__file__).parents[2] / "docs/how-to/rehearsal.md").read_text()
    for field in dataclasses.fields(kind):
        default = f"`{field.default:g}`" if isinstance(field.default, float) else f"`{field.default}`"
        assert f"| `{field.name}` | {'' if field.default == '' else default} | " in guide, field.name


def test_a_script_lets_things_go_wrong_while_the_camera_runs(tmp_path: Path) -> None:
    script = tmp_path / "script.toml"
    script.write_text("")
    camera = open_camera(f"sim:seed=3&lag_ms=5&jitter_ms=0&script={script}")
    assert camera.arm(Exposure()).battery_percent == 100
    camera.disarm()
    script.write_text("battery = 3.0\nlate = 1.0\nlate_ms = 60.0\n")
    late, _ = shoot(camera)
    assert late.release.exposed_at_ns - late.release.released_at_ns == pytest.approx(65e6, abs=1e4)
    assert camera.check().battery_percent == 3
    script.write_text("away = 1\n")
    with pytest.raises(CameraMissing):
        camera.check()
    script.write_text("awya = 1\n")
    with pytest.raises(CameraFault, match="did you mean 'away'"):
        camera.open()
    script.write_text("")
    camera.open()
    assert camera.check().battery_percent == 100
