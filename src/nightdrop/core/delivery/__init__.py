# SPDX-License-Identifier: Apache-2.0
"""The life of a delivery: its states, and the report of what happened to it."""
