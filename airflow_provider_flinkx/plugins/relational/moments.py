"""Dates and times that a database gave as text, because its driver would cut or refuse some of them."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

_SECONDS = pa.timestamp("s")
_SECONDS_LENGTH = len("2024-02-29 12:34:56")
#: Seconds between which all nanoseconds fit into 64 bits.
_NANOSECONDS_REACH = 9_223_372_035


def moments(texts: pa.Array, unit: str) -> pa.Array | None:
    """Texts `2024-02-29 12:34:56`, with a fraction or without, as timestamps without a zone.

    Args:
        texts: the texts.
        unit: `us` or `ns`.

    Returns:
        None when Arrow has no such moment for one of them: another year, 24:00:00.
    """
    try:
        if unit == "ns":
            # Arrow wraps around where nanoseconds do not reach a year.
            seconds = pc.utf8_slice_codeunits(texts, 0, _SECONDS_LENGTH).cast(_SECONDS).view(pa.int64())
            beyond = pc.max(pc.abs(seconds)).as_py()
            if beyond is not None and beyond > _NANOSECONDS_REACH:
                return None
        return texts.cast(pa.timestamp(unit))
    except pa.ArrowInvalid:
        return None
