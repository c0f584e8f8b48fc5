"""`mien camera` from the report beside the camera to the records of the studio."""

import json
import sys

import msgspec
import pytest
from patience import run_patiently
from typer.testing import CliRunner

from camera_nodes.qualification.report import Exposures, QualificationReport, Reason, encode
from db.commands import database
from db.errors import AlreadyThere
from deploy.commands.camera import app

REPORT = QualificationReport(
    made_at="2026-11-28T14:00:00+00:00", mien="0.1.0", library="libgphoto2 2.5.34", address="gphoto2:", model="D850",
    serial="123\0", firmware="1.20", finished=True, exposures=Exposures(100, made=100, whole=100),
    verdict="fit_with_remarks", reasons=(Reason(False, "it does not tell its clock"),),
)  # fmt: skip


def run(*arguments, code=0):
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_HOME", str(tmp_path / "studio"))
    monkeypatch.delenv("MIEN_DATABASE", raising=False)
    CliRunner().invoke(database.app, ["upgrade"])
    return tmp_path / "studio"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "report.json"
    path.write_bytes(encode(REPORT))
    return path


@pytest.mark.usefixtures("home")
def test_a_report_is_kept_listed_and_shown(file):
    assert "Report 1 of D850 is kept for no place in a rig: fit with remarks." in run("keep", str(file))
    with pytest.raises(AlreadyThere):
        run("keep", str(file))
    (listed,) = json.loads(run("reports", "--json"))
    assert (listed["model"], listed["verdict"], listed["exposures"]) == ("D850", "fit_with_remarks", 100)
    assert "D850" in run("reports")
    assert "FIT WITH REMARKS" in run("reports", "1")
    assert json.loads(run("reports", "1", "--json"))["form"] == 1


def test_a_report_with_padded_names_is_kept_on_postgresql(empty_database_url, file, tmp_path):
    arguments = ("--home", str(tmp_path / "home"), "--database", empty_database_url)
    CliRunner().invoke(database.app, ["upgrade", *arguments])
    assert "is kept" in run("keep", str(file), *arguments)
    assert "D850" in run("reports", *arguments)


def test_an_unfinished_report_can_be_kept_too(home, file):
    assert home.is_dir()
    file.write_bytes(encode(msgspec.structs.replace(REPORT, finished=False, verdict="unfit")))
    assert "unfit" in run("keep", str(file))


def test_the_table_of_models_is_shown():
    assert "Canon EOS 5D Mark IV" in run("models")
    assert "https://github.com/" in run("models", "D850")
    assert json.loads(run("models", "D850", "--json"))["card_target"] == ["Memory card"]
    assert run("models", "--markdown").startswith("# What the table of camera models says")


def test_beside_the_camera_nothing_of_the_records_is_needed():
    """With what the `node` extra lacks made unimportable, the table and the qualification's modules still load."""
    code = (
        "import sys\n"
        "for name in ('sqlalchemy', 'alembic', 'numpy', 'cv2', 'PIL', 'psycopg'): sys.modules[name] = None\n"
        "import camera_nodes.qualification.qualify, camera_nodes.qualification.report_text\n"
        "import camera_nodes.qualification.model_proposal\n"
        "sys.argv = ['mien', 'camera', 'models', 'D850']\n"
        "import mien; mien.main()\n"
    )
    done = run_patiently([sys.executable, "-c", code])
    assert done.returncode == 0, done.stderr
    assert "Nikon D850" in done.stdout


def test_without_the_records_the_command_says_what_to_install(file):
    code = (
        "import sys\n"
        "import importlib.util\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'sqlalchemy' else find(name, *rest)\n"
        f"sys.argv = ['mien', 'camera', 'keep', {str(file)!r}]\n"
        "import mien; mien.main()\n"
    )
    done = run_patiently([sys.executable, "-c", code])
    assert done.returncode == 2
    assert "mien[controller]" in done.stderr
