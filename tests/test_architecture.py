"""The house is as its plan says: every package is in it, nothing imports in circles, functions and files are small."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("camera_nodes", "common", "controller", "db", "deploy", "processing")
LONGEST_FUNCTION, MOST_ARGUMENTS, LONGEST_FILE = 60, 8, 500
MIGRATIONS = "db/migrations/versions/"
# Studios' own scripts call it, each of a form's facts by its name.
WIDE = ("db/subjects.py", "give_consent")


@cache
def modules() -> dict[str, Path]:
    """Dotted name to file."""
    files = [ROOT / "mien.py", *(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))]
    named = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in files}
    return {name.removesuffix(".__init__"): path for name, path in named.items()}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imports() -> dict[str, set[str]]:
    """Which of our modules each imports, wherever in the file it does."""
    known = modules()
    found: dict[str, set[str]] = {name: set() for name in known}
    for name, path in known.items():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    full = f"{node.module}.{alias.name}"
                    found[name].add(full if full in known else node.module)
            elif isinstance(node, ast.Import):
                found[name] |= {alias.name for alias in node.names}
        found[name] = (found[name] & known.keys()) - {name}
    return found


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """One circle, or nothing."""
    state: dict[str, int] = {}
    path: list[str] = []

    def visit(node: str) -> list[str]:
        state[node] = 1
        path.append(node)
        for other in sorted(graph.get(node, ())):
            if state.get(other) == 1:
                return [*path[path.index(other) :], other]
            if other not in state and (found := visit(other)):
                return found
        state[node] = 2
        path.pop()
        return []

    for node in sorted(graph):
        if node not in state and (found := visit(node)):
            return found
    return []


def test_no_file_imports_itself_by_a_detour() -> None:
    assert cycle(imports()) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_package_imports_another_that_imports_it(package: str) -> None:
    """Within each folder, its packages and files are the nodes."""
    folders = {
        name for name, path in modules().items() if path.name == "__init__.py" and f"{name}.".startswith(f"{package}.")
    }
    for folder in sorted(folders):
        graph: dict[str, set[str]] = {}
        inside = f"{folder}."
        for name, others in imports().items():
            if not name.startswith(inside):
                continue
            own = name.removeprefix(inside).partition(".")[0]
            seen = {o.removeprefix(inside).partition(".")[0] for o in others if o.startswith(inside)}
            graph.setdefault(own, set()).update(seen - {own})
        assert cycle(graph) == [], folder


def test_every_package_is_in_the_plan() -> None:
    plan = (ROOT / "docs/architecture.md").read_text()
    packages = [
        str(path.parent.relative_to(ROOT))
        for path in modules().values()
        if path.name == "__init__.py" and MIGRATIONS not in f"{path.parent}/"
    ]
    assert [
        package for package in sorted(packages) if not re.search(rf"[`*]{package}[`*:<]|### {package}:", plan)
    ] == []


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path in modules().values():
        where = str(path.relative_to(ROOT))
        if not where.startswith(MIGRATIONS):
            for node in ast.walk(tree(path)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield f"{where}:{node.lineno} {node.name}", node


def is_command(where: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Each argument of a command is an option of its own."""
    arguments = (*node.args.args, *node.args.kwonlyargs)
    options = sum(a.annotation is not None and "typer." in ast.unparse(a.annotation) for a in arguments)
    if any("command" in ast.unparse(decorator) for decorator in node.decorator_list):
        return True
    return options > len(arguments) / 3 or ("commands/" in where and not node.name.startswith("_"))


def test_functions_fit_a_screen() -> None:
    long = [
        f"{where}: {node.end_lineno - node.lineno + 1}"
        for where, node in functions()
        if node.end_lineno is not None and node.end_lineno - node.lineno >= LONGEST_FUNCTION
    ]
    assert long == []


def test_functions_take_what_one_can_keep_in_mind() -> None:
    wide = []
    for where, node in functions():
        given = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        count = len([name for name in given if name not in ("self", "cls")])
        if count > MOST_ARGUMENTS and not is_command(where, node) and (where.partition(":")[0], node.name) != WIDE:
            wide.append(f"{where}: {count}")
    assert wide == []


def test_files_hold_one_subject() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in modules().values()
        if MIGRATIONS not in str(path) and (lines := len(path.read_text().splitlines())) > LONGEST_FILE
    }
    assert long == {}
