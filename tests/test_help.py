"""What help says reaches the reader: rich takes words in brackets for markup and swallows them."""

import importlib
import re
from collections.abc import Iterator

import click
import pytest
import typer
from typer.testing import CliRunner

import mien

BRACKETED = re.compile(r"\\?\[([a-z_]+)\]")


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*path, name))


@pytest.mark.parametrize("name", mien.COMMANDS)
def test_every_word_in_brackets_is_shown(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "dumb")
    app = importlib.import_module(mien.COMMANDS[name].module).app
    for path, command in commands(typer.main.get_command(app)):
        texts = [command.help or "", *(getattr(option, "help", None) or "" for option in command.params)]
        words = {word for text in texts for word in BRACKETED.findall(text)}
        if words:
            shown = CliRunner().invoke(app, [*path, "--help"]).stdout
            lost = {word for word in words if f"[{word}]" not in shown}
            assert not lost, (name, path, lost)
            assert "\\[" not in shown, (name, path)
