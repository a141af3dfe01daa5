# SPDX-License-Identifier: Apache-2.0
"""The sockets that parts listen on: bound once, before any part is started.

All processes of a part take connections from one socket, which outlives each of them. So
- the kernel itself says that another program has a port, whoever runs that program; with a
  socket for each process (SO_REUSEPORT) two Nightdrops would share a port and not notice;
- a connection waits for whoever is free, and is not lost with a process that is killed or
  restarted before it was taken;
- only who starts the parts needs the right to a port below 1024.

While no process of a part lives, its clients wait for the next one instead of being refused.
"""

import errno
import os
import socket
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import ClassVar, Final

from nightdrop.config import Config, variable_name
from nightdrop.core.errors import Refusal

#: Connections that may wait for a process to take them.
_BACKLOG: Final = 1024
_IPV6: Final = 6
_ALL_IPV6: Final = "::"

#: Sockets by the settings that name their ports.
Listeners = Mapping[str, socket.socket]


class PortTaken(Refusal):
    """Another program listens on `port` of `address`; `variable` sets another port."""

    code: ClassVar[str] = "port-taken"

    def __init__(self, part: str, *, address: str, port: int, variable: str) -> None:
        super().__init__(part, address, port, variable)
        self.part = part
        self.address = address
        self.port = port
        self.variable = variable


class PortClosed(Refusal):
    """The machine does not let `part` listen on `port` of `address`; `why` is its own word."""

    code: ClassVar[str] = "port-closed"

    def __init__(self, part: str, *, address: str, port: int, variable: str, why: str) -> None:
        super().__init__(part, address, port, variable, why)
        self.part = part
        self.address = address
        self.port = port
        self.variable = variable
        self.why = why


def port_settings(part: str) -> tuple[str, ...]:
    """Return the names of the settings that give a part its ports; none for one without."""
    return tuple(
        name for name in (f"{part}_port", f"{part}_legacy_port") if name in Config.model_fields
    )


def bind_ports(config: Config, parts: Iterable[str]) -> dict[str, socket.socket]:
    """Take the ports of some parts, on which nobody can connect yet.

    A connection of an earlier process that lingers does not stand in the way.

    Returns: a socket for each setting of a port that is not None.
    Raises:  PortTaken, PortClosed.
    """
    bound: dict[str, socket.socket] = {}
    try:
        for part in parts:
            for setting in port_settings(part):
                if getattr(config, setting) is not None:
                    bound[setting] = _bind(config, part, setting)
    except Refusal:
        close_ports(bound)
        raise
    return bound


def open_ports(config: Config, listeners: Listeners) -> None:
    """Let clients connect; they wait until a process takes them.

    Raises: PortTaken, when another program was faster since the ports were bound.
    """
    for setting, listener in listeners.items():
        try:
            listener.listen(_BACKLOG)
        except OSError as fault:
            part = setting.partition("_")[0]
            raise _refusal(fault, config, part, setting) from fault


def close_ports(listeners: Listeners) -> None:
    """Give this process's hold on the ports up."""
    for listener in listeners.values():
        listener.close()


def _bind(config: Config, part: str, setting: str) -> socket.socket:
    version = ip_address(config.bind).version
    family = socket.AF_INET6 if version == _IPV6 else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if version == _IPV6:
            # :: stands for every address of the machine, whatever its kind.
            is_for_one_kind = config.bind != _ALL_IPV6
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, is_for_one_kind)
        listener.bind((config.bind, getattr(config, setting)))
    except OSError as fault:
        listener.close()
        raise _refusal(fault, config, part, setting) from fault
    return listener


def _refusal(fault: OSError, config: Config, part: str, setting: str) -> PortTaken | PortClosed:
    address, port, variable = config.bind, getattr(config, setting), variable_name(setting)
    if fault.errno == errno.EADDRINUSE:
        return PortTaken(part, address=address, port=port, variable=variable)
    why = os.strerror(fault.errno or 0)
    return PortClosed(part, address=address, port=port, variable=variable, why=why)
