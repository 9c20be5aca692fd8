# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All causes, in the order in which one explains another: container and host, hub, files, software, settings, cards, memory, run time.

A cause is one row of ``causes_container.py``, ``causes_model.py`` or ``causes_cards.py``, and nothing else: its texts, what is told,
which rungs may be tried. Of two rows that match the same place the earlier counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .cause import AGAIN, ONCE, PERSON, Cause
from .causes_cards import CARD, CUDA, MEMORY, RUNNING, SEVERAL
from .causes_container import CONSEQUENCES, ENDINGS, START
from .causes_model import FILES, HUB, SETTINGS, SOFTWARE

CAUSES: tuple[Cause, ...] = (
    *START[:-1],
    *SEVERAL,
    *CARD,
    *CUDA,
    *HUB,
    *FILES,
    *SOFTWARE,
    *SETTINGS,
    *MEMORY,
    *RUNNING,
    *CONSEQUENCES,
    START[-1],
)
BY_EXIT_CODE: dict[int, Cause] = {code: row for row in (*CAUSES, *ENDINGS) for code in row.exit_codes}


@dataclass(frozen=True)
class ErrorKind:
    """What an error of no known cause is about, by the name of its exception.

    :param what: ends the sentence that quotes it.
    :param advice: what may help before the engine has served.
    """

    names: re.Pattern[str]
    what: str
    advice: str
    ladder: tuple[str, ...] = ONCE


_OF_THE_SOFTWARE = "Use another version of the engine's image (vllm_image), or another model or variant."
KINDS = (
    ErrorKind(
        re.compile(r"(?:Import|ModuleNotFound|Syntax|Indentation)Error$"),
        "a fault of the image's software",
        "Use another version of the engine's image (vllm_image) as it is.",
        PERSON,
    ),
    ErrorKind(
        re.compile(
            r"(?:Attribute|Type|Name|UnboundLocal|NotImplemented|Recursion)\w{0,40}Error$|\w{0,60}AttributeError$"
        ),
        "a fault of the engine's code with this model or its libraries",
        _OF_THE_SOFTWARE,
    ),
    ErrorKind(
        re.compile(r"(?:Assertion|Key|Index|Lookup|StopIteration|ZeroDivision)\w{0,20}$"),
        "a state that the engine's code did not expect",
        _OF_THE_SOFTWARE,
    ),
    ErrorKind(
        re.compile(r"(?:Value|Validation|Config\w{0,20}|Argument|JSONDecode|Unicode\w{0,10})Error$"),
        "a setting or file that the engine does not accept",
        "Look at the model's files and at the engine's settings (vllm.yaml); another variant of the model or version of the image may do.",
    ),
    ErrorKind(
        re.compile(r"(?:OS|IO|FileNotFound|FileExists|NotADirectory|IsADirectory|BlockingIO)Error$"),
        "a refusal of the operating system",
        "Look at the file or device that it names on the VM.",
    ),
    ErrorKind(
        re.compile(r"\w{0,40}(?:Timeout|Connection|Http|HTTP|Protocol|Network|Pipe)\w{0,20}$"),
        "trouble between processes or with the network",
        "Look at the VM's network, and at what else the log says of the same minute.",
    ),
    ErrorKind(
        re.compile(r"(?:Cuda|CUDA|Accelerator|Triton|Compilation|Nvml|NVML|Cublas|Cudnn)\w{0,40}$"),
        "trouble with the card or its kernels",
        "Use another version of the engine's image, another attention backend or another variant of the model.",
    ),
)
OTHER_ERROR = ErrorKind(re.compile(r""), "an error that is not known here", _OF_THE_SOFTWARE)
REPEATED = "What fails twice in the same way does not pass by itself."
WHILE_SERVING = "Restart the container; if it happens again, use another version of the engine's image, and report it to the engine."
UNKNOWN_WHILE_SERVING = AGAIN
