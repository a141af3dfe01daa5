# SPDX-License-Identifier: Apache-2.0
"""CSV formats as data, the rules for their cells, and findings about files."""
