# SPDX-License-Identifier: Apache-2.0
"""rclone as it comes: it looks for a shell, and asks that for hashes. There is none."""

from pathlib import Path

from nightdrop.core.events import EventKind
from sftp.harness import ClientKey, Nightdrop
from sftp.interop.client_steps import make_visitor
from sftp.interop.clients_of_urls import RcloneAsItComes


def test_its_commands_are_refused_and_its_copies_are_whole(
    server: Nightdrop, apple_key: ClientKey, tmp_path: Path
) -> None:
    """A command that hung would run into the time that a visit may take."""
    client = RcloneAsItComes()
    client.require()
    home, local = tmp_path / "client", tmp_path / "client" / "local"
    local.mkdir(parents=True)
    contents = {f"{number}.csv": bytes([number]) * 70_000 for number in range(5)}
    for name, content in contents.items():
        (local / name).write_bytes(content)
    visitor = make_visitor(server, apple_key, "applegrove.org", home)
    there = f"{client.remote(visitor)}:/upload/tree"
    for words in (("copy",), ("check",), ("check", "--download"), ("sync",)):
        client.rclone(visitor, *words, str(local), there)
    (local / "0.csv").unlink()
    client.rclone(visitor, "sync", str(local), there)
    del contents["0.csv"]
    found = server.upload("applegrove.org", "tree").iterdir()
    assert {path.name: path.read_bytes() for path in found} == contents
    refused = server.wait_for(EventKind.REFUSED)
    assert {event.facts["rule"] for event in refused} == {"not-sftp"}
