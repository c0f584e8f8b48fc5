"""The command line: which folder answers which command; nothing else.

A command's module is imported when it is called, so a camera computer needs only the `node` extra.
"""

import errno
import importlib
import os
import sys
import traceback
from importlib.metadata import version
from typing import NamedTuple

import typer

from common.configuration.suggestions import nearest
from common.guarding.file_modes import restrict_new_files
from common.guarding.output_streams import sanitise_standard_streams
from common.guarding.safe_text import plain_lines
from common.guarding.secret_masking import masked

# Commands work in threads of their own; OpenMP's, a set for each of them, spin while they wait: a scan on two cores
# took 246 CPU seconds in place of 176. The variable is read when the first library loads.
os.environ.setdefault("OMP_NUM_THREADS", "1")


class Command(NamedTuple):
    module: str
    extra: str
    help: str


COMMANDS = {
    "demo": Command("deploy.commands.demo", "dev", "The whole studio on this machine: shutters to a verified release."),
    "doctor": Command("deploy.commands.doctor", "", "What this machine can run, what is missing, how to get it."),
    "db": Command("db.commands.database", "controller", "Create and upgrade the database."),
    "subject": Command("db.commands.subject", "controller", "Subjects and their consent."),
    "study": Command("deploy.commands.study", "controller", "How the study stands: missing, candidates, coverage."),
    "protocol": Command("db.commands.protocol", "controller", "The expressions that a session asks for."),
    "node": Command(
        "camera_nodes.commands.node", "node", "The process beside a camera: run it, its keys, its enrolment."
    ),
    "camera": Command(
        "deploy.commands.camera", "node", "One camera: qualify its body, keep the report, what its model is known for."
    ),
    "rig": Command(
        "controller.commands.rig", "controller", "The cameras: status, shutter lag, checks before a session."
    ),
    "studio": Command("deploy.commands.studio", "controller", "The studio's server and console."),
    "session": Command("controller.commands.session", "controller", "A subject in the chair: fire, accept, retake."),
    "calibrate": Command("processing.commands.calibrate", "farm", "Photographs of the board to the rig's cameras."),
    "cameras": Command(
        "processing.commands.cameras", "farm", "The board to print; cameras to and from COLMAP; colours."
    ),
    "reconstruct": Command("processing.commands.reconstruct", "farm", "Photographs of one take to a scan."),
    "register": Command("processing.commands.register", "farm", "A scan to a registered mesh."),
    "process": Command("processing.commands.process", "farm", "Photographs of one subject to release layout."),
    "template": Command("processing.commands.template", "farm", "The topology that scans are brought to."),
    "displace": Command("processing.commands.displace", "farm", "A registered mesh and its relief to a detailed mesh."),
    "farm": Command("processing.commands.farm", "farm", "Turn closed sessions into artefacts, unattended."),
    "model": Command("processing.commands.model", "farm", "Face models: rigs of 52 blendshapes, fits, samples."),
    "face": Command("processing.commands.face", "farm", "A face from photographs: fit a model, edit expressions."),
    "avatar": Command("processing.commands.avatar", "farm", "One photograph to a textured head that moves, a .glb."),
    "learn": Command("processing.commands.learn", "farm", "Train on a release: learned fit, skin's detail, avatars."),
    "benchmark": Command(
        "processing.commands.benchmark", "farm", "Methods of one photograph, measured: make, run, evaluate, report."
    ),
    "release": Command("processing.commands.release", "farm", "Dataset releases: select, build, verify, fetch."),
}
FAULT = 1
USAGE = 2
DATA = 4
OURS = {"camera_nodes", "common", "controller", "db", "deploy", "processing"}
DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
REFUSED_BY_THE_SYSTEM = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP,
    errno.EEXIST, errno.ENOTEMPTY,
}  # fmt: skip


def overview() -> str:
    width = max(map(len, COMMANDS))
    rows = [f"  mien {name:<{width}}  {command.help}" for name, command in COMMANDS.items()]
    head = ["Mien runs a face-capture studio from the shutter to the dataset.", ""]
    return "\n".join([*head, *rows, "", "mien COMMAND --help says more; mien doctor says what is missing here."])


def load(name: str) -> typer.Typer:
    """The command's Typer app. Raises ModuleNotFoundError when the role's extra is not there."""
    app = importlib.import_module(COMMANDS[name].module).app
    assert isinstance(app, typer.Typer)
    return app


def complain(message: str, code: int) -> None:
    print(plain_lines(masked(message)), file=sys.stderr)
    raise SystemExit(code)


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 a fault of ours, 2 usage, 3 equipment, 4 data, 130 interrupted."""
    restrict_new_files()
    sanitise_standard_streams()
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(overview())
        return
    name = arguments[0]
    if name == "--version":
        print(f"mien {version('mien')}")
        return
    if name not in COMMANDS:
        near = nearest(name, COMMANDS)
        hint = f"; did you mean mien {near}?" if near is not None else ""
        complain(f"mien has no command {name!r}{hint} (mien --help lists them)", USAGE)
    try:
        typer.main.get_command(load(name))(arguments[1:], prog_name=f"mien {name}")
    except KeyboardInterrupt:
        complain("Interrupted.", 130)
    except ModuleNotFoundError as error:  # at once, or when a command imports what it works with
        if not error.name or error.name.partition(".")[0] in OURS:
            raise
        complain(f"mien {name} needs the package {error.name}: pip install 'mien[{COMMANDS[name].extra}]'", USAGE)
    except OSError as error:
        if error.errno in DISK_FULL:
            where = f" while writing {error.filename}" if error.filename else ""
            complain(f"The disk is full{where}. Free some space and run the same command again.", DATA)
        if error.errno in REFUSED_BY_THE_SYSTEM and error.filename:
            complain(f"{error.filename}: {error.strerror}", DATA)
        complain(traceback.format_exc(), FAULT)
    except Exception as error:
        code = getattr(error, "exit_code", None)
        if not isinstance(code, int):
            complain(traceback.format_exc(), FAULT)
        else:
            complain(str(error), code)


if __name__ == "__main__":
    main()
