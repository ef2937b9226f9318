"""Imports mssql-python and its core, in a thread of Python's own.

Flink's embedded interpreter runs tasks in threads of Java, which Python's GIL-state functions do not know. The driver's
binding calls these once while it is imported, and would wait there for ever for the lock that its own thread holds.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any


def _imported(name: str) -> Any:
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(import_module, name).result()


mssql_python = _imported("mssql_python")
mssql_py_core = _imported("mssql_py_core")

# Microsoft's ODBC driver, which the package brings too, needs libraries of the system. Reading by the same
# implementation that bulk-loads needs none. MSSQL_PYTHON_NATIVE_PROVIDER in the environment wins over this.
mssql_python.native_provider = "mssql-odbc"
# A pooled connection would keep settings of `session`.
mssql_python.pooling(enabled=False)
