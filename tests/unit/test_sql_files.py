"""The SQL files: blocks that several files repeat stay identical, and every file says why it exists."""

from __future__ import annotations

from collections import defaultdict

import pytest

from tasks.core import golang_migrate, sql_files

FILES = sorted([*sql_files.MIGRATIONS.glob("*.sql"), *sql_files.SCRIPTS.glob("*.sql")])


def test_copies_of_a_block_are_identical() -> None:
    copies: dict[str, dict[str, str]] = defaultdict(dict)
    for file in FILES:
        for name, body in sql_files.blocks(file.read_text()).items():
            copies[name][file.name] = body
    assert {"guard", "mappings", "keep_row", "toolkit"} <= set(copies)
    for name, by_file in copies.items():
        assert len(set(by_file.values())) == 1, f"block {name} differs between {sorted(by_file)}"


def test_what_hands_our_objects_over_is_the_same_as_a_function_and_as_a_block() -> None:
    (function,) = (
        statement
        for statement in sql_files.statements(sql_files.blocks(sql_files.script("migrate-campaign-data"))["toolkit"])
        if "FUNCTION migration_hand_over()" in statement
    )
    block = sql_files.blocks(sql_files.script("validate-migration"))["hand_over"]
    assert function.split("$function$")[1] == block.split("$block$")[1]


def test_every_marked_block_is_closed() -> None:
    for file in FILES:
        text = file.read_text()
        assert text.count("\n-- block: ") == text.count("\n-- end block: "), file.name


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_is_plain_sql_without_transaction_control(file: object) -> None:
    text = file.read_text()  # type: ignore[attr-defined]  # a parametrized path
    for statement in sql_files.statements(text):
        words = [line for line in statement.splitlines() if line and not line.startswith("--")]
        assert words, "a statement that is only a comment"
        assert words[0].rstrip(";").upper() not in {"BEGIN", "COMMIT", "ROLLBACK", "START TRANSACTION"}
        assert not words[0].startswith("\\")


def test_every_file_says_in_its_first_line_why_it_exists() -> None:
    for file in sql_files.SQL_DIRECTORY.rglob("*.sql"):
        assert file.read_text().startswith("-- "), file


def test_the_named_migrations_exist_in_golang_migrates_form() -> None:
    names = {file.name for file in sql_files.MIGRATIONS.iterdir()}
    assert names == {
        "000035_eliminate_dual_architecture.up.sql",
        "000035_eliminate_dual_architecture.down.sql",
        "000036_optimize_phases_indexes.up.sql",
        "000036_optimize_phases_indexes.down.sql",
    }


def test_lock_keys_are_those_of_golang_migrate() -> None:
    # Figures for schema public, table schema_migrations, database app: by URL, and on an open connection.
    assert golang_migrate.lock_keys("public", "app") == (1726534663, 1787120056)
