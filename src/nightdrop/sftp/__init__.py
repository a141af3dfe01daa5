# SPDX-License-Identifier: Apache-2.0
"""The SFTP server: SSH-2 by asyncssh, SFTP version 3 by ourselves."""
