"""What must leave Flink by a way that is not ours: JSON between two marks in a longer text.

Flink keeps only the text of a Python exception, and gives a detached job's result as the bytes of serialized Java
objects. Between marks both are found again, whatever a Flink version puts around them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Literal

#: Name of a graph's parameter: when it was compiled, by the client's clock in milliseconds since 1970.
COMPILED = "flinkx.compiled"
Kind = Literal["error", "report"]


def enclose(kind: Kind, value: Mapping[str, Any]) -> str:
    """`value` between marks: ASCII, on one line."""
    # The closing mark must not occur inside.
    return f"<flinkx-{kind}>" + json.dumps(value).replace("</", "<\\/") + f"</flinkx-{kind}>"


def find(kind: Kind, text: str) -> dict[str, Any] | None:
    """The first value of this kind in a text; None when there is none."""
    found = re.search(f"<flinkx-{kind}>(.*?)</flinkx-{kind}>", text, re.DOTALL)
    value: dict[str, Any] | None = json.loads(found.group(1)) if found else None
    return value
