# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that a playbook is made of, as YAML that keeps what Ansible marks."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

_NAMED = re.compile(r"ansible\.builtin\.(import_playbook|import_tasks|include_tasks): (\S+)")


class Tagged(yaml.SafeLoader):
    """Also what Ansible marks as unsafe or as a secret."""


Tagged.add_multi_constructor("!", lambda loader, _suffix, node: loader.construct_scalar(node))


def files_of(path: Path, seen: set[Path] | None = None) -> set[Path]:
    """The file, and the playbooks and files of tasks that it names, with all that those name."""
    seen = set() if seen is None else seen
    if path not in seen:
        seen.add(path)
        folder = path.parent.parent if path.parent.name == "tasks" else path.parent
        for kind, name in _NAMED.findall(path.read_text()):
            files_of(folder / ("" if kind == "import_playbook" else "tasks") / Path(name).name, seen)
    return seen
