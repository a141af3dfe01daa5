# SPDX-License-Identifier: Apache-2.0
"""Nights of a district: sent to its tree, sealed, and brought through the services."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from threading import Barrier, Event
from time import monotonic
from typing import Any, TypeVar
from uuid import UUID, uuid4

from django.db import connection, connections

from fix_district import moment
from fix_roster import Row, as_csv, guardian, student
from nightdrop.core.delivery.machine import State
from nightdrop.core.epochs import Marker
from nightdrop.core.paths import read_path
from nightdrop.db.access import in_district
from nightdrop.db.models import Delivery, StoredFinding, Transition
from nightdrop.services import checks, finishing, loads
from nightdrop.services.deliveries import record_seal
from nightdrop.services.queue import Job
from nightdrop.storage.district import DistrictTree
from nightdrop.storage.seal import SealedBy, SealRecord, try_seal
from nightdrop.storage.tree import Tree

Result = TypeVar("Result")
Files = Mapping[str, str | bytes]

EPOCH = "20260928-021400"
NEXT_EPOCH = "20260929-021400"
BY_SFTP = SealedBy(source="sftp", session=None, fingerprint=None, session_open=False)

#: What a good night looks like.
CLEAN: Files = {
    "students.csv": as_csv([student("1"), student("2")]),
    "guardians.csv": as_csv([guardian("1", "Max"), guardian("2", "Max")]),
}


def night_of(students: list[Row], guardians: list[Row] | None = None) -> Files:
    """Write a night's files of these rows."""
    files = {"students.csv": as_csv(students)}
    return files if guardians is None else files | {"guardians.csv": as_csv(guardians)}


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """A job as the queue has it."""

    id: int
    task: str
    delivery: UUID
    lock: str | None
    status: str
    scheduled_at: datetime | None


@dataclass(frozen=True, slots=True)
class Nights:
    """What one district sends, and what the services make of it."""

    district: UUID
    tree: Tree

    @property
    def files(self) -> DistrictTree:
        """The district's part of the tree."""
        return self.tree.district(self.district)

    def send(self, files: Files, *, epoch: str = EPOCH, marker: Marker = Marker.COMPLETE) -> None:
        """Upload an epoch, its marker last."""
        self.files.make_directory(read_path(f"/upload/{epoch}".encode()))
        for name, content in {**files, marker.value: b""}.items():
            self.put(f"{epoch}/{name}", content)

    def put(self, place: str, content: str | bytes) -> None:
        """Upload one file into /upload."""
        path = read_path(f"/upload/{place}".encode())
        handle = self.files.open_write(
            path, create=True, exclusive=False, truncate=True, append=False
        )
        handle.write(0, content.encode() if isinstance(content, str) else content)
        handle.close()

    def seal(self, *, epoch: str = EPOCH, by: SealedBy = BY_SFTP) -> SealRecord:
        """Seal an epoch that was sent."""
        outcome = try_seal(self.files, epoch, seal_id=uuid4(), quiet_seconds=0, sealed_by=by)
        assert isinstance(outcome, SealRecord), outcome
        return outcome

    def receive(
        self,
        files: Files,
        *,
        epoch: str = EPOCH,
        marker: Marker = Marker.COMPLETE,
        by: SealedBy = BY_SFTP,
    ) -> UUID:
        """Send and seal an epoch and make it known."""
        self.send(files, epoch=epoch, marker=marker)
        record = self.seal(epoch=epoch, by=by)
        assert record_seal(record, settle_seconds=60)
        return record.id

    def check(self, delivery: UUID) -> bool:
        """Check a delivery; tell whether it is ready."""
        with ExitStack() as scratch:
            bundle = checks.check_delivery(
                district=self.district,
                delivery_id=delivery,
                tree=self.tree,
                clock=moment,
                scratch=scratch,
            )
        return bundle is not None

    def load(self, delivery: UUID, *, running: Job = Job.LOAD) -> bool:
        """Load a delivery, as its own job does."""
        return loads.load_delivery(
            district=self.district,
            delivery_id=delivery,
            tree=self.tree,
            clock=moment,
            running=running,
        )

    def finish(self, delivery: UUID, *, clock: Callable[[], datetime] = moment) -> bool:
        """Finish a delivery."""
        return finishing.finish_delivery(
            district=self.district, delivery_id=delivery, tree=self.tree, clock=clock
        )

    def bring(self, files: Files, *, epoch: str = EPOCH) -> Delivery:
        """Bring a night as far as it comes by itself."""
        delivery = self.receive(files, epoch=epoch)
        if self.check(delivery):
            self.load(delivery)
        self.finish(delivery)
        return self.delivery(delivery)

    def delivery(self, delivery: UUID) -> Delivery:
        """Return a delivery as the database has it now."""
        with in_district(self.district):
            return Delivery.objects.get(id=delivery)

    def change(self, delivery: UUID, **fields: Any) -> None:  # noqa: ANN401 - any column
        """Set columns of a delivery as no service would."""
        with in_district(self.district):
            Delivery.objects.filter(id=delivery).update(**fields)

    def findings(self, delivery: UUID) -> list[str]:
        """Return the codes of what was found."""
        with in_district(self.district):
            rows = StoredFinding.objects.filter(delivery_id=delivery)
            return [row.code for row in rows.order_by("id")]

    def moves(self, delivery: UUID) -> list[tuple[str, str, str]]:
        """Return before, event and after of each move."""
        with in_district(self.district):
            rows = Transition.objects.filter(delivery_id=delivery).order_by("id")
            return [(row.before, row.event, row.after) for row in rows]

    def upload_directory(self, epoch: str = EPOCH) -> Path:
        """Return where an epoch lies before it is moved."""
        return self.files.place.path / "upload" / epoch

    def processed_directory(self, name: str = EPOCH) -> Path:
        """Return where an epoch lies after it was moved."""
        return self.files.place.path / "upload-processed" / name

    def make_older(self, record: SealRecord, *, hours: int) -> SealRecord:
        """Return a record as if it had been sealed earlier."""
        return replace(record, sealed_at=record.sealed_at - timedelta(hours=hours))


def jobs() -> list[QueuedJob]:
    """Return the jobs about deliveries, in the queue's order."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, task_name, args->>'delivery', lock, status::text, scheduled_at"
            " FROM procrastinate_jobs WHERE args ? 'delivery' ORDER BY id"
        )
        rows = cursor.fetchall()
    return [QueuedJob(row[0], row[1], UUID(row[2]), *row[3:]) for row in rows]


def tasks_of(delivery: UUID) -> list[str]:
    """Return the tasks that wait or run for a delivery, in the queue's order."""
    return [job.task for job in jobs() if job.delivery == delivery]


def forget_jobs() -> None:
    """Take every job off the queue, as a lost database page would."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM procrastinate_jobs")


def take_job(worker: int | None = None) -> str | None:
    """Fetch the next job as a worker does; return its task, None when none may run."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, task_name FROM procrastinate_fetch_job_v2(NULL, %s)", [worker])
        row = cursor.fetchone()
    return row[1] if row and row[0] is not None else None


def start_job(job: Job, delivery: UUID, *, worker: int | None = None) -> None:
    """Mark a delivery's job as being worked on."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE procrastinate_jobs SET status = 'doing', worker_id = %s"
            " WHERE task_name = %s AND args->>'delivery' = %s AND status = 'todo'",
            [worker, str(job), str(delivery)],
        )
        assert cursor.rowcount == 1


def race(*works: Callable[[], Result]) -> list[Result]:
    """Do works at once, each in a thread with connections of its own; return their results."""
    start = Barrier(len(works))

    def run(work: Callable[[], Result]) -> Result:
        start.wait(timeout=30)
        try:
            return work()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(works)) as pool:
        return [future.result() for future in [pool.submit(run, work) for work in works]]


@contextmanager
def beside(work: Callable[[], Result]) -> Any:  # noqa: ANN401 - a context manager of a future
    """Do a work in a thread with connections of its own, while the block goes on."""

    def run() -> Result:
        try:
            return work()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        future: Future[Result] = pool.submit(run)
        yield future


def wait_until(is_so: Callable[[], bool], *, seconds: float = 30) -> None:
    """Wait for something that another process or thread brings about."""
    ends = monotonic() + seconds
    pause = Event()
    while not is_so():
        assert monotonic() < ends, "it did not come about"
        pause.wait(0.01)


def is_somebody_waiting_for_a_lock() -> bool:
    """Tell whether a connection to this database waits for another one's lock."""
    with connections["operator"].cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND (database IS NULL OR database ="
            " (SELECT oid FROM pg_database WHERE datname = current_database()))"
        )
        row = cursor.fetchone()
    return bool(row and row[0])


def is_state(nights: Nights, delivery: UUID, state: State) -> bool:
    """Tell whether a delivery is in this state."""
    return nights.delivery(delivery).state == state
