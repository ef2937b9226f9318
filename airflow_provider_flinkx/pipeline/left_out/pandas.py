"""Stands in the way of pandas in the processes of a job, for the same reason as `apache_beam.py`.

Arrow imports pandas, if it is there, to recognise pandas objects, which no job has: more than a second and some
fifty megabytes for nothing.
"""

from __future__ import annotations

raise ImportError("pandas is left out: no job has pandas objects")
