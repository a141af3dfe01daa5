# SPDX-License-Identifier: Apache-2.0
"""What the real tools make and say, in every form that they write."""

from collections.abc import Callable
from pathlib import Path

import pytest

from core.keys.key_lines import (
    make_ecdsa_blob,
    make_ed25519_blob,
    make_key_line,
    make_sk_ecdsa_blob,
    make_sk_ed25519_blob,
)
from nightdrop.core.keys import openssh_line, read_public_key
from nightdrop.core.keys.errors import CertificateRefused

Program = Callable[..., str]

OPENSSH_TYPES = {
    "ed25519": ("-t", "ed25519"),
    "ecdsa 256": ("-t", "ecdsa", "-b", "256"),
    "ecdsa 384": ("-t", "ecdsa", "-b", "384"),
    "ecdsa 521": ("-t", "ecdsa", "-b", "521"),
    "rsa": ("-t", "rsa", "-b", "2048"),
}
PUTTY_TYPES = {
    "eddsa": ("-t", "eddsa"),
    "ecdsa": ("-t", "ecdsa", "-b", "384"),
    "rsa": ("-t", "rsa", "-b", "2048"),
}


def names_of(path: Path, ssh_keygen: Program) -> tuple[int, str, str]:
    """Return bits, SHA256 and MD5 as ssh-keygen says."""
    bits, sha256, *_ = ssh_keygen("-l", "-E", "sha256", "-f", path).split()
    return int(bits), sha256, ssh_keygen("-l", "-E", "md5", "-f", path).split()[1]


@pytest.mark.parametrize("name", OPENSSH_TYPES)
def test_every_form_of_ssh_keygen_is_read(name: str, ssh_keygen: Program, tmp_path: Path) -> None:
    path = tmp_path / "key"
    ssh_keygen("-q", "-N", "", "-C", "a comment", "-f", path, *OPENSSH_TYPES[name])
    public = path.with_suffix(".pub")
    key = read_public_key(public.read_bytes())
    assert (key.bits, key.fingerprint, key.md5) == names_of(public, ssh_keygen)
    assert openssh_line(key) + "\n" == public.read_text()

    exported = ssh_keygen("-e", "-m", "RFC4716", "-f", public)
    assert read_public_key(exported.encode()).blob == key.blob
    if name != "ed25519":
        exported = ssh_keygen("-e", "-m", "PKCS8", "-f", public)
        assert read_public_key(exported.encode()).blob == key.blob


@pytest.mark.parametrize("name", PUTTY_TYPES)
def test_both_public_forms_of_puttygen_are_read(
    name: str, puttygen: Program, ssh_keygen: Program, tmp_path: Path
) -> None:
    private, line, block = tmp_path / "key.ppk", tmp_path / "key.pub", tmp_path / "key.txt"
    no_passphrase = tmp_path / "empty"
    no_passphrase.touch()
    puttygen(
        *PUTTY_TYPES[name], "-q", "-C", "from putty", "-o", private,
        "--random-device", "/dev/urandom", "--new-passphrase", no_passphrase,
    )  # fmt: skip
    puttygen(private, "-O", "public-openssh", "-o", line)
    puttygen(private, "-O", "public", "-o", block)
    key = read_public_key(line.read_bytes())
    assert key == read_public_key(block.read_bytes())
    assert (key.bits, key.fingerprint, key.md5) == names_of(line, ssh_keygen)
    assert puttygen("-l", line).split()[2] == key.fingerprint


@pytest.mark.parametrize(
    "blob", [make_ed25519_blob(), make_ecdsa_blob(), make_sk_ed25519_blob(), make_sk_ecdsa_blob()]
)
def test_ssh_keygen_reads_what_the_builder_makes(
    blob: bytes, ssh_keygen: Program, tmp_path: Path
) -> None:
    named = blob[4 : 4 + blob[3]].decode()
    path = tmp_path / "key.pub"
    path.write_bytes(make_key_line(named=named, blob=blob))
    key = read_public_key(path.read_bytes())
    assert (key.bits, key.fingerprint, key.md5) == names_of(path, ssh_keygen)


@pytest.mark.parametrize("name", ["ed25519", "rsa"])
def test_a_certificate_is_refused(name: str, ssh_keygen: Program, tmp_path: Path) -> None:
    authority, user = tmp_path / "authority", tmp_path / "user"
    ssh_keygen("-q", "-t", "ed25519", "-N", "", "-f", authority)
    ssh_keygen("-q", "-N", "", "-f", user, *OPENSSH_TYPES[name])
    ssh_keygen("-q", "-s", authority, "-I", "user", f"{user}.pub")
    with pytest.raises(CertificateRefused) as caught:
        read_public_key((tmp_path / "user-cert.pub").read_bytes())
    assert caught.value.type.endswith("-cert-v01@openssh.com")
