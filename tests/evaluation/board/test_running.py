"""A method's command is run over photographs; whatever it does, every photograph has a mesh or a reason."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from common.files.locks import try_lock
from processing.errors import DataError
from processing.evaluation.board.methods import MethodError, read_method
from processing.evaluation.board.running import MESHES, MethodRun, MethodUnavailable, Photo, read_made, run_method

MOODY = Path(__file__).with_name("moody_method.py")
METHOD = """
name = "moody"
command = ["{{python}}", "-S", "{{here}}/moody_method.py", "{{images}}", "{{out}}", "{{mood}}"]
batch = {batch}
sees_focal = {focal}
seconds_an_image = {limit}
seconds_to_start = 1.5

[values]
mood = "{mood}"
"""


class Bench:
    """Photographs a, b, c ... and a moody method over them."""

    def __init__(self, folder: Path, count: int = 5) -> None:
        self.folder = folder
        (folder / "moody_method.py").write_bytes(MOODY.read_bytes())
        self.photos = []
        for name in "abcdefgh"[:count]:
            path = folder / f"{name}.png"
            path.write_bytes(name.encode())
            self.photos.append(Photo(name, path, 600.0))

    def run(
        self, mood: str = "", *, batch: int = 40, limit: float = 60, focal: bool = False, again: bool = False
    ) -> MethodRun:
        path = self.folder / "moody.toml"
        path.write_text(METHOD.format(mood=mood, batch=batch, limit=limit, focal=str(focal).lower()))
        return run_method(read_method(path), self.photos, self.folder / "moody", again=again)

    @property
    def calls(self) -> list[str]:
        path = self.folder / "moody/calls.txt"
        return path.read_text().splitlines() if path.is_file() else []

    def meshes(self) -> list[str]:
        return sorted(path.stem for path in (self.folder / "moody" / MESHES).glob("*.obj"))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def faults(run: MethodRun) -> dict[str, str]:
    return {name: made.fault for name, made in run.made.items() if made.fault}


def test_all_are_made_in_batches_and_once(bench: Bench) -> None:
    run = bench.run(batch=2)
    assert bench.calls == ["a b", "c d", "e"]
    assert (faults(run), run.fresh, bench.meshes()) == ({}, 5, list("abcde"))
    assert all(made.seconds > 0 for made in run.made.values())
    assert bench.run(batch=2).fresh == 0
    assert len(bench.calls) == 3


def test_the_focal_length_is_told_to_methods_that_may_see_it(bench: Bench) -> None:
    for focal, told in ((False, ""), (True, "600.0")):
        run = bench.run(focal=focal)
        assert run.fresh == 5  # seeing it is another method
        assert f'"{told}"' in (run.folder / "a.camera.json").read_text()


@pytest.mark.parametrize("what", ["crash", "crash-late", "half"])
@pytest.mark.parametrize("who", ["a", "c", "e"])
def test_a_crash_stands_with_its_photograph_alone(bench: Bench, who: str, what: str) -> None:
    run = bench.run(f"{who}={what}")
    assert list(faults(run)) == [who]
    assert "exit code" in run.made[who].fault
    assert bench.meshes() == [name for name in "abcde" if name != who]
    assert (run.folder / f"{who}.obj").exists() is False
    assert bench.run(f"{who}={what}").fresh == 0  # a fault is not tried again unless asked for
    assert bench.run(f"{who}={what}", again=True).fresh == 5


def test_a_crash_is_told_in_the_commands_words(bench: Bench) -> None:
    assert bench.run("b=crash").made["b"].fault == "exit code 3: first words | no luck with b"


def test_several_crashes_in_one_batch(bench: Bench) -> None:
    run = bench.run("b=crash,c=crash,e=half")
    assert sorted(faults(run)) == ["b", "c", "e"]
    assert bench.meshes() == ["a", "d"]


def test_what_hangs_is_ended(bench: Bench) -> None:
    run = bench.run("c=hang", limit=0.6)
    assert list(faults(run)) == ["c"]
    assert "no mesh in" in run.made["c"].fault
    assert bench.meshes() == list("abde")


def test_what_is_left_out_has_a_reason(bench: Bench) -> None:
    run = bench.run("b=nothing,d=fault")
    assert faults(run) == {
        "b": "no mesh was made of it",
        "d": "no mesh was made of it: no face was found",
    }


def test_a_broken_command_is_not_run_for_each_photograph(bench: Bench) -> None:
    run = bench.run("all=crash")
    found = faults(run)
    assert len(found) == 5
    assert found["a"] == "exit code 1: bad luck"
    assert found["e"] == "not tried: the command failed on the first 3 photographs"
    assert bench.run("all=crash").fresh == 5  # once it is mended, nobody has to ask for it


def test_what_cannot_run_here_says_why_and_counts_nothing(bench: Bench) -> None:
    with pytest.raises(MethodUnavailable, match="moody cannot run here: the peer is not installed"):
        bench.run("all=unavailable")
    assert read_made(bench.folder / "moody") == {}
    assert bench.run().fresh == 5


def test_a_program_that_is_not_there(bench: Bench) -> None:
    path = bench.folder / "none.toml"
    path.write_text('name = "none"\ncommand = ["/no/such/program", "{images}", "{out}"]\n')
    with pytest.raises(MethodUnavailable, match="/no/such/program cannot be started"):
        run_method(read_method(path), bench.photos, bench.folder / "none")


def test_another_photograph_program_or_value_makes_meshes_anew(bench: Bench) -> None:
    bench.run()
    bench.photos[1].path.write_bytes(b"another")
    assert bench.run().fresh == 1
    with (bench.folder / "moody_method.py").open("a") as program:
        program.write("# changed\n")
    assert bench.run().fresh == 5
    (bench.folder / "moody_helper.py").write_text("x = 1\n")
    with (bench.folder / "moody_method.py").open("a") as program:
        program.write("import moody_helper\n")
    assert bench.run().fresh == 5
    (bench.folder / "moody_helper.py").write_text("x = 2\n")  # what the program imports from beside it
    assert bench.run().fresh == 5
    assert bench.run("b=nothing").fresh == 5
    assert bench.meshes() == list("acde")  # the mesh of before is not b's any more


def test_two_runs_at_once_keep_out_of_each_others_way(bench: Bench) -> None:
    bench.run()
    lock = try_lock(bench.folder / "moody/.lock")
    assert lock is not None
    with pytest.raises(DataError, match="another run of moody works in"):
        bench.run()
    os.close(lock)
    bench.run()


def test_a_mesh_that_was_taken_away_is_made_again(bench: Bench) -> None:
    run = bench.run()
    (run.folder / "d.obj").unlink()
    assert bench.run().fresh == 1
    assert bench.meshes() == list("abcde")


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
from test_running import Bench
Bench(Path({folder!r})).run("d=hang")
"""


def test_interrupted_it_keeps_what_is_whole_and_goes_on(bench: Bench) -> None:
    script = SCRIPT.format(here=str(Path(__file__).parent), folder=str(bench.folder))
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, env=os.environ.copy())
    making = bench.folder / "moody/making/out"
    deadline = time.monotonic() + 60
    while not (making / "c.camera.json").is_file():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read().decode() if process.stderr else ""
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1].decode()
    assert "KeyboardInterrupt" in said
    assert bench.meshes() == ["a", "b"]  # c was the last: it may be half written
    found = subprocess.run(["pgrep", "-f", str(bench.folder)], capture_output=True, check=False)
    assert not found.stdout  # the command is ended with it
    bench.run("d=nothing")
    assert bench.meshes() == list("abce")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name = "Ours"\ncommand = ["a", "{images}", "{out}"]', "lower-case letters"),
        ('name = "ours"\ncommand = []', "'command' is empty"),
        ('name = "ours"\ncommand = ["a", "{images}"]', "takes no {images}, or no {out}"),
        ('name = "ours"\ncommand = ["a", "{images}", "{out}", "{modle}"]', "asks for {modle}; there are images, out"),
        ('name = "ours"\ncommand = ["a", "{images}", "{out}"]\n[values]\nout = 3', "[values] has 'out'"),
        ('name = "ours"\ncommand = ["a", "{images}", "{out}"]\nsee_focal = true', "did you mean 'sees_focal'"),
    ],
)  # fmt: skip
def test_a_method_that_cannot_be_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "ours.toml"
    path.write_text(text)
    with pytest.raises(MethodError) as refused:
        read_method(path)
    assert said in str(refused.value)
    assert str(path) in str(refused.value)


def test_a_command_that_needs_a_model_says_so(tmp_path: Path) -> None:
    path = tmp_path / "ours.toml"
    path.write_text('name = "ours"\ncommand = ["a", "{images}", "{out}", "{model}"]\n')
    with pytest.raises(MethodError, match="give --model"):
        read_method(path).words(Path("list"), Path("out"), None)


def test_a_link_is_no_mesh(bench: Bench) -> None:
    """It would show a file that is not the method's, or point nowhere tomorrow."""
    run = bench.run("b=link")
    assert run.made["b"].fault.startswith("no mesh was made of it")
    assert bench.meshes() == ["a", "c", "d", "e"]
