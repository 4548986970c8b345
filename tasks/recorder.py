"""What a run has done so far: its steps and their results, kept for the report whatever becomes of the run."""

from __future__ import annotations

import logging
import resource
import subprocess
import sys
import textwrap
import time
from asyncio import CancelledError
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, TypeVar
from uuid import uuid4

from tasks.core import sql_files
from tasks.core.approval import Approval
from tasks.core.database import Database
from tasks.core.models import AnswerCheck, BackupManifest, LockHold, Outcome, PreflightReport, StepRecord
from tasks.core.progress import Meter, Reached
from tasks.core.run_report import RunReport
from tasks.core.settings import Parameters

DETAIL_LENGTH = 300
log = logging.getLogger("tasks.run")
StepLogT = TypeVar("StepLogT", bound="StepLog")


class Listener(Protocol):
    """Somebody who watches a run, such as a terminal."""

    def step_started(self, step: StepRecord) -> None:
        """A step begins, or begins again."""

    def step_ended(self, step: StepRecord) -> None:
        """A step is over, well or badly."""

    def progressed(self, reached: Reached) -> None:
        """A step has come this far."""

    def run_ended(self, report: RunReport, files: Mapping[str, Path], *, well: bool) -> None:
        """The run is over; its report stands in these files. `well`: it ended as it was asked to."""


_default_listener: ContextVar[Listener | None] = ContextVar("default_listener", default=None)


class StepLog:
    """Steps, with who watches them.

    Attributes:
        steps: by name, in the order in which they began.
        latest: how far the step at work has come.
    """

    def __init__(self) -> None:
        self.listener = _default_listener.get()
        self.steps: dict[str, StepRecord] = {}
        self.latest: Reached | None = None
        self._meter = Meter()

    def detail(self, text: str) -> None:
        """Say in a few words what the step at work has brought: rows, bytes, findings."""
        name, step = next(reversed(self.steps.items()))
        self.steps[name] = step.model_copy(update={"detail": text})

    def progress(self, what: str, done: int, total: int | None) -> None:
        """How far the step at work has come; the `Progress` of the core."""
        self.latest = self._meter.heard(what, done, total)
        if self.listener is not None:
            self.listener.progressed(self.latest)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Record a step while its body runs. The same name again is another attempt at the same step."""
        earlier = self.steps.pop(name, None)
        attempts = earlier.attempts + 1 if earlier else 1
        spent = earlier.seconds if earlier else 0.0
        began = time.perf_counter()
        self.latest, self._meter = None, Meter()
        first = earlier.began_at if earlier else time.time()
        self.steps[name] = StepRecord(name=name, state="running", seconds=spent, attempts=attempts, began_at=first)
        log.info("%s begins, attempt %d", name, attempts)
        if self.listener is not None:
            self.listener.step_started(self.steps[name])
        try:
            yield
        except BaseException as error:
            self.detail(_in_short(error))
            self._end(name, "failed", spent + time.perf_counter() - began)
            raise
        self._end(name, "completed", spent + time.perf_counter() - began)

    def skip(self, name: str, reason: str) -> None:
        """Record that a step was left out, and why."""
        self.steps[name] = StepRecord(name=name, state="skipped", seconds=0.0, attempts=0, detail=reason)
        self._end(name, "skipped", 0.0)

    def _end(self, name: str, state: str, seconds: float) -> None:
        ended = self.steps[name] = self.steps[name].model_copy(update={"state": state, "seconds": seconds})
        log.info("%s %s after %.1f s. %s", name, state, seconds, ended.detail)
        if self.listener is not None:
            self.listener.step_ended(ended)


class Recorder(StepLog):
    """One run: who it is, where it reports, what it has done.

    Attributes:
        run_id: a UUID, as text, new for each run.
        directory: where the report goes; it need not exist yet.
        answers: what both models said to the same questions, once they were asked.
        approval: where this run goes on with one that has waited for a person's word.
        approval_page: what is shown to whoever is asked, once somebody is.
        complete: whether nothing is left to be done but the report.
    """

    def __init__(self, flow_name: str, database: Database, parameters: Parameters) -> None:
        super().__init__()
        self.run_id = str(uuid4())
        self.flow_name = flow_name
        self.database = database
        self.parameters = parameters
        self.started_at = datetime.now(UTC)
        own = f"{self.started_at:%Y-%m-%dT%H-%M-%S}-{flow_name}-{self.run_id[:8]}"
        self.directory = (parameters.report_directory or Path("reports") / own).absolute()
        self.approval: Approval | None = None
        self.approval_page = ""
        self.complete = False
        self.answers: Sequence[AnswerCheck] = ()
        self._facts: dict[str, Any] = {"extra": {"flow": flow_name}}

    def note(self, **facts: Any) -> None:
        """Keep results for the report, under the names that `RunReport` gives them."""
        self._facts.update(facts)

    def note_extra(self, **facts: Any) -> None:
        """Keep what the report has no name of its own for."""
        self._facts["extra"] = {**self._facts["extra"], **facts}

    @property
    def extra(self) -> Mapping[str, Any]:
        """What `note_extra` has kept."""
        extra: dict[str, Any] = self._facts["extra"]
        return extra

    @property
    def preflight(self) -> PreflightReport:
        """What this run has found before it changed anything."""
        found: PreflightReport = self._facts["preflight"]
        return found

    @property
    def backup(self) -> BackupManifest | None:
        """The backup that this run has made, if it has."""
        made: BackupManifest | None = self._facts.get("backup")
        return made

    def add_locks(self, holds: Sequence[LockHold]) -> None:
        """Keep how long locks were held, of one step after another."""
        self._facts["locks"] = [*self._facts.get("locks", []), *holds]

    def tell_end(self, report: RunReport, files: Mapping[str, Path], *, well: bool) -> None:
        """Let whoever watches know that the run is over."""
        if self.listener is not None:
            self.listener.run_ended(report, files, well=well)

    def report(self, outcome: Outcome, message: str) -> RunReport:
        """All that this run has to say, as of now."""
        contacts = getattr(self.parameters, "contacts", None)
        return RunReport(
            run_id=self.run_id,
            outcome=outcome,
            message=message,
            started_at=self.started_at.isoformat(),
            finished_at=datetime.now(UTC).isoformat(),
            database_name=self.database.database,
            schema_name=self.parameters.schema_name,
            address=self.database.address,
            tool_version=version("campaign-phases-migration"),
            commit=_commit(),
            sql_files=sql_files.fingerprints(),
            contacts=contacts.model_dump() if contacts is not None else {},
            steps=list(self.steps.values()),
            peak_rss_mb=peak_rss_mb(),
            **self._facts,
        )


_current: ContextVar[StepLog] = ContextVar("current_step_log")


def current() -> StepLog:
    """Where the step at work is recorded.

    Raises:
        LookupError: outside of a run.
    """
    return _current.get()


def current_run() -> Recorder:
    """The run that this code is part of.

    Raises:
        LookupError: outside of a run that reports.
    """
    match _current.get():
        case Recorder() as found:
            return found
        case _:
            raise LookupError("this run makes no report")


@contextmanager
def recording(steps: StepLogT) -> Iterator[StepLogT]:
    """Record the steps of this context there."""
    token = _current.set(steps)
    try:
        yield steps
    finally:
        _current.reset(token)


def listener() -> Listener | None:
    """Who watches the runs of this context."""
    return _default_listener.get()


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Let somebody watch all runs that begin in this context."""
    token = _default_listener.set(listener)
    try:
        yield
    finally:
        _default_listener.reset(token)


def peak_rss_mb() -> float:
    """The most memory that this process, or the largest of its children that has ended, has held: MiB."""
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024  # getrusage counts bytes there, KiB elsewhere
    return max(_own_peak(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / unit


def _own_peak() -> float:
    """Linux hands ru_maxrss on through fork and exec: a small program that a large one starts would seem as large."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return float(line.split()[1])  # KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _in_short(error: BaseException) -> str:
    text = str(error) or ("ended from outside" if isinstance(error, CancelledError) else type(error).__name__)
    return textwrap.shorten(text, DETAIL_LENGTH, placeholder=" ...")


def _commit() -> str | None:
    """The commit of this checkout, where it is one and git is there to ask."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    try:
        found = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"],  # noqa: S607 - whichever git the operator uses
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        log.info("The commit of this checkout is not known: %s", error)
        return None
    return found.stdout.strip() or None if found.returncode == 0 else None
