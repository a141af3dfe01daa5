# SPDX-License-Identifier: Apache-2.0
"""`python -m nightdrop` is `nightdrop`."""

from nightdrop.cli.main import main

if __name__ == "__main__":
    main()
