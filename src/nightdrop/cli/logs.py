# SPDX-License-Identifier: Apache-2.0
"""One stream of log lines on standard error, from every part and every library.

A line has ids and codes. An exception is told by its kind and the places it came through,
never by its text: the text of a database's error quotes the values of rows.
"""

import logging
import sys
from collections.abc import Iterator
from traceback import walk_tb
from typing import Any, Final

import psycopg
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from nightdrop.config import Config, LogFormat
from nightdrop.core.errors import Refusal

#: Libraries that tell in ordinary operation what our own lines tell already.
_QUIET: Final = ("asyncssh", "procrastinate", "psycopg", "django", "urllib3")
#: A place says enough without the whole path, which differs from machine to machine.
_PATH_PARTS: Final = 3
#: What is told of an exception beside its kind: nothing that somebody sent is in these.
_FACTS: Final = (
    (OSError, "strerror"),
    (psycopg.Error, "sqlstate"),
    (Refusal, "code"),
    ((ImportError, NameError, AttributeError), "name"),
)


def configure_logging(config: Config, part: str) -> None:
    """Send the lines of this process to standard error, each with the name of its part.

    Call it anew in a process that was forked for another part.
    """

    def add_part(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event.setdefault("part", part)
        return event

    shared: list[Processor] = [
        add_part,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _describe_exception,
    ]
    render: Processor = structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
    if writes_text(config):
        render = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def writes_text(config: Config) -> bool:
    """Whether lines are for people: on a terminal, unless the settings say otherwise."""
    if config.log_format is LogFormat.AUTO:
        return sys.stderr.isatty()
    return config.log_format is LogFormat.TEXT


def _describe_exception(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    given = event.pop("exc_info", None)
    if given is True:
        given = sys.exc_info()
    error = given[1] if isinstance(given, tuple) else given
    if isinstance(error, BaseException):
        event["exception"] = [_describe(one) for one in _causes(error)]
    return event


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Walk from an exception to what caused it; a circle ends where it began."""
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        following = following.__cause__ or (
            None if following.__suppress_context__ else following.__context__
        )


def _describe(error: BaseException) -> dict[str, Any]:
    kind = type(error)
    places = [
        f"{_short(frame.f_code.co_filename)}:{line} {frame.f_code.co_name}"
        for frame, line in walk_tb(error.__traceback__)
    ]
    described: dict[str, Any] = {"kind": f"{kind.__module__}.{kind.__qualname__}", "at": places}
    for kinds, fact in _FACTS:
        if isinstance(error, kinds):
            described[fact] = getattr(error, fact, None)
    return described


def _short(path: str) -> str:
    return "/".join(path.split("/")[-_PATH_PARTS:])
