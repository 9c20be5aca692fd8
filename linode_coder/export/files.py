"""The files of an export: written whole, readable by others, and never over what somebody else may have written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.atomic_file import replace_file
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure

# As of any document; no secret is in them.
_MODE = 0o644


class _Quoted(yaml.SafeDumper):
    """Every text in quotes: what is a number or a yes differs from one reader of YAML to the next."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, data: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style='"')


def _pairs(dumper: yaml.SafeDumper, data: dict[str, Any]) -> yaml.Node:
    """The keys are ours, or names of the chart."""
    node = dumper.represent_mapping("tag:yaml.org,2002:map", data.items())
    for key, _value in node.value:
        key.style = None
    return node


_Quoted.add_representer(str, _text)
_Quoted.add_representer(dict, _pairs)


def as_yaml(data: Any, comment: list[str]) -> str:
    head = "".join(f"# {line}\n" for line in comment)
    # Longer lines are broken inside the quotes, which is the same text and hard to read.
    return head + yaml.dump(data, Dumper=_Quoted, sort_keys=False, width=100_000)


def as_json(data: Any) -> str:
    return json.dumps(data, indent=2) + "\n"


def differing(directory: Path, texts: dict[str, str]) -> list[Path]:
    """Which of the files are there and say something else. Failure(usage) for a directory that can be none."""
    if directory.exists() and not directory.is_dir():
        raise _refused(directory, "it is a file")
    found = []
    for name, text in texts.items():
        path = directory / name
        try:
            if path.exists() and path.read_bytes() != text.encode():
                found.append(path)
        except OSError as error:
            raise _refused(path, error.strerror or type(error).__name__) from error
    return found


def write(directory: Path, texts: dict[str, str]) -> list[Path]:
    """The files that were made or changed. Failure(usage) when they cannot be written."""
    wrote = []
    for name, text in texts.items():
        path = directory / name
        try:
            if path.exists() and path.read_bytes() == text.encode():
                continue
            replace_file(path, text, mode=_MODE, parents=True)
        except OSError as error:
            raise _refused(path, error.strerror or type(error).__name__) from error
        wrote.append(path)
    return wrote


def _refused(path: Path, why: str) -> Failure:
    return Failure(
        "usage",
        f"{path} cannot be written: {why}.",
        remedy="Name a directory of yours: --output DIRECTORY",
        field="output",
        value=str(path),
    )
