"""Variables for a playbook, written so that Ansible takes none of their text for a template.

Ansible trusts extra variables as it trusts a playbook: a text with braces, or one that begins with `#jinja2:`, would be rendered,
whoever wrote it: a tag, a log, the comment of a key. Under `!unsafe` all text is data, and since only texts, numbers and the like are
written below it, nothing in there can be a tag of Ansible's.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure


def _checked(value: Any, name: str) -> Any:
    """Failure(usage) for text that no file in UTF-8 can hold, such as an argument in another encoding."""
    if isinstance(value, dict):
        for key in value:
            _checked(key, name)
        for item in value.values():
            _checked(item, name)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _checked(item, name)
    elif isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise Failure(
                "usage",
                f"{name} holds bytes that are no UTF-8 text.",
                remedy="Write it in UTF-8, or without them.",
                field=name,
            ) from error
    return value


def document(values: dict[str, Any]) -> str:
    """YAML of ``values``, plain data with names of variables as keys; what is not plain data is an error of YAML's."""
    import yaml

    class Plain(yaml.representer.SafeRepresenter):
        """Everything that is text is in double quotes and in ASCII, so that no reader has to guess."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

        def quoted(self, text: str) -> yaml.ScalarNode:
            return self.represent_scalar("tag:yaml.org,2002:str", text, style='"')

    Plain.add_representer(str, Plain.quoted)
    for name, value in values.items():
        _checked(value, name)
    root = Plain(default_flow_style=True, sort_keys=False).represent_data(dict(values))
    root.tag = "!unsafe"
    return str(yaml.serialize(root, Dumper=yaml.SafeDumper, width=1 << 30))


def write(path: Path, values: dict[str, Any]) -> None:
    """As a new file that nobody else can read. Failure(usage) for a value that is no text."""
    text = document(values)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(text)
