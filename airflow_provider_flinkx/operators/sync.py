"""FlinkXSyncOperator: a FlinkX job as an Airflow task."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_flinkx.compat import AirflowException, AirflowFailException, BaseOperator
from airflow_provider_flinkx.exceptions import ErrorLimitExceededError, FlinkXError, JobFileError
from airflow_provider_flinkx.hooks.flink import FlinkClusterHook
from airflow_provider_flinkx.jobs.references import mask
from airflow_provider_flinkx.operators.progress import ProgressLog, summary
from airflow_provider_flinkx.operators.rendering import render_job

if TYPE_CHECKING:
    import jinja2

    from airflow_provider_flinkx.compat import Context

#: Errors that trying again does not mend.
FINAL_ERRORS = (JobFileError, ErrorLimitExceededError)
#: Parts of the report that are XComs of their own.
SEPARATE_XCOMS = ("error_limit", "dirty_data")
_JOB_KEY_LENGTH = 200
_HASH_LENGTH = 12


class FlinkXSyncOperator(BaseOperator):  # type: ignore[misc]
    """Runs a FlinkX job and ends with its report.

    XComs, pushed before a failure as well: `return_value` (the report), `error_limit`, `dirty_data`.
    A wrong job and an exceeded error limit fail the task without a retry.

    Args:
        job: the job as a dict, as JSON text (read as leniently as FlinkX does), or the path of a `.json` file,
            absolute or where Airflow finds templates. Every text in it is a template; text that is not
            JSON before it is rendered is rendered as a whole.
        flink_conn_id: connection of type `flink`; without a `flink_default` the job runs in local mode.
        mode: overrides the connection's mode.
    """

    template_fields: Sequence[str] = ("job", "flink_conn_id")
    # No template_ext: Airflow would take every text in the job that ends in .json for a template file,
    # and keep the file's text, passwords included, with the serialized DAG.
    template_fields_renderers: ClassVar[dict[str, str]] = {"job": "json"}
    ui_color = "#e6526f"

    def __init__(
        self,
        *,
        job: Mapping[str, Any] | str,
        flink_conn_id: str = "flink_default",
        mode: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job = job
        self.flink_conn_id = flink_conn_id
        self.mode = mode
        # The rendered job, passwords included; it is never stored.
        self.document: Mapping[str, Any] | None = None

    @cached_property
    def hook(self) -> FlinkClusterHook:
        """The hook of `flink_conn_id`."""
        return FlinkClusterHook(self.flink_conn_id, mode=self.mode)

    def render_template(
        self,
        content: Any,
        context: Context,
        jinja_env: jinja2.Environment | None = None,
        seen_oids: set[int] | None = None,
    ) -> Any:
        """Render as Airflow does, but leave of the job field only a copy in which secrets are hidden.

        Airflow stores rendered fields. Of their secrets it hides none in a text, none more than five levels deep
        (where a job has its passwords), and in version 2 none in a long field.
        """
        environment = jinja_env or self.get_template_env()
        if content is not self.job:
            return super().render_template(content, context, environment, seen_oids)

        if self.document is not None:  # rendered before: the field holds the copy
            return content

        def render(value: Any) -> Any:
            return super(FlinkXSyncOperator, self).render_template(value, context, environment, seen_oids)

        try:
            self.document = render_job(content, render, environment)
        except FlinkXError as error:
            raise AirflowFailException(str(error)) from None
        return mask(self.document)

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the job.

        Returns:
            The job report, without the parts that are XComs of their own.

        Raises:
            AirflowFailException: the job is wrong, or rejected more rows than it may.
            AirflowException: it failed otherwise, and may be tried again.
        """
        assert self.document is not None, "the job is rendered before it is executed"
        instance = context["ti"]
        key = job_key(instance.dag_id, instance.run_id, instance.task_id, instance.map_index)
        self.log.info("The job's key is %s.", key)
        try:
            report = self.hook.run(self.document, job_key=key, on_progress=ProgressLog(self.log))
        except FlinkXError as error:
            self._tell(error, instance)
            raise (AirflowFailException if isinstance(error, FINAL_ERRORS) else AirflowException)(str(error)) from None
        self.log.info("The job has finished: %s.", summary(report))
        return _push_parts(instance, report)

    def on_kill(self) -> None:
        """Cancel the job; it is gone within ten seconds."""
        self.hook.cancel()

    def _tell(self, error: FlinkXError, instance: Any) -> None:
        """Leave in log and XCom what is known of a job that failed."""
        if error.trace:
            self.log.error("Where it failed:\n%s", error.trace)
        if error.report is not None:
            self.log.error("The job has failed: %s.", summary(error.report))
            instance.xcom_push(key="return_value", value=_push_parts(instance, error.report))


def job_key(dag_id: str, run_id: str, task_id: str, map_index: int) -> str:
    """Name of a task's run, the same for each try; see `RunContext.job_key` for its letters and length.

    The hash keeps apart what the allowed letters and the length would make equal.
    """
    parts = (dag_id, run_id, task_id, str(map_index))
    readable = re.sub(r"[^A-Za-z0-9._-]", "-", ".".join(parts if map_index >= 0 else parts[:-1]))
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:_HASH_LENGTH]
    return f"{readable[: _JOB_KEY_LENGTH - _HASH_LENGTH - 1]}-{digest}"


def _push_parts(instance: Any, report: Mapping[str, Any]) -> dict[str, Any]:
    """Push the XComs that are parts of the report, and give the rest of it."""
    for key in SEPARATE_XCOMS:
        instance.xcom_push(key=key, value=report[key])
    return {key: value for key, value in report.items() if key not in SEPARATE_XCOMS}
