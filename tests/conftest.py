# SPDX-License-Identifier: Apache-2.0
"""What every test may ask for; each theme has a module of its own."""

import os
import platform
import shutil
import subprocess

import pytest

pytest_plugins = ["fix_database", "fix_district"]

#: Programs that tests talk to, and how each tells its version.
PROGRAMS = {"sftp": ("ssh", "-V"), "psftp": ("psftp", "-V"), "ssh-keygen": ("ssh", "-V")}


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say what is being tested against."""
    del config
    lines = [f"python {platform.python_version()}, uid {os.geteuid()}"]
    for name, (program, flag) in PROGRAMS.items():
        if not shutil.which(program):
            lines.append(f"{name}: not here, its tests are skipped")
            continue
        said = subprocess.run([program, flag], capture_output=True, text=True, check=False)
        lines.append(f"{name}: {(said.stderr or said.stdout).splitlines()[0]}")
    return lines
