# SPDX-License-Identifier: Apache-2.0
"""The worker process: `nightdrop worker`.

Whoever imports this module has set Django up: tasks reach models.
"""

from collections.abc import Callable

from procrastinate.contrib.django import app
from procrastinate.contrib.django.django_connector import DjangoConnector

from nightdrop.config import Config
from nightdrop.jobs.recovery import STALLED_SECONDS
from nightdrop.jobs.tasks import run_scan

#: Two deliveries of different districts at a time; more come from more workers.
CONCURRENCY = 2
HEARTBEAT_SECONDS = 2.0
#: How long a stop waits for a load; after it the process is killed and the job recovered.
GRACE_SECONDS = 25.0


def preload_worker() -> None:
    """Import all that the worker will ever need, while the code can still be read."""
    # The tasks were imported above; the codec is what Python loads at a first connection.
    "loads.the.codec".encode("idna")


def run_worker(config: Config, *, announce: Callable[[str, int], None]) -> int:
    """Work through the queue until SIGTERM. Returns the exit code.

    The scan is done once first: it finds what a crash left behind. When the database goes
    away the worker ends; whoever supervises it starts it again.
    """
    del config
    preload_worker()
    run_scan()
    connector = app.connector
    if not isinstance(connector, DjangoConnector):
        raise TypeError("the queue's app must come from procrastinate.contrib.django")
    announce("worker", 0)
    with app.replace_connector(connector.get_worker_connector()):
        app.run_worker(
            concurrency=CONCURRENCY,
            delete_jobs="successful",
            shutdown_graceful_timeout=GRACE_SECONDS,
            update_heartbeat_interval=HEARTBEAT_SECONDS,
            stalled_worker_timeout=STALLED_SECONDS,
            listen_notify=True,
        )
    return 0
