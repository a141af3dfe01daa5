# SPDX-License-Identifier: Apache-2.0
"""What the server speaks, as others see it."""

import subprocess
import sys
from pathlib import Path

import pytest

from nightdrop.sftp.algorithms import MODERN, choose_key_exchanges
from sftp.harness import Nightdrop, OpenSsh
from sftp.learning import learn_host_keys

#: What ssh-audit says of every key exchange that is not a hybrid; clients of 2026 still need
#: those, and negotiate them only when they know no better.
POST_QUANTUM = "does not provide protection against post-quantum attacks"


def test_ssh_audit_finds_nothing_to_fail_or_warn_about(server: Nightdrop) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("ssh-audit"), "-n", "--skip-rate-test",
         "-p", str(server.port), "127.0.0.1"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert "(kex) mlkem768x25519-sha256" in done.stdout
    found = [line for line in done.stdout.splitlines() if "[fail]" in line or "[warn]" in line]
    assert [line for line in found if POST_QUANTUM not in line] == []


def test_what_the_build_cannot_do_is_left_out() -> None:
    available = [b"curve25519-sha256", b"curve448-sha512"]
    assert choose_key_exchanges(MODERN, available) == ("curve25519-sha256",)
    assert "curve25519-sha256" in choose_key_exchanges(MODERN)


@pytest.mark.filterwarnings("ignore:Diffie-Hellman over finite fields")
@pytest.mark.parametrize(
    "name",
    ["curve25519-sha256", "curve25519-sha256@libssh.org", "diffie-hellman-group16-sha512"],
)
def test_each_key_exchange_for_older_clients_works(openssh: OpenSsh, name: str) -> None:
    done = openssh.ssh("-o", f"KexAlgorithms={name}", "applegrove.org@127.0.0.1")
    assert "SFTP only" in done.stderr


@pytest.mark.parametrize("algorithm", ["rsa-sha2-512", "rsa-sha2-256", "ssh-ed25519"])
def test_each_host_key_algorithm_works(openssh: OpenSsh, algorithm: str) -> None:
    done = openssh.ssh("-o", f"HostKeyAlgorithms={algorithm}", "applegrove.org@127.0.0.1")
    assert "SFTP only" in done.stderr


@pytest.mark.parametrize(
    "option",
    [
        "HostKeyAlgorithms=ssh-rsa", "KexAlgorithms=diffie-hellman-group14-sha256",
        "Ciphers=aes128-cbc", "MACs=hmac-sha2-256",
    ],
)  # fmt: skip
def test_nothing_older_is_negotiated(openssh: OpenSsh, option: str) -> None:
    ciphers = ("-o", "Ciphers=aes128-ctr") if option.startswith("MACs") else ()
    done = openssh.ssh("-o", option, *ciphers, "applegrove.org@127.0.0.1")
    assert done.returncode == 255
    assert "SFTP only" not in done.stderr


def test_clients_learn_both_host_keys(server: Nightdrop, openssh: OpenSsh, tmp_path: Path) -> None:
    first = server.host_keys()[0].export_public_key("openssh")
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{server.port} {first.decode()}")
    learn_host_keys(openssh, known, port=server.port)
    kinds = sorted(line.split()[1] for line in known.read_text().splitlines())
    assert kinds == ["ssh-ed25519", "ssh-rsa"]
