# SPDX-License-Identifier: Apache-2.0
"""The two programs that know best what a key is."""

import os
import shutil
import subprocess
from collections.abc import Callable

import pytest


def _program(name: str, package: str) -> Callable[..., str]:
    path = shutil.which(name)
    if path is None:
        message = f"{name} is not here; install {package}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)

    def run(*arguments: object) -> str:
        command = [path, *(str(argument) for argument in arguments)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    return run


@pytest.fixture(scope="session")
def ssh_keygen() -> Callable[..., str]:
    """Run ssh-keygen with these arguments; its output."""
    return _program("ssh-keygen", "openssh-client")


@pytest.fixture(scope="session")
def puttygen() -> Callable[..., str]:
    """Run puttygen with these arguments; its output."""
    return _program("puttygen", "putty-tools")
