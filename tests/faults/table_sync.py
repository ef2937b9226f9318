"""A sync from a table to another one of the same database, tries of it in threads, and what is in the target."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from tests.servers import Database, PostgresDatabase, await_condition

_COLUMNS = ["id", "text", "amount", "at"]
_TYPES = {
    "postgresql": "text varchar(40), amount decimal(12, 2), at timestamp",
    "mysql": "text varchar(40), amount decimal(12, 2), at datetime",
}
_VALUES = {
    "postgresql": "g, md5(g::text), g / 7.0, timestamp '2024-01-01' + g * interval '1 second' "
    "from generate_series(1, {rows}) g",
    "mysql": "seq, md5(seq), seq / 7.0, date_add('2024-01-01 00:00:00', interval seq second) from seq_1_to_{rows}",
}
_SAME = {
    "postgresql": "(s.text, s.amount, s.at) is not distinct from (t.text, t.amount, t.at)",
    "mysql": "s.text <=> t.text and s.amount <=> t.amount and s.at <=> t.at",
}


class Content(NamedTuple):
    """What is in the target, compared with the source row by row.

    Attributes:
        rows: in the target.
        lost: rows of the source that are not there.
        doubled: rows that are there once more.
        wrong: rows that have no equal in the source.
    """

    rows: int
    lost: int
    doubled: int
    wrong: int

    @property
    def equals_source(self) -> bool:
        return not (self.lost or self.doubled or self.wrong)


@dataclasses.dataclass(frozen=True)
class TableSync:
    """Two tables; the target has no key that would stop a double.

    Attributes:
        database: where both are, as the test reaches it.
        rows: of the source.
    """

    database: Database
    rows: int

    @classmethod
    def create(cls, database: Database, rows: int) -> TableSync:
        """Make and fill the source in a database that is empty."""
        types, values = _TYPES[database.jdbc_scheme], _VALUES[database.jdbc_scheme].format(rows=rows)
        database.execute(f"create table source (id bigint primary key, {types})")
        database.execute(f"insert into source select {values}")
        database.execute("analyze" if isinstance(database, PostgresDatabase) else "analyze table source")
        return cls(database, rows)

    def empty_target(self) -> None:
        """A new target, and no entry of an earlier run."""
        self.database.drop("target", "flinkx_ledger")
        self.database.execute(f"create table target (id bigint, {_TYPES[self.database.jdbc_scheme]})")

    def document(
        self, *, through: Database | None = None, bytes_per_second: int | None = None, **setting: Any
    ) -> dict[str, Any]:
        """The job.

        Args:
            through: the same database as the job reaches it.
            bytes_per_second: of Arrow data; None: as fast as can be. A row has some 70 bytes.
            setting: more of `job.setting`.
        """
        database = through or self.database
        login = {"username": database.user, "password": database.password, "column": _COLUMNS}
        source = {"connection": [{"jdbcUrl": [database.jdbc_url], "table": ["source"]}], "splitPk": "id"}
        target = {"connection": [{"jdbcUrl": database.jdbc_url, "table": ["target"]}]}
        speed = {"channel": 2} | ({"bytes": bytes_per_second} if bytes_per_second else {})
        content = {
            "reader": {"name": f"{database.jdbc_scheme}reader", "parameter": {**login, **source}},
            "writer": {"name": f"{database.jdbc_scheme}writer", "parameter": {**login, **target}},
        }
        return {"job": {"setting": {"speed": speed, **setting}, "content": [content]}}

    def written(self) -> int:
        """Rows that are committed in the target."""
        return int(self.database.query("select count(*) from target")[0][0])

    def await_rows(self, seconds: float = 60) -> None:
        """Wait until a first split is committed, so that rows are moving."""
        await_condition(self.written, seconds, "rows in the target")

    def content(self) -> Content:
        """Compare the target with the source."""
        same = _SAME[self.database.jdbc_scheme]
        ((rows, found, equal),) = self.database.query(
            f"select count(*), count(distinct s.id), count(case when {same} then 1 end) "
            "from target t left join source s on s.id = t.id"
        )
        return Content(int(rows), self.rows - int(found), int(equal) - int(found), int(rows) - int(equal))


class Cluster(Protocol):
    """Whatever runs jobs."""

    def run(self, document: Mapping[str, Any], *, job_key: str, take_finished: bool = False) -> dict[str, Any]: ...


class Try:
    """One try of a run, in a thread."""

    def __init__(self, cluster: Cluster, document: Mapping[str, Any], key: str, *, again: bool = False) -> None:
        """`again`: whether it is not the first, so that what an earlier one finished will do."""
        self.report: dict[str, Any] | None = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(cluster, document, key, again), daemon=True)
        self._thread.start()

    def _run(self, cluster: Cluster, document: Mapping[str, Any], key: str, again: bool) -> None:
        try:
            self.report = cluster.run(document, job_key=key, take_finished=again)
        except BaseException as error:
            self.error = error

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def wait(self, seconds: float) -> None:
        """Wait for its end, no longer than this."""
        self._thread.join(seconds)

    def end(self, seconds: float = 480) -> Try:
        """Wait for its end, which must come."""
        self.wait(seconds)
        assert not self.running, "the try has not ended"
        return self
