"""FlinkX jobs from Airflow and Python: declarative batch data sync on Apache Flink.

Importing this package is cheap on purpose: Airflow reads its metadata in every process.
"""

from __future__ import annotations

__version__ = "0.1.0"
