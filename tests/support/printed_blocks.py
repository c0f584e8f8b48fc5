"""Code blocks as the documents print them, and running one: the text comes from the document, never from a copy."""

import os
import re
import stat
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from patience import run_patiently

ROOT = Path(__file__).parents[2]
GUIDES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md"), *ROOT.glob("docs/how-to/*.md")])
FENCE = re.compile(r"( *)```(\w*)$")


class Block(NamedTuple):
    """A code block of a document."""

    document: str  # its path in the repository
    number: int  # of its first line
    language: str  # "python", "toml", "mermaid", "" where the document does not say
    text: str

    @property
    def first(self) -> str:
        return self.text.partition("\n")[0]


def blocks_of(text: str, document: str) -> list[Block]:
    """Fenced blocks, and indented ones that begin after an empty line."""
    lines, found, at = text.splitlines(), [], 0
    while at < len(lines):
        fence = FENCE.match(lines[at])
        end = at + 1
        if fence:
            while not lines[end].lstrip().startswith("```"):
                end += 1
            inner = [line.removeprefix(fence[1]) for line in lines[at + 1 : end]]
            found.append(Block(document, at + 2, fence[2], "\n".join(inner)))
        elif lines[at].startswith("    ") and lines[at].strip() and not (at and lines[at - 1].strip()):
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
                end += 1
            body = "\n".join(line[4:] for line in lines[at:end]).rstrip()
            found.append(Block(document, at + 1, "toml" if _is_toml(body) else "", body))
        at = end + 1 if fence else end
    return found


def all_blocks() -> list[Block]:
    """Those of all guides."""
    return [block for guide in GUIDES for block in blocks_of(guide.read_text(), str(guide.relative_to(ROOT)))]


def printed(document: str, beginning: str) -> Block:
    """The one block of a document that begins so."""
    found = [block for block in all_blocks() if block.document == document and block.text.startswith(beginning)]
    assert len(found) == 1, f"{document} has {len(found)} blocks that begin with {beginning!r}"
    return found[0]


def _is_toml(text: str) -> bool:
    try:
        return bool(tomllib.loads(text))
    except tomllib.TOMLDecodeError:
        return False


@dataclass
class Desk:
    """A folder at which somebody types what a document prints, line for line, by `bash -e`."""

    folder: Path
    home: Path  # the studio's: MIEN_HOME
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.program("mien", f'exec {sys.executable} -m mien "$@"')

    def program(self, name: str, script: str) -> Path:
        """A program of this name at the front of PATH."""
        path = self.folder.parent / f"{self.folder.name}-programs" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    def run(
        self,
        block: Block,
        *,
        here: Mapping[str, str] | None = None,
        before: Mapping[str, str] | None = None,
        ends: Mapping[str, int] | None = None,
        input: str = "",
    ) -> str:
        """What it said on both streams. Fails when a line ends otherwise than expected.

        here: what stands here for what cannot exist here, by what is printed; each must be in the block.
        before: what happens before a line, by the line's beginning: what the document leaves to its reader.
        ends: the exit code of a line that is not to end with 0, by the line's beginning.
        """
        text = block.text
        for there, ours in (here or {}).items():
            assert there in text, f"{block.document}:{block.number} does not print {there!r}"
            text = text.replace(there, ours)
        script, before, ends = [], dict(before or {}), dict(ends or {})
        for line in text.replace("\\\n", "\\\0").split("\n"):
            whole = line.replace("\0", "\n")
            script += [before.pop(start) for start in list(before) if whole.startswith(start)]
            code = next((ends.pop(start) for start in list(ends) if whole.startswith(start)), 0)
            script.append(f"( set +e\n{whole}\n[ $? = {code} ] )" if code else whole)
        unused = [*before, *ends]
        assert not unused, f"{block.document}:{block.number} has no line {unused}"
        return self.shell("\n".join(script), f"{block.document}:{block.number}", input)

    def python(self, block: Block, *, before: str = "", after: str = "") -> str:
        """Runs a block of Python. before: gives names that it takes as given; after: looks at those that it leaves."""
        (self.folder / "printed.py").write_text(f"{before}\n{block.text}\n{after}\n")
        return self.shell(f"{sys.executable} printed.py", f"{block.document}:{block.number}")

    def shell(self, script: str, what: str = "", input: str = "") -> str:
        programs = self.folder.parent / f"{self.folder.name}-programs"
        env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("MIEN_")},
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.folder.parent),
            "MIEN_HOME": str(self.home),
            "COLUMNS": "160",
            **self.env,
        }
        ended = run_patiently(["bash", "-e", "-c", script], input=input, cwd=self.folder, env=env)
        said = str(ended.stdout + ended.stderr)
        assert ended.returncode == 0, f"{what or script} ended with {ended.returncode} and said:\n{said[-4000:]}"
        return said
