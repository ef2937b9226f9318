"""A stored connection becomes the parameters of a reader or writer."""

from __future__ import annotations

import pytest

from airflow_provider_flinkx.exceptions import JobFileError
from airflow_provider_flinkx.plugins.connection import ConnectionValues, connection_types
from airflow_provider_flinkx.plugins.db2.connection import CONNECTION as DB2
from airflow_provider_flinkx.plugins.db2.url import address_of as db2_address
from airflow_provider_flinkx.plugins.hdfs.connection import CONNECTION as HDFS
from airflow_provider_flinkx.plugins.mysql.connection import CONNECTION as MYSQL
from airflow_provider_flinkx.plugins.oracle.connection import CONNECTION as ORACLE
from airflow_provider_flinkx.plugins.oracle.url import address_of as oracle_address
from airflow_provider_flinkx.plugins.postgresql.connection import CONNECTION as POSTGRESQL
from airflow_provider_flinkx.plugins.relational.jdbc import Server, address_of
from airflow_provider_flinkx.plugins.sqlserver.connection import CONNECTION as SQLSERVER
from airflow_provider_flinkx.plugins.sqlserver.url import address_of as sqlserver_address
from airflow_provider_flinkx.plugins.sqlserver.url import settings as sqlserver_settings


def values(conn_type, **given):
    return ConnectionValues("my_conn", conn_type, **given)


DATABASE = {"host": "db", "port": 1234, "login": "me", "password": "p:@/ß", "schema": "sales"}


def test_reader_gets_a_list_and_a_writer_a_text():
    connection = values("flinkx_postgresql", **DATABASE)
    assert POSTGRESQL.parameters("reader", connection) == {
        "username": "me",
        "password": "p:@/ß",
        "connection": [{"jdbcUrl": ["jdbc:postgresql://db:1234/sales"]}],
    }
    assert POSTGRESQL.parameters("writer", connection)["connection"] == [{"jdbcUrl": "jdbc:postgresql://db:1234/sales"}]


@pytest.mark.parametrize(
    ("declared", "conn_type"), [(MYSQL, "mysql"), (POSTGRESQL, "postgres"), (SQLSERVER, "mssql"), (ORACLE, "oracle")]
)
def test_connections_of_airflows_own_types_are_taken(declared, conn_type):
    parameters = declared.parameters("writer", values(conn_type, **DATABASE))
    assert parameters == declared.parameters("writer", values(declared.conn_type, **DATABASE))


@pytest.mark.parametrize(
    ("host", "port", "servers"),
    [
        ("db", None, [("db", 5432)]),
        ("a, b:2,c", 1, [("a", 1), ("b", 2), ("c", 1)]),
        ("::1", 1, [("::1", 1)]),
        ("[fe80::1]:7,b", 1, [("fe80::1", 7), ("b", 1)]),
    ],
)
def test_the_url_is_read_back_as_it_was_meant(host, port, servers):
    given = values("postgres", host=host, port=port, login="me", password="secret", schema="sal es/?")
    address = address_of(POSTGRESQL.parameters("reader", given), schemes={"postgresql"}, default_port=5432)
    assert list(address.servers) == [Server(*server) for server in servers]
    assert (address.user, address.password, address.database) == ("me", "secret", "sal es/?")


def test_postgresql_tls_settings_and_url_parameters_go_into_the_url():
    extra = {"sslmode": "verify-ca", "sslrootcert": "/etc/ca &.pem", "url_parameters": "?application_name=x"}
    parameters = POSTGRESQL.parameters("reader", values("postgres", **DATABASE, extra=extra))
    address = address_of(parameters, schemes={"postgresql"}, default_port=1)
    assert address.parameters == {"sslmode": "verify-ca", "sslrootcert": "/etc/ca &.pem", "application_name": "x"}


@pytest.mark.parametrize(
    "extra",
    [{"ssl_mode": "verify_ca", "ssl": {"ca": "/ca"}}, {"ssl_mode": "VERIFY_CA", "ssl": '{"ca": "/ca"}'}],
)
def test_mysql_tls_settings_of_airflows_own_type(extra):
    parameters = MYSQL.parameters("reader", values("mysql", **DATABASE, extra=extra))
    address = address_of(parameters, schemes={"mysql"}, default_port=1)
    assert address.parameters == {"sslMode": "VERIFY_CA", "serverSslCert": "/ca"}


@pytest.mark.parametrize(
    ("given", "extra", "server"),
    [
        ({"host": "db"}, {}, "db,1433"),
        ({"host": "::1", "port": 5}, {}, "::1,5"),
        ({"host": "db"}, {"instance": "inst"}, "db\\inst"),
        ({"host": "db", "port": 5}, {"instance": "inst"}, "db,5"),
    ],
)
def test_sqlserver_addresses(given, extra, server):
    connection = values("mssql", login="me", password="p;{}w", schema="sa;l}es", extra=extra, **given)
    address = sqlserver_address(SQLSERVER.parameters("reader", connection))
    assert (address.server, address.database) == (server, "sa;l}es")
    assert (address.user, address.password) == ("me", "p;{}w")


@pytest.mark.parametrize(
    ("schema", "extra", "dsn", "table_schema"),
    [
        ("svc", {}, "db:1521/svc", None),
        ("app", {"service_name": "svc"}, "db:1521/svc", "app"),
        (None, {"sid": "X"}, "(DESCRIPTION=(ADDRESS=(PROTOCOL=tcp)(HOST=db)(PORT=1521))(CONNECT_DATA=(SID=X)))", None),
        (None, {"dsn": "alias", "config_dir": "/c"}, "alias", None),
    ],
)
def test_oracle_addresses(schema, extra, dsn, table_schema):
    connection = values("oracle", host="db", login="me", password="p", schema=schema, extra=extra)
    parameters = ORACLE.parameters("reader", connection)
    assert oracle_address(parameters).dsn == dsn
    assert parameters["connection"][0].get("schema") == table_schema
    assert parameters.get("properties") == ({"oracle.net.tns_admin": "/c"} if "config_dir" in extra else None)


def test_db2_servers_and_settings_go_into_the_url():
    extra = {"current_schema": "APP", "ssl": True, "url_parameters": ":clientUser=x;"}
    connection = values("flinkx_db2", host="a,b:5", port=4, login="me", password="p", schema="d", extra=extra)
    address = db2_address(DB2.parameters("writer", connection))
    assert [str(server) for server in address.servers] == ["a:4", "b:5"]
    assert (address.database, address.user) == ("d", "me")
    assert {"currentSchema": "APP", "sslConnection": "true", "clientUser": "x"}.items() <= address.parameters.items()


def test_sqlserver_encryption_and_url_parameters_go_into_the_url():
    extra = {"encrypt": "strict", "trust_server_certificate": True, "url_parameters": "packetSize=8000;"}
    parameters = SQLSERVER.parameters("writer", values("mssql", **DATABASE, extra=extra))
    assert sqlserver_settings(parameters, sqlserver_address(parameters)) == {
        "Encrypt": "strict",
        "TrustServerCertificate": "yes",
        "PacketSize": "8000",
    }


@pytest.mark.parametrize(
    ("declared", "connection", "message"),
    [
        (POSTGRESQL, values("mysql", **DATABASE), "is of type 'mysql'; allowed here: flinkx_postgresql, postgres"),
        (POSTGRESQL, values("postgres"), "Host is empty"),
        (POSTGRESQL, values("postgres", **DATABASE, extra={"iam": True}), "extra 'iam' is not supported"),
        (MYSQL, values("mysql", **DATABASE, extra={"unix_socket": "/s"}), "extra 'unix_socket' is not supported"),
        (MYSQL, values("mysql", **DATABASE, extra={"ssl": {"ca": "/c", "key": "/k"}}), "ssl key is not supported"),
        (MYSQL, values("mysql", **DATABASE, extra={"ssl": "{"}), "ssl is not JSON"),
        (HDFS, values("flinkx_hdfs"), "NameNode or name service is empty"),
        (HDFS, values("flinkx_hdfs", host="n", extra={"hadoop_config": "[1]"}), "hadoop_config must be a JSON object"),
    ],
)
def test_what_a_source_cannot_use_is_refused(declared, connection, message):
    with pytest.raises(JobFileError) as error:
        declared.parameters("reader", connection)
    assert message in str(error.value)
    assert "my_conn" in str(error.value)
    assert DATABASE["password"] not in str(error.value)


@pytest.mark.parametrize(
    ("given", "parameters"),
    [
        ({"host": "nn", "port": 8020}, {"defaultFS": "hdfs://nn:8020"}),
        ({"host": "hdfs://ns1"}, {"defaultFS": "hdfs://ns1"}),
        (
            {"host": "ns1", "extra": {"hadoop_config": '{"dfs.nameservices": "ns1"}'}},
            {"defaultFS": "hdfs://ns1", "hadoopConfig": {"dfs.nameservices": "ns1"}},
        ),
        (
            {"host": "ns1", "extra": {"hadoop_config": {"dfs.nameservices": "ns1"}}},
            {"defaultFS": "hdfs://ns1", "hadoopConfig": {"dfs.nameservices": "ns1"}},
        ),
    ],
)
def test_hdfs(given, parameters):
    assert HDFS.parameters("writer", values("flinkx_hdfs", **given)) == parameters


def test_types_have_names_that_airflow_keeps():
    for declared in connection_types():
        assert declared.conn_type.replace("_", "").isalnum()
        assert "__" not in declared.conn_type
        assert len({field.name for field in declared.fields}) == len(declared.fields)
