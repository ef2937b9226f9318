"""JDBC URLs and table names as they stand in jobs."""

from __future__ import annotations

import pytest

from airflow_provider_flinkx.exceptions import JobInvalidError
from airflow_provider_flinkx.plugins.relational.jdbc import Address, Server, address_of
from airflow_provider_flinkx.plugins.relational.names import split_table_name, upper_case


def address(url: object, **others: object) -> Address:
    return address_of({"connection": [{"jdbcUrl": url}], **others}, schemes={"mysql"}, default_port=3306)


@pytest.mark.parametrize(
    ("url", "servers", "database"),
    [
        ("jdbc:mysql://h:1/d", [("h", 1)], "d"),
        (["jdbc:mysql://h/d"], [("h", 3306)], "d"),
        ("jdbc:mysql://a:1,b/d?x=y", [("a", 1), ("b", 3306)], "d"),
        ("jdbc:mysql:loadbalance://a,b/d", [("a", 3306), ("b", 3306)], "d"),
        ("jdbc:mysql://[::1]:5/d%20e", [("::1", 5)], "d e"),
        ("jdbc:mysql://[::1],[fe80::2]:5/d", [("::1", 3306), ("fe80::2", 5)], "d"),
        ("jdbc:mysql:replication://a:1,b:2/d", [("a", 1), ("b", 2)], "d"),
        ("jdbc:mysql:///d", [("localhost", 3306)], "d"),
        ("jdbc:mysql://u:p@a,b:2/d", [("a", 3306), ("b", 2)], "d"),
        ("jdbc:mysql://u:p@[a:1,b:2]/d", [("a", 1), ("b", 2)], "d"),
        ("jdbc:mysql://address=(host=a)(port=1)(type=master),address=(host=::1)/d", [("a", 1), ("::1", 3306)], "d"),
        ("jdbc:mysql://(host=a,port=1),(host=b,port=2)/d", [("a", 1), ("b", 2)], "d"),
        ("jdbc:mysql://[(host=a,port=1),b:2]/d", [("a", 1), ("b", 2)], "d"),
        ("jdbc:mysql://h", [("h", 3306)], ""),
    ],
)
def test_url_forms(url: object, servers: list[tuple[str, int]], database: str) -> None:
    read = address(url)
    assert read.servers == tuple(Server(*server) for server in servers)
    assert read.database == database


@pytest.mark.parametrize("url", [None, "", [], "jdbc:oracle://h/d", "mysql://h/d", "jdbc:mysql://h:x/d"])
def test_unreadable_urls(url: object) -> None:
    with pytest.raises(JobInvalidError):
        address(url)


@pytest.mark.parametrize(
    "url", ["jdbc:mysql://u:p%40ss@h/d", "jdbc:mysql://address=(host=h)(user=u)(password=p@ss)/d"]
)  # fmt: skip
def test_a_login_before_the_server(url: str) -> None:
    read = address(url)
    assert (read.user, read.password, read.parameters) == ("u", "p@ss", {})
    assert "p@ss" not in f"{read} {read!r}"


def test_a_bad_server_behind_a_login_is_told_without_it() -> None:
    with pytest.raises(JobInvalidError, match="'h:x' is not host:port") as caught:
        address("jdbc:mysql://u:secret@h:x/d")
    assert "secret" not in str(caught.value)


def test_the_password_stands_in_no_text() -> None:
    read = address("jdbc:mysql://h/d?user=u&password=p%40ss&useSSL=true")
    assert (read.user, read.password) == ("u", "p@ss")
    assert "p@ss" not in f"{read} {read!r}"
    assert read.conceal("a\n p@ss b") == "a *** b"
    assert read.parameter("usessl") == "true"
    assert address("jdbc:mysql://h/d?password=a", password="b").password == "b"


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("t", ("t",)),
        ("s.t", ("s", "t")),
        ('"a.b"."c""d"', ("a.b", 'c"d')),
        ("`a.b`.t", ("a.b", "t")),
        ("Order Group", ("Order Group",)),
    ],
)
def test_table_names(name: str, parts: tuple[str, ...]) -> None:
    assert split_table_name(name) == parts


@pytest.mark.parametrize("name", ["", ".", "a.", '"a', '"a"b'])
def test_table_names_that_are_none(name: str) -> None:
    with pytest.raises(JobInvalidError):
        split_table_name(name)


def test_names_without_quotes_are_stored_in_upper_case_where_the_server_does_so() -> None:
    assert split_table_name('app.orders."lower".Order Group', stored=upper_case) == (
        "APP", "ORDERS", "lower", "Order Group",
    )  # fmt: skip
