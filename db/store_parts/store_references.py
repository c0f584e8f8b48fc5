"""Which rows refer to files of the store. A file that none of them names is nobody's."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import CompoundSelect, bindparam, func, literal, null, select, union_all
from sqlalchemy.orm import InstrumentedAttribute, Session

from db.models import Artefact, Camera, Frame, Job, JobInput, RawFile, RunReview, Take, TakeReview

PHOTOGRAPH, RAW, ARTEFACT, SHEET, PICTURE, INPUT = (
    *("photograph", "raw file", "artefact", "contact sheet", "picture of a run", "input of a run"),
)

# What each column's file is, in words.
REFERENCES: dict[str, InstrumentedAttribute[str] | InstrumentedAttribute[str | None]] = {
    PHOTOGRAPH: Frame.sha256,
    RAW: RawFile.sha256,
    ARTEFACT: Artefact.sha256,
    SHEET: TakeReview.sheet,
    PICTURE: RunReview.picture,
    INPUT: JobInput.sha256,  # templates; the listings of takes that are here too are no files
}


def is_referenced(tx: Session, sha256: str) -> bool:
    """Whether any row names this file."""
    return any(
        tx.scalar(select(literal(1)).where(column == sha256).limit(1)) is not None for column in REFERENCES.values()
    )


@dataclass(frozen=True)
class StoreReference:
    """A file that rows name."""

    kinds: frozenset[str]  # what it is
    bytes: int | None  # its size, where a row says it

    @property
    def is_file(self) -> bool:
        """False for what may be a file or not: see REFERENCES."""
        return self.kinds != {INPUT}


def _named_between() -> CompoundSelect[Any]:
    """Kind, hash and size of every file named, from `first` to `last`."""
    named = []
    for kind, attribute in REFERENCES.items():
        columns = attribute.class_.__table__.c
        column = columns[attribute.key]
        between = column.between(bindparam("first"), bindparam("last"))
        named.append(select(literal(kind), column, columns.get("bytes", null())).where(between))
    return union_all(*named)


NAMED_BETWEEN = _named_between()  # once: it is asked 256 times in a row, and takes long to put together


def referenced(tx: Session, shard: str) -> dict[str, StoreReference]:
    """Every file named whose hash begins with these two hexadecimal digits."""
    limits = {"first": shard.ljust(64, "0"), "last": shard.ljust(64, "f")}
    kinds: dict[str, set[str]] = {}
    sizes: dict[str, int | None] = {}
    for kind, sha256, size in tx.execute(NAMED_BETWEEN, limits):
        kinds.setdefault(sha256, set()).add(kind)
        sizes[sha256] = sizes.get(sha256) or size
    return {sha256: StoreReference(frozenset(found), sizes[sha256]) for sha256, found in kinds.items()}


def described(tx: Session, sha256: str) -> list[str]:
    """What a file is to the rows that name it, by code: 'photograph of S001-1-E02-1 by cam-07'."""
    shots = [
        (kind, select(Take.code, Camera.name).join(table, table.take_id == Take.id), table)
        for kind, table in ((PHOTOGRAPH, Frame), (RAW, RawFile))
    ]
    found = [
        f"{kind} of {take} by {camera}"
        for kind, query, table in shots
        for take, camera in tx.execute(query.join(Camera, Camera.id == table.camera_id).where(table.sha256 == sha256))
    ]
    made = (
        select(Job.stage, Artefact.output, func.coalesce(Take.code, Job.key))
        .join(Job, Job.id == Artefact.job_id)
        .outerjoin(Take, Take.id == Job.take_id)
        .where(Artefact.sha256 == sha256)
    )
    found += [f"{stage}'s {output} of {of[:40]}" for stage, output, of in tx.execute(made)]
    sheets = select(Take.code).join(TakeReview, TakeReview.take_id == Take.id).where(TakeReview.sheet == sha256)
    return found + [f"contact sheet of {code}" for code in tx.scalars(sheets)]
