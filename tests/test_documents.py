"""The documents hold: commands have help and a place in a guide, what is printed parses, links lead somewhere."""

import importlib
import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import click
import pytest
import typer

import mien

ROOT = Path(__file__).parents[1]
GUIDES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md"), *ROOT.glob("docs/how-to/*.md")])
DOCUMENTS = [*GUIDES, ROOT / "CHANGELOG.md", *sorted(ROOT.glob("docs/decisions/*.md"))]
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.M | re.S)
INLINE = re.compile(r"(?<!`)`(mien [^`]+)`(?!`)", re.S)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")


class Line(NamedTuple):
    """A command line as a document prints it."""

    document: str
    number: int
    text: str


@cache
def group(name: str) -> click.Command:
    return typer.main.get_command(importlib.import_module(mien.COMMANDS[name].module).app)


def commands(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    inner = getattr(command, "commands", None)
    if not inner:
        yield path, command
        return
    for name, one in inner.items():
        yield from commands(one, (*path, name))


@pytest.mark.parametrize("name", mien.COMMANDS)
def test_every_command_and_every_option_says_what_it_is_for(name: str) -> None:
    silent = []
    for path, command in commands(group(name), (name,)):
        if not command.help:
            silent.append(" ".join(path))
        silent += [
            f"{' '.join(path)}: {parameter.name}"
            for parameter in command.params
            if parameter.name != "help" and not getattr(parameter, "help", None)
        ]
    assert not silent


@pytest.mark.parametrize("name", mien.COMMANDS)
def test_every_command_stands_in_a_guide(name: str) -> None:
    text = " ".join(" ".join(guide.read_text() for guide in GUIDES).split())
    lacking = [path for path, _ in commands(group(name), (name,)) if not re.search(rf"mien {' '.join(path)}\b", text)]
    assert not lacking, "name them where their work is described"


def code_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines of fenced and of indented code, with their numbers; a line that ends in a backslash goes on."""
    fenced, held, begun = False, "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
            continue
        if not fenced and not line.startswith("    ") and not held:
            continue
        held, begun = held + line.strip().removesuffix("\\"), begun or number
        if not line.rstrip().endswith("\\"):
            yield begun, held
            held, begun = "", 0


def printed_commands() -> Iterator[Line]:
    """Every command line of the guides: in code, also after a prompt, and between backquotes in prose."""
    for guide in GUIDES:
        text, name = guide.read_text(), str(guide.relative_to(ROOT))
        for number, line in code_lines(text):
            plain = re.split(r"\s#\s|\s{3,}", line.partition("$ ")[2] or line, maxsplit=1)[0]
            for part in re.split(r"&&|;|\|", plain):
                if (part := part.strip()).startswith("mien "):
                    yield Line(name, number, part)
        for match in INLINE.finditer(text):
            yield Line(name, text[: match.start()].count("\n") + 1, " ".join(match[1].split()))


LINES = sorted(set(printed_commands()))


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line.document}:{line.number}")
def test_a_printed_command_exists_and_takes_these_options(line: Line) -> None:
    if "..." in line.text or line.text.startswith("mien - "):  # of any command; a line of limits.conf
        return
    words = shlex.split(re.sub(r"[\[\]…]", " ", line.text), comments=True)[1:]
    if not words or words[0].startswith("-") or words[0].isupper():
        return
    assert words[0] in mien.COMMANDS, line
    command, path = group(words[0]), [words.pop(0)]
    while (inner := getattr(command, "commands", None)) is not None and words and not words[0].startswith("-"):
        if words[0].isupper() and len(path) > 1:
            return
        for word in words[0].split("|"):
            assert word in inner, f"{line}: no command {word} in {' '.join(path)}"
        path.append(words.pop(0))
        command = inner[path[-1].split("|")[0]]
    given = [word for word in words if word.startswith("--")]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    unknown = {word.partition("=")[0] for word in given} - known - {"--help"}
    assert not unknown, f"{line}: unknown {unknown}"


def test_what_is_printed_was_found() -> None:
    """The reader of documents reads: else the tests above would pass on nothing."""
    assert len(LINES) > 250
    assert {line.document for line in LINES} >= {"README.md", "docs/operators.md", "docs/release.md", "docs/backup.md"}


def anchors(document: Path) -> set[str]:
    """As GitHub makes them from headings."""
    text = FENCE.sub("", document.read_text())
    made: dict[str, int] = {}
    found = set(re.findall(r'<a (?:name|id)="([^"]+)"', text))
    for heading in re.findall(r"^#{1,6} +(.+?) *$", text, re.M):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found.add(slug if slug not in made else f"{slug}-{made[slug]}")
        made[slug] = made.get(slug, 0) + 1
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    dead = []
    for match in LINK.finditer(FENCE.sub("", document.read_text())):
        target = match[1] or match[2]
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (document.parent / path).resolve() if path else document
        if not there.exists() or (anchor and there.suffix == ".md" and anchor not in anchors(there)):
            dead.append(target)
    assert not dead


PATH = re.compile(
    r"`((?:camera_nodes|common|controller|db|deploy|processing|tests|benchmarks|docs)/[\w./*-]+\.(?:py|md|toml|j2|html|service|rules))`"
)


@pytest.mark.parametrize("document", GUIDES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_are_named_are_there(document: Path) -> None:
    missing = {path for path in PATH.findall(document.read_text()) if not list(ROOT.glob(path))}
    assert not missing


def toml_blocks() -> Iterator[tuple[str, str]]:
    """Indented and fenced blocks whose first line is a table's head."""
    for guide in GUIDES:
        blocks = re.findall(r"(?:^(?:    .*)?\n)+", guide.read_text(), re.M)
        fenced = [match[2] for match in FENCE.finditer(guide.read_text()) if match[1] in ("toml", "")]
        for block in [*blocks, *fenced]:
            lines = [line[4:] if block in blocks else line for line in block.splitlines()]
            text = "\n".join(lines).strip()
            if re.match(r"\[\[?[a-z._-]+\]\]? *$", text.splitlines()[0] if text else ""):
                yield str(guide.relative_to(ROOT)), text


TOML = sorted(set(toml_blocks()))


@pytest.mark.parametrize("block", TOML, ids=lambda block: f"{block[0]}:{block[1].splitlines()[0]}")
def test_printed_settings_are_toml(block: tuple[str, str]) -> None:
    assert tomllib.loads(block[1])


def test_decisions_have_an_index() -> None:
    index = (ROOT / "docs/decisions/README.md").read_text()
    lacking = [path.name for path in sorted((ROOT / "docs/decisions").glob("0*.md")) if f"]({path.name})" not in index]
    assert not lacking
