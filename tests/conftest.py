"""Servers and databases for the tests: a server per version, a template per kind of sample, a copy for each test."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tasks.core import sql_files
from tasks.core.client_binaries import find_client_binary
from tasks.core.database import Database, connect
from tasks.core.sample import build_sample_database, create_database, drop_database
from tasks.core.server import PostgresServer

EMBEDDED_VERSION = "18"
DEFAULT_VERSIONS = "18,15"
DEBIAN_BINARIES = "/usr/lib/postgresql/{version}/bin"
IMAGE_SECONDS = 60
# For the servers that no test crashes: each dropped database is a checkpoint, and a disk's patience.
QUICK_SERVER = {"fsync": "off", "full_page_writes": "off"}
SMALL_SAMPLE: Mapping[str, Any] = {"campaigns": 60, "domains": 6_000, "seed": 7}

SampleFactory = Callable[..., Awaitable[Database]]
RunPsql = Callable[..., "subprocess.CompletedProcess[str]"]

# What this shell is set to must not decide where a test goes.
for name in [
    name for name in os.environ if name.startswith("PG") or name in {"CAMPAIGN_DATABASE_URL", "PREFECT_API_URL"}
]:
    del os.environ[name]
os.environ |= {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # Once a test has set up Prefect's logging, the core's lines outside of a run would become warnings, and those errors.
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    # No reaper container: the tests stop theirs themselves, and its image would have to be fetched.
    "TESTCONTAINERS_RYUK_DISABLED": "true",
}


# A shell that starts the tests in the background has them ignore Ctrl-C, and so would the programs that they press it in.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("postgres", "PostgreSQL servers for the tests")
    group.addoption(
        "--postgres",
        choices=["auto", "embedded", "docker"],
        default="auto",
        help="where servers come from: the embedded wheel and Debian's packages, Docker's postgres images,"
        " or (auto) Docker if its engine answers and the images are there or arrive within a minute",
    )
    group.addoption(
        "--postgres-versions",
        default=DEFAULT_VERSIONS,
        help=f"major versions, separated by commas; default {DEFAULT_VERSIONS}, with Docker any of 14 to 18",
    )
    group.addoption(
        "--postgres-binaries",
        default=DEBIAN_BINARIES,
        help="where servers that are not from Docker have their binaries, {version} for the major version;"
        f" default {DEBIAN_BINARIES}, and the embedded wheel for {EMBEDDED_VERSION}",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SERVERS] = Servers(_chosen_source(config), config.getoption("--postgres-binaries"))


def pytest_report_header(config: pytest.Config) -> str:
    servers = config.stash[SERVERS]
    return f"postgres: {servers.source}, versions {', '.join(_versions(config))}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server" in metafunc.fixturenames:
        versions = _versions(metafunc.config)
        metafunc.parametrize("server", versions, ids=[f"pg{v}" for v in versions], indirect=True, scope="session")


@dataclass
class Servers:
    """The servers of this session, each started when a test first asks for it."""

    source: str
    binaries: str
    admins: dict[str, Database] = field(default_factory=dict)
    closers: list[Callable[[], None]] = field(default_factory=list)
    templates: dict[tuple[str, str], str] = field(default_factory=dict)

    def get(self, version: str) -> Database:
        if version not in self.admins:
            self.admins[version] = self._docker(version) if self.source == "docker" else self._private(version)
        return self.admins[version]

    def _private(self, version: str) -> Database:
        binaries = self.bin_directory(version)
        server = PostgresServer.start(_open_directory(), bin_directory=binaries, settings=QUICK_SERVER)
        self.closers.append(lambda: server.stop("immediate"))
        return server.database()

    def bin_directory(self, version: str) -> Path | None:
        """None for the embedded server. Skips, or in CI fails, where this machine lacks the version."""
        if version == EMBEDDED_VERSION:
            return None
        directory = Path(self.binaries.format(version=version))
        if not (directory / "postgres").exists():
            message = f"needs PostgreSQL {version}: apt-get install postgresql-{version}, or Docker; .ci/run has it"
            if os.environ.get("CI") == "true":
                pytest.fail(message)
            pytest.skip(message)
        return directory

    def _docker(self, version: str) -> Database:
        from testcontainers.community.postgres import PostgresContainer  # noqa: PLC0415 - a second that only these runs need

        container = PostgresContainer(f"postgres:{version}", username="postgres", password=uuid.uuid4().hex)
        container.with_command("postgres -c shared_preload_libraries=pg_stat_statements")
        container.start()
        self.closers.append(container.stop)
        return Database(
            host=container.get_container_host_ip(),
            port=int(container.get_exposed_port(5432)),
            database="postgres",
            user="postgres",
            password=SecretStr(container.password),
            tls_mode="disable",
        )

    def close(self) -> None:
        while self.closers:
            self.closers.pop()()


SERVERS = pytest.StashKey[Servers]()


def _versions(config: pytest.Config) -> list[str]:
    return [version.strip() for version in config.getoption("--postgres-versions").split(",")]


def _chosen_source(config: pytest.Config) -> str:
    wanted: str = config.getoption("--postgres")
    if wanted != "auto":
        return wanted
    return "docker" if _docker_is_ready(_versions(config)) else "embedded"


def _docker_is_ready(versions: list[str]) -> bool:
    def succeeds(*arguments: str, seconds: float) -> bool:
        try:
            finished = subprocess.run(["docker", *arguments], capture_output=True, timeout=seconds, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return False
        return finished.returncode == 0

    if not succeeds("info", seconds=10):
        return False
    images = [f"postgres:{version}" for version in versions]
    return all(
        succeeds("image", "inspect", image, seconds=10) or succeeds("pull", "-q", image, seconds=IMAGE_SECONDS)
        for image in images
    )


def _open_directory() -> Path:
    """Not pytest's tmp_path: that one is closed to the user that a server of root's runs as."""
    directory = Path(tempfile.mkdtemp(prefix="campaign-test-"))
    directory.chmod(0o755)
    return directory


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Database:
    """A server's maintenance database, as its superuser; once for each version asked for."""
    return request.config.stash[SERVERS].get(request.param)


@pytest.fixture(params=[EMBEDDED_VERSION, "15"], ids=lambda version: f"pg{version}")
def private_binaries(request: pytest.FixtureRequest) -> Path | None:
    """Whose server a program starts that brings its own: None for the embedded one."""
    return request.config.stash[SERVERS].bin_directory(request.param)


@pytest.fixture
def server_directory() -> Iterator[Path]:
    """An empty directory for a server of a test's own, gone afterwards."""
    directory = _open_directory()
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def _end_of_servers(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    request.config.stash[SERVERS].close()


@pytest.fixture
def private_server(
    server: Database, request: pytest.FixtureRequest, server_directory: Path
) -> Iterator[PostgresServer]:
    """A server for one test alone, which may stop, crash and restart it."""
    version = request.node.callspec.params["server"]
    servers = request.config.stash[SERVERS]
    if servers.source == "docker" and version != EMBEDDED_VERSION:
        pytest.skip("needs a server that it can crash; runs with --postgres=embedded")
    with PostgresServer.start(server_directory, bin_directory=servers.bin_directory(version)) as private:
        yield private


@pytest.fixture
async def empty_database(server: Database) -> AsyncIterator[Database]:
    """A database with nothing in it, dropped afterwards."""
    database = await create_database(server, f"empty_{uuid.uuid4().hex[:12]}")
    yield database
    await drop_database(server, database.database)


@pytest.fixture
async def sample_factory(server: Database, request: pytest.FixtureRequest) -> AsyncIterator[SampleFactory]:
    """`await sample_factory(**options of build_sample_database)`: a sample database of one's own, dropped afterwards.

    The small sample is the default; each set of options is built once for a server and copied from then on.
    """
    templates = request.config.stash[SERVERS].templates
    made: list[str] = []

    async def make(**options: Any) -> Database:
        wanted = {**SMALL_SAMPLE, **options}
        key = (server.address, repr(sorted(wanted.items())))
        if key not in templates:
            template = await create_database(server, f"template_{len(templates)}_{uuid.uuid4().hex[:8]}")
            await build_sample_database(template, **wanted)
            templates[key] = template.database
        copy = await create_database(server, f"sample_{uuid.uuid4().hex[:12]}", template=templates[key])
        made.append(copy.database)
        return copy

    yield make
    for name in made:
        await drop_database(server, name)


@pytest.fixture
async def legacy_database(sample_factory: SampleFactory) -> Database:
    """The small sample legacy database: 60 campaigns of every type and status, 6,000 domains."""
    return await sample_factory()


@pytest.fixture
async def migrated_database(legacy_database: Database) -> Database:
    """The small sample database after 000035 and 000036."""
    async with connect(legacy_database) as connection:
        for version in (35, 36):
            await connection.execute(sql_files.migration(version, "up"))
    return legacy_database


@pytest.fixture(scope="session")
def run_psql() -> RunPsql:
    """`run_psql(database, file=..., command=..., check=True)`: psql with ON_ERROR_STOP, as an operator runs it."""
    psql = find_client_binary("psql", 14)

    def run(
        database: Database, *, file: Path | None = None, command: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        arguments = [str(psql), "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1"]
        arguments += ["-f", str(file)] if file is not None else ["-c", command or ""]
        finished = subprocess.run(
            arguments,
            env=database.client_environment(),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if check and finished.returncode != 0:
            pytest.fail(f"psql ended with {finished.returncode}:\n{finished.stderr}\n{finished.stdout}")
        return finished

    return run


@pytest.fixture(scope="session")
def prefect_harness() -> Iterator[None]:
    """One Prefect server for all tests of the session that ask for it; it takes some 15 seconds to start."""
    from prefect.testing.utilities import prefect_test_harness  # noqa: PLC0415 - seconds that only these tests need

    with prefect_test_harness(server_startup_timeout=120):
        yield
