"""Times the parsing of DAG files, each in a fresh process: with Airflow imported already, as in its DAG processor.

    python -m benchmarks.parse [--rounds 5] [dag.py ...]

Prints one line per file: the median of seconds, and the slowest.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "example_dags"
_PROGRAM = """
import importlib.util, sys, time
from airflow_provider_flinkx.compat import DAG, BaseOperator
with DAG("warm"):
    BaseOperator(task_id="up")
spec = importlib.util.spec_from_file_location("dag_file", sys.argv[1])
module = importlib.util.module_from_spec(spec)
started = time.perf_counter()
spec.loader.exec_module(module)
print("seconds", time.perf_counter() - started)
"""


def parse_seconds(path: Path) -> float:
    """Seconds of one parse in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-c", _PROGRAM, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.rsplit("seconds", 1)[1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, default=sorted(EXAMPLES.glob("*.py")))
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for path in options.files:
        seconds = [parse_seconds(path) for _ in range(options.rounds)]
        print(f"{path.name}: {statistics.median(seconds):.2f} s, slowest {max(seconds):.2f} s")


if __name__ == "__main__":
    main()
