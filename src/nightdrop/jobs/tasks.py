# SPDX-License-Identifier: Apache-2.0
"""Every task of the queue. Arguments are identifiers, because the queue logs them."""

from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TypedDict
from uuid import UUID

import structlog
from procrastinate import RetryStrategy
from procrastinate.contrib.django import app

from nightdrop.config import load_config
from nightdrop.jobs.intervals import write_cron
from nightdrop.jobs.recovery import RECOVERY_SECONDS, retry_stalled_jobs
from nightdrop.jobs.silence import silent
from nightdrop.services import checks, finishing, loads, scan
from nightdrop.services.queue import Job
from nightdrop.storage.tree import Tree

log = structlog.get_logger()

#: A step is tried three times in all (`services.checks.MAX_ATTEMPTS` counts them in the
#: database); the queue's own tries are a few more, for a database that was away.
RETRY = RetryStrategy(max_attempts=8, wait=1, exponential_wait=2)


class _Ids(TypedDict):
    district: UUID
    delivery_id: UUID


def clock() -> datetime:
    """Return the time now."""
    return datetime.now(UTC)


@app.task(name=str(Job.CHECK), retry=RETRY)
@silent
def check_delivery(*, district: str, delivery: str) -> None:
    """Check a delivery, and load it at once where it is its turn."""
    config = load_config()
    tree = Tree(config.tree)
    ids: _Ids = {"district": UUID(district), "delivery_id": UUID(delivery)}
    with ExitStack() as scratch:
        bundle = checks.check_delivery(**ids, tree=tree, clock=clock, scratch=scratch)
        log.info("checked", district=district, delivery=delivery, is_ready=bundle is not None)
        # The load's own job comes too, and leaves it to this one. Without a bundle this may
        # be the second try of a job whose first one ended in the middle of the load.
        is_loaded = loads.load_delivery(
            **ids, tree=tree, clock=clock, running=Job.CHECK, bundle=bundle
        )
        log.info("check job ended", district=district, delivery=delivery, is_loaded=is_loaded)
    loads.wake_next(UUID(district), clock=clock)


@app.task(name=str(Job.LOAD), retry=RETRY)
@silent
def load_delivery(*, district: str, delivery: str) -> None:
    """Load a delivery that its check did not load at once."""
    ids: _Ids = {"district": UUID(district), "delivery_id": UUID(delivery)}
    is_loaded = loads.load_delivery(**ids, tree=Tree(load_config().tree), clock=clock)
    log.info("load job ended", district=district, delivery=delivery, is_loaded=is_loaded)
    loads.wake_next(UUID(district), clock=clock)


@app.task(name=str(Job.FINISH), retry=RETRY)
@silent
def finish_delivery(*, district: str, delivery: str) -> None:
    """Move a delivery's epoch away, or let it rest."""
    is_finished = finishing.finish_delivery(
        district=UUID(district),
        delivery_id=UUID(delivery),
        tree=Tree(load_config().tree),
        clock=clock,
    )
    log.info("finished", district=district, delivery=delivery, is_finished=is_finished)


@app.periodic(cron=write_cron(load_config().scan_seconds))
@app.task(name="scan_tree", queueing_lock="scan_tree")
@silent
def scan_tree(timestamp: int) -> None:
    """Find sealed epochs that nobody reported, and deliveries whose job was lost."""
    del timestamp
    run_scan()


def run_scan() -> None:
    """Scan once; also done when a worker starts."""
    config = load_config()
    found = scan.scan_tree(
        tree=Tree(config.tree),
        clock=clock,
        quiet_seconds=config.seal_quiet_seconds,
        settle_seconds=config.settle_seconds,
    )
    if found:
        log.warning("scan found unreported seals", count=found)


@app.periodic(cron=write_cron(RECOVERY_SECONDS))
@app.task(name="retry_stalled", queueing_lock="retry_stalled")
@silent
def retry_stalled(timestamp: int) -> None:
    """Give back the jobs of workers that died; the queue never does so by itself."""
    del timestamp
    count = retry_stalled_jobs()
    if count:
        log.warning("took up jobs of dead workers", count=count)
