"""The contract between the pipeline and the plugins: Reader, Writer, Split, Batch, Reject.

Rows cross between a reader and a writer as `pyarrow.RecordBatch`, in the order of the reader's
`column` list; names need not match, columns are mapped by position (job.md §10).

Arrow types that may cross: int8..int64, uint8..uint64, float32, float64, decimal128/256,
bool, string, binary, date32, time64[us], timestamp[us] or [ns], timestamp[us, tz=UTC].
Everything else (json, uuid, arrays, intervals, numbers without a declared precision ...) crosses as
string, in the source's own text form; `field.metadata[b"source_type"]` then names the source's type.

Text fallback: a batch may carry string in place of any declared type when one of its values does not
fit that type ('infinity' in a timestamp, 'NaN' in a decimal, '0000-00-00'). A writer converts
such a column row by row, or rejects the rows that do not convert: `plugins.conversion.conform`.
"""

from __future__ import annotations

import abc
import contextlib
import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import pyarrow as pa

from airflow_provider_flinkx.exceptions import JobInvalidError
from airflow_provider_flinkx.jobs.model import Column, SourceTable
from airflow_provider_flinkx.plugins.kept import KeptConnections


class Category(str, enum.Enum):
    """Why a row was rejected (FlinkX's names, job.md §6)."""

    NULL = "null"
    DUPLICATE = "duplicate"
    CONVERSION = "conversion"
    OTHER = "other"


@dataclass(frozen=True)
class Reject:
    """A row that was not written.

    `row` maps source column names to values that `json.dumps` takes; `message` is one line.
    """

    row: Mapping[str, Any]
    category: Category
    message: str


class Batch(NamedTuple):
    """What a reader yields: `rows` (n rows x job columns), and rows that it could not convert."""

    rows: pa.RecordBatch
    rejects: Sequence[Reject] = ()


class WriteResult(NamedTuple):
    """What one `SplitWriter.write` did: rows accepted, the rows it rejected, and where in the batch these stood.

    Writers whose rows cannot be added up (`Writer.grows_by_rows`) need not say where.
    """

    written: int
    rejects: Sequence[Reject] = ()
    rejected_at: Sequence[int] = ()


@dataclass(frozen=True)
class Split:
    """A part of the source that one task reads: deterministic, and readable again.

    `spec` holds JSON values only and no password: it travels through Flink and stands in logs.
    `rows` is the exact number of rows or an upper bound of it, where the source knows it. `table` is the place of
    its table in a job that reads many; the pipeline fills it in.
    """

    index: int
    spec: Mapping[str, Any] = field(default_factory=dict)
    rows: int | None = None
    table: int = 0


@dataclass(frozen=True)
class RunContext:
    """What a reader or writer may know of the run.

    Args:
        job_key: name of this run, stable over retries (dag, run and task); used in names of
            files and staging tables. Only letters, digits, `-`, `_`, `.`; at most 200 characters.
        attempt: unique per submission; for names that must not collide with a former try.
        execution: unique per run of the plan step, which gives it: Flink may run a submission again by itself while
            tasks of its first run still write. Empty where no plan has run.
        channels: `setting.speed.channel`.
        timezone: `setting.timezone`, IANA name; how values without a zone are understood.
        field_names: source column names, for rejected rows; filled by the pipeline from the
            reader before the writer is made.
        take_finished: whether this is another try of the same run: when an earlier one has finished, its
            report is the result. Otherwise a run that has finished is run again.
        range: the rows of an incremental run, where they have a name: the ledger then knows the run by it, so that
            all runs of these rows share their splits. `stream.series.number`: what is read, since when its
            location is kept, and how many ranges came before.
        tables: names of the source's tables, where a job reads many and this is about some of them: of one in what
            reads and writes it, of all where the job ends.
        kept: connections that wait for the next table; None where each reader and writer closes its own.
    """

    job_key: str
    attempt: str
    execution: str = ""
    channels: int = 1
    timezone: str = "UTC"
    field_names: tuple[str, ...] = ()
    take_finished: bool = False
    range: str | None = None
    tables: tuple[str, ...] = ()
    kept: KeptConnections | None = field(default=None, compare=False, repr=False)

    @property
    def ledger_key(self) -> str:
        """What the ledger knows the run by."""
        return self.range or self.job_key


#: What the length of a text counts, where that is not characters.
UTF_16 = "UTF-16"
UTF_8 = "UTF-8"


@dataclass(frozen=True)
class TableColumn:
    """A column of a table: of the source, as a target that is made for it must have it, or of the target itself.

    Args:
        name: its name.
        type: the narrowest Arrow type of all values that it may have, also where they cross as text: decimal256 for
            more than 38 digits, duration for times beyond a day.
        length: characters of a text, or bytes, at most; None when there is no limit or none is known.
        fraction_digits: digits of a second that are kept; None: all of `type`.
        nullable: whether it may be null.
        key: its place in the primary key, from 1; None outside of it.
        declared: the product, and the type in its own SQL, where a table of the same product can have that type too.
        is_checked: whether the server takes only some of the values of `type` (uuid, json, enumerations).
        is_uuid: whether the values are uuids.
        exact_digits: exact numbers of so many digits fit, wherever their point is, although `type` is text.
        encoding: None: `length` counts characters, whatever they are. Else it counts units of `UTF_16`, or bytes of
            `UTF_8` or of a code page, which lacks characters.
    """

    name: str
    type: pa.DataType
    length: int | None = None
    fraction_digits: int | None = None
    nullable: bool = True
    key: int | None = None
    declared: tuple[str, str] | None = None
    is_checked: bool = False
    is_uuid: bool = False
    exact_digits: int | None = None
    encoding: str | None = None


class Reader(abc.ABC):
    """Reads one source. Made in the plan step and again in every task; holds nothing open until used.

    Attributes:
        snapshots_last: whether another try can read a snapshot that this one has begun.
    """

    snapshots_last: ClassVar[bool] = False

    def __init__(self, parameter: Mapping[str, Any], columns: Sequence[Column], context: RunContext) -> None:
        self.parameter = parameter
        self.columns = tuple(columns)
        self.context = context

    @property
    @abc.abstractmethod
    def schema(self) -> pa.Schema:
        """Schema of the batches, in job column order; may ask the source once."""

    @abc.abstractmethod
    def splits(self) -> Sequence[Split]:
        """Cut the source into parts: many more than channels where it pays, none twice, none missing."""

    @abc.abstractmethod
    def read(self, split: Split) -> Iterator[Batch]:
        """Stream the split in batches of bounded size (about 64k rows, at most some 16 MB)."""

    def tables(self) -> Sequence[SourceTable]:
        """The tables that a job of many names, patterns matched against those of the source, in their order.

        Raises:
            DataError: a pattern matches nothing.
        """
        raise JobInvalidError([f"connection[0].table: {type(self).__name__} reads one table"])

    def location(self) -> Mapping[str, str]:
        """After the last split: startLocation/endLocation of an incremental read (job.md §8); `snapshot`: its name."""
        return {}

    def take_hold(self) -> Callable[[], None] | None:
        """After `splits`: what must stay open until the last of them is read, whoever reads it; call it to let go."""
        return None

    def join_snapshot(self, other: Reader) -> None:
        """Before `splits`: read in the snapshot that the reader of another table of the same server has begun."""

    def remarks(self) -> Sequence[str]:
        """What the report must say of the way in which the source is read."""
        return ()

    def start_at(self, location: str) -> None:
        """Begin an incremental read there, whatever the job says; before `splits`."""
        raise NotImplementedError

    def source_identity(self) -> str:
        """What an incremental read reads, apart from where it begins: two texts are alike for the same rows."""
        raise NotImplementedError

    def table_columns(self) -> list[TableColumn]:
        """The fields of `schema` as columns of a table, with all that the source knows of them."""
        return table_columns(self.schema)

    def close(self) -> None:
        """Release connections; called for each table of a task, also after an error."""


def table_columns(schema: pa.Schema) -> list[TableColumn]:
    """The fields of a schema as columns of a table."""
    return [TableColumn(field.name, field.type, nullable=field.nullable) for field in schema]


class SplitWrittenError(Exception):
    """Another try has committed this split; what this one wrote must be rolled back."""


class ShortcutRefusedError(Exception):
    """A row is refused where none can be told from its batch: the split must be rolled back, and moved another way."""


@dataclass(frozen=True)
class Way:
    """How splits get from one reader to one writer.

    Args:
        read: `Reader.read`, or what stands in its place on a shortcut; batches mean something to these two only then.
        open: `Writer.open`; on a shortcut `SplitWriter.write` and `commit` may raise `ShortcutRefusedError`.
    """

    read: Callable[[Split], Iterator[Batch]]
    open: Callable[[Split], SplitWriter]


@dataclass(frozen=True)
class KeptRun:
    """What earlier tries of a run left in a ledger.

    Args:
        digest: tells whether it was the same job.
        splits: the plan; its splits stay the same over all tries.
        done: index of each split that is in the target -> its report.
        report: the job report, when an earlier try has finished.
        before: what each target held before the first split, where the job wants it verified; else nothing.
        tables: of a job that reads many, see `Split.table`; none for any other.
    """

    digest: str
    splits: Sequence[Split]
    done: Mapping[int, Mapping[str, Any]]
    report: Mapping[str, Any] | None = None
    before: Sequence[Mapping[str, Any]] = ()
    tables: Sequence[SourceTable] = ()


@dataclass(frozen=True)
class Location:
    """Where the next incremental run begins, as the target keeps it.

    Args:
        range: name of the rows from there on, see `RunContext.range`.
        start: their startLocation.
        last_run: job key of the run that moved the location there; empty when none has yet.
        last_range: name of the rows which that run read.
    """

    range: str
    start: str
    last_run: str = ""
    last_range: str = ""


class Ledger(abc.ABC):
    """Which splits of a run are in the target; kept in the target, and changed together with its rows.

    Entries are found by `RunContext.ledger_key`. Every method uses a connection of its own.
    """

    @abc.abstractmethod
    def read(self) -> KeptRun | None:
        """What earlier tries left; makes the place for entries when it is missing.

        Raises:
            DataError: when that is not allowed.
        """

    @abc.abstractmethod
    def begin(self, begun: KeptRun, *, anew: bool) -> None:
        """Keep the plan of a run.

        Args:
            begun: the run; nothing of it is done.
            anew: whether to forget what is kept of the run.

        Raises:
            DataError: another try has kept its plan meanwhile.
        """

    def extend(self, splits: Sequence[Split]) -> None:
        """Keep more splits of the plan, which a job that polls has made later.

        Args:
            splits: their indexes follow those that are kept.

        Raises:
            DataError: another try has kept splits of these indexes meanwhile.
        """
        raise NotImplementedError

    @abc.abstractmethod
    def written(self, index: int) -> Mapping[str, Any] | None:
        """The report of a split that is in the target, else None."""

    def location(self, source: str, first: str) -> Location:
        """Where the next run of an incremental read begins; moved on by the `finish` of a run in its range.

        Args:
            source: what is read; the same text finds the same location, for this target.
            first: startLocation of the very first run.
        """
        raise NotImplementedError


class SplitWriter(abc.ABC):
    """Writes one split. Nothing of it is in the target before `commit`, where the target can do that."""

    @abc.abstractmethod
    def write(self, batch: pa.RecordBatch) -> WriteResult:
        """Write a batch in bulk; find the rows that the target refuses and return them as rejects.

        Raises:
            DataError: for anything that is not a matter of single rows (a lost connection ...).
        """

    def record(self, report: Mapping[str, Any]) -> None:
        """Add the split's ledger entry to what `commit` makes durable; for writers that keep a ledger.

        Raises:
            SplitWrittenError: another try has committed the split.
        """
        raise NotImplementedError

    @abc.abstractmethod
    def commit(self) -> None:
        """Make the split durable."""

    @abc.abstractmethod
    def rollback(self) -> None:
        """Undo what was written since `open`; must not raise when the connection is gone."""


class Writer(abc.ABC):
    """Writes one target. `prepare`, `finish`, `abort` run in one place, `open` in every task.

    Attributes:
        published_by_finish: committed splits are invisible until `finish`, as with files; then a failed
            job has written nothing, and its report says so.
        keeps_ledger: whether `ledger`, `resume` and `SplitWriter.record` are there.
        runs_again: whether each row is there once without a ledger too when Flink runs the same submission again by
            itself, whatever the tasks of its first run have done, and may still do.
        empties_target: whether `prepare` removes the rows that are there, as the job asks.
        grows_by_rows: whether `row_count` and `written_columns` are there, and the target grows by each row that is
            written, and by nothing else.
        taken: places of the reader's columns that are written, once the target was looked at; None: all.
        empty_text_is_null: whether the target keeps an empty text as null.
    """

    published_by_finish: ClassVar[bool] = False
    keeps_ledger: ClassVar[bool] = False
    runs_again: ClassVar[bool] = False
    empties_target: bool = False
    grows_by_rows: bool = False
    taken: Sequence[int] | None = None
    empty_text_is_null: ClassVar[bool] = False

    def __init__(self, parameter: Mapping[str, Any], columns: Sequence[Column], context: RunContext) -> None:
        self.parameter = parameter
        self.columns = tuple(columns)
        self.context = context

    @abc.abstractmethod
    def prepare(self, schema: pa.Schema) -> None:
        """Once, before the first split: look at the target, run preSql, make directories.

        Raises:
            DataError, JobInvalidError: before any row has moved, with host and table or path.
        """

    def prepare_for(self, reader: Reader) -> None:
        """`prepare` in the plan step; a writer that makes tables asks the reader for more than its schema."""
        self.prepare(reader.schema)

    @classmethod
    def prepare_all(cls, targets: Sequence[tuple[Writer, Reader]]) -> None:
        """`prepare_for` of several targets of one place, each closed in turn; all or none of them where that can be."""
        for writer, reader in targets:
            with contextlib.closing(reader), contextlib.closing(writer):
                writer.prepare_for(reader)

    def row_count(self) -> int:
        """How many rows the target holds."""
        raise NotImplementedError

    def written_columns(self, schema: pa.Schema) -> Sequence[str]:
        """The target's own names of the columns that are written with rows of `schema`; looks at it if need be."""
        raise NotImplementedError

    def ledger(self) -> Ledger:
        """The ledger in this target."""
        raise NotImplementedError

    def resume(self, schema: pa.Schema) -> None:
        """In place of `prepare`, when an earlier try has prepared the target: look at it, run no preSql."""
        raise NotImplementedError

    def shortcut(self, reader: Reader) -> Way | None:  # noqa: ARG002  # there is none as a rule
        """A faster way for the splits of this reader, where there is one that changes no value."""
        return None

    @abc.abstractmethod
    def open(self, split: Split, schema: pa.Schema) -> SplitWriter:
        """In a task, for each split; connections are kept by the writer between splits."""

    @abc.abstractmethod
    def finish(self, report: Mapping[str, Any] | None = None) -> None:
        """Once, after the last split was committed and the error limit held: postSql, publication.

        Args:
            report: the job report, where it is to be kept in the ledger.
        """

    @abc.abstractmethod
    def abort(self) -> None:
        """Once, when the job failed: remove what is not published. Must not raise."""

    def close(self) -> None:
        """Release connections; called for each table of a task, also after an error."""
