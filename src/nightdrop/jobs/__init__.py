# SPDX-License-Identifier: Apache-2.0
"""The worker: identifiers in, one service call."""
