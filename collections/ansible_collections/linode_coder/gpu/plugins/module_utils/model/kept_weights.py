# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the weights of a model are on the VM."""

from __future__ import annotations

import json
import os


def folder_of(models_dir: str, model: str) -> str:
    """Where the hub's library keeps a model."""
    return os.path.join(models_dir, "hub", "models--" + model.replace("/", "--"))


def complete(models_dir: str, model: str, revision: str) -> bool:
    """By the sizes that the download noted: a truncated or deleted file shows."""
    if model.startswith("/"):
        return os.path.isfile(os.path.join(model, "config.json"))
    folder = folder_of(models_dir, model)
    try:
        with open(os.path.join(folder, "fetched.json"), encoding="utf-8") as file:
            noted = json.load(file)
        snapshot = os.path.join(folder, "snapshots", noted["revision"])
        whole = all(os.path.getsize(os.path.join(snapshot, name)) == size for name, size in noted["sizes"].items())
    except (OSError, ValueError, KeyError):
        return False
    return whole and revision in ("main", noted["revision"])
