# SPDX-License-Identifier: Apache-2.0
"""The database: its server, roles, tables, and the one door to a district's rows."""
