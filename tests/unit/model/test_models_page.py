# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.catalogue import models_in_file

from tools.models_page import PAGE, with_tables


def test_the_tables_are_what_the_catalogue_says() -> None:
    text = PAGE.read_text()
    assert with_tables(text) == text, "run: python -m tools.models_page"


def test_the_example_of_an_own_model_works(tmp_path: Path) -> None:
    example = re.search(r"((?:    .*\n|\n)+)\nKinds of layers", PAGE.read_text())
    assert example is not None
    path = tmp_path / "models.toml"
    path.write_text(re.sub(r"^    ", "", example.group(1), flags=re.MULTILINE))
    (model,) = models_in_file(path)
    assert (model.id, model.variants[0].flags) == ("mine-7b", {"max-num-seqs": 8})


def test_a_page_without_a_place_is_noticed() -> None:
    with pytest.raises(ValueError, match="no place"):
        with_tables("nothing here")
