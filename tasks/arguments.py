"""Flags of the command line, made from the parameters model of a flow."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import cyclopts
from pydantic import BaseModel, ValidationError

from tasks.core import errors

M = TypeVar("M", bound=BaseModel)

DATABASE_HELP = (
    "postgresql://user@host:5432/database, without a password. Default: CAMPAIGN_DATABASE_URL, else PGHOST and its kin."
)
EXIT_CODES = (
    "Exit codes: 0 the outcome is what was asked for; 2 a wrong flag or value; 3 a server or a login is not there;"
    " 4 preflight refused, or something the run needs is missing; 5 a gate or a step failed; 6 another run is active;"
    " 7 the required target was missed; 8 a server of our own did not start; 9 a pattern has become slower;"
    " 10 the run awaits approval; 70 a crash; 130 interrupted."
)


def parse(model: type[M], arguments: Sequence[str], *, module: str, description: str) -> M | None:
    """Read the flags of a flow that needs no database.

    Returns:
        The parameters, or None if only the help was asked for; it has been printed then.

    Raises:
        BadInput: if a flag or its value is wrong.
    """

    def command(*, parameters: Any = model()) -> Any:  # noqa: B008 - frozen
        return parameters

    parsed: M | None = _parse(command, model, arguments, module, description)
    return parsed


def parse_with_database(
    model: type[M], arguments: Sequence[str], *, module: str, description: str
) -> tuple[str | None, M] | None:
    """As `parse`, with `--database-url` beside the parameters."""

    def command(
        *,
        database_url: Annotated[str | None, cyclopts.Parameter(help=DATABASE_HELP)] = None,
        parameters: Any = model(),  # noqa: B008 - frozen
    ) -> Any:
        return database_url, parameters

    parsed: tuple[str | None, M] | None = _parse(command, model, arguments, module, description)
    return parsed


def _parse(
    command: Callable[..., Any], model: type[BaseModel], arguments: Sequence[str], module: str, description: str
) -> Any:
    command.__annotations__["parameters"] = Annotated[model, cyclopts.Parameter(name="*")]
    app = cyclopts.App(
        name=f"python -m {module}",
        help=description,
        help_epilogue=EXIT_CODES,
        version_flags=[],
        default_parameter=cyclopts.Parameter(name_transform=flag_name, negative=""),
        help_format="plaintext",
    )
    app.default(command)
    try:
        function, bound, _ = app.parse_args(_mappings_as_json(arguments, model), exit_on_error=False, print_error=False)
    except cyclopts.CycloptsError as error:
        remedy = f"See python -m {module} --help"
        if not isinstance(error.__cause__, ValidationError):
            line = " ".join(arguments)
            raise errors.BadInput(name="the command line", value=line, reason=str(error), remedy=remedy) from error
        first = error.__cause__.errors()[0]
        flag = "--" + ".".join(flag_name(str(part)) for part in first["loc"])
        raise errors.BadInput(name=flag, value=first["input"], reason=first["msg"], remedy=remedy) from error
    answer = function(*bound.args, **bound.kwargs)
    return answer if function is command else None


def flag_name(field: str) -> str:
    """The flag of a field, without its dashes."""
    return "schema" if field == "schema_name" else cyclopts.default_name_transform(field)


def _mappings_as_json(arguments: Sequence[str], model: type[BaseModel]) -> list[str]:
    """`--map-status KEY=VALUE`, as often as needed, becomes one JSON object, as keys may hold dots and blanks."""
    mappings = {f"--{flag_name(name)}" for name, field in model.model_fields.items() if field.default_factory is dict}
    collected: dict[str, dict[str, str]] = {}
    others: list[str] = []
    remaining = iter(arguments)
    for argument in remaining:
        flag, glued, value = argument.partition("=")
        if flag not in mappings:
            others.append(argument)
            continue
        pair = value if glued else next(remaining, "")
        key, equals, mapped = pair.rpartition("=")
        if not equals:
            raise errors.BadInput(
                name=flag, value=pair, reason="it is no KEY=VALUE", remedy=f"Write it as {flag} unknown_value=meaning"
            )
        collected.setdefault(flag, {})[key] = mapped
    return others + [part for flag, mapping in collected.items() for part in (flag, json.dumps(mapping))]
