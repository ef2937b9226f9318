"""Turns a job document into a `Job`, or says everything that is wrong with it at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from airflow_provider_flinkx.jobs import many_tables, schemas
from airflow_provider_flinkx.jobs.columns import parse_columns
from airflow_provider_flinkx.jobs.model import Column, Content, Dirty, Endpoint, ErrorLimit, Job, Setting, Speed
from airflow_provider_flinkx.jobs.parameters import Schema, fit, with_defaults
from airflow_provider_flinkx.jobs.problems import Problems
from airflow_provider_flinkx.jobs.references import SIDES, Side

#: Name such as `mysqlreader` -> schema of its parameters; raises LookupError, whose text says why not.
SchemaOf = Callable[[str], Schema]
#: Name and fitted parameters -> (key, what its author should know of it), for what no schema can say.
RemarksOf = Callable[[str, Mapping[str, Any]], Sequence[tuple[str, str]]]

_CONTENT = "job.content[0]"
_GMT_OFFSET = re.compile(r"(?:GMT|UTC)([+-])0?(\d{1,2})(?::?00)?", re.IGNORECASE)


class Validation(NamedTuple):
    """A job that can be run, and what its author should know about it."""

    job: Job
    warnings: tuple[str, ...]


def job_schema() -> Schema:
    """The JSON Schema of a job without the parameters of its reader and writer."""
    return schemas.load("airflow_provider_flinkx.jobs", "job.schema.json")


def validate(
    document: Mapping[str, Any], *, schema_of: SchemaOf, remarks_of: RemarksOf | None = None, strict: bool = False
) -> Validation:
    """Check a job and fill in its defaults.

    In `Endpoint.parameter` values have the types that the plugin's schema says, every key that has a
    default is there (None where it means "not given"), each key has one spelling,
    `connection[0].jdbcUrl` is a text and `connection[0].table` a list.

    Args:
        document: as `jobs.text.read_job` gives it.
        schema_of: the schema of a plugin's parameters, such as `plugins.registry.schema_of`.
        remarks_of: what plugins say of parameters that are valid, such as `plugins.registry.remarks_of`.
        strict: warnings count as errors.

    Raises:
        JobInvalidError: with all problems, each with its path such as `job.content[0].reader.name`.
    """
    problems = Problems()
    job = _object(fit(document, job_schema(), "", problems), "job")
    setting = _setting(_object(job, "setting"), problems)
    content = _content(job.get("content"), schema_of, problems)
    if content is not None:
        _check_pair(content, setting, schema_of, problems)
        if remarks_of is not None and not problems.errors:
            _remark(content, remarks_of, problems)
    problems.raise_errors(strict=strict)
    assert content is not None, "a job without content has problems"
    return Validation(Job(content, setting, document), tuple(problems.warnings))


def _object(value: Any, key: str) -> Mapping[str, Any]:
    """The object under a key, empty if it is not there or, which the schema has reported, something else."""
    found = value.get(key) if isinstance(value, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _setting(value: Mapping[str, Any], problems: Problems) -> Setting:
    if problems.errors:
        return Setting()  # Some of its values may have the wrong type; the job does not run anyway.
    speed, dirty = _object(value, "speed"), _object(value, "dirty")
    return Setting(
        speed=Speed(speed.get("channel", 1), max(speed.get("bytes", 0), 0) or None),
        error_limit=_error_limit(value["errorLimit"]) if "errorLimit" in value else ErrorLimit(),
        dirty=Dirty(dirty.get("path"), dirty.get("hadoopConfig", {}), dirty.get("format", "json")),
        timezone=_timezone(value.get("timezone", "UTC"), problems),
        exactly_once=value.get("exactlyOnce"),
        restore=_object(value, "restore").get("isRestore", False),
        verify=value.get("verify"),
    )


def _error_limit(block: Mapping[str, Any]) -> ErrorLimit:
    """A key that is missing in the block sets no limit (job.md §4, §15.1)."""
    record = block.get("record", -1)
    return ErrorLimit(record=None if record == -1 else record, percentage=block.get("percentage"))


def _timezone(name: str, problems: Problems) -> str:
    offset = _GMT_OFFSET.fullmatch(name)
    if offset:
        # The signs of these names are the other way round.
        hours = int(offset[2])
        name = f"Etc/GMT{'-' if offset[1] == '+' else '+'}{hours}" if hours else "UTC"
    try:
        ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        problems.error("job.setting.timezone", f"unknown time zone {name!r}; use a name such as 'Asia/Shanghai'")
    return name


def _content(contents: Any, schema_of: SchemaOf, problems: Problems) -> Content | None:
    if not isinstance(contents, list) or not contents or not isinstance(contents[0], Mapping):
        return None  # The job's schema has reported it.
    reader, writer = (_endpoint(contents[0].get(side), side, schema_of, problems) for side in SIDES)
    return Content(reader, writer) if reader and writer else None


def _endpoint(value: Any, side: Side, schema_of: SchemaOf, problems: Problems) -> Endpoint | None:
    path = f"{_CONTENT}.{side}"
    if value is None or value == {}:
        problems.error(path, f"is empty: this is half a job; add a {side} with name and parameter")
        return None
    if not isinstance(value, Mapping):
        return None  # The job's schema has reported it.
    name, parameter = value.get("name"), value.get("parameter", {})
    if name is None:
        problems.error(f"{path}.name", "is missing")
    if not isinstance(name, str) or not isinstance(parameter, Mapping):
        return None
    name = name.strip().lower()
    schema = _schema(name, side, schema_of, problems)
    if schema is None:
        return None
    parameter = _with_increment_column(parameter, f"{path}.parameter", problems)
    fitted = _without_unused(fit(parameter, schema, f"{path}.parameter", problems), schema)
    return Endpoint(name, with_defaults(fitted, schema), _columns(fitted, schema, f"{path}.parameter", problems))


def _without_unused(parameter: Mapping[str, Any], schema: Schema) -> Mapping[str, Any]:
    """The parameters without the elements of which a warning says that they are not used."""
    properties: Mapping[str, Schema] = _object(schema, "properties")
    first_only = [key for key, item in properties.items() if item.get("x-first-only") and key in parameter]
    return {**parameter, **{key: parameter[key][:1] for key in first_only if isinstance(parameter[key], list)}}


def _with_increment_column(parameter: Mapping[str, Any], path: str, problems: Problems) -> Mapping[str, Any]:
    """`incremental.column` is `increColumn`, for all that is said and checked of it."""
    column = _object(parameter, "incremental").get("column")
    if not isinstance(column, str):
        return parameter
    if parameter.get("increColumn") not in (None, "", column):
        problems.error(f"{path}.increColumn", "is another column than that of incremental; leave it out")
    return {**parameter, "increColumn": column}


def _schema(name: str, side: Side, schema_of: SchemaOf, problems: Problems) -> Schema | None:
    path = f"{_CONTENT}.{side}.name"
    other = SIDES[1 - SIDES.index(side)]
    if name.endswith(other):
        problems.error(path, f"{name!r} is a {other}, this is the place of the {side}")
        return None
    try:
        return schema_of(name)
    except LookupError as error:
        problems.error(path, str(error.args[0]))
        return None


def _columns(parameter: Mapping[str, Any], schema: Schema, path: str, problems: Problems) -> tuple[Column, ...]:
    columns = parameter.get("column")
    if not isinstance(columns, list):
        return ()
    unknown_type = _object(_object(schema, "properties"), "column").get("x-unknown-type")
    return parse_columns(columns, f"{path}.column", problems, unknown_type=unknown_type)


def _remark(content: Content, remarks_of: RemarksOf, problems: Problems) -> None:
    for side, endpoint in zip(SIDES, (content.reader, content.writer), strict=True):
        for key, message in remarks_of(endpoint.name, endpoint.parameter):
            problems.warn(f"{_CONTENT}.{side}.parameter.{key}", message)


def _check_pair(content: Content, setting: Setting, schema_of: SchemaOf, problems: Problems) -> None:
    """What no schema can say: rules over several places of the job."""
    reader, writer = content.reader, content.writer
    path = f"{_CONTENT}.reader.parameter"
    if reader.columns and writer.columns and len(reader.columns) != len(writer.columns):
        problems.error(
            f"{_CONTENT}.writer.parameter.column",
            f"has {len(writer.columns)} columns, the reader has {len(reader.columns)}: they are matched by their place",
        )
    is_one_table = not many_tables.reads_many(content)
    if setting.speed.channel > 1 and is_one_table and reader.parameter.get("splitPk", "") is None:
        problems.warn(
            f"{path}.splitPk",
            f"not given with {setting.speed.channel} channels: a primary or unique key is used if there is one",
        )
    connections = reader.parameter.get("connection")
    first = connections[0] if isinstance(connections, list) and connections else None
    if reader.parameter.get("customSql") and isinstance(first, Mapping) and "table" in first:
        problems.warn(f"{path}.connection[0].table", "is not read, because customSql is given")
    if reader.parameter.get("consistent") and reader.parameter.get("incremental"):
        problems.error(f"{path}.consistent", "cannot go with incremental: a run goes on in the splits of a failed one")
    if reader.parameter.get("endLocation") and _object(reader.parameter, "incremental").get("state") == "target":
        problems.error(f"{path}.endLocation", "cannot go with incremental, whose runs end at the greatest value")
    _check_increment_column(reader, f"{path}.increColumn", problems)
    if reader.parameter.get("polling"):
        _check_polling(content, setting, schema_of(content.writer.name), problems)
    _check_tables(content, problems)


def _check_polling(content: Content, setting: Setting, writer_schema: Schema, problems: Problems) -> None:
    """A job that polls reads one growing table by a column, and what is done at a job's end waits for that."""
    parameter, path = content.reader.parameter, f"{_CONTENT}.reader.parameter"
    if not parameter.get("increColumn"):
        problems.error(f"{path}.polling", "needs increColumn, by which new rows are known")
    for key, reason in (
        ("incremental", "whose runs end at the greatest value"),
        ("endLocation", "at which it would have nothing more to read"),
        ("consistent", "in whose snapshot no new rows are seen"),
    ):
        if parameter.get(key):
            problems.error(f"{path}.polling", f"cannot go with {key}, {reason}")
    if setting.verify:
        problems.error(f"{path}.polling", "cannot go with job.setting.verify, which wants a source that does not grow")
    if not parameter.get("pollingDuration"):
        if writer_schema.get("x-publishes-at-end"):
            name = content.writer.name
            problems.error(f"{path}.polling", f"needs pollingDuration: {name} publishes its files when the job ends")
        if content.writer.parameter.get("postSql"):
            problems.error(
                f"{_CONTENT}.writer.parameter.postSql", "is never run: the job polls without pollingDuration"
            )
        problems.warn(f"{path}.polling", "the job goes on until it is cancelled; pollingDuration ends it with a report")


def _check_tables(content: Content, problems: Problems) -> None:
    """What goes with many tables, and where `{table}` may stand."""
    if many_tables.reads_many(content):
        for key in ("incremental", "polling"):
            if content.reader.parameter.get(key):
                problems.error(f"{_CONTENT}.reader.parameter.{key}", "is for one table, and this job reads several")
    if many_tables.has_own_targets(content):
        path = f"{_CONTENT}.writer.parameter.{many_tables.key_of_target(content)}"
        if problem := many_tables.problem_of_target(content):
            problems.error(path, problem)


def _check_increment_column(reader: Endpoint, path: str, problems: Problems) -> None:
    """The column must be one of `column` (job.md §8); with `["*"]` only the database knows."""
    wanted = reader.parameter.get("increColumn")
    if wanted is None or not reader.columns:
        return
    names = [column.name for column in reader.columns]
    is_place = isinstance(wanted, int) or (wanted not in names and str(wanted).isdecimal())
    if not (0 <= int(wanted) < len(names) if is_place else wanted in names):
        problems.error(path, f"{wanted!r} is not in column")
