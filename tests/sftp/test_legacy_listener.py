# SPDX-License-Identifier: Apache-2.0
"""The legacy port: what it adds, what it still refuses, and that the other port has none of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from nightdrop.core.events import EventKind
from sftp.harness import ClientKey, MakeServer, Nightdrop, OpenSsh
from sftp.learning import learn_host_keys

PORT, LEGACY_PORT = "sftp_port", "sftp_legacy_port"

#: What the legacy port adds, as options of OpenSSH; MACs show with a cipher that has none.
ADDED = [
    "KexAlgorithms=diffie-hellman-group14-sha256",
    "KexAlgorithms=ecdh-sha2-nistp256",
    "KexAlgorithms=ecdh-sha2-nistp384",
    "KexAlgorithms=ecdh-sha2-nistp521",
    "MACs=hmac-sha2-256",
    "MACs=hmac-sha2-512",
    "HostKeyAlgorithms=ecdsa-sha2-nistp256",
]
#: What no port has.
NEVER = [
    "KexAlgorithms=diffie-hellman-group14-sha1",
    "KexAlgorithms=diffie-hellman-group-exchange-sha256",
    "HostKeyAlgorithms=ssh-rsa",
    "Ciphers=aes128-cbc",
    "Ciphers=3des-cbc",
    "MACs=hmac-sha1",
    "MACs=hmac-md5",
    "MACs=umac-64@openssh.com",
]

CURVES = "[fail] using elliptic curves that are suspected as being backdoored"
NO_ETM = "[warn] using encrypt-and-MAC mode"
#: What ssh-audit finds on the legacy port, by algorithm: all of it is known, and why the port
#: is off unless somebody turns it on.
EXPECTED = {
    "(kex) ecdh-sha2-nistp256": [CURVES],
    "(kex) ecdh-sha2-nistp384": [CURVES],
    "(kex) ecdh-sha2-nistp521": [CURVES],
    "(kex) diffie-hellman-group14-sha256": ["[warn] 2048-bit modulus only provides 112-bits"],
    "(key) ecdsa-sha2-nistp256": [CURVES, "[warn] using weak random number generator could"],
    "(mac) hmac-sha2-256": [NO_ETM],
    "(mac) hmac-sha2-512": [NO_ETM],
}

#: Groups of fixed primes are offered on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:Diffie-Hellman over finite fields")


@pytest.fixture
def server(make_server: MakeServer, apple_key: ClientKey) -> Nightdrop:
    """Run a server with both ports."""
    server = make_server(sftp_legacy_port=0)
    server.add("applegrove.org", apple_key)
    return server


def call(openssh: OpenSsh, setting: str, option: str) -> "subprocess.CompletedProcess[str]":
    """Ask for a shell on one of the ports, which is refused by whoever has logged in."""
    ciphers = ("-o", "Ciphers=aes128-ctr") if option.startswith("MACs") else ()
    return subprocess.run(
        ["ssh", "-p", str(openssh.server.ports[setting]), *openssh.options, "-o", option, *ciphers,
         "applegrove.org@127.0.0.1"],
        capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def audit(port: int) -> list[str]:
    done = subprocess.run(
        [Path(sys.executable).with_name("ssh-audit"), "-n", "--skip-rate-test", "-p", str(port),
         "127.0.0.1"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return done.stdout.splitlines()


def test_it_is_off_unless_it_is_turned_on(make_server: MakeServer) -> None:
    server = make_server()
    assert server.ports == {PORT: server.port}
    assert not (server.config.hostkeys_dir / "ecdsa").exists()


@pytest.mark.parametrize("option", ADDED)
def test_each_legacy_algorithm_works_there_and_nowhere_else(
    server: Nightdrop, openssh: OpenSsh, option: str
) -> None:
    there = call(openssh, LEGACY_PORT, option)
    assert f"SFTP only. Use: sftp -P {server.ports[LEGACY_PORT]} applegrove.org" in there.stderr
    elsewhere = call(openssh, PORT, option)
    assert elsewhere.returncode == 255
    assert "SFTP only" not in elsewhere.stderr


@pytest.mark.parametrize("option", NEVER)
def test_what_is_broken_is_refused_there_too(
    server: Nightdrop, openssh: OpenSsh, option: str
) -> None:
    done = call(openssh, LEGACY_PORT, option)
    assert done.returncode == 255
    assert "SFTP only" not in done.stderr


@pytest.mark.parametrize(("setting", "profile"), [(PORT, "modern"), (LEGACY_PORT, "legacy")])
def test_a_client_that_can_more_uses_the_best_on_both_and_is_told_apart(
    server: Nightdrop, openssh: OpenSsh, setting: str, profile: str
) -> None:
    assert "SFTP only" in call(openssh, setting, "LogLevel=ERROR").stderr
    (event,) = server.wait_for(EventKind.LOGIN_ACCEPTED)
    assert event.facts["profile"] == profile
    assert event.facts["kex"] in {"mlkem768x25519-sha256", "sntrup761x25519-sha512@openssh.com",
                                  "curve25519-sha256"}  # fmt: skip
    assert event.facts["host_key_algorithm"] == "ssh-ed25519"
    assert event.facts["host_key"] == server.host_keys()[0].get_fingerprint()


def test_each_port_announces_its_own_host_keys(
    server: Nightdrop, openssh: OpenSsh, tmp_path: Path
) -> None:
    modern = {"ssh-ed25519", "ssh-rsa"}
    for setting, kinds in ((PORT, modern), (LEGACY_PORT, {*modern, "ecdsa-sha2-nistp256"})):
        known = tmp_path / setting
        port = server.ports[setting]
        line = server.host_keys()[0].export_public_key("openssh").decode()
        known.write_text(f"[127.0.0.1]:{port} {line}")
        learn_host_keys(openssh, known, port=port)
        assert {line.split()[1] for line in known.read_text().splitlines()} == kinds


def test_ssh_audit_finds_what_is_known_and_no_more(server: Nightdrop) -> None:
    found: dict[str, list[str]] = {}
    algorithm = ""
    post_quantum = "does not provide protection against post-quantum attacks"
    for line in audit(server.ports[LEGACY_PORT]):
        name, _, finding = line.partition(" -- ")
        if line.startswith("("):
            algorithm = " ".join(name.split()[:2])
        else:
            finding = line.partition("`- ")[2]
        if finding.startswith(("[fail]", "[warn]")) and post_quantum not in finding:
            found.setdefault(algorithm, []).append(finding)
    assert found.keys() == EXPECTED.keys()
    for algorithm, expected in EXPECTED.items():
        pairs = zip(found[algorithm], expected, strict=True)
        assert all(finding.startswith(start) for finding, start in pairs)


def test_the_modern_port_is_as_clean_as_ever(server: Nightdrop) -> None:
    lines = audit(server.ports[PORT])
    found = [line for line in lines if "[fail]" in line or "[warn]" in line]
    assert [line for line in found if "post-quantum" not in line] == []
