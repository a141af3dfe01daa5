# SPDX-License-Identifier: Apache-2.0
"""The real `serve`, whose parts come back at once and stop soon.

``python real_parts.py JSON`` runs it with the parts and the time that sessions get at a stop.
"""

import json
import sys
from typing import Any

from nightdrop.cli.main import set_up_django

set_up_django()

from nightdrop.cli.logs import configure_logging  # noqa: E402 - the parts need Django set up
from nightdrop.cli.serve import PARTS, run_serve  # noqa: E402
from nightdrop.cli.supervisor import Backoff  # noqa: E402
from nightdrop.config import load_config  # noqa: E402
from nightdrop.sftp import main as sftp  # noqa: E402


def main(options: dict[str, Any]) -> int:
    """Serve until a signal comes."""
    sftp.GRACE_SECONDS = options["stop_seconds"]
    config = load_config()
    configure_logging(config, "serve")
    return run_serve(
        config,
        parts=[PARTS[name] for name in options["parts"]],
        backoff=Backoff(first_seconds=0.05, most_seconds=0.2),
    )


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
