"""The provider metadata, as the installed Airflow reads it."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from airflow_provider_flinkx.hooks.connection import CONNECTION as FLINK
from airflow_provider_flinkx.plugins.connection import connection_types
from airflow_provider_flinkx.provider_info import get_provider_info

TYPES = (FLINK, *connection_types())


def schema(name):
    return json.loads(files("airflow").joinpath(name).read_text("utf-8"))


def test_matches_the_schema_that_airflow_checks_at_run_time():
    jsonschema.validate(get_provider_info(), schema("provider_info.schema.json"))


def test_connection_types_match_the_schema_for_authors():
    part = schema("provider.yaml.schema.json")["properties"]["connection-types"]
    jsonschema.validate(get_provider_info()["connection-types"], part)


def test_reading_it_imports_neither_airflow_nor_a_driver():
    program = (
        "import sys; from airflow_provider_flinkx.provider_info import get_provider_info; get_provider_info();"
        "print([n for n in ('airflow', 'pyarrow', 'pyflink', 'psycopg', 'pymysql', 'hdfs_native') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_all_modules_that_it_names_can_be_imported():
    info = get_provider_info()
    for module in info["operators"][0]["python-modules"] + info["hooks"][0]["python-modules"]:
        importlib.import_module(module)


@pytest.mark.parametrize("declared", TYPES, ids=lambda declared: declared.conn_type)
def test_airflow_knows_the_type_its_form_and_its_hook(declared):
    from airflow.models.connection import Connection
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    assert manager.hooks[declared.conn_type].hook_name == declared.name
    widgets = {name for name in manager.connection_form_widgets if name.startswith(f"extra__{declared.conn_type}__")}
    assert {name.rpartition("__")[2] for name in widgets} == {field.name for field in declared.fields}
    assert manager.field_behaviours[declared.conn_type].get("relabeling", {}).items() >= declared.relabel.items()
    hook = Connection(conn_id="c1", conn_type=declared.conn_type, host="h").get_hook()
    assert hook.conn_id == "c1"
    assert hook.declared is declared


def test_the_page_about_airflow_has_the_declared_connections():
    program = "import runpy; page = runpy.run_path('scripts/generate_connection_table.py'); "
    program += "assert page['page']() == page['PAGE'].read_text('utf-8'), 'run scripts/generate_connection_table.py'"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[3])
