"""FlinkJobLink: what Airflow's pages get."""

from __future__ import annotations

from types import SimpleNamespace

from airflow_provider_flinkx import links
from airflow_provider_flinkx.links import FlinkJobLink, push_job_url


def test_the_link_is_what_was_pushed(monkeypatch):
    pushed = {}
    push_job_url(SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value})), "http://flink/#/j")
    monkeypatch.setattr(links, "XCom", SimpleNamespace(get_value=lambda *, key, ti_key: pushed[key]))
    assert FlinkJobLink().get_link(None, ti_key="key") == "http://flink/#/j"
    # The key that Airflow 3 shows by itself.
    assert pushed.get(getattr(FlinkJobLink(), "xcom_key", "flink_job_url")) == "http://flink/#/j"


def test_a_page_never_breaks_for_a_link(monkeypatch):
    monkeypatch.setattr(links, "XCom", SimpleNamespace(get_value=lambda *, key, ti_key: 1 / 0))
    assert FlinkJobLink().get_link(None, ti_key="key") == ""
    monkeypatch.setattr(links, "XCom", SimpleNamespace(get_value=lambda *, key, ti_key: None))
    assert FlinkJobLink().get_link(None, ti_key="key") == ""
