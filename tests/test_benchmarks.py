"""Benchmarks are run by hand: what they import of the project is held here, so that nothing moves away under them."""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = ROOT / "benchmarks"
HOUSES = {path.name for path in ROOT.iterdir() if path.is_dir()} | {path.stem for path in BENCHMARKS.glob("*.py")}


def file_of(module: str) -> Path | None:
    """The file of a module of the project or of a script in benchmarks/."""
    path = BENCHMARKS / f"{module}.py" if (BENCHMARKS / f"{module}.py").is_file() else ROOT.joinpath(*module.split("."))
    candidates = (path, path.with_suffix(".py"), path / "__init__.py")
    return next((candidate for candidate in candidates if candidate.is_file()), None)


@cache
def names_in(file: Path) -> set[str]:
    """What a module defines or imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def missing(script: Path) -> list[str]:
    """`module.name` of everything of the project that a script imports and that is not there."""
    lacking = []
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        wanted: list[tuple[str, str | None]]
        if isinstance(node, ast.Import):
            wanted = [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            wanted = [(node.module, alias.name) for alias in node.names]
        else:
            continue
        for module, name in wanted:
            if module.split(".")[0] not in HOUSES:
                continue
            file = file_of(module)
            if name is None:
                found = file is not None or ROOT.joinpath(*module.split(".")).is_dir()
            else:
                found = file_of(f"{module}.{name}") is not None
                found = found or (file is not None and name in names_in(file))
            if not found:
                lacking.append(module if name is None else f"{module}.{name}")
    return lacking


@pytest.mark.parametrize(
    "script", sorted(BENCHMARKS.rglob("*.py")), ids=lambda path: path.relative_to(BENCHMARKS).as_posix()
)
def test_what_a_benchmark_imports_is_there(script: Path) -> None:
    assert missing(script) == []


def test_what_is_gone_is_named(tmp_path: Path) -> None:
    script = tmp_path / "bench.py"
    script.write_text(
        "import json\nimport processing.nowhere\nfrom measured import spend, spent_nothing\n"
        "from processing.geometry.cameras import Camera, Lens\nfrom processing.geometry import cameras, lenses\n"
    )
    gone = [
        "processing.nowhere",
        "measured.spent_nothing",
        "processing.geometry.cameras.Lens",
        "processing.geometry.lenses",
    ]
    assert missing(script) == gone
