# SPDX-License-Identifier: Apache-2.0
"""The rules of Nightdrop: pure functions over values. Read this package first.

Nothing here reads a file, asks the time, logs or talks to a database; `now`, new
identifiers and the district are arguments. Only the standard library is imported,
by `core.keys` also cryptography.
"""
