# SPDX-License-Identifier: Apache-2.0
"""Django's settings and URLs, where everything is joined."""
