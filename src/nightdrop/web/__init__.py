# SPDX-License-Identifier: Apache-2.0
"""The console: pages for the people of districts and for operators."""
