# SPDX-License-Identifier: Apache-2.0
"""The command line's table: from a refusal to the line that its reader sees.

A sentence says what is wrong and what to do. It is found by the refusal's code and filled
in with the refusal's facts, so that this table imports nothing that a command did not.
"""

from collections.abc import Mapping
from typing import Any

from nightdrop.core.errors import Refusal
from nightdrop.core.keys import KeyWarning, RsaIsShort

#: Code of a refusal -> its sentence. A test holds that every refusal has one.
SENTENCES: Mapping[str, str] = {
    # Settings and the start
    "bad-setting": "{name}={value} {why}; {mend}",
    "already-serving": "nightdrop {part} runs already in {home}, alone or started by nightdrop"
    " serve; stop that one first, or set NIGHTDROP_HOME to another directory",
    "port-taken": "{part} cannot listen on {address}, port {port}: another program does; set"
    " {variable} to another port",
    "port-closed": "{part} cannot listen on {address}, port {port} ({why}); set {variable} to"
    " another port, or NIGHTDROP_BIND to an address of this machine",
    "home-unusable": "{path} cannot be used by {user} ({why}); make it a directory that {user} may"
    " write, or set NIGHTDROP_HOME to another one",
    "directory-closed": "the user {user} may not pass through {directory} to {wanted}; open it with"
    " chmod o+x {directory}, or keep Nightdrop's code elsewhere",
    "no-service-user": "the system user {user} is missing and could not be made ({why}); make it"
    " with useradd --system {user}",
    "binaries-missing": "the package {package} has no PostgreSQL for this machine; set"
    " NIGHTDROP_DATABASE_URL to a PostgreSQL of your own",
    "socket-place-taken": "{directory} is needed for PostgreSQL's socket and is not private to"
    " {user}; remove it or choose a shorter NIGHTDROP_HOME",
    # The database
    "other-major": "{directory} was made by PostgreSQL {found}, and this is PostgreSQL {wanted};"
    " dump it with the old version and restore it into an empty NIGHTDROP_HOME",
    "postgres-failed": "PostgreSQL could not {step}: {reason}; its log is {log}",
    "role-url-missing": "{variable} is not set, and this needs it; set it to the URL of that role",
    "database": "the database cannot be used",
    "database-away": "the database does not answer ({why}); see that PostgreSQL runs and that"
    " NIGHTDROP_DATABASE_URL is right, then try again",
    "database-not-prepared": "the database is not at this version; run nightdrop migrate",
    # Districts and deliveries
    "unknown-district": "there is no district {username}; nightdrop district list shows all",
    "unknown-delivery": "there is no delivery {delivery}; nightdrop delivery list USERNAME shows"
    " a district's",
    "bad-username": "{username!r} cannot be a user name: use lower-case letters, digits, dots and"
    " hyphens, at most 64, such as applegrove.org",
    "username-taken": "there is a district {username} already; nightdrop district show {username}",
    "unknown-time-zone": "there is no time zone {name}; use a name such as America/New_York",
    "nightly-without-time": "--mode nightly needs the time of the load: add --nightly-at HH:MM",
    "unknown-table": "the roster has no table {table}; it has {known}",
    "not-an-epoch-name": "{text!r} is no epoch; rename the directory to YYYYMMDD-HHMMSS, such"
    " as 20261123-020000, and it is taken",
    # Keys
    "private-key-given": "This is a private key. Consider it leaked: make a new pair. Nothing of"
    " it was stored; install the new pair's public half, the file that ends in .pub",
    "not-a-key": "there is no public key in this; give the file that ends in .pub, one line that"
    " begins with ssh-ed25519 or ssh-rsa",
    "key-file-too-large": "this has {size_bytes} bytes, and a key file at most {limit_bytes};"
    " give the file that ends in .pub",
    "several-keys": "this has {count} keys; install them one at a time",
    "text-before-key": "there are words before the key (byte {offset}); give the line as it is in"
    " the .pub file",
    "base64-damaged": "the key was damaged on its way (byte {offset}); send the .pub file itself,"
    " not its text",
    "end-line-missing": "the line that ends {label!r} is missing; the text was cut off",
    "option-unknown": "OpenSSH knows no option {name!r} before a key; remove it",
    "option-unreadable": 'the option {name!r} is not written as {name}="..."; correct it',
    "option-repeated": "the option {name!r} stands twice; leave one",
    "options-without-key": "there are options and no key after them; give the whole line",
    "network-unreadable": "network {position} of from= is no address or network such as"
    " 192.0.2.0/24; names and wildcards cannot be used",
    "expiry-unreadable": "expiry-time= is no time such as 20270630; correct it",
    "key-truncated": "the key is cut off in its {field} ({missing_bytes} bytes are missing); send"
    " the whole .pub file",
    "trailing-bytes": "{count} bytes follow the key; send the .pub file as it is",
    "der-damaged": "the block {label!r} is damaged (byte {offset}); make the .pub file again",
    "key-type-unknown": "keys of the type {type} cannot be used; make one with"
    " ssh-keygen -t ed25519",
    "key-type-unreadable": "the key does not say of which type it is; send the .pub file as it is",
    "key-type-mismatch": "the line says {named} and the key inside is {found}; send the .pub file"
    " as it is",
    "number-not-canonical": "the key's {field} is not written as SSH writes it; make the pair anew",
    "field-unfit": "the key's {field} cannot be right; make the pair anew",
    "point-not-on-curve": "this {type} key is no point of its curve; make the pair anew",
    "point-weak": "anybody can sign for this {type} key; make a new pair",
    "rsa-numbers-unfit": "the {field} of this RSA key cannot be right; make a new pair",
    "dsa-refused": "DSA keys are no longer safe; make one with ssh-keygen -t ed25519",
    "rsa-too-short": "this RSA key has {bits} bits, and {minimum_bits} are needed; make one with"
    " ssh-keygen -t ed25519",
    "rsa-too-long": "this RSA key has {bits} bits, and {maximum_bits} is the most that clients"
    " verify; make one with ssh-keygen -t ed25519",
    "certificate-refused": "this is a certificate ({type}); install the plain public key",
    "key-refused": "this key cannot be used (byte {offset})",
    "key-already-installed": "{fingerprint} is installed already, with the label {label!r}",
    "unknown-key": "there is no key {fingerprint} on this account; nightdrop key list shows them",
    "bad-network": "{network!r} is no network such as 192.0.2.0/24",
    # Host keys
    "no-host-keys": "there are no host keys in {directory}; nightdrop serve makes them when it"
    " starts",
    "host-keys-closed": "you may not read {directory}; run this as the user to whom it belongs, or"
    " with sudo",
    "host-key-unusable": "{path} cannot be used, {why}; put the file back from a backup, or remove"
    " it to have another key made, which every client will notice",
    "unknown-host-key": "no host key in use is {fingerprint}; nightdrop hostkey list shows all",
    "host-key-not-current": "{fingerprint} is the next {kind} key and does not sign yet; to put it"
    " to use, retire {current}",
    "no-next-host-key": "no {kind} key is there to follow this one; make it with nightdrop hostkey"
    " rotate {kind}, and give clients time to learn it",
    "nothing-planned": "no day is planned on which {fingerprint} retires",
    "host-key-kind-unused": "no port uses {kind} keys; they are for NIGHTDROP_SFTP_LEGACY_PORT,"
    " which is not set",
    # Penalties
    "penalty-whose-unsaid": "this lifts the penalties of a source, of --name USERNAME, or --all of"
    " them; say which, nightdrop penalty list shows them",
    "no-such-penalty": "there is no penalty of {whose}; nightdrop penalty list shows all",
    "ledger-closed": "{path} cannot be opened ({why}); run this as the user who runs the SFTP"
    " server, or with sudo",
    "ledger-foreign": "{path} was made by another version of Nightdrop; restart the SFTP server",
    "ledger-busy": "{path} is held by a process that does not go on; continue it or end it, then"
    " try again",
    # People
    "not-an-email": "{text!r} is no e-mail address",
    "already-operator": "{email} is an operator already",
    # Files
    "unreadable-file": "{path} cannot be read: {why}",
    "demo-failed": "the demonstration stopped at {step}: {output}",
}

_UNFORESEEN = "this was refused ({code})"


def explain(refusal: Refusal) -> str:
    """Return the sentence for a refusal, on one line."""
    sentence = SENTENCES.get(refusal.code, _UNFORESEEN)
    facts = {name: _shown(value) for name, value in vars(refusal).items()}
    return sentence.format(code=refusal.code, **facts)


def explain_key_warning(warning: KeyWarning) -> str:
    """Return what somebody should hear about a key that was installed all the same."""
    if isinstance(warning, RsaIsShort):
        return (
            f"this RSA key has {warning.bits} bits; {warning.recommended_bits} or an ed25519 key"
            " would be better"
        )
    return f"these options have no effect here: {', '.join(warning.names)}"


def _shown(value: Any) -> Any:  # noqa: ANN401 - facts are of any kind
    return ", ".join(map(str, value)) if isinstance(value, tuple) else value
