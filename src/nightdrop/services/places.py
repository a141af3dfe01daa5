# SPDX-License-Identifier: Apache-2.0
"""Where the files of a delivery lie now."""

from pathlib import Path

from nightdrop.db.models import Delivery
from nightdrop.storage.processed import processed_path
from nightdrop.storage.seal import sealed_path
from nightdrop.storage.tree import Tree


def epoch_directory(delivery: Delivery, *, tree: Tree) -> Path:
    """Return the directory of a delivery's epoch: in /upload, or where it was moved to."""
    district = tree.district(delivery.district_id)
    if delivery.processed_name is None:
        return sealed_path(district, delivery.epoch)
    return processed_path(district, delivery.processed_name)
