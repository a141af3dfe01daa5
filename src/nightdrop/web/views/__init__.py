# SPDX-License-Identifier: Apache-2.0
"""What each page does; one module a noun."""
