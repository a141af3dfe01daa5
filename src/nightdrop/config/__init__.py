# SPDX-License-Identifier: Apache-2.0
"""One frozen, typed `Config`; a bad value stops the start with its name and the mend."""

from nightdrop.config.reading import (
    ConfigRefused,
    describe_values,
    load_config,
    read_secret_key,
    variable_name,
)
from nightdrop.config.settings import SERVICE_USER, Config, LogFormat

__all__ = [
    "SERVICE_USER",
    "Config",
    "ConfigRefused",
    "LogFormat",
    "describe_values",
    "load_config",
    "read_secret_key",
    "variable_name",
]
