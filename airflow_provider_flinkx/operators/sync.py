"""FlinkXSyncOperator: a FlinkX job as an Airflow task."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow_provider_flinkx.clusters.session import SessionCluster
from airflow_provider_flinkx.compat import AirflowException, AirflowFailException, BaseOperator, conf
from airflow_provider_flinkx.exceptions import (
    ErrorLimitExceededError,
    FlinkXError,
    JobFileError,
    LocationMovedError,
    RanAgainError,
    VersionMismatchError,
    from_json,
)
from airflow_provider_flinkx.hooks.flink import FlinkClusterHook
from airflow_provider_flinkx.hooks.progress import ProgressLog, summary
from airflow_provider_flinkx.jobs.references import mask
from airflow_provider_flinkx.links import FlinkJobLink, push_job_url
from airflow_provider_flinkx.operators.location import KeptLocation, kept_location
from airflow_provider_flinkx.operators.rendering import render_job
from airflow_provider_flinkx.triggers.sync import FlinkXSyncTrigger

if TYPE_CHECKING:
    import jinja2

    from airflow_provider_flinkx.compat import Context

#: Errors that trying again does not mend.
FINAL_ERRORS = (JobFileError, ErrorLimitExceededError, LocationMovedError, RanAgainError, VersionMismatchError)
#: Parts of the report that are XComs of their own.
SEPARATE_XCOMS = ("error_limit", "dirty_data")
#: A job that ends within this many seconds is waited for in the worker.
GRACE_SECONDS = 10.0
_JOB_KEY_LENGTH = 200
_HASH_LENGTH = 12


class FlinkXSyncOperator(BaseOperator):  # type: ignore[misc]
    """Runs a FlinkX job and ends with its report.

    XComs, pushed before a failure as well: `return_value` (the report), `error_limit`, `dirty_data`.
    A wrong job, an exceeded error limit and a cluster of another version fail the task without a retry.

    On a cluster the job is named after the task's run: a retry goes on with the job that is there. A task that was
    cleared runs anew.

    Args:
        job: the job as a dict, as JSON text (read as leniently as FlinkX does), or the path of a `.json` file,
            absolute or where Airflow finds templates. Every text in it is a template; text that is not
            JSON before it is rendered is rendered as a whole.
        flink_conn_id: connection of type `flink`; without a `flink_default` the job runs in local mode.
        mode: overrides the connection's mode.
        deferrable: whether to wait in the triggerer, which frees the worker; not in local mode, where the job
            runs in the worker itself.
    """

    template_fields: Sequence[str] = ("job", "flink_conn_id")
    # No template_ext: Airflow would take every text in the job that ends in .json for a template file,
    # and keep the file's text, passwords included, with the serialized DAG.
    template_fields_renderers: ClassVar[dict[str, str]] = {"job": "json"}
    operator_extra_links = (FlinkJobLink(),)
    ui_color = "#e6526f"

    def __init__(
        self,
        *,
        job: Mapping[str, Any] | str,
        flink_conn_id: str = "flink_default",
        mode: str | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job = job
        self.flink_conn_id = flink_conn_id
        self.mode = mode
        self.deferrable = deferrable
        self.runs_locally = False
        self._left_job_key: str | None = None
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
        instance = context["ti"]
        self.log.info("The job's key is %s.", job_key(instance))
        assert self.document is not None, "the job is rendered before it is executed"
        location = kept_location(self.document, instance)
        try:
            document = self.document if location is None else location.begin(self.document)
            session = self.hook.session
            if session is None:
                report = self._run_locally(document, instance)
            else:
                report = self._run_in(session, document, instance, location)
        except FlinkXError as error:
            self._fail(error, instance)
        return self._finish(report, instance, location)

    def execute_complete(
        self,
        context: Context,
        event: Mapping[str, Any],
        location_variable: str | None = None,
        began: int | None = None,
    ) -> dict[str, Any]:
        """Go on after the trigger's event, in a new process; ends as `execute` does."""
        instance = context["ti"]
        location = KeptLocation(location_variable, instance.run_id) if location_variable else None
        try:
            if event["error"]:
                raise from_json(event["error"])
            self.hook.application_id = event["application_id"]
            assert self.hook.session is not None, "the connection was that of a cluster when the task was deferred"
            report = self.hook.session.result(event["job_id"], began)
        except FlinkXError as error:
            self._fail(error, instance)
        return self._finish(report, instance, location)

    def pre_execute(self, context: Context) -> None:
        """Note the job that a process before this one has left.

        Airflow 2 resumes a task that has timed out only to call its `on_kill`.
        """
        super().pre_execute(context)
        if getattr(context["ti"], "next_method", None):
            self._left_job_key = job_key(context["ti"])

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Airflow's way back from the trigger, also when that timed out or broke: then the job is cancelled."""
        if next_method != self.execute_complete.__name__:
            self._end(job_key(context["ti"]))
        return super().resume_execution(next_method, next_kwargs, context)

    def on_kill(self) -> None:
        """Cancel the job; it is gone within ten seconds."""
        if self._left_job_key is not None:
            self._end(self._left_job_key)
        else:
            self.hook.cancel()

    def _run_locally(self, document: Mapping[str, Any], instance: Any) -> dict[str, Any]:
        self.runs_locally = True
        if self.deferrable:
            self.log.info("The task is not deferred: in local mode the job runs in the worker.")
        return self.hook.run(
            document,
            job_key=job_key(instance),
            on_progress=ProgressLog(self.log),
            take_finished=is_retry(instance, self.retries),
        )

    def _run_in(
        self, session: SessionCluster, document: Mapping[str, Any], instance: Any, location: KeptLocation | None
    ) -> dict[str, Any]:
        """Start the job, or attach to it, and wait for its end, here or in the triggerer."""
        started = self.hook.start(document, job_key=job_key(instance), take_finished=is_retry(instance, self.retries))
        push_job_url(instance, session.job_url(started.job_id))
        if not session.wait(started.job_id, ProgressLog(self.log), GRACE_SECONDS if self.deferrable else None):
            self.defer(
                trigger=FlinkXSyncTrigger(
                    self.flink_conn_id, self.mode, started.job_id, application_id=session.settings.application_id
                ),
                method_name=self.execute_complete.__name__,
                kwargs={"began": started.began, "location_variable": location.variable if location else None},
                timeout=self._time_left(instance),
            )
        return session.result(started.job_id, started.began)

    def _time_left(self, instance: Any) -> timedelta | None:
        """Of `execution_timeout`, which Airflow 3 does not apply to a deferred task by itself."""
        if self.execution_timeout is None:
            return None
        deadline: datetime = instance.start_date + self.execution_timeout
        return deadline - datetime.now(timezone.utc)

    def _end(self, key: str) -> None:
        """Cancel the job of this key in the cluster; without a cluster that answers nothing can be done."""
        try:
            if self.hook.session is not None:
                self.hook.session.end(key)
        except FlinkXError as error:
            self.log.error("The Flink job is not cancelled: %s", error)

    def _finish(self, report: Mapping[str, Any], instance: Any, location: KeptLocation | None) -> dict[str, Any]:
        self.log.info("The job has finished: %s.", summary(report))
        if location is not None:
            try:
                location.move(report)
            except FlinkXError as error:
                error.report = report
                self._fail(error, instance)
        return _push_parts(instance, report)

    def _fail(self, error: FlinkXError, instance: Any) -> NoReturn:
        """End the task with what ended its job."""
        self._tell(error, instance)
        raise (AirflowFailException if isinstance(error, FINAL_ERRORS) else AirflowException)(str(error)) from None

    def _tell(self, error: FlinkXError, instance: Any) -> None:
        """Leave in log and XCom what is known of a job that failed."""
        if error.trace:
            self.log.error("Where it failed:\n%s", error.trace)
        if error.report is not None:
            self.log.error("The job has failed: %s.", summary(error.report))
            instance.xcom_push(key="return_value", value=_push_parts(instance, error.report))


def job_key(instance: Any) -> str:
    """Name of a task's run, the same for each try; see `RunContext.job_key` for its letters and length.

    The hash keeps apart what the allowed letters and the length would make equal.

    Args:
        instance: the task instance.
    """
    parts = (instance.dag_id, instance.run_id, instance.task_id, str(instance.map_index))
    readable = re.sub(r"[^A-Za-z0-9._-]", "-", ".".join(parts if instance.map_index >= 0 else parts[:-1]))
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:_HASH_LENGTH]
    return f"{readable[: _JOB_KEY_LENGTH - _HASH_LENGTH - 1]}-{digest}"


def is_retry(instance: Any, retries: int | None) -> bool:
    """Whether this try goes on where an earlier one failed; the first one after a task was cleared does not.

    Airflow counts tries on when a task is cleared, and raises `max_tries` so that all retries are left again.

    Args:
        instance: the task instance.
        retries: of the task.
    """
    tries_before_clear = instance.max_tries - (retries or 0)
    return bool(instance.try_number - tries_before_clear > 1)


def _push_parts(instance: Any, report: Mapping[str, Any]) -> dict[str, Any]:
    """Push the XComs that are parts of the report, and give the rest of it."""
    for key in SEPARATE_XCOMS:
        instance.xcom_push(key=key, value=report[key])
    return {key: value for key, value in report.items() if key not in SEPARATE_XCOMS}
