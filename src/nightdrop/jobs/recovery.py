# SPDX-License-Identifier: Apache-2.0
"""Jobs of workers that died: Procrastinate keeps them `doing` for ever by itself."""

from datetime import UTC, datetime

from procrastinate import sql
from procrastinate.contrib.django.django_connector import DjangoConnector

#: A worker without a heartbeat for this long is dead; its heart beats every 2 seconds.
STALLED_SECONDS = 6.0
#: How often jobs of dead workers are looked for.
RECOVERY_SECONDS = 5
#: A job that was begun this often kills its worker; it is failed instead of begun again.
MAX_ATTEMPTS = 10


def retry_stalled_jobs() -> int:
    """Give dead workers' jobs back to the queue. Returns how many there were.

    A worker that was only slow may be declared dead; the compare-and-set of
    `services.deliveries.move` then lets one of the two win.
    """
    connector = DjangoConnector(alias="default")
    jobs = connector.execute_query_all(
        sql.queries["select_stalled_jobs_by_heartbeat"],
        seconds_since_heartbeat=STALLED_SECONDS,
        queue=None,
        task_name=None,
    )
    for job in jobs:
        # A periodic job comes again by itself; giving it back would fail where the next one
        # waits already, because one name may wait only once.
        is_periodic = job["queueing_lock"] is not None
        if is_periodic or job["attempts"] >= MAX_ATTEMPTS:
            connector.execute_query(
                sql.queries["finish_job"], job_id=job["id"], status="failed", delete_job=is_periodic
            )
            continue
        connector.execute_query(
            sql.queries["retry_job"],
            job_id=job["id"],
            retry_at=datetime.now(UTC),
            new_priority=None,
            new_queue_name=None,
            new_lock=None,
        )
    connector.execute_query_all(
        sql.queries["prune_stalled_workers"], seconds_since_heartbeat=STALLED_SECONDS
    )
    return len(jobs)
