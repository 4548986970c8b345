"""How a command is told which database it is for: what is read, what is refused, and that no password is repeated."""

from __future__ import annotations

import pytest

from tasks.core import errors
from tasks.core.connection_strings import database_from_surroundings


@pytest.mark.parametrize(
    ("url", "named", "told"),
    [
        ("postgresql://a@h:abc/d", "--database-url is 'h:abc/d'", "Port could not be cast"),
        ("postgresql://a@h:99999/d", "--database-url is 'h:99999/d'", "out of range"),
        ("postgresql://a@[::1/d", "--database-url is '[::1/d'", "Invalid IPv6 URL"),
        ("postgresql://a@h/d?sslmode=maybe", "sslmode in --database-url is 'maybe'", "'verify-full'"),
        ("postgresql://a@h/d?connect_timeout=3", "--database-url is 'connect_timeout'", "Known: sslmode"),
        ("postgresql://a@h", "--database-url is 'database'", "lacks it"),
        ("postgresql://h/d", "--database-url is 'user'", "lacks it"),
        ("mysql://a@h/d", "--database-url is 'mysql://...'", "not postgresql"),
    ],
)
def test_a_url_that_cannot_be_read_is_refused_with_its_part_and_an_example(url: str, named: str, told: str) -> None:
    with pytest.raises(errors.BadInput) as refused:
        database_from_surroundings(url, {})

    assert named in str(refused.value)
    assert told in str(refused.value)


@pytest.mark.parametrize(
    "url", ["postgresql://a:hunter2@h:abc/d", "postgresql://a:hunter2@[::1/d", "postgresql://a@h/d?password=hunter2"]
)
def test_a_password_in_a_broken_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(errors.PasswordInUrl):
        database_from_surroundings(url, {})
    with pytest.raises(errors.BadInput) as refused:
        database_from_surroundings(None, {"CAMPAIGN_DATABASE_URL": url})
    assert "hunter2" not in str(refused.value)


def test_the_environment_names_a_database_as_libpq_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGUSER", raising=False)
    by_url = database_from_surroundings(None, {"CAMPAIGN_DATABASE_URL": "postgres://a:p%40ss@h:5433/d?sslmode=require"})
    assert (by_url.address, by_url.tls_mode) == ("a@h:5433/d", "require")
    assert by_url.password is not None
    assert by_url.password.get_secret_value() == "p@ss"

    by_variables = database_from_surroundings(None, {"PGHOST": "h", "PGPORT": "5434", "PGUSER": "a"})
    assert by_variables.address == "a@h:5434/a"
    with pytest.raises(errors.BadInput, match=r"port in the environment .* is 'abc'"):
        database_from_surroundings(None, {"PGHOST": "h", "PGPORT": "abc"})
