"""Parameters of JDBC URLs of MySQL and PostgreSQL: what they become, and the warnings about the others."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_flinkx.exceptions import JobInvalidError
from airflow_provider_flinkx.jobs.validation import validate
from airflow_provider_flinkx.plugins.mysql import url as mysql
from airflow_provider_flinkx.plugins.mysql.database import MySQL
from airflow_provider_flinkx.plugins.postgresql import url as postgresql
from airflow_provider_flinkx.plugins.postgresql.database import PostgreSQL
from airflow_provider_flinkx.plugins.registry import remarks_of, schema_of


def parameter(url: str, **others: Any) -> dict[str, Any]:
    return {"username": "u", "password": "p", "connection": [{"jdbcUrl": url, "table": ["t"]}], **others}


def names(remarks: Any) -> list[str]:
    """The key of each remark, and the parameter of a URL that it is about."""
    return [message.split("'")[1] if key.endswith("jdbcUrl") else key for key, message in remarks]


#: What many jobs have behind the database.
COMMON = "useUnicode=true&characterEncoding=utf8&useCursorFetch=true&rewriteBatchedStatements=true&useSSL=false"


def test_usual_parameters_of_mysql_are_no_warning() -> None:
    assert names(mysql.remarks(parameter(f"jdbc:mysql://h/d?{COMMON}&zeroDateTimeBehavior=convertToNull"))) == []


def test_what_mysqls_drivers_have_no_counterpart_for_is_named() -> None:
    url = "jdbc:mysql://h/d?serverTimezone=Asia/Shanghai&autoReconnect=true&characterEncoding=gbk&tinyInt1isBit=true&x"
    given = parameter(url, properties={"connectTimeout": 5, "useSSL": True, "trustCertificateKeyStoreUrl": "file:x"})
    assert names(mysql.remarks(given)) == [
        "serverTimezone", "autoReconnect", "characterEncoding", "tinyInt1isBit", "x", "properties.connectTimeout",
        "properties.trustCertificateKeyStoreUrl",
    ]  # fmt: skip
    assert dict(mysql.remarks(given))["properties.connectTimeout"].startswith("has no effect: a server")


@pytest.mark.parametrize(
    ("query", "properties", "wanted"),
    [
        ("", {}, {}),
        ("?useSSL=false", {}, {}),
        ("?useSSL=true", {}, {"ssl": {}}),
        ("?useSSL=false", {"useSSL": True}, {"ssl": {}}),
        ("?useSSL=true&verifyServerCertificate=TRUE", {}, {"ssl": {}, "ssl_verify_cert": True}),
        ("?sslMode=PREFERRED", {}, {}),
        ("?sslMode=DISABLED", {}, {"ssl_disabled": True}),
        ("?sslMode=REQUIRED", {}, {"ssl": {}}),
        ("?sslMode=verify-full&serverSslCert=/ca", {},
         {"ssl_ca": "/ca", "ssl_verify_cert": True, "ssl_verify_identity": True}),
        ("?sslMode=trust", {}, {"ssl": {}}),
    ],
)  # fmt: skip
def test_encryption_of_mysql(query: str, properties: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert MySQL(parameter(f"jdbc:mysql://h/d{query}", properties=properties), "UTC").tls == wanted


def test_an_unknown_mode_of_encryption_is_no_open_connection() -> None:
    with pytest.raises(JobInvalidError, match="sslMode=VERIFY is none of"):
        MySQL(parameter("jdbc:mysql://h/d?sslMode=VERIFY"), "UTC")


def test_variables_of_the_session_come_before_the_jobs_own_statements() -> None:
    url = "jdbc:mysql://h/d?sessionVariables=sql_mode='A,B',@x=1;group_concat_max_len=5"
    assert MySQL(parameter(url, session=["SELECT 1"]), "UTC").session == (
        "SET SESSION sql_mode='A,B'", "SET @x=1", "SET SESSION group_concat_max_len=5", "SELECT 1",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("query", "properties", "wanted"),
    [
        ("", {}, {}),
        ("?ssl", {}, {"sslmode": "verify-full"}),
        ("?ssl=false", {"ssl": True}, {"sslmode": "verify-full"}),
        ("?ssl=true&sslfactory=org.postgresql.ssl.NonValidatingFactory", {}, {"sslmode": "require"}),
        ("?ssl=true&sslmode=require", {}, {"sslmode": "require"}),
        ("?targetServerType=preferSlave", {}, {"target_session_attrs": "prefer-standby"}),
        ("?currentSchema=a,my b", {}, {"options": "-c search_path=a,my\\ b"}),
        ("?options=-c%20a=b", {"currentSchema": "s"}, {"options": "-c a=b -c search_path=s"}),
        ("?ApplicationName=x&kerberosServerName=pg", {}, {"application_name": "x", "krbsrvname": "pg"}),
    ],
)
def test_keywords_of_libpq(query: str, properties: dict[str, Any], wanted: dict[str, str]) -> None:
    given = parameter(f"jdbc:postgresql://h/d{query}", properties=properties)
    assert postgresql.settings(given, PostgreSQL(given, "UTC").address) == wanted


def test_several_servers_of_postgresql_are_tried_in_their_order() -> None:
    text = PostgreSQL(parameter("jdbc:postgresql://a:1,[::2],c/d?targetServerType=primary"), "UTC")._conninfo
    assert "host=a,::2,c port=1,5432,5432" in text
    assert "target_session_attrs=read-write" in text


def test_what_libpq_has_no_counterpart_for_is_named() -> None:
    url = "jdbc:postgresql://h/d?stringtype=unspecified&reWriteBatchedInserts=true&prepareThreshold=0&loggerLevel=OFF"
    given = parameter(f"{url}&sslfactory=a.b.C&socketTimeout=5&currentSchema=s&loginTimeout=9", properties={"y": 1})
    assert names(postgresql.remarks(given)) == [
        "loggerLevel", "sslfactory", "socketTimeout", "loginTimeout", "properties.y",
    ]  # fmt: skip


@pytest.mark.parametrize(("scheme", "plugin"), [("mysql", "mysql"), ("postgresql", "postgresql")])
def test_the_warnings_stand_at_their_place_in_the_job(scheme: str, plugin: str) -> None:
    given = {**parameter(f"jdbc:{scheme}://h/d?nonsense=1"), "column": ["a"]}
    content = {
        "reader": {"name": f"{plugin}reader", "parameter": given},
        "writer": {"name": f"{plugin}writer", "parameter": given},
    }
    warnings = validate({"job": {"content": [content]}}, schema_of=schema_of, remarks_of=remarks_of).warnings
    assert sum("connection[0].jdbcUrl: parameter 'nonsense' belongs to Java's driver" in line for line in warnings) == 2
