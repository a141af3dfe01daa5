# SPDX-License-Identifier: Apache-2.0
"""A private key is refused whatever was done to it, and the refusal holds none of it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)

from core.keys.key_lines import make_key_line, vector
from nightdrop.core.keys import (
    KeyRefused,
    PrivateKeyGiven,
    errors,
    read_authorized_keys,
    read_public_key,
)

LOCKED_WITH = "correct horse"
Program = Callable[..., str]

#: How each file is made: arguments of ssh-keygen.
OPENSSH_MADE = {
    "ed25519": ("-t", "ed25519", "-N", ""),
    "ed25519 locked": ("-t", "ed25519", "-N", LOCKED_WITH),
    "ecdsa": ("-t", "ecdsa", "-N", ""),
    "rsa": ("-t", "rsa", "-b", "2048", "-N", ""),
    "PKCS#1": ("-t", "rsa", "-b", "2048", "-m", "PEM", "-N", ""),
    "PKCS#1 locked": ("-t", "rsa", "-b", "2048", "-m", "PEM", "-N", LOCKED_WITH),
    "SEC 1": ("-t", "ecdsa", "-m", "PEM", "-N", ""),
    "PKCS#8": ("-t", "ecdsa", "-m", "PKCS8", "-N", ""),
    "PKCS#8 locked": ("-t", "rsa", "-b", "2048", "-m", "PKCS8", "-N", LOCKED_WITH),
    "DSA": ("-t", "dsa", "-m", "PEM", "-N", ""),
}
#: The same for puttygen; what goes to --new-passphrase, and more.
PUTTY_MADE = {
    "PPK 2": ("", "-O", "private", "--ppk-param", "version=2"),
    "PPK 3": ("", "-O", "private"),
    "PPK 3 locked": (LOCKED_WITH, "-O", "private"),
    "SSH.com": ("", "-O", "private-sshcom"),
    "SSH.com locked": (LOCKED_WITH, "-O", "private-sshcom"),
}
FORMATS = {
    "PKCS#1": errors.PrivateFormat.PEM,
    "SEC 1": errors.PrivateFormat.PEM,
    "PKCS#8": errors.PrivateFormat.PEM,
    "DSA": errors.PrivateFormat.PEM,
    "PPK": errors.PrivateFormat.PPK,
    "SSH.com": errors.PrivateFormat.SSH_COM,
}


@pytest.fixture(scope="module")
def private_keys(
    ssh_keygen: Program, puttygen: Program, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """Every kind of private key file, as text; they are made now and never kept."""
    directory = tmp_path_factory.mktemp("private")
    texts = {}
    for name, arguments in OPENSSH_MADE.items():
        path = directory / name
        ssh_keygen("-q", "-C", "night", "-f", path, *arguments)
        texts[name] = path.read_text()
    source = directory / "source"
    ssh_keygen("-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", source)
    for name, (passphrase, *form) in PUTTY_MADE.items():
        path, passphrase_file = directory / name, directory / "passphrase"
        passphrase_file.write_text(passphrase)
        puttygen(source, "-o", path, "--new-passphrase", passphrase_file, *form)
        texts[name] = path.read_text()
    return texts


def refuse(data: bytes) -> PrivateKeyGiven:
    with pytest.raises(PrivateKeyGiven) as caught:
        read_public_key(data)
    with pytest.raises(PrivateKeyGiven):
        read_authorized_keys(data)
    return caught.value


def without_armor(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if "--" not in line and ":" not in line)


MANGLED: dict[str, Callable[[str], bytes]] = {
    "as it is": str.encode,
    "CRLF": lambda text: text.replace("\n", "\r\n").encode(),
    "CR": lambda text: text.replace("\n", "\r").encode(),
    "indented": lambda text: ("    " + text.replace("\n", "\n    ")).encode(),
    "quoted": lambda text: ("> " + text.replace("\n", "\n> ")).encode(),
    "quoted as HTML": lambda text: ("&gt; " + text.replace("\n", "\n&gt; ")).encode(),
    "in a list": lambda text: ("* " + text.replace("\n", "\n* ")).encode(),
    "header wrapped": lambda text: text.replace(" ", "\n", 3).encode(),
    "header wrapped and quoted": lambda text: text.replace(" ", "\n> ", 3).encode(),
    "dashes joined": lambda text: text.replace("--", "\N{EN DASH}").encode(),
    "blanks": lambda text: text.replace(" ", "\N{NO-BREAK SPACE}").encode(),
    "lower case": lambda text: text.lower().encode(),
    "in one line": lambda text: text.replace("\n", " ").encode(),
    "as in JSON": lambda text: text.replace("\n", "\\n").encode(),
    "as in a URL": lambda text: text.replace(" ", "%20").encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16 without BOM": lambda text: text.encode("utf-16-be"),
    "in a mail": lambda text: b"Hi,\nour key:\n\n" + text.encode() + b"\nThanks\n",
    "below its public half": lambda text: make_key_line() + text.encode(),
    "above its public half": lambda text: text.encode() + make_key_line(),
    "behind a type": lambda text: b"ssh-rsa " + text.encode(),
    "without its end": lambda text: text[: len(text) // 2].encode(),
}


@pytest.mark.parametrize("damage", MANGLED)
@pytest.mark.parametrize("name", [*OPENSSH_MADE, *PUTTY_MADE])
def test_a_private_key_is_refused(name: str, damage: str, private_keys: dict[str, str]) -> None:
    refused = refuse(MANGLED[damage](private_keys[name]))
    family = name.removesuffix(" locked").removesuffix(" 2").removesuffix(" 3")
    assert refused.format == FORMATS.get(family, errors.PrivateFormat.OPENSSH)


@pytest.mark.parametrize("name", [*OPENSSH_MADE, *PUTTY_MADE])
def test_the_refusal_holds_nothing_of_the_key(name: str, private_keys: dict[str, str]) -> None:
    refused = refuse(private_keys[name].encode())
    assert (refused.__cause__, refused.__context__, refused.args) == (None, None, ())
    assert vars(refused) == {"format": refused.format, "offset": refused.offset}
    assert str(refused) == f"private-key-given at byte {refused.offset}"


@pytest.mark.parametrize("name", [name for name in OPENSSH_MADE if "PKCS#1 locked" not in name])
@pytest.mark.parametrize("quote", ["", "> ", "  | "])
def test_a_body_without_its_header_is_recognised(
    name: str, quote: str, private_keys: dict[str, str]
) -> None:
    body = quote + without_armor(private_keys[name]).replace("\n", "\n" + quote)
    assert refuse(body.encode()).code == errors.PrivateKeyGiven.code


@pytest.mark.parametrize("name", [*OPENSSH_MADE, *PUTTY_MADE])
def test_no_part_of_a_private_key_leaves_through_another_refusal(
    name: str, private_keys: dict[str, str]
) -> None:
    text = private_keys[name]
    pieces = {text[start : start + 12] for start in range(len(text) - 12)}
    for start in range(0, len(text), 31):
        with pytest.raises(KeyRefused) as caught:
            read_public_key(text[start:].encode())
        facts = repr(vars(caught.value))
        assert not any(piece in facts for piece in pieces)
        assert caught.value.__context__ is None


@pytest.mark.parametrize("name", OPENSSH_MADE)
def test_a_private_key_is_known_from_its_first_line_on(
    name: str, private_keys: dict[str, str]
) -> None:
    text = private_keys[name]
    whole = refuse(text.encode())
    for size in range(len(text.splitlines()[0]), len(text), 31):
        refused = refuse(text[:size].encode())
        assert (refused.format, refused.offset) == (whole.format, whole.offset)


def test_bare_der_is_recognised() -> None:
    keys = (
        rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP256R1()),
        Ed25519PrivateKey.generate(),
    )
    for key in keys:
        for encryption in (NoEncryption(), BestAvailableEncryption(os.urandom(8))):
            given = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, encryption)
            assert refuse(given).format is errors.PrivateFormat.PEM
    for given in (
        keys[0].private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
        pkcs12.serialize_key_and_certificates(b"n", keys[0], None, None, NoEncryption()),
    ):
        assert refuse(given).format is errors.PrivateFormat.PEM


def test_a_private_key_in_a_large_file_is_a_private_key_first(
    private_keys: dict[str, str],
) -> None:
    refused = refuse(private_keys["ed25519"].encode() + b" " * 300_000)
    assert refused.format is errors.PrivateFormat.OPENSSH


def test_the_dead_format_of_protocol_1_is_recognised() -> None:
    assert refuse(b"SSH PRIVATE KEY FILE FORMAT 1.1\n\0\0").format is errors.PrivateFormat.SSH1


@pytest.mark.parametrize(
    "words",
    [
        "public half of my private key",
        "in the end private keys stay here",
        "BEGIN PRIVATE KEY",
        "putty user key file",
    ],
)
def test_words_about_private_keys_are_no_private_key(words: str) -> None:
    assert read_public_key(make_key_line(comment=words)).comment == words


@pytest.mark.parametrize("name", ["rsa2048.pem", "rsa2048.pkcs1.pem", "ed25519_openssl.pem"])
def test_the_body_of_a_public_key_is_no_private_key(name: str) -> None:
    with pytest.raises(errors.NotAKey):
        read_public_key(without_armor(vector(name).decode()).encode())


def test_what_ssh_keygen_calls_private_is_private(ssh_keygen: Program, tmp_path: Path) -> None:
    """The fixtures above are private keys, not files that look like some."""
    path = tmp_path / "key"
    ssh_keygen("-q", "-t", "ecdsa", "-m", "PKCS8", "-N", "", "-f", path)
    assert load_pem_private_key(path.read_bytes(), None)
    refuse(path.read_bytes())
