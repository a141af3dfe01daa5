# SPDX-License-Identifier: Apache-2.0
"""The tree on disk: confinement, locks, sealing, moving away, and the journal.

`tree.Tree` leads to `district.DistrictTree`, which is what a client sees; `seal` and `processed`
do what no client can. Synchronous, safe to use from threads and from several processes and
nodes at one time, without a database, a log or a clock of its own: what a seal says of time is
what the file system says.
"""
