# SPDX-License-Identifier: GPL-3.0-or-later
"""User-data with all that simulated hosts play, and what it leaves in a host: the real cloud-init of docker hosts judges them."""

from __future__ import annotations

import base64
import gzip
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from textwrap import indent

# A shell command that shows what is there, and what it says after the first boot.
SHOW = "cd /srv && stat -c '%a %n' plain && grep -r '' . | sort"
LEFT = """\
640 plain
./again:booted
./again:hook
./late:at last
./packed:was packed
./plain:first
./plain:second
./run:after
./run:it's in /srv
./script:a script"""
LEFT_AFTER_A_REBOOT = LEFT.replace(
    "./again:booted\n./again:hook", "./again:booted\n./again:booted\n./again:hook\n./again:hook"
)

_CONFIG = """\
#cloud-config
# YAML as people write it
ssh_deletekeys: true
ssh_keys:
  ed25519_private: |
{private}
  ed25519_public: {public}
write_files:
- {{path: /srv/plain, content: "first\\n", permissions: '0640', owner: 'root:root'}}
- path: /srv/plain
  append: true
  permissions: '0640'
  content: |
    second
- path: /srv/packed
  encoding: gz+b64
  content: {packed}
- {{path: /srv/late, content: at last, defer: true}}
bootcmd:
- echo replaced > /srv/replaced
runcmd:
- cd /srv
- [sh, -c, 'echo "$0 in $PWD" > run', "it's"]
- echo after >> run
"""
_LATER = """\
#cloud-config
bootcmd: ["echo booted >> /srv/again"]
"""
_SCRIPT = """\
#!/bin/sh
echo a script > /srv/script
"""
_HOOK = """\
#cloud-boothook
#!/bin/sh
echo hook >> /srv/again
"""


def everything(private: str, public: str) -> bytes:
    """MIME of several parts, compressed, with this host key."""
    packed = base64.b64encode(gzip.compress(b"was packed\n")).decode()
    config = _CONFIG.format(private=indent(private.rstrip(), "    "), public=public, packed=packed)
    return gzip.compress(
        several(("cloud-config", config), ("x-shellscript", _SCRIPT), ("cloud-boothook", _HOOK), ("plain", _LATER))
    )


def several(*parts: tuple[str, str]) -> bytes:
    """MIME of these parts, each with its kind of text; that of a plain one is told by its beginning."""
    message = MIMEMultipart()
    for kind, text in parts:
        message.attach(MIMEText(text, kind))
    return message.as_bytes()
