"""`queryTimeOut` bounds the time until the first rows, in every database alike."""

from __future__ import annotations

import threading
import time

import pytest

from airflow_provider_flinkx.exceptions import DataError
from tests.integration.relational.moving import reader
from tests.servers import Database

_DIGITS = "(VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9))"
#: More than one batch, whose first comes at once.
MANY_ROWS = {
    "postgresql": "SELECT n AS id, repeat('x', 1000) AS t FROM generate_series(1, 20000) n",
    "mysql": "SELECT seq AS id, REPEAT('x', 100) AS t FROM seq_1_to_60000",
    "sqlserver": "SELECT d0.n AS id, REPLICATE('x', 1000) AS t FROM "
    + " CROSS JOIN ".join(f"{_DIGITS} AS d{place} (n)" for place in range(5))
    + " WHERE d0.n < 2",
}
SLEEP = {
    "postgresql": "SELECT n AS id FROM generate_series(1, 2) n, LATERAL (SELECT pg_sleep(600 + n)) s",
    "mysql": "SELECT seq + SLEEP(600) AS id FROM seq_1_to_2",
    "sqlserver": "SELECT COUNT_BIG(*) AS id FROM "
    + " CROSS JOIN ".join(f"{_DIGITS} AS forever{place} (n)" for place in range(14)),
}


@pytest.fixture(scope="module", params=["postgres", "mariadb", "sqlserver"])
def database(request: pytest.FixtureRequest) -> Database:
    server: Database = request.getfixturevalue(request.param)
    return server.fresh_database()


def test_a_query_that_gives_nothing_is_ended_in_the_server(database: Database) -> None:
    source = reader(database, None, names=["id"], customSql=SLEEP[database.jdbc_scheme], queryTimeOut=1)
    with pytest.raises(DataError, match="customSql: no rows within 1 s, which is the queryTimeOut") as caught:
        list(source.read(source.splits()[0]))
    assert database.password not in str(caught.value)
    source.close()
    left = {
        "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600%' AND state = 'active' "
        "AND pid <> pg_backend_pid()",
        "mysql": "SELECT count(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE '%SLEEP(600)%' "
        "AND ID <> CONNECTION_ID()",
        "sqlserver": "SELECT COUNT(*) FROM sys.dm_exec_requests r CROSS APPLY sys.dm_exec_sql_text(r.sql_handle) t "
        "WHERE t.text LIKE '%forever13%' AND r.session_id <> @@SPID",
    }[database.jdbc_scheme]
    deadline = time.monotonic() + 10
    while database.query(left) != [(0,)]:
        assert time.monotonic() < deadline, "the query still runs"
        threading.Event().wait(0.1)


def test_the_time_of_the_writer_does_not_count(database: Database) -> None:
    source = reader(database, None, names=["id", "t"], customSql=MANY_ROWS[database.jdbc_scheme], queryTimeOut=1)
    batches = source.read(source.splits()[0])
    rows = next(batches).rows.num_rows
    threading.Event().wait(1.5)
    remaining = sum(batch.rows.num_rows for batch in batches)
    source.close()
    assert remaining > 0
    assert rows + remaining in (20_000, 60_000)
