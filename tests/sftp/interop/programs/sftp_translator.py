# SPDX-License-Identifier: Apache-2.0
"""Run a program that speaks SFTP on its standard streams, and translate the paths in between.

OpenSSH's tests want a server that shows this machine's own paths. Ours shows a district's
tree. So ``HERE=THERE`` pairs come first, then ``--``, then the program that leads to the
server: in requests HERE becomes THERE, in the names of replies THERE becomes HERE.
Only the standard library is used, and little of it: this starts a hundred times.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Callable

#: Requests whose bodies begin with this many paths.
PATHS = {3: 1, 7: 1, 9: 1, 11: 1, 13: 1, 14: 1, 15: 1, 16: 1, 17: 1, 18: 2, 19: 1, 20: 2}
EXTENDED, NAME = 200, 104
#: The same for extended requests.
EXTENDED_PATHS = {
    b"posix-rename@openssh.com": 2,
    b"hardlink@openssh.com": 2,
    b"statvfs@openssh.com": 1,
    b"expand-path@openssh.com": 1,
    b"lsetstat@openssh.com": 1,
}
Pairs = list[tuple[bytes, bytes]]
Change = Callable[[bytes, Pairs], bytes]


def translate(path: bytes, pairs: Pairs) -> bytes:
    """Exchange the beginning of a path."""
    for old, new in pairs:
        if path == old or path.startswith(old + b"/"):
            return new + path[len(old) :]
    return path


def string_at(packet: bytes, at: int) -> tuple[bytes, int]:
    """Return the string at a place, and the place behind it."""
    end = at + 4 + int.from_bytes(packet[at : at + 4], "big")
    return packet[at + 4 : end], end


def with_strings(packet: bytes, at: int, count: int, pairs: Pairs) -> bytes:
    """Translate `count` strings that follow each other."""
    done = [packet[:at]]
    for _ in range(count):
        value, at = string_at(packet, at)
        value = translate(value, pairs)
        done += [len(value).to_bytes(4, "big"), value]
    return b"".join([*done, packet[at:]])


def request(packet: bytes, pairs: Pairs) -> bytes:
    """Translate a request."""
    at, count = 5, PATHS.get(packet[0], 0)
    if packet[0] == EXTENDED:
        name, at = string_at(packet, at)
        count = EXTENDED_PATHS.get(name, 0)
    return with_strings(packet, at, count, pairs) if count else packet


def reply(packet: bytes, pairs: Pairs) -> bytes:
    """Translate the answer to REALPATH, which is one name; others are no whole paths."""
    is_one = packet[0] == NAME and packet[5:9] == b"\x00\x00\x00\x01"
    return with_strings(packet, 9, 2, pairs) if is_one else packet


def pump(source: int, target: int, change: Change, pairs: Pairs) -> None:
    """Carry packets until there are no more."""
    waiting = b""
    while block := os.read(source, 65536):
        waiting += block
        whole = []
        while len(waiting) >= 4:
            end = 4 + int.from_bytes(waiting[:4], "big")
            if len(waiting) < end:
                break
            packet = change(waiting[4:end], pairs)
            whole += [len(packet).to_bytes(4, "big"), packet]
            waiting = waiting[end:]
        data = b"".join(whole)
        while data:
            data = data[os.write(target, data) :]
    os.close(target)


def main() -> int:
    """Run the program; return its exit status."""
    at = sys.argv.index("--")
    named = [tuple(pair.encode().split(b"=", 1)) for pair in sys.argv[1:at]]
    there = [(old, new) for old, new in named]
    here = [(new, old) for old, new in named]
    with subprocess.Popen(
        sys.argv[at + 1 :], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as program:
        assert program.stdin
        assert program.stdout
        requests = threading.Thread(
            target=pump, args=(0, os.dup(program.stdin.fileno()), request, there), daemon=True
        )
        program.stdin.close()
        requests.start()
        pump(program.stdout.fileno(), 1, reply, here)
        os._exit(program.wait())


if __name__ == "__main__":
    main()
