"""Block storage volumes of simulated hosts: directories that move into the host that has them, and back when it goes.

A directory holds `disk.json` (label and size in GB), and once it was formatted `filesystem.json` and the tree `fs`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .base import VOLUMES
from .image import remove_tree

DISKS = "var/lib/sandbox/disks"  # in the host


class Volumes:
    """Those of one sandbox. `root` is the directory of its hosts, on one file system, so that a move is one step."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def attached(self, home: Path) -> dict[int, dict[str, Any]]:
        """What the host with this directory has: label and size by id."""
        found = sorted((home / "root" / DISKS).glob("*/disk.json"), key=lambda path: int(path.parent.name))
        return {int(path.parent.name): json.loads(path.read_text()) for path in found}

    def attach(self, home: Path, volume: dict[str, Any]) -> None:
        """Into the host, from wherever it is; an empty one when it is new."""
        target = home / "root" / DISKS / str(volume["id"])
        source = self._find(volume["id"])
        if source is None:
            source = self._root / VOLUMES / str(volume["id"])
            source.mkdir(parents=True)
        if source != target:
            target.parent.mkdir(parents=True, exist_ok=True)
            source.rename(target)
        (target / "disk.json").write_text(json.dumps({"label": volume["label"], "size": volume["size"]}))

    def detach(self, home: Path, volume_id: int) -> None:
        """Out of the host, with what it holds."""
        (self._root / VOLUMES).mkdir(exist_ok=True)
        (home / "root" / DISKS / str(volume_id)).rename(self._root / VOLUMES / str(volume_id))

    def detach_all(self, home: Path) -> None:
        """Before the host's files go."""
        for volume_id in self.attached(home):
            self.detach(home, volume_id)

    def drop(self, volume_id: int) -> None:
        """For good."""
        path = self._find(volume_id)
        if path is not None:
            remove_tree(path)

    def damage(self, volume_id: int) -> None:
        """A bit of its largest file is another one from now on; the size is the same."""
        path = self._find(volume_id)
        files = [] if path is None else [file for file in (path / "fs").rglob("*") if file.is_file()]
        if files:
            with max(files, key=lambda file: (file.stat().st_size, str(file))).open("r+b") as file:
                byte = file.read(1)
                file.seek(0)
                file.write(bytes([byte[0] ^ 1]))

    def _find(self, volume_id: int) -> Path | None:
        places = [self._root / VOLUMES / str(volume_id), *self._root.glob(f"*/root/{DISKS}/{volume_id}")]
        return next((path for path in places if path.is_dir()), None)
