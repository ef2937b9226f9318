"""How the job field becomes a job: from a file, a text or a dict with templates in it to plain JSON values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_flinkx.compat import mask_secret
from airflow_provider_flinkx.exceptions import JobInvalidError, JobTextError, NotFoundError
from airflow_provider_flinkx.hooks.secrets import secrets_of, secrets_of_text
from airflow_provider_flinkx.jobs.text import read_job

if TYPE_CHECKING:
    import jinja2

Render = Callable[[Any], Any]


def render_job(job: Any, render: Render, environment: jinja2.Environment) -> Mapping[str, Any]:
    """The job with its templates filled in.

    Text is parsed first and rendered text by text, so that no rendered value can break the JSON around it.
    Only text that is not JSON before (a template that stands for a whole list, say) is rendered as a whole.
    Secrets are made known to Airflow before anything can be logged.

    Args:
        job: a dict, a JSON text, the path of a `.json` file, or anything that renders to one of the first two.
        render: Airflow's rendering of a value, down to the texts in it.
        environment: finds template files.

    Raises:
        NotFoundError: when the file is not there.
        JobTextError: when the text is not JSON after rendering.
        JobInvalidError: when the result is no object.
    """
    if isinstance(job, str) and job.endswith(".json"):
        job = _file_text(render(job), environment)
    rendered = render(_readable(job))
    if isinstance(rendered, str):
        rendered = read_job(rendered)
    _hide(secrets_of(rendered))
    if not isinstance(rendered, Mapping):
        raise JobInvalidError([f"the job must be an object, not {type(rendered).__name__}"])
    return rendered


def _readable(job: Any) -> Any:
    """The parsed job where the text is JSON already, else the text."""
    try:
        readable = read_job(job) if isinstance(job, str) else job
    except JobTextError:
        _hide(secrets_of_text(job))
        return job
    _hide(secrets_of(readable))
    return readable


def _file_text(path: str, environment: jinja2.Environment) -> str:
    """Text of a job file: an absolute path, or one that Airflow's template search finds."""
    from jinja2 import TemplateNotFound

    try:
        if Path(path).is_absolute():
            return Path(path).read_text("utf-8")
        assert environment.loader is not None
        return environment.loader.get_source(environment, path)[0]
    except TemplateNotFound:
        raise NotFoundError(
            f"job file {path!r} is neither in the folder of the DAG file nor in the DAG's template_searchpath"
        ) from None
    except OSError as error:
        raise NotFoundError(f"job file {path!r} cannot be read: {error.strerror}") from None


def _hide(secrets: Iterable[str]) -> None:
    for secret in secrets:
        mask_secret(secret)
