# SPDX-License-Identifier: Apache-2.0
"""Nightdrop: a bank's night drop for school districts."""

__version__ = "0.1.0"
