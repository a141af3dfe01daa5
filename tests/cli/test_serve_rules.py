# SPDX-License-Identifier: Apache-2.0
"""How long `serve` waits between starts, and what memory the SFTP part keeps."""

import subprocess
import sys

import pytest

from nightdrop.cli.supervisor import Backoff

_BIG_BUFFER = """
import ctypes
from nightdrop.cli.part_process import keep_buffers

libc = ctypes.CDLL(None)
class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in
        ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks",
         "fordblks", "keepcost")]
libc.mallinfo2.restype = Info
libc.malloc.restype = ctypes.c_void_p

def maps_a_buffer_of_its_own():
    before = libc.mallinfo2().hblks
    libc.malloc(ctypes.c_size_t(48 * 1024 * 1024))
    return libc.mallinfo2().hblks > before

print(maps_a_buffer_of_its_own())
keep_buffers()
print(maps_a_buffer_of_its_own())
"""


def test_waits_double_up_to_the_most() -> None:
    waits, wait = [], 0.0
    for _ in range(7):
        wait = Backoff().next_wait(wait, ran_seconds=0.1)
        waits.append(wait)
    assert waits == [1, 2, 4, 8, 16, 30, 30]


def test_a_part_that_ran_long_enough_begins_anew() -> None:
    assert Backoff().next_wait(30, ran_seconds=60) == 1
    assert Backoff().next_wait(30, ran_seconds=59) == 30


@pytest.mark.skipif(sys.platform != "linux", reason="a matter of glibc")
def test_big_packets_are_given_memory_that_stays() -> None:
    told = subprocess.run(
        [sys.executable, "-c", _BIG_BUFFER], capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == ["True", "False"]
