"""The README's tables of parameters, made from the models: `python -m tasks.parameter_table` puts them in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tasks.arguments import flag_name
from tasks.core.settings import MigrateParameters, QuarterlyParameters, RollbackParameters
from tasks.core.upkeep_settings import MaintainParameters, ValidateParameters

README = Path(__file__).resolve().parents[1] / "README.md"
MODELS: dict[str, type[BaseModel]] = {
    "flows.migrate": MigrateParameters,
    "flows.rollback": RollbackParameters,
    "flows.validate": ValidateParameters,
    "flows.benchmark": QuarterlyParameters,
    "flows.maintain": MaintainParameters,
}
PLACE = re.compile(r"(<!-- parameters -->\n).*?(<!-- end of parameters -->)", re.DOTALL)


def with_tables(text: str) -> str:
    """A text with the tables between its two marks."""
    return PLACE.sub(lambda found: found[1] + tables() + found[2], text)


def tables() -> str:
    """One table: each parameter once, with the flows that take it."""
    rows: dict[tuple[str, str], tuple[str, list[str]]] = {}
    for flow, model in MODELS.items():
        for flag, field in _fields(model):
            line = f"| `--{flag}` | {_values(field)} | {_default(field)} | {_escaped(field.description or '')} |"
            rows.setdefault((flag, _values(field)), (line, []))[1].append(flow.removeprefix("flows."))
    lines = ["| flag (in the form: its title) | values | default | what it does | flows |", "|---|---|---|---|---|"]
    lines += [f"{line} {'all' if len(flows) == len(MODELS) else ', '.join(flows)} |" for line, flows in rows.values()]
    return "\n".join(lines) + "\n"


def _fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _fields(inner, f"{prefix}{flag_name(name)}.")
        else:
            yield f"{prefix}{flag_name(name)}", field


def _values(field: FieldInfo) -> str:
    kinds = [kind for kind in get_args(field.annotation) or (field.annotation,) if kind is not type(None)]
    if get_origin(field.annotation) is dict:
        return "KEY=VALUE"
    if get_origin(field.annotation) is Literal:
        kinds = [field.annotation]
    named = [" \\| ".join(map(str, get_args(kind))) if get_origin(kind) is Literal else _name(kind) for kind in kinds]
    limits = [_limit(one) for one in field.metadata if _limit(one)]
    return " ".join([*named, *limits])


def _name(kind: Any) -> str:
    return {"bool": "flag", "str": "text", "Path": "path", "int": "whole number", "float": "number"}[kind.__name__]


def _limit(metadata: Any) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    return " ".join(f"{sign} {getattr(metadata, name):g}" for name, sign in signs.items() if hasattr(metadata, name))


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if not value:  # None, an empty text or mapping, a flag that is not set
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")
