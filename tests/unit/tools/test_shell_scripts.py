# SPDX-License-Identifier: GPL-3.0-or-later
"""`make lint` looks at every shell script that is shipped or run."""

from __future__ import annotations

from tools.shell_scripts import ROOT, check, literals, scripts


def test_scripts_are_found_in_files_and_in_programs() -> None:
    found = [place for place, _text in scripts()]
    assert {".ci/run", "roles/container_engine/files/start-gpu-containers.sh"} < set(found)
    assert {place.partition(":")[0] for place in found if ":" in place} > {"linode_coder/sandbox/hosts/image.py"}
    executable = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "linode_coder").rglob("*")
        if path.is_file() and path.suffix != ".py" and path.read_bytes().startswith(b"#!/bin/sh")
    }
    assert executable and executable <= set(found)


def test_a_script_in_a_program_is_one_text() -> None:
    program = (
        'PLAIN = b"#!/bin/sh\\nexit 0\\n"\nmade = f"#!/bin/sh\\nexec {name} $1\\n"\nhead = "#!/bin/sh\\n" + rest\n'
    )
    assert list(literals(program)) == [(1, "#!/bin/sh\nexit 0\n"), (2, "#!/bin/sh\nexec 1 $1\n")]


def test_what_shellcheck_says_names_the_place() -> None:
    said = check([("good.py:3", "#!/bin/sh\nexit 0\n"), ("bad.py:7", "#!/bin/sh\nexec cat $1\n")])
    assert said.startswith("bad.py:7:2:") and "SC2086" in said and "good" not in said
