"""The README says what the code says."""

from __future__ import annotations

import re
from pathlib import Path

from tasks.core import errors
from tasks.parameter_table import MODELS, README, with_tables

TEXT = README.read_text(encoding="utf-8")


def test_the_table_of_parameters_is_what_the_models_say() -> None:
    assert with_tables(TEXT) == TEXT, "python -m tasks.parameter_table brings it up to date"
    fields = {name for model in MODELS.values() for name in model.model_fields}
    assert len(re.findall(r"^\| `--", TEXT, re.MULTILINE)) >= len(fields)


def test_every_exit_code_is_in_the_failure_guide() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    codes = {kind.exit_code for kind in kinds if issubclass(kind, errors.MigrationToolError)} | {70, 130}

    told = {int(code) for code in re.findall(r"^\| (\d+) \|", TEXT, re.MULTILINE)}
    assert codes <= told


def test_every_picture_is_there_and_small() -> None:
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+\.png)\)", TEXT)

    assert len(pictures) == 4
    for picture in pictures:
        path = README.parent / picture
        assert 0 < path.stat().st_size < 150_000, picture
    assert {path.name for path in (README.parent / "deployments" / "pictures").iterdir()} == {
        Path(picture).name for picture in pictures
    }
