# SPDX-License-Identifier: Apache-2.0
"""Reading tables strictly, comparing them with the roster, and loading what differs."""
