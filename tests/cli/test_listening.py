# SPDX-License-Identifier: Apache-2.0
"""Ports are taken once, and only if nobody else has them."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from nightdrop.cli.errors import explain
from nightdrop.cli.listening import Listeners, PortClosed, PortTaken, bind_ports, close_ports
from nightdrop.cli.listening import open_ports as _open_ports
from nightdrop.config import Config
from nightdrop.core.addresses import read_address

Bind = Callable[..., Listeners]


@pytest.fixture
def bind() -> Iterator[Bind]:
    """Take ports as a start does, and give them up after the test."""
    with ExitStack() as stack:

        def take(*parts: str, **settings: object) -> Listeners:
            config = Config.model_validate({"sftp_port": 0, "web_port": 0, **settings})
            listeners = bind_ports(config, parts or ["sftp", "web", "worker"])
            stack.callback(close_ports, listeners)
            return listeners

        yield take


def open_ports(listeners: Listeners) -> None:
    """Let clients connect."""
    ports = {name: _port(listener) for name, listener in listeners.items()}
    _open_ports(Config.model_validate(ports), listeners)


def _port(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("part", ["sftp", "web"])
@pytest.mark.parametrize("sharing", ["", "would share it"])
def test_a_port_that_another_program_has_is_refused(
    bind: Bind, address: str, part: str, sharing: str
) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with (
        socket.create_server((address, 0), family=family, reuse_port=bool(sharing)) as other,
        pytest.raises(PortTaken) as refusal,
    ):
        bind(bind=address, **{f"{part}_port": _port(other)})
    assert explain(refusal.value) == (
        f"{part} cannot listen on {address}, port {refusal.value.port}: another program does;"
        f" set NIGHTDROP_{part.upper()}_PORT to another port"
    )


def test_all_addresses_are_refused_where_another_program_has_the_port_of_one(bind: Bind) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(PortTaken):
        bind(bind="0.0.0.0", sftp_port=_port(other))  # noqa: S104 - what is tested


def test_the_address_for_all_takes_both_kinds(bind: Bind) -> None:
    listener = bind("sftp", bind="::")["sftp_port"]
    listener.listen(1)
    with socket.create_connection(("127.0.0.1", _port(listener))) as client:
        accepted, peer = listener.accept()
        accepted.close()
        assert str(read_address(peer[0])) == client.getsockname()[0] == "127.0.0.1"


def test_a_refusal_leaves_no_port_taken(bind: Bind) -> None:
    before = bind("sftp")
    free = _port(before["sftp_port"])
    close_ports(before)
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(PortTaken):
        bind(sftp_port=free, web_port=_port(other))
    # Without SO_REUSEADDR even a socket that nobody can connect to would stand in the way.
    with socket.socket() as first:
        first.bind(("127.0.0.1", free))


def test_an_address_of_another_machine_is_refused(bind: Bind) -> None:
    with pytest.raises(PortClosed) as refusal:
        bind(bind="192.0.2.1")
    said = explain(refusal.value)
    assert said.startswith("sftp cannot listen on 192.0.2.1, port 0 (")
    assert said.endswith("or NIGHTDROP_BIND to an address of this machine")


def test_the_legacy_port_is_one_of_sftp(bind: Bind) -> None:
    assert set(bind()) == {"sftp_port", "web_port"}
    assert set(bind(sftp_legacy_port=0)) == {"sftp_port", "sftp_legacy_port", "web_port"}
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(PortTaken) as refusal:
        bind(sftp_legacy_port=_port(other))
    assert refusal.value.variable == "NIGHTDROP_SFTP_LEGACY_PORT"


def test_nobody_connects_before_the_ports_are_opened(bind: Bind) -> None:
    listeners = bind("sftp")
    address = listeners["sftp_port"].getsockname()
    with socket.socket() as client:
        assert client.connect_ex(address) != 0
    open_ports(listeners)
    with socket.socket() as client:
        assert client.connect_ex(address) == 0


def test_of_two_that_take_a_port_at_once_one_gets_it(bind: Bind) -> None:
    first = bind("sftp")
    second = bind("sftp", sftp_port=_port(first["sftp_port"]))
    open_ports(first)
    with pytest.raises(PortTaken) as refusal:
        open_ports(second)
    assert refusal.value.variable == "NIGHTDROP_SFTP_PORT"


@pytest.mark.parametrize("who_ends", ["server", "client"])
def test_connections_of_before_do_not_stand_in_the_way(bind: Bind, who_ends: str) -> None:
    """One still open, and one that the kernel keeps for a while after its end."""
    listeners = bind("sftp")
    open_ports(listeners)
    listener = listeners["sftp_port"]
    address = listener.getsockname()
    with socket.create_connection(address), listener.accept()[0]:
        ends = [socket.create_connection(address), listener.accept()[0]]
        for end in ends if who_ends == "client" else reversed(ends):
            end.close()
        close_ports(listeners)
        again = bind("sftp", sftp_port=address[1])
        open_ports(again)
        with socket.create_connection(address) as client:
            assert client.getpeername() == address
