"""What the guides of the data manager print runs as printed: see test_printed_blocks.py for the rule."""

import json
import shutil
import sqlite3
import sys

import pytest
from printed_blocks import Desk, printed

from db.store import Store

KEYGEN = """
import pathlib, sys, pyrage
key = pyrage.x25519.Identity.generate()
pathlib.Path(sys.argv[2]).write_text(f"{key}\\n")
pathlib.Path("recipient").write_text(f"{key.to_public()}\\n")
"""


def test_a_consent_is_given(newcomers: Desk) -> None:
    said = newcomers.run(printed("docs/data-manager.md", "mien subject add --age 34"))
    assert "S012" in said
    assert "eyes_mosaicked" in said
    assert "S001" in said


@pytest.mark.slow
def test_how_the_study_stands(desk: Desk) -> None:
    (desk.home / "studio.toml").write_text(printed("docs/data-manager.md", "[records]").text)
    said = desk.run(printed("docs/data-manager.md", "mien study retention"))
    assert "2030-12-31" in said
    said = desk.run(printed("docs/data-manager.md", "mien study progress"))
    assert "neutral" in said
    assert "audit log holds" in desk.run(printed("docs/data-manager.md", "mien db audit"))
    assert "The store is sound" in desk.run(printed("docs/data-manager.md", "mien db fsck"))


@pytest.mark.slow
def test_who_somebody_is(desk: Desk) -> None:
    secure = desk.folder / "secure"
    secure.mkdir()
    said = desk.run(
        printed("docs/data-manager.md", "mien subject personal new-key"),
        here={"/secure/mien.key": str(secure / "mien.key")},
        input='{"name": "A. Plantedname", "phone": "123"}',
    )
    assert "A. Plantedname" in said
    assert (secure / "mien.key").stat().st_mode & 0o777 == 0o600


def test_a_withdrawal(desk: Desk) -> None:
    said = desk.run(printed("docs/data-manager.md", "mien subject withdraw S012 "), input="S012\n")
    assert "faces" in said


@pytest.mark.slow
def test_the_trash(desk: Desk) -> None:
    store = Store(str(desk.home / "store"))
    (desk.folder / "nobodys.jpg").write_bytes(b"nobody's")
    orphan = store.put_file(desk.folder / "nobodys.jpg")
    desk.shell("mien db fsck --repair --older-than 0")
    batch = json.loads(desk.shell("mien db trash list --json"))[0]["batch"]
    said = desk.run(printed("docs/data-manager.md", "mien db trash list"), here={"BATCH": batch})
    assert "1 files are back in the store" in said
    assert list((desk.home / "store").glob(f"sha256/*/{orphan}*"))


@pytest.mark.slow
def test_a_store_is_confirmed(desk: Desk) -> None:
    shutil.rmtree(desk.home / "store" / "identity")
    for name in sorted((desk.home / "store" / "sha256").glob("*/*"))[:3]:
        name.unlink()
    said = desk.run(
        printed("docs/data-manager.md", "mien db adopt-store"),
        here={"275": "3"},
        ends={"mien db adopt-store   ": 4},
    )
    assert "belong together from now on" in said


@pytest.mark.slow
def test_a_backup_every_night(desk: Desk) -> None:
    here = {
        "/mnt/mien-backup": str(desk.folder / "backup"),
        "/srv/mien": str(desk.home),
        "postgresql://…": f"sqlite:///{desk.folder}/copy.sqlite",
    }
    said = desk.run(printed("docs/data-manager.md", "mien db backup --to /mnt"), here=here)
    assert "The backup is sound" in said
    with sqlite3.connect(desk.folder / "copy.sqlite") as copy:
        assert copy.execute("SELECT count(*) FROM take").fetchone() == (4,)
    copy.close()


@pytest.mark.slow
def test_a_backup_that_leaves_the_house(desk: Desk) -> None:
    """age-keygen as its manual says, by the library that Mien seals with."""
    desk.program("age-keygen", f'exec {sys.executable} {desk.folder / "keygen.py"} "$@"')
    (desk.folder / "keygen.py").write_text(KEYGEN)
    said = desk.run(
        printed("docs/backup.md", "age-keygen"), here={"age1…": "$(cat recipient)", "FOLDER": str(desk.folder / "b")}
    )
    assert said.count("/snapshots/") == 2
    assert "The backup is sound" in said


@pytest.mark.slow
def test_a_backup_is_restored(desk: Desk) -> None:
    folder = {"/mnt/mien-backup": str(desk.folder / "backup")}
    said = desk.run(printed("docs/backup.md", "mien db backup --to /mnt/mien-backup/studio  "), here=folder)
    desk.run(
        printed("docs/backup.md", "mien db backup --to FOLDER --keep"), here={"FOLDER": f"{desk.folder}/backup/studio"}
    )
    said = desk.run(
        printed("docs/backup.md", "mien db restore /mnt/mien-backup/studio"),
        here={**folder, "/srv/mien-new": str(desk.folder / "mien-new"), "--old /srv/mien": f"--old {desk.home}"},
    )
    assert "audit log holds" in said


def test_a_program_opens_the_records(desk: Desk) -> None:
    printed_block = printed("docs/data-model.md", "from db.studio import")
    ask = """
from sqlalchemy import text
with open_studio(home) as studio, reading(studio.engine) as tx:
    print("takes", tx.execute(text("SELECT count(*) FROM take")).scalar())"""
    said = desk.python(printed_block, before=f"from pathlib import Path\nhome = Path({str(desk.home)!r})", after=ask)
    assert "takes 4" in said
