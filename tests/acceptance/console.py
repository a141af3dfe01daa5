# SPDX-License-Identifier: Apache-2.0
"""Runs commands of `nightdrop` one after the other, each in a process of its own.

It does for each command what the program does after Python has started and imported it,
which is most of a command's time. Requests and answers are lines of JSON on standard input
and output: a list of arguments; exit status, standard output, standard error.
"""

import importlib
import json
import os
import sys
import tempfile
import traceback
from typing import BinaryIO

from nightdrop.cli.main import COMMANDS, main, set_up_django


def preload() -> None:
    """Import what the commands would import."""
    set_up_django()
    for name in ("district", "key", "delivery", "roster", "sample"):
        importlib.import_module(COMMANDS[name].module)


def run(arguments: list[str]) -> dict[str, object]:
    """Run one command and tell how it ended."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            _become_command(arguments, out=out, err=err)
        _, status = os.waitpid(child, 0)
        for stream in (out, err):
            stream.seek(0)
        return {
            "status": os.waitstatus_to_exitcode(status),
            "out": out.read().decode(),
            "err": err.read().decode(),
        }


def _become_command(arguments: list[str], *, out: BinaryIO, err: BinaryIO) -> None:
    status = 70
    try:
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        main(arguments)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - nothing may return into the caller's loop
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    preload()
    for request in sys.stdin:
        sys.stdout.write(json.dumps(run(json.loads(request))) + "\n")
        sys.stdout.flush()
