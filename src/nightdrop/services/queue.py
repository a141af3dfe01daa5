# SPDX-License-Identifier: Apache-2.0
"""Work for later: jobs are deferred by name, in the transaction of their cause.

`jobs.tasks` registers a task for each name; a test holds the two together. Arguments
are identifiers only, because the queue stores and logs them.
"""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from procrastinate import App
from procrastinate.contrib.django.django_connector import DjangoConnector
from procrastinate.contrib.django.models import ProcrastinateJob

from nightdrop.db.access import lock_queue

#: Defers through Django's own connection, and so inside its transaction. It is apart from
#: the worker's app, whose connection is the worker's and knows no transaction of ours.
_deferrer = App(connector=DjangoConnector(alias="default"))


class Job(StrEnum):
    """The jobs about one delivery."""

    #: Read and check its files.
    CHECK = "check_delivery"
    #: Load its rows into the roster.
    LOAD = "load_delivery"
    #: Move its epoch to /upload-processed, or leave it to rest, and say that it is over.
    FINISH = "finish_delivery"


def defer(job: Job, *, district: UUID, delivery: UUID, not_before: datetime | None = None) -> None:
    """Put a job on the queue, in the caller's transaction.

    Checks of one district run one at a time in the order in which they were deferred,
    and so do its loads. Finishing waits for nobody and has no lock: one that waits for its
    time would keep back a later one that may run at once. Call it inside `in_district`.
    """
    lock = None
    if job is not Job.FINISH:
        lock_queue(district)
        lock = f"{job}:{district}"
    _deferrer.configure_task(str(job), lock=lock, schedule_at=not_before).defer(
        district=str(district), delivery=str(delivery)
    )


def is_running(job: Job, *, delivery: UUID) -> bool:
    """Tell whether a worker is at this job for the delivery, or died at it just now."""
    return ProcrastinateJob.objects.filter(
        status="doing", task_name=str(job), args__delivery=str(delivery)
    ).exists()


def queued_deliveries() -> set[UUID]:
    """Return the deliveries that some job is waiting for or working on."""
    jobs = ProcrastinateJob.objects.filter(
        status__in=["todo", "doing"], task_name__in=[str(job) for job in Job]
    )
    return {UUID(args["delivery"]) for args in jobs.values_list("args", flat=True)}
