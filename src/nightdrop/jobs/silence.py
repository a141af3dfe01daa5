# SPDX-License-Identifier: Apache-2.0
"""What a task that breaks may say: the error's class and place, never its message.

A message may quote a row of a child's data, and the queue logs the messages of what its
tasks raise.
"""

import functools
import traceback
from collections.abc import Callable
from typing import ParamSpec

import structlog

from nightdrop.db.access import close_connections

log = structlog.get_logger()

Arguments = ParamSpec("Arguments")


class TaskBroke(Exception):
    """A task raised; the message is the class of what it raised and nothing more."""


def silent(task: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Wrap a task so that no message of what it raises reaches a log."""

    @functools.wraps(task)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        try:
            task(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - every message is kept from the log
            place = traceback.extract_tb(error.__traceback__)[-1]
            log.error(  # noqa: TRY400 - a traceback could quote values
                "task broke",
                task=task.__name__,
                error=type(error).__name__,
                place=f"{place.name}:{place.lineno}",
            )
            broke = TaskBroke(type(error).__name__)
        else:
            return
        finally:
            # A task runs in a thread of its own; its connection goes back to the pool.
            close_connections()
        raise broke

    return run
