"""The types of JSON documents, without what importing `typing` costs: a sixth of a call of a tool as small as these."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any as Any
else:
    Any = object

Json = dict[str, Any]
