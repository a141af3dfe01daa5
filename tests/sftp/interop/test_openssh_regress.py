# SPDX-License-Identifier: Apache-2.0
"""OpenSSH's own tests of its `sftp` and `scp`, with our server in the place of its `sftp-server`.

They take the server to show this machine's own paths. So their directory *is* one below
/upload of a district, and programs/sftp_translator.py stands between client and server and
translates the two paths of it into each other. The product knows nothing of that.
"""

import os
import pwd
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from nightdrop.core.events import EventKind
from sftp.harness import ClientKey, Nightdrop, OpenSsh
from sftp.interop.client_steps import give_up

#: Debian's package openssh-tests, installed, or unpacked by tools/system-packages.
PLACES = (
    Path("/usr/lib/openssh/regress"),
    Path(sys.prefix, "openssh-tests/usr/lib/openssh/regress"),
)
TRANSLATOR = Path(__file__).with_name("programs") / "sftp_translator.py"
#: Short enough for requests of five bytes each, which one of the tests makes.
DATA_BYTES = 33_000
#: What OpenSSH's tests send themselves: the size of a program.
DATA_BYTES_IN_THE_SOAK = 400_000

NO_LINKS = "links do not exist here, by design"
NO_COPIES = "the server makes no copies, which would stop everybody for their length, by design"


@dataclass(frozen=True)
class Script:
    """One of OpenSSH's scripts.

    `cannot` has the sub-tests that cannot hold, each with the reason; and what they say when
    they fail, which is all that may be said.
    """

    name: str
    cannot: Mapping[tuple[str, str], str] = field(default_factory=dict)
    #: Beginning of sub-tests that speak old scp's protocol, and to an sshd that is not there.
    without: str | None = None

    def leaves_out(self, subtest: str) -> bool:
        """Whether a sub-test does not count."""
        return self.without is not None and subtest.startswith(self.without)


SCRIPTS: Sequence[Script] = (
    Script("sftp"),
    Script("sftp-badcmds"),
    Script("sftp-batch"),
    Script(
        "sftp-cmds",
        {
            ("sftp commands: ln", "missing file after ln"): NO_LINKS,
            ("sftp commands: ln", "created file is not equal after ln"): NO_LINKS,
            ("sftp commands: ln -s", "missing file after ln -s"): NO_LINKS,
            ("sftp commands: cp", "created file is not equal after cp"): NO_COPIES,
        },
    ),
    Script("sftp-glob"),
    Script("sftp-uri"),
    Script("scp", without="scp: scp mode"),
    Script("scp3", without="scp3: scp mode"),
)
#: sftp-perm asks for options of OpenSSH's own sftp-server, and sftp-chroot for an sshd.


@dataclass(frozen=True)
class Regress:
    """The tests, ready to be run in a directory that is below /upload."""

    server: Nightdrop
    scripts: Path
    directory: Path
    tools: "Tools"

    def run(self, script: Script, *, data_bytes: int = DATA_BYTES) -> set[tuple[str, str]]:
        """Run a script; return which of its sub-tests failed, and with which words."""
        self.tools.set_data(data_bytes)
        done = subprocess.run(
            ["sh", self.scripts / "test-exec.sh", self.directory,
             self.scripts / f"{script.name}.sh"],
            capture_output=True, text=True, check=False, timeout=600, stdin=subprocess.DEVNULL,
            cwd=self.directory, env=self.tools.environment(),
        )  # fmt: skip
        log = self.directory / "failed-regress.log"
        failed: set[tuple[str, str]] = set()
        subtest = ""
        for line in log.read_text().splitlines() if log.exists() else []:
            if line.startswith("trace: "):
                subtest = line.removeprefix("trace: ")
            elif line.startswith(("FAIL: ", "FATAL: ")):
                failed.add((subtest, line.split(": ", 1)[1]))
        assert (done.returncode == 0) == (not failed), done.stdout + done.stderr
        assert f"\n{'failed' if failed else 'ok'} " in done.stdout, done.stdout
        # A script whose client never reaches the server would find much in order.
        self.server.wait_for(EventKind.LOGIN_ACCEPTED)
        return {(subtest, said) for subtest, said in failed if not script.leaves_out(subtest)}


@pytest.fixture
def regress(server: Nightdrop, apple_key: ClientKey, scratch: Path) -> Regress:
    """Make the directory, the programs that lead to the server, and the environment."""
    scripts = next((place for place in PLACES if place.is_dir()), PLACES[-1])
    if not scripts.is_dir():
        give_up("OpenSSH's tests are not here; run tools/system-packages")
    username = pwd.getpwuid(os.geteuid()).pw_name
    server.add(username, apple_key)
    directory = server.upload(username, "regress")
    directory.mkdir()
    bin_there = server.upload(username, "bin")
    bin_there.mkdir()
    for name in ("ln", "ls"):
        shutil.copyfile(Path("/bin", name), bin_there / name)
    openssh = OpenSsh(server, apple_key, username)
    return Regress(server, scripts, directory, Tools(scratch, directory, openssh))


@dataclass(frozen=True)
class Tools:
    """Programs in the place of those that OpenSSH's tests would use."""

    scratch: Path
    directory: Path
    openssh: OpenSsh

    def environment(self) -> dict[str, str]:
        """Make the programs, and say where they are."""
        port = str(self.openssh.server.port)
        account = f"{self.openssh.username}@127.0.0.1"
        to_server = ["ssh", "-p", port, *self.openssh.options, account, "-s", "sftp"]
        translated = self._translated(["ssh", *self.openssh.options])
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.scratch),
            "TEST_SHELL": "sh",
            "TEST_SSH_PORT": port,
            "TEST_SSH_SFTPSERVER": self._program("server", f"exec {self._translated(to_server)}"),
            # It says which kinds of keys it knows: none, so that none are made.
            "TEST_SSH_SSH": self._program(
                "client", f'case "$*" in *"-Q "*) exit 0;; esac\nexec {translated} "$@"'
            ),
            "TEST_SSH_SSHD": self._program("daemon", self._daemon()),
            "TEST_SSH_SSHAGENT": str(self.data),
            "TEST_SSH_UNSAFE_PERMISSIONS": "1",
        }

    @property
    def data(self) -> Path:
        """The file whose bytes are sent to and fro."""
        return self.scratch / "agent"

    def set_data(self, size_bytes: int) -> None:
        """Make that file."""
        self.data.write_bytes(os.urandom(size_bytes))
        self.data.chmod(0o755)

    def _translated(self, command: Sequence[str]) -> str:
        pairs = [f"{self.directory}=/upload/regress", "/bin=/upload/bin"]
        return shlex.join([sys.executable, "-I", "-S", str(TRANSLATOR), *pairs, "--", *command])

    def _daemon(self) -> str:
        """Write what pretends to be an sshd that listens: our server does, on its port."""
        pid_file = shlex.quote(str(self.directory / "pidfile"))
        return (
            'case " $* " in *" -t "* | *" -i "*) exit 0;; esac\n'
            f"(trap 'rm -f {pid_file}; exit 0' TERM; while :; do sleep 0.05; done) &\n"
            f"echo $! > {pid_file}"
        )

    def _program(self, name: str, script: str) -> str:
        path = self.scratch / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return str(path)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_openssh_says(regress: Regress, script: Script) -> None:
    assert regress.run(script) == set(script.cannot)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_openssh_says_of_requests_of_every_size(regress: Regress) -> None:
    assert regress.run(Script("sftp"), data_bytes=DATA_BYTES_IN_THE_SOAK) == set()
