#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: host_files
short_description: Keep several files and directories of a VM as they are wanted
version_added: 0.1.0
description:
  - Runs on the VM. Does in one round trip what takes one or more for each file otherwise.
  - A file is written whole or stays as it was. The entries are dealt with in their order.
attributes:
  check_mode:
    description: Says which paths it would change, also below directories that it would make.
    support: full
  diff_mode:
    description: Shows each file before and after; of a file with a secret only its mode and owner.
    support: full
options:
  files:
    description: What is wanted.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Absolute path.
        type: path
        required: true
      state:
        description:
          - V(file) writes O(files[].content), O(files[].secret) or O(files[].key_length).
          - V(directory) makes the directory, with parents of the same owner and mode where they are missing.
          - V(absent) removes the path with all that is in it.
        type: str
        choices: [file, directory, absent]
        default: file
      content:
        description: The whole text of the file. With O(files[].key_length) what stands before the key.
        type: str
      secret:
        description: The whole text of a file whose content is never shown.
        type: str
      key_length:
        description:
          - Makes a file with a random key of that many letters and digits after O(files[].content), once.
          - A file that is there keeps its content, and the content is never shown.
        type: int
      key_from:
        description:
          - Path of a file that O(files[].key_length) made, which may be an earlier entry. Its key takes the place of V({key}) in
            O(files[].content), and the content is never shown.
          - A key with anything but letters, digits, V(-) and V(_) is refused, so that it stays one word wherever it is written.
        type: path
      mode:
        description: Permissions. V(0644) for a file and V(0755) for a directory when unset.
        type: str
      owner:
        description: Name of the owner.
        type: str
        default: root
      group:
        description: Name of the group.
        type: str
        default: root
author:
  - linode_coder contributors (@linode-coder)
"""

EXAMPLES = r"""
- name: Write the proxy's settings and make a key
  linode_coder.gpu.host_files:
    files:
      - {path: /opt/linode-coder/vllm, state: directory, mode: "0700"}
      - path: /opt/linode-coder/vllm/nginx.conf
        content: "{{ lookup('ansible.builtin.template', 'nginx.conf.j2') }}"
      - {path: /opt/linode-coder/vllm/secrets.env, content: VLLM_API_KEY=, key_length: 40, mode: "0600"}
"""

RETURN = r"""
paths:
  description: The paths that were changed, or would be.
  returned: success
  type: list
  elements: str
  sample: [/opt/linode-coder/vllm/nginx.conf]
created:
  description: Those of them that were not there before.
  returned: success
  type: list
  elements: str
  sample: []
"""

import grp
import os
import pwd
import re
import secrets
import shutil
import stat
import string
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.core.atomic_file import replace_file
from ..module_utils.engine.env_file import value_in

_KEY = string.ascii_letters + string.digits
_KINDS = {"file": stat.S_ISREG, "directory": stat.S_ISDIR, "link": stat.S_ISLNK}


class Refused(Exception):
    """Something else is where the path is wanted; the text says what."""


class Wanted:
    """One entry, and what is there instead of it."""

    def __init__(self, entry: dict[str, Any], check_mode: bool) -> None:
        self.entry, self.check_mode = entry, check_mode
        self.path: str = entry["path"]
        self.state: str = entry["state"]
        self.hidden = any(entry[name] is not None for name in ("secret", "key_length", "key_from"))
        self.mode = int(entry["mode"] or ("0755" if self.state == "directory" else "0644"), 8)
        self.owner, self.group = pwd.getpwnam(entry["owner"]).pw_uid, grp.getgrnam(entry["group"]).gr_gid
        try:
            # A link to a directory is as good as one; a link to a file is replaced by the file.
            self.found: os.stat_result | None = (os.stat if self.state == "directory" else os.lstat)(self.path)
        except (FileNotFoundError, NotADirectoryError):
            self.found = None
        self.before = self._read()
        self.after = self._text()

    def _read(self) -> bytes | None:
        if self.state != "file" or self.found is None or not stat.S_ISREG(self.found.st_mode):
            return None
        with open(self.path, "rb") as file:
            return file.read()

    def _text(self) -> bytes | None:
        if self.state != "file":
            return None
        if self.entry["key_from"] is not None:
            content: str = self.entry["content"]
            return content.replace("{key}", self._key()).encode()
        if self.entry["key_length"] is None:
            text: str = self.entry["content"] if self.entry["secret"] is None else self.entry["secret"]
            return text.encode()
        if self.before is not None:
            return self.before
        key = "".join(secrets.choice(_KEY) for _each in range(self.entry["key_length"]))
        return f"{self.entry['content'] or ''}{key}\n".encode()

    def _key(self) -> str:
        path = self.entry["key_from"]
        if self.check_mode and not os.path.exists(path):
            return ""  # the entry that would make it changed nothing
        with open(path, encoding="utf-8", errors="replace") as file:
            key = value_in(file.read()) or ""
        if not re.fullmatch("[A-Za-z0-9_-]+", key):
            raise Refused(f"{path} holds no key of letters, digits, - and _; remove it to get a new one")
        return key

    def attributes(self) -> dict[str, str]:
        """Of what is there: state, mode and owner, as a diff shows them."""
        if self.found is None:
            return {"path": self.path, "state": "absent"}
        kind = next((name for name, is_kind in _KINDS.items() if is_kind(self.found.st_mode)), "other")
        owner = f"{self.found.st_uid}:{self.found.st_gid}"
        return {"path": self.path, "state": kind, "mode": f"{stat.S_IMODE(self.found.st_mode):04o}", "owner": owner}

    def wanted_attributes(self) -> dict[str, str]:
        if self.state == "absent":
            return {"path": self.path, "state": "absent"}
        owner = f"{self.owner}:{self.group}"
        return {"path": self.path, "state": self.state, "mode": f"{self.mode:04o}", "owner": owner}

    def changes(self) -> bool:
        there = self.attributes()["state"]
        if {there, self.state} == {"file", "directory"} or (self.state != "absent" and there == "other"):
            raise Refused(f"{self.path} is there, but it is no {self.state}")
        return self.attributes() != self.wanted_attributes() or self.before != self.after

    def diffs(self) -> list[dict[str, Any]]:
        """Text for a file that may be shown, and what is not text where that changes."""
        before, after = self.attributes(), self.wanted_attributes()
        texts = self.before != self.after
        shown: list[dict[str, Any]] = [{"before": before, "after": after}] if before != after else []
        if texts and self.hidden and not shown:
            shown = [{"before": {**before, "content": "(secret)"}, "after": {**after, "content": "(another secret)"}}]
        if texts and not self.hidden:
            text = {
                "before": (self.before or b"").decode("utf-8", "replace"),
                "after": (self.after or b"").decode("utf-8", "replace"),
                "before_header": self.path,
                "after_header": self.path,
            }
            shown.insert(0, text)
        return shown

    def apply(self) -> None:
        if self.state == "absent":
            if self.found is not None and stat.S_ISDIR(self.found.st_mode):
                shutil.rmtree(self.path)
            else:
                os.unlink(self.path)
            return
        if self.after is None:  # a directory
            self._make_directory(self.path)
            os.chown(self.path, self.owner, self.group)
            os.chmod(self.path, self.mode)
        else:
            replace_file(self.path, self.after, self.mode, (self.owner, self.group))

    def _make_directory(self, path: str) -> None:
        if os.path.isdir(path):
            return
        self._make_directory(os.path.dirname(path))
        os.mkdir(path, 0o700)
        os.chown(path, self.owner, self.group)
        os.chmod(path, self.mode)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "files": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "path": {"type": "path", "required": True},
                    "state": {"type": "str", "choices": ["file", "directory", "absent"], "default": "file"},
                    "content": {"type": "str"},
                    "secret": {"type": "str", "no_log": True},
                    "key_length": {"type": "int", "no_log": False},
                    "key_from": {"type": "path", "no_log": False},
                    "mode": {"type": "str"},
                    "owner": {"type": "str", "default": "root"},
                    "group": {"type": "str", "default": "root"},
                },
                "mutually_exclusive": [("content", "secret"), ("secret", "key_length", "key_from")],
                "required_by": {"key_from": "content"},
                "required_if": [("state", "file", ("content", "secret", "key_length"), True)],
            },
        },
        supports_check_mode=True,
    )
    paths: list[str] = []
    created: list[str] = []
    diffs: list[dict[str, Any]] = []
    for entry in module.params["files"]:
        try:
            wanted = Wanted(entry, module.check_mode)
            if not wanted.changes():
                continue
            paths.append(wanted.path)
            created += [wanted.path] if wanted.found is None else []
            diffs += wanted.diffs()
            if not module.check_mode:
                wanted.apply()
        except (OSError, KeyError, ValueError, Refused) as error:
            said = f"{error.strerror}: {entry['path']}" if isinstance(error, OSError) else str(error)
            module.fail_json(msg=f"{said}.", paths=paths, created=created, diff=diffs)
    module.exit_json(changed=bool(paths), paths=paths, created=created, diff=diffs)


if __name__ == "__main__":
    main()
