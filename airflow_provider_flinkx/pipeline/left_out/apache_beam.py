"""Stands in the way of Apache Beam where Flink runs Python in its own process (thread mode).

PyFlink imports Beam if it can, which costs about three seconds in the client and again in the JVM, and
works without it in thread mode, where nothing uses it. The driver puts this folder first on the path
of both interpreters; PyFlink takes the ImportError as "no fast coders" and goes on.
"""

from __future__ import annotations

raise ImportError("Apache Beam is left out: Flink's thread mode does not use it")
