"""The `flinkx` command: runs and checks job files without Airflow.

Two forms: `flinkx -mode local -job job.json …` takes the flags of FlinkX's launcher (cli.md), and
`flinkx run|validate|plugins|schema|pack` is the readable one. Results go to standard output, all else to
standard error. Exit codes: 0 done, 1 job failed, 2 bad job or usage, 3 error limit exceeded, 130 interrupted.

What runs a job is imported only once the job is known to be valid.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import signal
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from airflow_provider_flinkx import __version__
from airflow_provider_flinkx.cli_cluster import add_cluster_options, settings_of, without_effect
from airflow_provider_flinkx.cli_progress import ProgressDisplay, progress_display, summary
from airflow_provider_flinkx.exceptions import FlinkXError, JobFileError, JobInvalidError
from airflow_provider_flinkx.jobs.references import resolve
from airflow_provider_flinkx.jobs.text import parse_job, read_text, replace_placeholders
from airflow_provider_flinkx.jobs.validation import job_schema, validate
from airflow_provider_flinkx.plugins.registry import KNOWN_NOT_INSTALLED, plugins, remarks_of, schema_of

if TYPE_CHECKING:
    from airflow_provider_flinkx.clusters.local import LocalCluster
    from airflow_provider_flinkx.clusters.session import SessionCluster
    from airflow_provider_flinkx.clusters.settings import ClusterSettings

DONE = 0
BAD_JOB = JobFileError.exit_code
INTERRUPTED = 130

#: Flags of FlinkX's launcher that mean nothing where the plugins are Python and no cluster is started.
LAUNCHER_FLAGS_WITHOUT_EFFECT = (
    "plugin", "pluginRoot", "flinkLibJar", "monitor", "s", "parallelism", "priority", "pluginLoadMode",
    "remotePluginPath",
)  # fmt: skip

_JOB_KEY_LENGTH = 200
_JOB_KEY = rf"[A-Za-z0-9._-]{{1,{_JOB_KEY_LENGTH}}}"
_SAMPLES_SHOWN = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: the words after the command's name; default those of this process.

    Returns:
        The exit code.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _run_command(_parse(words))
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED
    except FlinkXError as error:
        _say_error(error)
        return error.exit_code


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Ended from outside is like Ctrl-C: the job's processes are ended first."""
    raise KeyboardInterrupt


def _parse(words: list[str]) -> argparse.Namespace:
    is_launcher_form = bool(words) and words[0].startswith("-") and words[0] not in ("-h", "--help", "--version")
    return (_launcher_parser() if is_launcher_form else _parser()).parse_args(words)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="flinkx",
        description="Runs and checks FlinkX jobs.",
        epilog="The flags of FlinkX's launcher are taken too: flinkx -mode local -job job.json [-p name=value]",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"flinkx {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)

    run = commands.add_parser("run", help="run a job, on this machine or on a Flink cluster", allow_abbrev=False)
    run.add_argument("job", help="job file")
    _add_job_options(run)
    _add_run_options(run)
    name = run.add_mutually_exclusive_group()
    name.add_argument(
        "--job-key",
        type=_job_key_argument,
        metavar="NAME",
        help="name of the run; if one of this name runs in the cluster, it is attached to. Default: a name of its own",
    )
    name.add_argument(
        "--resume",
        type=_job_key_argument,
        metavar="NAME",
        help="go on with the run of this name where it stopped; if it has finished, show its report",
    )
    add_cluster_options(run, launcher=False)

    check = commands.add_parser("validate", help="say what is wrong with jobs, without running them")
    check.add_argument("jobs", nargs="+", metavar="job", help="job file")
    _add_job_options(check)
    check.add_argument("--json", action="store_true", help="print the result as JSON")

    listing = commands.add_parser("plugins", help="list the readers and writers")
    listing.add_argument("--json", action="store_true", help="print the list as JSON")

    schema = commands.add_parser("schema", help="print the JSON Schema of a reader's or writer's parameters")
    schema.add_argument("name", help="such as mysqlreader, or `job` for everything around the parameters")

    pack = commands.add_parser("pack", help="make an archive with the Python packages that a cluster's nodes need")
    pack.add_argument("archive", metavar="OUT.tgz", help="the file to write")
    pack.add_argument("--job", action="append", default=[], metavar="FILE", help="a job whose plugins it shall hold")
    pack.add_argument("--plugin", action="append", default=[], metavar="NAME", help="a plugin that it shall hold")
    pack.add_argument("--python", metavar="PATH", help="interpreter that has apache-flink; default the one of flinkx")
    pack.add_argument("--json", action="store_true", help="print what was packed as JSON")
    _add_job_options(pack)
    return parser


def _launcher_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="flinkx", description="The flags of FlinkX's launcher.", allow_abbrev=False)
    parser.set_defaults(command="launch")
    parser.add_argument("-job", required=True, metavar="FILE", help="job file")
    parser.add_argument(
        "-jobid",
        metavar="NAME",
        type=_key_of_name,
        dest="job_key",
        help="name of the run; if one of this name runs in the cluster, it is attached to. Default: a name of its own",
    )
    parser.add_argument("-krb5conf", metavar="FILE", help="Kerberos' settings, instead of KRB5_CONFIG")
    for flag in LAUNCHER_FLAGS_WITHOUT_EFFECT:
        parser.add_argument(f"-{flag}", metavar="VALUE", help="accepted, has no effect here")
    _add_job_options(parser)
    _add_run_options(parser)
    add_cluster_options(parser, launcher=True)
    return parser


def _add_job_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-p",
        action="append",
        default=[],
        dest="values",
        metavar="NAME=VALUE,…",
        type=_placeholder_values,
        help="replace ${NAME} in the job's text",
    )
    parser.add_argument("--strict", action="store_true", help="take warnings for errors")


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the report, and nothing else, as JSON")
    parser.add_argument("--verbose", action="store_true", help="show what Flink and Java write")


def _placeholder_values(text: str) -> dict[str, str]:
    """`a=1,b=2` as a dict; a comma that no `name=` follows belongs to the value."""
    pairs = [pair.partition("=") for pair in re.split(r",(?=[\w.-]+=)", text)]
    if not all(name and equals for name, equals, _ in pairs):
        raise argparse.ArgumentTypeError("must be name=value, or several of them separated by commas")
    return {name: value for name, _, value in pairs}


def _run_command(options: argparse.Namespace) -> int:
    if options.command == "launch":
        return _launch(options)
    if options.command == "run":
        return _run(options, without_effect(options, launcher=False))
    if options.command == "validate":
        return _validate(options)
    if options.command == "plugins":
        return _plugins(options)
    if options.command == "pack":
        return _pack(options)
    return _schema(options.name)


def _launch(options: argparse.Namespace) -> int:
    if options.krb5conf is not None:
        os.environ["KRB5_CONFIG"] = options.krb5conf
    given = [f"-{flag}" for flag in LAUNCHER_FLAGS_WITHOUT_EFFECT if getattr(options, flag) is not None]
    return _run(options, [*given, *without_effect(options, launcher=True)])


def _run(options: argparse.Namespace, unused: Sequence[str]) -> int:
    settings = settings_of(options)
    if unused:
        _warn(f"without effect in {settings.mode} mode: {' '.join(unused)}")
    document, warnings = _checked(options.job, options, resolve_references=True)
    for warning in warnings:
        _warn(warning)
    resumed = getattr(options, "resume", None)
    job_key = resumed or options.job_key or _new_job_key(Path(options.job).stem)
    try:
        with progress_display(sys.stderr) as display:
            report = _run_on(
                _cluster(settings, display, verbose=options.verbose),
                document=document,
                job_key=job_key,
                on_progress=display.update,
                warnings=warnings,
                take_finished=resumed is not None,
            )
    except FlinkXError as error:
        if error.report is not None:
            _show_report(error.report, as_json=options.json)
            _say(f"to go on where it stopped: flinkx run {options.job} --resume {job_key}")
        if options.verbose and error.trace:
            _say(error.trace.rstrip())
        raise
    _show_report(report, as_json=options.json)
    return DONE


def _cluster(settings: ClusterSettings, display: ProgressDisplay, *, verbose: bool) -> LocalCluster | SessionCluster:
    debug = display.line if verbose else None
    if settings.mode == "local":
        from airflow_provider_flinkx.clusters.local import LocalCluster

        return LocalCluster(settings.python, settings.flink, log=debug)
    from airflow_provider_flinkx.clusters.session import SessionCluster

    return SessionCluster(settings, log=display.line, debug=debug)


def _run_on(cluster: LocalCluster | SessionCluster, *, document: Mapping[str, Any], **arguments: Any) -> dict[str, Any]:
    """Run a job to its end; when this process is interrupted, the job does not go on in the cluster."""
    try:
        return cluster.run(document, **arguments)
    except KeyboardInterrupt:
        _say("cancelling the job")
        cluster.cancel()
        raise


def _new_job_key(name: str) -> str:
    """A name of this run that no other run has."""
    return _readable(name, uuid.uuid4().hex[:12])


def _key_of_name(name: str) -> str:
    """The job key of a name of any letters: always the same, and of no other name."""
    return name if re.fullmatch(_JOB_KEY, name) else _readable(name, hashlib.sha256(name.encode()).hexdigest()[:12])


def _readable(name: str, unique: str) -> str:
    """A job key that begins with `name`, of the letters that `RunContext.job_key` allows."""
    readable = re.sub(r"[^A-Za-z0-9._-]", "-", name)[: _JOB_KEY_LENGTH - len(unique) - 1]
    return f"{readable}-{unique}"


def _job_key_argument(text: str) -> str:
    if not re.fullmatch(_JOB_KEY, text):
        raise argparse.ArgumentTypeError(f"must be 1 to {_JOB_KEY_LENGTH} of the letters A-Z a-z 0-9 . _ -")
    return text


def _validate(options: argparse.Namespace) -> int:
    results = {}
    for path in options.jobs:
        try:
            _, warnings = _checked(path, options, resolve_references=False)
            results[path] = {"valid": True, "problems": [], "warnings": warnings}
        except JobFileError as error:
            problems = list(error.problems) if isinstance(error, JobInvalidError) else [str(error)]
            results[path] = {"valid": False, "problems": problems, "warnings": []}
    if options.json:
        _print(json.dumps(results, indent=2, ensure_ascii=False))
    else:
        _show_results(results)
    return DONE if all(result["valid"] for result in results.values()) else BAD_JOB


def _checked(
    path: str, options: argparse.Namespace, *, resolve_references: bool
) -> tuple[Mapping[str, Any], list[str]]:
    """The job in a file, and the warnings about it.

    Raises:
        JobFileError: the job cannot be read or is wrong.
    """
    warnings: list[str] = []
    values = {name: value for given in options.values for name, value in given.items()}
    text = replace_placeholders(read_text(path), values, warn=warnings.append)
    document = parse_job(text, where=path, warn=warnings.append)
    if resolve_references:
        document = resolve(document, _refuse_reference)
    try:
        warnings += validate(document, schema_of=schema_of, remarks_of=remarks_of, strict=options.strict).warnings
    except JobInvalidError as error:
        raise JobInvalidError([*error.problems, *warnings]) from None
    if warnings and options.strict:
        raise JobInvalidError(warnings)
    return document, warnings


def _refuse_reference(_connection_id: str, _plugin: str, _side: str) -> Mapping[str, Any]:
    raise JobFileError("Airflow's connections are not known to this command: write address, user and password")


def _show_results(results: Mapping[str, Mapping[str, Any]]) -> None:
    for path, result in results.items():
        if result["valid"]:
            _print(f"{path}: valid")
        else:
            _print(f"{path}: not valid")
        for line in result["problems"]:
            _print(f"  error: {line}")
        for line in result["warnings"]:
            _print(f"  warning: {line}")


def _plugins(options: argparse.Namespace) -> int:
    rows = [
        {
            "name": plugin.name,
            "reader": plugin.reader is not None,
            "writer": plugin.writer is not None,
            "extra": plugin.extra,
        }
        for plugin in plugins().values()
    ]
    if options.json:
        _print(json.dumps({"plugins": rows, "not_installed": KNOWN_NOT_INSTALLED}, indent=2))
        return DONE
    for row in rows:
        names = "  ".join(f"{row['name']}{side}" if row[side] else "" for side in ("reader", "writer"))
        extra = f"pip install 'airflow-provider-flinkx[{row['extra']}]'" if row["extra"] else ""
        _print(f"{names:36}{extra}".rstrip())
    _print(f"not in this version: {', '.join(KNOWN_NOT_INSTALLED)}")
    return DONE


def _schema(name: str) -> int:
    try:
        schema = job_schema() if name == "job" else schema_of(name)
    except LookupError as error:
        raise JobFileError(str(error.args[0])) from None
    _print(json.dumps(schema, indent=2, ensure_ascii=False))
    return DONE


def _pack(options: argparse.Namespace) -> int:
    from airflow_provider_flinkx.packing import pack, plugin_names

    words = list(options.plugin)
    for path in options.job:
        document, warnings = _checked(path, options, resolve_references=False)
        for warning in warnings:
            _warn(f"{path}: {warning}")
        words += _readers_and_writers(document)
    if not words:
        raise JobFileError("nothing to pack: give --job FILE or --plugin NAME")
    names = plugin_names(words)
    packed = pack(Path(options.archive), names, options.python)
    if options.json:
        _print(json.dumps({**asdict(packed), "plugins": names}, indent=2))
        return DONE
    _print(
        f"{packed.archive}: {packed.megabytes:,} MB, {len(packed.packages)} packages for {', '.join(names)}, "
        f"for nodes with Python {packed.python}; {packed.seconds:,} s"
    )
    return DONE


def _readers_and_writers(document: Mapping[str, Any]) -> list[str]:
    return [content[side]["name"] for content in document["job"]["content"] for side in ("reader", "writer")]


def _show_report(report: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        _print(json.dumps(report, indent=2, ensure_ascii=False))
        return
    _print(f"{report['state']}: {summary(report)}, {report['seconds']:,} s")
    for table in report.get("tables", ()):
        counts = f"{table['numRead']:,} rows read, {table['numWrite']:,} written, {table['nErrors']:,} rejected"
        _print(f"{table['source']} to {table['target']}: {table['state']}, {counts}")
    dirty = report["dirty_data"]
    for sample in dirty["samples"][:_SAMPLES_SHOWN]:
        source = f" from {sample['table']}" if "table" in sample else ""
        _print(f"rejected ({sample['category']}){source}: {sample['message']}")
    if dirty["files"]:
        _print(f"rejected rows are in {dirty['path']}")


def _say_error(error: FlinkXError) -> None:
    for line in str(error).splitlines():
        _say(f"error: {line}")


def _warn(message: str) -> None:
    _say(f"warning: {message}")


def _say(message: str) -> None:
    sys.stderr.write(f"flinkx: {message}\n")


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
