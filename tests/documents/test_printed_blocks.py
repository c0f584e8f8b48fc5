"""Each code block of the README and the guides is run as printed by a test beside this one, or is told why not.

A block is taken out of its document and run line for line (tests/support/printed_blocks.py); settings are read by
tests/test_documents.py. Who prints another command finds here that nothing runs it.
"""

import ast
from pathlib import Path

import pytest
from printed_blocks import Block, all_blocks, blocks_of

RECIPE = "of what the recipe adds, which is not here; test_how_to_code.py runs its code"
DRAWING = "shows what is sent, said or wired; nothing to run"
ROOT_RIGHTS = "installs on the machine as root"
HARDWARE = "needs a camera body"
SERVERS = "PostgreSQL's own programs"
LIKENESSES = "photographs of people; tests/single_view runs the command"

#: Document and beginning of a block -> why it cannot run here.
NOT_RUN = {
    ("README.md", "make demo"): "sets up an environment of its own; tests/system/test_demo.py runs the demo",
    ("README.md", "mien face fit"): LIKENESSES,
    ("README.md", "make models"): "half an hour; the guides of learn, detail, animate and avatar have its commands",
    ("README.md", "mien model build"): "docs/how-to/face-models.md has these commands, and its test runs them",
    ("docs/backup.md", "install -m 644 deploy/systemd"): ROOT_RIGHTS,
    ("docs/backup.md", "tar -C /srv/mien"): "age, a program of others",
    ("docs/backup.md", "createdb"): SERVERS,
    ("docs/backup.md", "pg_dump"): SERVERS,
    ("docs/led-board.md", "mien rig led-board"): "photographs of a board of LEDs",
    ("docs/led-board.md", "Exposure skew 3.92"): DRAWING,
    ("docs/how-to/animate.md", "mien face animate"): "a phone's recording; tests/animation runs the command",
    ("docs/how-to/animate.md", "Timecode,"): DRAWING,
    ("docs/how-to/animate.md", "from processing.animation"): "a folder of one's own; tests/animation has these calls",
    ("docs/how-to/animate.md", "OMP_NUM_THREADS"): "a benchmark of a minute",
    ("docs/limits.md", "pytest -m slow"): "is a test of its own, of minutes",
    ("docs/operators.md", "studio server   "): DRAWING,
    ("docs/operators.md", "line `half`"): DRAWING,
    ("docs/operators.md", "pip install"): "installs from the network",
    ("docs/operators.md", "install -m 644 deploy/systemd"): ROOT_RIGHTS,
    ("docs/operators.md", "groupadd --system"): ROOT_RIGHTS,
    ("docs/operators.md", "at the server "): "two machines; tests/camera_nodes/test_enrolment.py has both ends",
    ("docs/operators.md", "mien camera qualify gphoto2:port:1-1.4 --shots"): HARDWARE,
    ("docs/operators.md", "mien camera qualify gphoto2:port:1-1.4 --extend"): HARDWARE,
    ("docs/operators.md", "mien camera keep"): "needs what `mien camera qualify` found of a body",
    ("docs/operators.md", "mien rig lag"): "sixty shots; tests/controller/shutter_lag fires them",
    ("docs/operators.md", "Jitter left"): DRAWING,
    ("docs/operators.md", "mien cameras board"): "photographs of a board; tests/calibration/test_calibrate_commands.py",
    ("docs/operators.md", "mien session accept S012-1-E07"): "a body that failed; tests/controller/takes",
    ("docs/operators.md", "mien rig recover cam-07                 "): HARDWARE,
    ("docs/operators.md", "mien rig view"): "goes on until it is interrupted; tests/controller/cameras",
    ("docs/operators.md", "mien studio serve --setup"): "a studio without a rig; tests/controller/rig_setup",
    ("docs/operators.md", "mien rig shoot board"): "sixty poses of a board; tests/controller/rig_shots",
    ("docs/operators.md", "mien studio rehearse"): "a person's hour; tests/deploy/rehearsal",
    ("docs/how-to/rehearsal.md", "mien studio rehearse"): "a person's hour; tests/deploy/rehearsal",
    ("docs/operators.md", "mien rig identify"): HARDWARE,
    ("docs/operators.md", "mien cameras check"): "minutes of numerics; tests/camera_check",
    ("docs/operators.md", "curl -s -H"): "curl, a program of others; tests/controller/metrics asks the same",
    ("docs/operators.md", "mien studio serve --log-format"): "serve until they are ended; tests/common/guarding",
    ("docs/operators.md", "mien studio account add"): "needs a second manager; tests/controller/accounts calls each",
    ("docs/how-to/given-photographs.md", "subject/"): DRAWING,
    ("docs/how-to/avatar.md", "mien avatar portrait.jpg"): "photographs of people; tests/avatars runs the command",
    ("docs/how-to/avatar.md", "const gltf"): "a page's code; tests/browser/test_avatar_page.py loads an avatar so",
    ("docs/how-to/single-view.md", "mien face fit portrait.jpg --model"): LIKENESSES,
    ("docs/how-to/single-view.md", "mien face fit portrait.jpg --focal-px"): LIKENESSES,
    ("docs/how-to/single-view.md", "mien face fit portrait.jpg --learned"): LIKENESSES,
    ("docs/how-to/single-view.md", "python benchmarks/learned_fit.py"): "minutes; the regressor's tests have its parts",
    ("docs/how-to/edit-expression.md", "echo '{"): LIKENESSES,
    ("docs/how-to/edit-expression.md", "mien benchmark make wild"): (
        "photographs of people, many; tests/evaluation/wild makes one of drawn heads"
    ),
    ("docs/how-to/camera-backend.md", ".venv/bin/pytest"): RECIPE,
    ("docs/how-to/shutter-release.md", ".venv/bin/pytest"): RECIPE,
    ("docs/how-to/take-check.md", "    colour_cast.CHECK"): RECIPE,
    ("docs/how-to/take-check.md", ".venv/bin/pytest"): RECIPE,
    ("docs/how-to/stage.md", "mien process SUBJECT"): RECIPE,
    ("docs/how-to/export-format.md", "mien release export"): RECIPE,
    ("docs/how-to/benchmark.md", "mien benchmark make lab"): "minutes of rendering; tests/evaluation/lab makes one",
    ("docs/how-to/benchmark.md", "pip install --target peers"): "installs from the network",
    ("docs/how-to/face-models.md", "mien release select faces --out selection.toml   "): (
        "a studio of several subjects with rigs; tests/farm/test_study_models.py"
    ),
    ("docs/how-to/face-models.md", "mien release select faces --out selection.toml\n"): (
        "a studio of several subjects with rigs; tests/release/studio/export/test_rigs_and_models.py"
    ),
    ("docs/how-to/detail.md", "mien learn detail"): "a training; tests/training/detail has a tiny one",
    ("docs/how-to/detail.md", "mien face detail"): "weights of a training; tests/learning/detail has tiny ones",
    ("docs/how-to/detail.md", "python benchmarks/bench_learned.py"): "minutes, and weights of a training",
    ("docs/how-to/face-models.md", "from src.facescape_fitter"): (
        "FaceScape's checkout; tests/face_models/test_facescape_model.py runs its code"
    ),
    ("docs/how-to/learn.md", "mien learn regressor"): "a study and an hour; tests/training/test_learn_commands.py",
    ("docs/how-to/learn.md", "mien learn detail"): "a GPU and a day",
    ("docs/how-to/template.md", "mien template import"): "another's head; tests/template/test_template.py",
    ("docs/operators.md", "mien rig optical-skew"): "photographs of a board of LEDs",
    ("docs/operators.md", "mien farm keys scheduler"): "several machines; tests/farm/test_tls.py has them as processes",
    ("docs/release.md", "minisign -Vm"): "minisign, a program of others",
    ("docs/release.md", "height_mm ="): "a formula",
    ("docs/release.md", "mien demo --out sample"): "the demo takes minutes; tests/system/test_demo.py runs it",
    ("docs/wire.md", "on the node "): "two machines; tests/camera_nodes/test_enrolment.py has both ends",
    ("docs/wire.md", "seed = scrypt"): DRAWING,
    ("docs/wire.md", "node   "): DRAWING,
    ("docs/wire.md", "node: t1"): DRAWING,
    ("docs/wire.md", "controller - node"): DRAWING,
    ("docs/wire.md", "no_camera --opened"): DRAWING,
    ("docs/wire.md", "controller   "): DRAWING,
}  # fmt: skip

# Recipes whose code test_how_to_code.py runs, every block of it.
RECIPES = {
    f"docs/how-to/{name}.md" for name in ("camera-backend", "shutter-release", "take-check", "stage", "export-format")
}

BLOCKS = [block for block in all_blocks() if block.language not in ("toml", "mermaid")]


def _run() -> set[tuple[str, str]]:
    """Document and beginning, as tests of this folder ask for them by printed("...", "...")."""
    asked = set()
    for file in Path(__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "printed":
                document, beginning = (ast.literal_eval(word) for word in node.args)
                asked.add((document, beginning))
    return asked


def _named(names: set[tuple[str, str]], block: Block) -> list[tuple[str, str]]:
    return [name for name in names if name[0] == block.document and block.text.startswith(name[1])]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{block.document}:{block.number}")
def test_a_block_runs_or_stands_in_the_table(block: Block) -> None:
    run, not_run = _named(_run(), block), _named(set(NOT_RUN), block)
    if block.document in RECIPES and block.language == "python":
        return
    assert run or not_run, "run it in a test of this folder, or say in NOT_RUN why it cannot be run"
    assert not (run and not_run), f"{not_run} is run: take it out of NOT_RUN"


def test_the_table_names_blocks_that_are_there() -> None:
    gone = [name for name in NOT_RUN if not any(_named({name}, block) for block in BLOCKS)]
    assert not gone


def test_blocks_are_found() -> None:
    text = "Word\n\n    mien one\n\n    mien 2\n\n```python\nx = 1\n```\n- an item\n    on\n\n    [table]\n    a = 1\n"
    found = [(block.number, block.language, block.text) for block in blocks_of(text, "t")]
    assert found == [(3, "", "mien one\n\nmien 2"), (8, "python", "x = 1"), (13, "toml", "[table]\na = 1")]
