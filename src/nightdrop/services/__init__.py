# SPDX-License-Identifier: Apache-2.0
"""Use cases, named by verbs; each commits one transaction or says why it takes more.

Services sequence what `core` decides and `storage`, `intake` and `db` do. The time, new
identifiers and the district are arguments.
"""
