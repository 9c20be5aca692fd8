# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of entrances is the code's: nothing reads text that is not in it, and the tests that it names are there."""

from __future__ import annotations

import ast

from tests.entrances import ENTRANCES, OURS
from tests.foreign_readers import ROOT, all_readers, readers


def test_every_reader_of_foreign_text_is_listed() -> None:
    found = {(file, function) for file, functions in all_readers().items() for function in functions}
    listed = [(entrance.file, function) for entrance in ENTRANCES for function in entrance.functions]
    assert len(listed) == len(set(listed))
    assert sorted(found - set(listed)) == [], (
        "new readers: add them to tests/entrances.py with the test that tries them"
    )
    assert sorted(set(listed) - found) == [], "gone"


def test_each_has_a_test_or_a_reason() -> None:
    for entrance in ENTRANCES:
        assert entrance.tests or entrance.text.startswith(OURS), entrance
        for test in entrance.tests:
            file, _colons, name = test.partition("::")
            tree = ast.parse((ROOT / file).read_text())
            names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
            assert name in names if name else any(one.startswith("test_") for one in names), test


def test_readers_are_seen() -> None:
    text = """
import json
TABLE = json.loads("{}")
def a(path): return path.read_text()
def b(path):
    def inner(): return open(path, "rb").read()
    return inner()
def c(path): path.open("w").write("x"), open(path, mode="a"), os.open(path, 0)
class D:
    def e(self, module): return module.run_command(["x"])
    def f(self): return self.opener().open(self.request)
async def g(): return subprocess.run(["x"])
def h(opener): return opener.open(request, timeout=1)
def i(place): return tarfile.open(place, "r:*")
"""
    assert set(readers(text)) == {"<module>", "a", "b", "D.e", "D.f", "g", "h", "i"}
