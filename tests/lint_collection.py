# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation and the change log of the collection as it ships: part of `make lint`."""

from __future__ import annotations

import sys

from tests.composed_collection import ROOT, composed, run

REFERENCES = ("--validate-collection-refs", "all", "--disallow-unknown-collection-refs")


def main() -> int:
    with composed() as collection:
        failed = run(collection, "antsibull-docs", "lint-collection-docs", "--plugin-docs", *REFERENCES, ".")
        failed |= run(collection, "antsibull-changelog", "lint")
        failed |= run(collection, "antsibull-changelog", "generate")
        rendered = (collection / "CHANGELOG.md").read_text()
    if rendered != (ROOT / "CHANGELOG.md").read_text():
        print("CHANGELOG.md is not what changelogs/changelog.yaml says: make changelog")
        failed |= 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
