from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import postgast
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SOURCES = sorted([*(ROOT / "flows").rglob("*.py"), *(ROOT / "tasks").rglob("*.py")])
SQL_FILES = sorted((ROOT / "sql").rglob("*.sql"))
TOP_LEVEL = {"flows", "tasks", "sql", "deployments", "tests"}
TOP_LEVEL_FILES = {"pyproject.toml", "prefect.yaml", "README.md", "CHANGELOG.md", "LICENSE"}
MOST_LINES = 330
# The sample is built once, in a database of its own: what guards live tables has no meaning there.
ONLY_FOR_LIVE_TABLES = [
    "adding-field-with-default",
    "adding-foreign-key-constraint",
    "constraint-missing-not-valid",
    "prefer-robust-stmts",
    "require-concurrent-index-creation",
]


def _run(*command: str) -> None:
    program = Path(sys.executable).with_name(command[0])
    finished = subprocess.run(
        [str(program), *command[1:]], cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    if finished.returncode != 0:
        pytest.fail(f"{' '.join(command[:4])} ended with {finished.returncode}\n{finished.stdout}\n{finished.stderr}")


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_ruff_finds_nothing() -> None:
    _run("ruff", "check")


def test_ruff_would_format_nothing() -> None:
    _run("ruff", "format", "--check")


def test_mypy_finds_nothing() -> None:
    _run("mypy")


def test_the_import_contracts_hold() -> None:
    _run("lint-imports", "--no-cache")


def test_squawk_finds_nothing_in_the_sql_that_meets_live_tables() -> None:
    _run("squawk", *(_name(path) for path in SQL_FILES if path.parent.name != "sample"))


def test_squawk_finds_nothing_in_the_sample() -> None:
    excluded = ",".join([*_squawk_exclusions(), *ONLY_FOR_LIVE_TABLES])
    _run("squawk", f"--exclude={excluded}", *(_name(path) for path in SQL_FILES if path.parent.name == "sample"))


def _squawk_exclusions() -> list[str]:
    rules: list[str] = tomllib.loads((ROOT / ".squawk.toml").read_text())["excluded_rules"]
    return rules


@pytest.mark.parametrize("path", SQL_FILES, ids=_name)
def test_an_sql_file_is_postgresqls_grammar_and_says_first_why_it_exists(path: Path) -> None:
    text = path.read_text()
    assert re.match(r"-- \S.{10,}", text), "the first line is a comment that says why the file exists"
    postgast.parse(text)


def test_query_files_are_named_verb_noun_and_hold_one_statement() -> None:
    queries = [path for path in SQL_FILES if "queries" in path.parts]
    assert queries
    assert not [_name(path) for path in queries if not re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)+", path.stem)]
    # A create_ file makes a table with what belongs to it.
    single = [path for path in queries if not path.stem.startswith("create_")]
    assert not [_name(path) for path in single if len(postgast.split(path.read_text())) != 1]


def test_the_top_level_holds_what_the_house_has_and_nothing_else() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    places = {line.partition("/")[0] for line in listed if "/" in line and not line.startswith(".")}
    files = {line for line in listed if "/" not in line and not line.startswith(".")}
    assert places <= TOP_LEVEL
    assert files <= TOP_LEVEL_FILES


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_a_module_stays_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MOST_LINES


def test_no_flow_bears_the_name_of_another_top_level_module() -> None:
    stems = {path.stem for path in (ROOT / "flows").glob("*.py")} - {"__init__"}
    assert not stems & (set(sys.stdlib_module_names) | TOP_LEVEL)


def test_the_core_imports_nothing_of_the_tasks_around_it() -> None:
    strays = []
    for path in (ROOT / "tasks" / "core").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = (
                    [f"tasks.{alias.name}" for alias in node.names] if node.module == "tasks" else [node.module or ""]
                )
            strays += [
                (_name(path), name)
                for name in names
                if name.split(".")[0] == "tasks" and not name.startswith("tasks.core")
            ]
    assert strays == []


def test_every_package_is_named_for_setuptools() -> None:
    there = {
        str(path.parent.relative_to(ROOT)).replace("/", ".")
        for top in ("flows", "tasks", "deployments")
        for path in (ROOT / top).rglob("__init__.py")
    }
    assert there == set(PROJECT["tool"]["setuptools"]["packages"])


def _pins() -> dict[str, str]:
    lines = (ROOT / "deployments" / "constraints.txt").read_text().splitlines()
    assert lines == sorted(lines, key=str.lower)
    pins = [re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.!+]+)", line) for line in lines]
    assert all(pins), "each line is a name and a version, with no address"
    return {canonicalize_name(pin[1]): pin[2] for pin in pins if pin}


def _required() -> set[str]:
    """Everything that an installation with the tests brings, as far as this platform wants it."""
    project = PROJECT["project"]
    waiting = [Requirement(text) for text in [*project["dependencies"], *project["optional-dependencies"]["test"]]]
    seen: set[tuple[str, tuple[str, ...]]] = set()
    while waiting:
        requirement = waiting.pop()
        key = (canonicalize_name(requirement.name), tuple(sorted(requirement.extras)))
        if key in seen:
            continue
        seen.add(key)
        for text in distribution(requirement.name).requires or []:
            inner = Requirement(text)
            extras = [*requirement.extras, ""]
            if inner.marker is None or any(inner.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(inner)
    return {name for name, _ in seen}


def test_every_dependency_is_pinned_at_the_version_that_is_installed() -> None:
    pins = _pins()
    assert _required() - set(pins) == set()
    assert {name: distribution(name).version for name in _required()} == {name: pins[name] for name in _required()}


def test_every_exception_from_a_rule_has_its_reason_beside_it() -> None:
    bare = []
    for path in [*SOURCES, *sorted((ROOT / "tests").rglob("*.py"))]:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if re.search(r"#\s*(noqa|type: ignore)\b", line) and not re.search(
                r"# (noqa: [A-Z0-9, ]+ +- |type: ignore\[[a-z, -]+\]  # )\S", line
            ):
                bare.append(f"{_name(path)}:{number}")
    assert bare == []


def test_ci_runs_the_readmes_test_command() -> None:
    (command,) = re.findall(r"^python3 -m venv .*pytest$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    assert command in (ROOT / "README.md").read_text()
