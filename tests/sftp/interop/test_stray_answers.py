# SPDX-License-Identifier: Apache-2.0
"""Answers that nobody asked for: phpseclib and others refuse every global request they meet."""

import asyncio

import pytest
from asyncssh.constants import MSG_REQUEST_FAILURE, MSG_REQUEST_SUCCESS

from sftp.harness import ClientKey, Nightdrop, connect


@pytest.mark.parametrize("kind", [MSG_REQUEST_FAILURE, MSG_REQUEST_SUCCESS])
def test_an_answer_that_nobody_asked_for_is_ignored(
    server: Nightdrop, apple_key: ClientKey, kind: int
) -> None:
    """OpenSSH's server takes them for signs of life; RFC 4254 says nothing of them."""

    async def work() -> None:
        async with connect(server, apple_key) as connection, connection.start_sftp_client() as sftp:
            connection.send_packet(kind)
            assert await sftp.listdir("/upload") == []

    asyncio.run(work())
