"""Airflow's real services for the tests: own home folder, PostgreSQL for its metadata, LocalExecutor, free ports.

Airflow 3 needs an API server, a scheduler and a DAG processor; in Airflow 2 the scheduler does all of it.
States and XComs are read from the metadata database, which has the same tables in both.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from tests.servers import LOCALHOST, OwnedProcess, PostgresDatabase, await_condition, free_port

AIRFLOW_3 = int(importlib.metadata.version("apache-airflow").split(".")[0]) >= 3
DAG_SECONDS = 120
API_SECONDS = 60
ENDED = ("success", "failed")


class AirflowServices:
    """An Airflow of our own: start, command line, and what its database says of runs."""

    def __init__(
        self,
        home: Path,
        dags: Path,
        metadata: PostgresDatabase,
        connections: Mapping[str, str],
    ) -> None:
        """Prepare the environment of all Airflow processes; nothing is started yet.

        Args:
            home: an empty folder.
            dags: folder of the DAG files.
            metadata: an empty database.
            connections: URI by connection id.
        """
        self.home = home
        self.temporary_folder = home / "tmp"
        self.temporary_folder.mkdir()
        self._metadata = metadata
        self._processes: list[OwnedProcess] = []
        self.triggerer: OwnedProcess | None = None
        self._port = free_port()
        self._environment = {
            **os.environ,
            **_settings(home, dags, metadata, self._port),
            **{f"AIRFLOW_CONN_{name.upper()}": uri for name, uri in connections.items()},
        }

    def start(self) -> None:
        """Make the metadata tables, start the services, and wait until they work."""
        self.command("db", "migrate")
        if AIRFLOW_3:
            server = self._service("api-server", "--workers", "1", "--port", str(self._port), "--host", LOCALHOST)
            server.await_ready(lambda: server.listens_on(self._port) and self._healthy(), "api-server")
            self._service("dag-processor")
        self._service("scheduler")

    def restart_triggerer(self) -> None:
        """Start the triggerer, which tests with deferred tasks need; end the one before it first."""
        if self.triggerer is not None:
            self._processes.remove(self.triggerer)
            self.triggerer.stop()
        self.triggerer = self._service("triggerer", "--skip-serve-logs")

    def mark(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        """Give a task the state `success` or `failed`, as its button in the pages does."""
        if not AIRFLOW_3:
            # Its web server does the same in a process of its own.
            program = (
                "import sys; from airflow.models.dagbag import DagBag; dag, run, task, state = sys.argv[1:];"
                "DagBag(read_dags_from_db=True).get_dag(dag)"
                ".set_task_instance_state(task_id=task, run_id=run, state=state)"
            )
            self._python("-c", program, dag_id, run_id, task_id, state)
            return
        run = urllib.parse.quote(run_id)
        self._ask("PATCH", f"dags/{dag_id}/dagRuns/{run}/taskInstances/{task_id}", {"new_state": state})

    def clear(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Clear a task, as its button in the pages does."""
        if not AIRFLOW_3:
            self.command("tasks", "clear", "-y", "-t", f"^{task_id}$", dag_id)
            return
        only = {"dry_run": False, "only_failed": False, "dag_run_id": run_id, "task_ids": [task_id]}
        self._ask("POST", f"dags/{dag_id}/clearTaskInstances", only)

    def _ask(self, method: str, path: str, body: Mapping[str, Any]) -> None:
        """Send a request to the API of Airflow 3."""
        with urllib.request.urlopen(f"http://{LOCALHOST}:{self._port}/auth/token", timeout=API_SECONDS) as answer:
            token = json.load(answer)["access_token"]
        request = urllib.request.Request(
            f"http://{LOCALHOST}:{self._port}/api/v2/{path}",
            data=json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            method=method,
        )
        urllib.request.urlopen(request, timeout=API_SECONDS).close()

    def stop(self) -> None:
        """End the services, the last started first."""
        for process in reversed(self._processes):
            process.stop()

    def command(self, *arguments: str) -> str:
        """Run `airflow …` to its end and return what it printed; a failure is an error with the output."""
        return self._python("-m", "airflow", *arguments)

    def _python(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            env=self._environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(
                f"python {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        return done.stdout

    def await_dag(self, dag_id: str) -> None:
        """Wait until the scheduler knows the DAG."""
        self._await(
            lambda: self.query(f"SELECT 1 FROM serialized_dag WHERE dag_id = '{dag_id}'"), DAG_SECONDS, f"DAG {dag_id}"
        )

    def await_runs(self, dag_id: str, count: int, seconds: float) -> Counter[str]:
        """Wait until `count` runs of the DAG have ended, and none is under way; return how many by state."""

        def ended() -> Counter[str] | None:
            rows = self.query(f"SELECT state, count(*) FROM dag_run WHERE dag_id = '{dag_id}' GROUP BY state")
            states = Counter(dict(rows))
            return states if states.total() == sum(states[state] for state in ENDED) == count else None

        states: Counter[str] = self._await(ended, seconds, f"{count} runs of {dag_id}")
        return states

    def await_query(self, statement: str, seconds: float) -> None:
        """Wait until the metadata database answers true."""
        self._await(lambda: self.query(statement) == [(True,)], seconds, statement)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask the metadata database."""
        return self._metadata.query(statement)

    def xcom(self, dag_id: str, task_id: str, key: str = "return_value") -> Any:
        """The value that the task's latest run pushed under `key`."""
        rows = self.query(
            "SELECT x.value FROM xcom x JOIN dag_run r ON r.dag_id = x.dag_id AND r.run_id = x.run_id "
            f"WHERE x.dag_id = '{dag_id}' AND x.task_id = '{task_id}' AND x.key = '{key}' ORDER BY r.id DESC LIMIT 1"
        )
        assert rows, f"{dag_id}.{task_id} pushed no {key}"
        value = rows[0][0]
        return json.loads(value) if isinstance(value, bytes) else value

    def drivers(self) -> list[str]:
        """Command lines of the driver processes and their JVMs that tasks have started and that still run."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                environment = process.environ()
                if environment.get("AIRFLOW_HOME") == str(self.home) and "FLINK_LOG_DIR" in environment:
                    found.append(" ".join(process.cmdline())[:200])
        return found

    def task_log(self, dag_id: str) -> str:
        """Everything that the tasks of a DAG logged, for the message of a failed test."""
        files = sorted((self.home / "logs" / f"dag_id={dag_id}").rglob("*.log"))
        return "\n".join(f"--- {file.name}\n{file.read_text(errors='replace')[-6000:]}" for file in files)

    def _service(self, *command: str) -> OwnedProcess:
        process = OwnedProcess(
            [sys.executable, "-m", "airflow", *command],
            log=self.home / f"{command[0]}.log",
            cwd=self.home,
            environment=self._environment,
        )
        self._processes.append(process)
        return process

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{LOCALHOST}:{self._port}/api/v2/version", timeout=10) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, TimeoutError):
            return False

    def _await(self, condition: Any, seconds: float, what: str) -> Any:
        """Wait, but not for services that have ended."""

        def condition_or_ended() -> Any:
            for process in self._processes:
                if not process.running:
                    raise RuntimeError(f"{process.log.stem} has ended:\n{process.log_tail()}")
            return condition()

        try:
            return await_condition(condition_or_ended, seconds, what, interval=0.5)
        except TimeoutError as error:
            tails = "\n".join(f"--- {process.log.stem}\n{process.log_tail()}" for process in self._processes)
            raise TimeoutError(f"{error}\n{tails}") from None


def _settings(home: Path, dags: Path, metadata: PostgresDatabase, port: int) -> dict[str, str]:
    """Airflow's configuration as environment variables; an unknown one is ignored by the other generation."""
    scheme = "postgresql+psycopg" if AIRFLOW_3 else "postgresql+psycopg2"
    metadata_url = metadata.url.replace("postgresql", scheme, 1)
    secret = "only-for-tests-only-for-tests-only-for-tests-only-for-tests-0001"
    configuration: Mapping[str, Mapping[str, object]] = {
        "core": {
            "executor": "LocalExecutor",
            "parallelism": 8,
            "dags_folder": dags,
            "load_examples": False,
            "dags_are_paused_at_creation": False,
            "test_connection": "Enabled",
            "fernet_key": "zp8kV8r0yq0b1nP3m3m2oYl2mC4T0e8nS1p1b1o0x9g=",
            "simple_auth_manager_all_admins": True,
            "execution_api_server_url": f"http://{LOCALHOST}:{port}/execution/",
        },
        "database": {"sql_alchemy_conn": metadata_url, "sql_alchemy_conn_async": metadata_url},
        "api": {"port": port, "base_url": f"http://{LOCALHOST}:{port}", "secret_key": secret},
        "api_auth": {"jwt_secret": secret},
        "webserver": {"secret_key": secret},
        "scheduler": {
            "dag_dir_list_interval": 5,
            "scheduler_heartbeat_sec": 2,
            "trigger_timeout_check_interval": 2,
        },
        "dag_processor": {"refresh_interval": 5},
        "usage_data_collection": {"enabled": False},
    }
    variables = {
        f"AIRFLOW__{section.upper()}__{name.upper()}": str(value)
        for section, values in configuration.items()
        for name, value in values.items()
    }
    return {"AIRFLOW_HOME": str(home), "TMPDIR": str(home / "tmp"), "no_proxy": f"localhost,{LOCALHOST}", **variables}
