from __future__ import annotations

import re
import runpy
from pathlib import Path

from airflow_provider_flinkx.jobs.references import SIDES
from airflow_provider_flinkx.plugins.registry import BUILT_IN, plugins

ROOT = Path(__file__).parents[3]
GENERATOR = runpy.run_path(str(ROOT / "scripts" / "generate_job_reference.py"))
PAGE = (ROOT / "docs" / "job-reference.md").read_text("utf-8")


def test_the_page_is_up_to_date() -> None:
    assert GENERATOR["with_tables"](PAGE) == PAGE, "run scripts/generate_job_reference.py"


def test_the_page_has_a_table_for_every_plugin() -> None:
    expected = {"job", *(f"{name}{side}" for name in BUILT_IN for side in SIDES if getattr(plugins()[name], side))}
    assert set(re.findall(r"<!-- keys of (\w+) -->", PAGE)) == expected


def test_rows_say_what_the_schema_says() -> None:
    table = GENERATOR["table"]("mysqlreader")
    assert "| `username` | string | without `connectionId` |" in table
    assert "| `connection[].table` | array of string | without `customSql` |" in table
    assert "| `queryTimeOut` | integer |  | `1000` |" in table
    assert "Also written `queryTimeout`." in table
    assert "| `requestAccumulatorInterval` | integer |  | `2` | **No effect here.**" in table
    assert "Only with `increColumn`." in table
