# SPDX-License-Identifier: GPL-3.0-or-later
"""`make changelog`: collect what changelogs/fragments says of the version of galaxy.yml, and render CHANGELOG.md from it.

Modules, roles and playbooks that are new are found in the collection as it ships.
"""

from __future__ import annotations

import shutil
import sys

from tests.composed_collection import ROOT, composed, run

PLACE = ROOT / "collections/ansible_collections/linode_coder/gpu/changelogs"


def main() -> int:
    with composed() as collection:
        code = run(collection, "antsibull-changelog", "release", "--update-existing", "--reload-plugins")
        if code == 0:
            shutil.copyfile(collection / "CHANGELOG.md", ROOT / "CHANGELOG.md")
            shutil.copyfile(collection / "changelogs/changelog.yaml", PLACE / "changelog.yaml")
            for fragment in (PLACE / "fragments").glob("*.yml"):
                if not (collection / "changelogs/fragments" / fragment.name).exists():
                    fragment.unlink()
    return code


if __name__ == "__main__":
    sys.exit(main())
