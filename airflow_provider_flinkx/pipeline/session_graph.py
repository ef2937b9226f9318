"""A job compiled to Flink's job graph, ready to be uploaded to a session cluster."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyflink
from py4j.java_gateway import get_field
from pyflink.datastream import StreamExecutionEnvironment

from airflow_provider_flinkx.pipeline import java_process, marks
from airflow_provider_flinkx.pipeline.graph import build
from airflow_provider_flinkx.pipeline.local_environment import configuration
from airflow_provider_flinkx.pipeline.steps import Run


def compile_job(run: Run, settings: Mapping[str, str], folder: Path, *, brings_jar: bool) -> dict[str, Any]:
    """Compile a job.

    Args:
        run: what every step is made from, passwords included: they are in the graph's bytes.
        settings: Flink settings of the job.
        folder: where the graph is written.
        brings_jar: whether PyFlink's jar goes with it.

    Returns:
        jobId, graph (file), jars (files), artifacts (name in the graph -> file).
    """
    java = java_process.gateway().jvm
    options = configuration(settings)
    environment = StreamExecutionEnvironment(
        java.org.apache.flink.streaming.api.environment.StreamExecutionEnvironment(options._j_configuration)
    )
    execution = environment.get_config()
    compiled = {marks.COMPILED: str(round(1000 * time.time()))}
    execution.set_global_job_parameters({**execution.get_global_job_parameters(), **compiled})
    # The collecting sink keeps the report in the job's accumulators, from where REST gives it.
    build(environment, run)._j_data_stream.collectAsync()
    stream_graph = environment._generate_stream_graph(clear_transformations=True, job_name=run.context.job_key)
    utilities = java.org.apache.flink.client.deployment.executors.PipelineExecutorUtils
    job_graph = utilities.getStreamGraph(stream_graph, options._j_configuration).getJobGraph()
    file = folder / "job-graph.bin"
    output = java.java.io.ObjectOutputStream(java.java.io.FileOutputStream(str(file)))
    output.writeObject(job_graph)
    output.close()
    return {
        "jobId": str(job_graph.getJobID().toString()),
        "graph": str(file),
        "jars": [str(jar) for jar in _python_jars()] if brings_jar else [],
        "artifacts": {
            entry.getKey(): str(get_field(entry.getValue(), "filePath"))
            for entry in job_graph.getUserArtifacts().entrySet()
        },
    }


def _python_jars() -> list[Path]:
    return list((Path(pyflink.__file__).parent / "opt").glob("flink-python-*.jar"))
