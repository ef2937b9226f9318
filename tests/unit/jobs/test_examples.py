"""The job files of FlinkX in circulation, read and validated as they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from airflow_provider_flinkx.exceptions import JobInvalidError
from airflow_provider_flinkx.jobs.text import read_job
from airflow_provider_flinkx.jobs.validation import validate
from airflow_provider_flinkx.plugins.registry import KNOWN_NOT_INSTALLED, schema_of

FOLDER = Path(__file__).parents[4] / "shared" / "flinkx" / "examples"
FILES = sorted(FOLDER.glob("*.json"))
HALF_JOBS = {
    "seed_mysql_to_mongodb.json", "seed_mysql_to_postgresql.json", "seed_mysql_to_redis.json",
    "seeddoc_mongodbreader.json", "seeddoc_mongodbwriter.json", "seeddoc_postgresqlwriter.json",
    "seeddoc_rediswriter.json",
}  # fmt: skip


def test_the_examples_are_there() -> None:
    if not FILES and os.environ.get("CI") != "true":
        pytest.skip(f"NOT TESTED, EXAMPLE JOBS MISSING: they are not beside the checkout, in {FOLDER}")
    assert len(FILES) == 25


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_example_parses_and_validates(path: Path) -> None:
    document = read_job(path, warn=pytest.fail)
    content = document["job"]["content"][0]
    expected = set()
    for side in ("reader", "writer"):
        plugin = content[side].get("name", "").removesuffix(side)
        if not content[side]:
            expected.add(f"job.content[0].{side}: is empty: this is half a job")
        elif plugin in KNOWN_NOT_INSTALLED:
            expected.add(f"job.content[0].{side}.name: plugin {plugin!r} is not installed")
    assert any("half a job" in line for line in expected) is (path.name in HALF_JOBS)
    if not expected:
        assert validate(document, schema_of=schema_of).job.document is document
        return
    with pytest.raises(JobInvalidError) as caught:
        validate(document, schema_of=schema_of)
    errors = [line for line in caught.value.problems if not line.endswith("(warning)")]
    assert {line.partition(";")[0].partition(": add")[0] for line in errors} == expected
