"""A stand-in for SQL Server: TDS on the wire, PostgreSQL behind it. It is not SQL Server.

It proves the driver, the wire types and the statements' shape. Names, transactions, constraints and MERGE are
PostgreSQL's; dates and times are kept as text with seven digits of a second, which PostgreSQL's own types lack.
Statements are parsed as T-SQL by sqlglot, so what is no T-SQL is refused.

Run as `python -m tests.sqlserver_stand_in PORT HOST PORT` with PostgreSQL's address; logins are passed on to it.
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
import socketserver
import struct
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import psycopg
import sqlglot
from psycopg.pq import ExecStatus
from sqlglot import exp

from tests.tds import PACKET, Cursor, Declared, columns, done, environment_change, failure, short_text

TEMPORALS = frozenset({"time", "datetime2", "datetimeoffset", "datetime", "smalldatetime"})
#: T-SQL type -> what PostgreSQL keeps it in.
STORAGE = {
    "bit": "smallint", "tinyint": "smallint", "money": "numeric(19,4)", "smallmoney": "numeric(10,4)",
    "uniqueidentifier": "uuid", "float": "double precision", "image": "bytea", "binary": "bytea", "varbinary": "bytea",
    "rowversion": "bytea", "timestamp": "bytea", "ntext": "text", "sysname": "text",
}  # fmt: skip
#: What a result of a PostgreSQL type is on the wire, where it is no column of a table.
WIRE = {16: "bit", 17: "varbinary(max)", 20: "bigint", 21: "smallint", 23: "int", 26: "bigint", 700: "real",
        701: "float", 1082: "date", 2950: "uniqueidentifier", 142: "xml"}  # fmt: skip
#: SQLSTATE -> error number of SQL Server.
NUMBERS = {"23505": 2627, "23502": 515, "23503": 547, "23514": 547, "22001": 2628, "22003": 8115, "42P01": 208,
           "3F000": 208, "42703": 207, "28P01": 18456, "3D000": 4060, "42601": 102, "21000": 8672, "42501": 229,
           "22P02": 245, "22007": 241, "22008": 241, "2200M": 9400, "2200N": 9400}  # fmt: skip
#: What sqlglot calls a part of a date -> our function.
FUNCTIONS = {"nanosecond": "sys.nanosecond", "timezone_minute": "sys.tzoffset"}
PRODUCT = "Stand-in for Microsoft SQL Server (PostgreSQL behind TDS)"
#: Errors that end the transaction on SQL Server, not only the statement.
ENDING = frozenset({241, 245, 8114, 9400})
SETUP = r"""
CREATE SCHEMA IF NOT EXISTS dbo;
CREATE SCHEMA IF NOT EXISTS sys;
CREATE CAST (varchar AS uuid) WITH INOUT AS IMPLICIT;
CREATE CAST (text AS uuid) WITH INOUT AS IMPLICIT;
CREATE TABLE IF NOT EXISTS sys.declared (relid oid, attnum smallint, declared text, PRIMARY KEY (relid, attnum));
CREATE OR REPLACE FUNCTION sys.temporal(value text, kind text, digits integer) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  part text[]; moment timestamp; ticks bigint; unit bigint := 10 ^ (7 - digits); fraction text;
BEGIN
  IF value IS NULL OR (kind = 'datetime2' AND digits = 7 AND value ~ '^.{10} .{8}\.\d{7}$') THEN RETURN value; END IF;
  part := regexp_match(value,
    '^(?:(\d{4}-\d\d-\d\d))?[ T]?(?:(\d\d:\d\d:\d\d)(?:\.(\d{1,7}))?)? ?([+-]\d\d:\d\d|Z)?$');
  IF part IS NULL THEN RAISE SQLSTATE '22007' USING MESSAGE = 'Conversion failed: ' || value; END IF;
  moment := coalesce(part[1], '1900-01-01')::date + coalesce(part[2], '00:00:00')::time;
  ticks := rpad(coalesce(part[3], ''), 7, '0')::bigint;
  IF kind = 'smalldatetime' THEN
    moment := date_trunc('minute', moment + interval '30 s'); ticks := 0;
  ELSIF kind = 'datetime' THEN
    ticks := round(round(ticks * 300 / 1e7) * 10 / 3) * 10000;
  ELSE
    ticks := (ticks + unit / 2) / unit * unit;
  END IF;
  IF ticks >= 10000000 THEN moment := moment + interval '1 s'; ticks := ticks - 10000000; END IF;
  IF moment::date > '9999-12-31' THEN RAISE SQLSTATE '22007' USING MESSAGE = 'out of range'; END IF;
  fraction := '.' || lpad(ticks::text, 7, '0');
  IF kind = 'time' THEN RETURN to_char(moment, 'HH24:MI:SS') || fraction; END IF;
  RETURN to_char(moment, 'YYYY-MM-DD HH24:MI:SS') || fraction
    || CASE WHEN kind = 'datetimeoffset' THEN ' ' || coalesce(nullif(part[4], 'Z'), '+00:00') ELSE '' END;
END $$;
CREATE OR REPLACE FUNCTION sys.nanosecond(value text) RETURNS integer LANGUAGE sql IMMUTABLE
  AS $$ SELECT substring(value FROM '\.(\d{7})')::integer * 100 $$;
CREATE OR REPLACE FUNCTION sys.tzoffset(value text) RETURNS integer LANGUAGE sql IMMUTABLE
  AS $$ SELECT (extract(epoch FROM right(value, 6)::interval) / 60)::integer $$;
CREATE OR REPLACE FUNCTION sys.try_xml(value text) RETURNS xml LANGUAGE plpgsql IMMUTABLE
  AS $$ BEGIN RETURN value::xml; EXCEPTION WHEN OTHERS THEN RETURN NULL; END $$;
CREATE OR REPLACE FUNCTION sys.object_id(name text) RETURNS bigint LANGUAGE sql STABLE
  AS $$ SELECT to_regclass(replace(replace(name, '[', '"'), ']', '"'))::oid::bigint $$;
CREATE OR REPLACE VIEW sys.types AS SELECT * FROM (VALUES
  (34, 'image'), (35, 'text'), (36, 'uniqueidentifier'), (40, 'date'), (41, 'time'), (42, 'datetime2'), (43,
  'datetimeoffset'), (48, 'tinyint'), (52, 'smallint'), (56, 'int'), (58, 'smalldatetime'), (59, 'real'), (60,
  'money'), (61, 'datetime'), (62, 'float'), (98, 'sql_variant'), (99, 'ntext'), (104, 'bit'), (106, 'decimal'),
  (122, 'smallmoney'), (127, 'bigint'), (165, 'varbinary'), (167, 'varchar'), (173, 'binary'), (175, 'char'),
  (189, 'timestamp'), (231, 'nvarchar'), (239, 'nchar'), (241, 'xml')
) AS known (user_type_id, name);
CREATE OR REPLACE FUNCTION sys.collationproperty(name text, property text) RETURNS integer LANGUAGE sql IMMUTABLE
  AS $$ SELECT 1252 WHERE name IS NOT NULL $$;
CREATE OR REPLACE FUNCTION sys.rows_of(relid oid) RETURNS bigint LANGUAGE plpgsql STABLE
  AS $$ DECLARE n bigint; BEGIN EXECUTE 'SELECT count(*) FROM ' || relid::regclass INTO n; RETURN n; END $$;
CREATE OR REPLACE VIEW sys.columns AS
  SELECT a.attrelid::bigint AS object_id, a.attnum::integer AS column_id, a.attname::text AS name,
    t.user_type_id AS system_type_id, t.user_type_id,
    CASE WHEN d.declared ~ '(char|binary)\(max\)|^(n?text|image|xml)' THEN -1
      WHEN d.declared ~ '^n.*char\(' THEN 2 * substring(d.declared FROM '\((\d+)')::integer
      WHEN d.declared ~ '(char|binary)\(' THEN substring(d.declared FROM '\((\d+)')::integer ELSE 1 END AS max_length,
    CASE WHEN d.declared LIKE 'smallmoney%' THEN 10 WHEN d.declared LIKE 'money%' THEN 19
      ELSE coalesce(substring(d.declared FROM '\((\d+)')::integer, 18) END AS precision,
    CASE WHEN d.declared ~ 'money' THEN 4 WHEN d.declared ~ '^(time|datetime2|datetimeoffset)'
      THEN coalesce(substring(d.declared FROM '\((\d+)')::integer, 7)
      ELSE coalesce(substring(d.declared FROM ',\s*(\d+)')::integer, 0) END AS scale,
    CASE WHEN d.declared ~ 'char|text' THEN 'SQL_Latin1_General_CP1_CI_AS' END AS collation_name,
    (NOT a.attnotnull)::integer AS is_nullable, (a.attidentity <> '')::integer AS is_identity,
    (a.attgenerated <> '')::integer AS is_computed, 0 AS generated_always_type,
    a.atthasdef::integer AS default_object_id
  FROM pg_attribute a JOIN sys.declared d ON d.relid = a.attrelid AND d.attnum = a.attnum
  JOIN sys.types t ON t.name = split_part(d.declared, '(', 1)
  WHERE NOT a.attisdropped;
CREATE OR REPLACE VIEW sys.indexes AS
  SELECT i.indrelid::bigint AS object_id, i.indexrelid::bigint AS index_id, i.indisunique::integer AS is_unique,
    i.indisprimary::integer AS is_primary_key, 0 AS has_filter, 0 AS is_disabled, 0 AS is_hypothetical
  FROM pg_index i;
CREATE OR REPLACE VIEW sys.index_columns AS
  SELECT i.indrelid::bigint AS object_id, i.indexrelid::bigint AS index_id, k.attnum::integer AS column_id,
    k.place::integer AS key_ordinal FROM pg_index i CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k(attnum, place);
CREATE OR REPLACE VIEW sys.partitions AS
  SELECT oid::bigint AS object_id, 1 AS index_id, sys.rows_of(oid) AS rows FROM pg_class WHERE relkind = 'r';
CREATE OR REPLACE VIEW sys.tables AS SELECT oid::bigint AS object_id, relname::text AS name FROM pg_class
  WHERE relkind = 'r';
CREATE OR REPLACE VIEW sys.triggers AS SELECT 0::bigint AS parent_id, 0 AS is_instead_of_trigger, 0 AS is_disabled
  WHERE false;
CREATE OR REPLACE VIEW sys.dm_exec_sessions AS SELECT a.pid AS session_id, a.datid::bigint AS database_id
  FROM pg_stat_activity a WHERE a.datid IS NOT NULL;
CREATE OR REPLACE VIEW sys.dm_exec_requests AS SELECT a.pid AS session_id, a.query AS sql_handle
  FROM pg_stat_activity a WHERE a.state = 'active';
CREATE OR REPLACE FUNCTION sys.dm_exec_sql_text(handle text) RETURNS TABLE (text text) LANGUAGE sql IMMUTABLE
  AS $$ SELECT handle $$;
CREATE TABLE IF NOT EXISTS sys.allowed (snapshots text);
CREATE OR REPLACE VIEW sys.databases AS SELECT current_database()::text AS name,
  coalesce((SELECT max(snapshots) FROM sys.allowed), 'OFF') AS snapshot_isolation_state_desc;
CREATE OR REPLACE FUNCTION sys.db_name() RETURNS text LANGUAGE sql STABLE AS $$ SELECT current_database()::text $$;
CREATE OR REPLACE FUNCTION sys.db_id() RETURNS bigint LANGUAGE sql STABLE
  AS $$ SELECT oid::bigint FROM pg_database WHERE datname = current_database() $$;
GRANT USAGE ON SCHEMA dbo, sys TO PUBLIC;
GRANT SELECT ON ALL TABLES IN SCHEMA sys TO PUBLIC;
GRANT INSERT, UPDATE ON sys.declared TO PUBLIC;
"""


class RefusedError(Exception):
    """An error of a statement: number and words."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number


class Session(socketserver.BaseRequestHandler):
    """One client."""

    backend: ClassVar[tuple[str, int]]
    request: socket.socket

    def handle(self) -> None:
        """Answer requests until the client goes or PostgreSQL ends the session."""
        self.packet = 4096
        self.transaction = 0
        self.implicit = False
        self.snapshots = False
        self.changes = b""
        self.bulk: tuple[str, list[str]] | None = None
        self.prepared: dict[int, tuple[str, list[str]]] = {}
        self.connection: psycopg.Connection[Any] | None = None
        try:
            while True:
                kind, data = self._message()
                answer = self._answer(kind, data)
                if answer is not None:
                    self._send(answer)
        except (EOFError, OSError, psycopg.OperationalError):
            pass
        finally:
            if self.connection is not None:
                self.connection.close()

    def _answer(self, kind: int, data: bytes) -> bytes | None:
        if kind == 0x12:
            return _prelogin()
        if kind == 0x10:
            return self._login(data)
        if kind == 0x06:
            return done(token=0xFD)
        requests = {0x01: self._batch, 0x03: self._procedure, 0x07: self._bulk_rows, 0x0E: self._transaction_request}
        try:
            return requests[kind](data)
        except RefusedError as error:
            return self._flush() + failure(error.number, str(error)) + done(error=True)

    def _read(self, count: int) -> bytes:
        out = b""
        while len(out) < count:
            piece = self.request.recv(count - len(out))
            if not piece:
                raise EOFError
            out += piece
        return out

    def _message(self) -> tuple[int, bytes]:
        out = bytearray()
        while True:
            kind, status, length, *_ = PACKET.unpack(self._read(8))
            out += self._read(length - 8)
            if status & 1:
                return kind, bytes(out)

    def _send(self, data: bytes) -> None:
        size = self.packet - 8
        pieces = [data[at : at + size] for at in range(0, len(data), size)] or [b""]
        for number, piece in enumerate(pieces, 1):
            if number % 64 == 0 and self.connection is not None and select.select([self.connection], [], [], 0)[0]:
                raise EOFError("the session was ended")  # PostgreSQL speaks unasked when it goes
            head = PACKET.pack(4, number == len(pieces), len(piece) + 8, 51, number & 255, 0)
            self.request.sendall(head + piece)

    # Logins and transactions

    def _login(self, data: bytes) -> bytes:
        def field(place: int) -> bytes:
            at, length = struct.unpack_from("<HH", data, place)
            return data[at : at + 2 * length]

        user, database = field(40).decode("utf-16-le"), field(68).decode("utf-16-le") or "postgres"
        password = bytes((byte ^ 0xA5) >> 4 | ((byte ^ 0xA5) & 15) << 4 for byte in field(44)).decode("utf-16-le")
        host, port = self.backend
        try:
            self.connection = psycopg.connect(
                host=host, port=port, user=user, password=password, dbname=database, autocommit=True
            )
        except psycopg.OperationalError as error:
            missing = "does not exist" in str(error)
            number = 4060 if missing else 18456
            words = f'Cannot open database "{database}"' if missing else f"Login failed for user '{user}'."
            return failure(number, words) + done(error=True)
        with self.connection.transaction():
            self.connection.execute("SELECT pg_advisory_xact_lock(1)")
            if self._fetch("SELECT to_regclass('sys.declared') IS NULL")[0][0]:
                self.connection.execute(SETUP)
        self.connection.execute("SET search_path TO dbo, sys")
        (asked,) = struct.unpack_from("<I", data, 8)
        packet = min(max(asked or 4096, 512), 32767)
        name = "Microsoft SQL Server"
        acknowledged = b"\x01" + struct.pack(">I", 0x74000004) + short_text(name) + bytes([16, 0, 0x03, 0xE8])
        out = environment_change(1, database, "master") + environment_change(7, b"\x09\x04\xd0\x00\x34", b"")
        out += (
            b"\xad" + struct.pack("<H", len(acknowledged)) + acknowledged + environment_change(4, str(packet), "4096")
        )
        if data[27] & 0x10:
            out += b"\xae\xff"
        self._send(out + done())
        self.packet = packet
        return None  # type: ignore[return-value]  # sent above, in packets of the size from before

    def _begin(self) -> None:
        if not self.transaction:
            # As in SQL Server the snapshot begins with the first statement that reads.
            self._run("BEGIN ISOLATION LEVEL REPEATABLE READ" if self.snapshots else "BEGIN")
            self.transaction = _next_transaction()
            self.changes += environment_change(8, struct.pack("<Q", self.transaction), b"")

    def _end(self, how: str) -> None:
        if self.transaction:
            self._run(how)
            kind = 9 if how == "COMMIT" else 10
            self.changes += environment_change(kind, b"", struct.pack("<Q", self.transaction))
            self.transaction = 0

    def _flush(self) -> bytes:
        changes, self.changes = self.changes, b""
        return changes

    def _transaction_request(self, data: bytes) -> bytes:
        body = Cursor(data, struct.unpack_from("<I", data)[0])
        kind = body.number("H")
        if kind == 5:
            self._begin()
        elif kind in (7, 8):
            self._end("COMMIT" if kind == 7 else "ROLLBACK")
        else:
            raise RefusedError(50000, f"transaction request {kind}")
        return self._flush() + done()

    # Statements

    def _batch(self, data: bytes) -> bytes:
        return self._text(self._headed(data).decode("utf-16-le"))

    def _headed(self, data: bytes) -> bytes:
        """What follows the headers, which must name the session's transaction as SQL Server demands."""
        (size,) = struct.unpack_from("<I", data)
        headers = Cursor(data[:size], 4)
        while not headers.ended:
            length, kind = headers.number("I"), headers.number("H")
            body = headers.take(length - 6)
            if kind == 2 and struct.unpack_from("<Q", body)[0] != self.transaction:
                raise RefusedError(
                    3989, "New request is not allowed to start because it should come with valid descriptor"
                )
        return data[size:]

    def _text(self, text: str, token: int = 0xFD) -> bytes:
        if "sp_tablecollations_100" in text:
            return self._describe_target(text)
        if found := re.match(r"(?is)\s*INSERT\s+BULK\s+(\S+)\s*\((.*)\)", text):
            names = re.findall(r"\[((?:[^\]]|\]\])+)\]\s+[a-z]", found[2], re.IGNORECASE)
            self.bulk = _backend_name(found[1]), [name.replace("]]", "]") for name in names]
            return done(token=token)
        if found := re.match(
            r"(?is)SELECT name, .*FROM\s+sys\.dm_exec_describe_first_result_set\(N'(.*)', NULL, 0\)", text
        ):
            return self._describe_query(found[1].replace("''", "'"))
        out = b""
        for statement in _statements(text):
            out += self._statement(statement, token)
        return self._flush() + (out or done(token=token))

    def _statement(self, text: str, token: int) -> bytes:
        words = text.strip().rstrip(";").split()
        head = " ".join(words[:2]).upper()
        more = token == 0xFF
        if not words:
            return b""
        if head.startswith(("BEGIN TRAN", "COMMIT", "SAVE TRAN", "ROLLBACK")):
            self._control(head, words[2:])
            return done(token=token, more=more)
        if head == "IF @@TRANCOUNT":
            rest = " ".join(words[words.index("0") + 1 :])
            return self._statement(rest, token) if self.transaction else done(token=token, more=more)
        if head == "CREATE LOGIN":
            self._run(f"CREATE ROLE {words[2]} LOGIN PASSWORD {words[-1]}")
            return done(token=token, more=more)
        if head == "CREATE USER":  # PostgreSQL's roles are both
            return done(token=token, more=more)
        if head == "ALTER DATABASE":
            self._run(f"INSERT INTO sys.allowed VALUES ({_literal(words[-1].upper())})")
            return done(token=token, more=more)
        if words[0].upper() == "KILL":
            self._run(f"SELECT pg_terminate_backend({int(words[1])})")
            return done(token=token, more=more)
        if words[0].upper() == "SET":
            if words[1].upper() == "IMPLICIT_TRANSACTIONS":
                self.implicit = words[2].upper() == "ON"
            if " ".join(words[1:4]).upper() == "TRANSACTION ISOLATION LEVEL":
                self.snapshots = words[4].upper() == "SNAPSHOT"
            return done(token=token, more=more)
        if self.implicit:
            self._begin()
        result, declared = self._execute(text)
        if result.status != ExecStatus.TUPLES_OK:
            return done(result.command_tuples or 0, token=token, more=more)
        names = [(result.fname(at) or b"").decode().replace("?column?", "") for at in range(result.nfields)]
        return _rows(result, list(zip(names, declared, strict=True)), token, more)

    def _control(self, head: str, rest: Sequence[str]) -> None:
        if head.startswith("BEGIN"):
            self._begin()
        elif head.startswith("SAVE"):
            if not self.transaction:
                raise RefusedError(628, "Cannot issue SAVE TRANSACTION when there is no active transaction.")
            self._run(f"SAVEPOINT {rest[0]}")
        elif head.startswith("ROLLBACK") and rest:
            if not self.transaction:
                raise RefusedError(3903, "The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION.")
            self._run(f"ROLLBACK TO SAVEPOINT {rest[0]}")
        elif not self.transaction:
            raise RefusedError(3902 if head.startswith("COMMIT") else 3903, "no corresponding BEGIN TRANSACTION")
        else:
            self._end(head.split()[0])

    def _execute(self, text: str) -> tuple[Any, list[Declared]]:
        text = re.sub(r"\b0x(?![0-9A-Fa-f])", "CAST('' AS varbinary(1))", text)  # sqlglot takes it for a name
        text = re.sub(r"(?i)\bntext\b", "nvarchar(max)", text)  # sqlglot takes it for text
        text = re.sub(r"(?i)\breal\b", "float(24)", text)  # and this for float
        text = re.sub(r"(?i)\bPRIMARY KEY NONCLUSTERED\b", "PRIMARY KEY", text)  # which it knows with a name only
        try:
            parsed = sqlglot.parse_one(text, read="tsql")
        except sqlglot.errors.ParseError as error:
            raise RefusedError(102, f"Incorrect syntax: {str(error).splitlines()[0]}") from None
        if isinstance(parsed, exp.Create) and parsed.kind == "TABLE":
            return self._create_table(parsed), []
        if isinstance(parsed, exp.Alter) and all(isinstance(part, exp.ColumnDef) for part in parsed.args["actions"]):
            return self._add_columns(parsed), []
        casts = [_cast_type(projection) for projection in parsed.selects] if isinstance(parsed, exp.Query) else []
        result = self._run(_translated(parsed, self.transaction))
        if isinstance(parsed, exp.Create) and parsed.kind == "VIEW":
            self._declare_view(parsed)
        if result.status != ExecStatus.TUPLES_OK:
            return result, []
        described = self._declared(result)
        if len(casts) == len(described):
            described = [cast or found for cast, found in zip(casts, described, strict=True)]
        return result, described

    def _run(self, statement: str) -> Any:
        """Run in PostgreSQL; an error leaves the transaction as SQL Server would leave it."""
        assert self.connection is not None
        guarded = self.connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
        guarded = guarded and not statement.startswith(("COMMIT", "ROLLBACK", "SAVEPOINT"))
        with self.connection.cursor() as cursor:
            if guarded:
                cursor.execute("SAVEPOINT statement_of_client")
            try:
                with self._cancelled_by_attention():
                    cursor.execute(statement.encode(), prepare=False)
                result = cursor.pgresult
            except psycopg.Error as error:
                if error.sqlstate is None or error.sqlstate.startswith("57P"):
                    raise
                number = NUMBERS.get(error.sqlstate, 50000)
                if guarded and number not in ENDING:
                    cursor.execute("ROLLBACK TO SAVEPOINT statement_of_client")
                elif guarded:
                    self._end("ROLLBACK")
                words = error.diag.message_primary or str(error)
                raise RefusedError(number, " ".join(f"{words} {error.diag.message_detail or ''}".split())) from None
            if guarded:
                cursor.execute("RELEASE SAVEPOINT statement_of_client")
        return result

    @contextlib.contextmanager
    def _cancelled_by_attention(self) -> Iterator[None]:
        """While a statement runs, watch for the client to take it back or to go."""
        assert self.connection is not None
        ended, connection = threading.Event(), self.connection

        def watch() -> None:
            while not ended.wait(0.1):
                if select.select([self.request], [], [], 0)[0]:
                    connection.cancel()
                    return

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()

    # Types

    def _declared(self, result: Any) -> list[Declared]:
        found = []
        for at in range(result.nfields):
            table, column = result.ftable(at), result.ftablecol(at)
            known = self._fetch(
                f"SELECT declared FROM sys.declared WHERE relid = {table} AND attnum = {column}"
            ) if table else []  # fmt: skip
            found.append(Declared.of(known[0][0] if known else _wire_type(result.ftype(at), result.fmod(at))))
        return found

    def _fetch(self, query: str) -> list[Any]:
        assert self.connection is not None
        return self.connection.execute(query.encode()).fetchall()

    def _create_table(self, parsed: exp.Create) -> Any:
        table = parsed.this.this
        temporary = table.name.startswith("#") or bool(table.this.args.get("temporary"))
        name = f'"#{table.name}"' if temporary else ".".join(_quoted(part) for part in (table.db, table.name) if part)
        declared: dict[str, str] = {}
        parts = []
        for item in parsed.this.expressions:
            if isinstance(item, exp.ColumnDef):
                if len(item.name) > 128:  # PostgreSQL would cut it
                    raise RefusedError(103, f"The identifier that starts with '{item.name[:128]}' is too long.")
                declared[item.name] = _type_text(Declared.of(item.kind.sql("tsql"))) if item.kind else ""
            parts.append(_definition(item))
        result = self._run(f"CREATE {'TEMPORARY ' if temporary else ''}TABLE {name} ({', '.join(parts)})")
        self._remember(name, declared)
        if not temporary:
            self._normalise(name, declared)
        return result

    def _add_columns(self, parsed: exp.Alter) -> Any:
        table = parsed.this
        name = ".".join(_quoted(part) for part in (table.db, table.name) if part)
        added = ", ".join(f"ADD COLUMN {_definition(column)}" for column in parsed.args["actions"])
        result = self._run(f"ALTER TABLE {name} {added}")
        declared = {column.name: _type_text(Declared.of(column.kind.sql("tsql"))) for column in parsed.args["actions"]}
        self._remember(name, declared)
        known = "SELECT attname, declared FROM sys.declared d JOIN pg_attribute a ON a.attrelid = relid "
        known += f"AND a.attnum = d.attnum WHERE relid = {_literal(name)}::regclass"
        self._normalise(name, dict(self._fetch(known)))
        return result

    def _remember(self, name: str, declared: dict[str, str]) -> None:
        for column, kind in declared.items():
            self._run(
                "INSERT INTO sys.declared SELECT attrelid, attnum, " + _literal(kind) + " FROM pg_attribute "
                f"WHERE attrelid = {_literal(name)}::regclass AND attname = {_literal(column)} "
                "ON CONFLICT (relid, attnum) DO UPDATE SET declared = EXCLUDED.declared"
            )

    def _normalise(self, name: str, declared: dict[str, str]) -> None:
        """Let a trigger bring dates and times to their canonical text, rounded as SQL Server rounds."""
        lines = []
        for column, kind in declared.items():
            told = Declared.of(kind)
            if told.name in TEMPORALS:
                quoted = _quoted(column)
                lines.append(f"NEW.{quoted} := sys.temporal(NEW.{quoted}, '{told.name}', {told.number(0, 7)});")
        if not lines:
            return
        function = f"sys.{_quoted('normalise ' + name)}"
        self._run(
            f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {' '.join(lines)} RETURN NEW; END $$"
        )
        self._run(
            f"CREATE OR REPLACE TRIGGER normalise BEFORE INSERT OR UPDATE ON {name} "
            f"FOR EACH ROW EXECUTE FUNCTION {function}()"
        )

    def _declare_view(self, parsed: exp.Create) -> None:
        result, declared = self._execute(parsed.expression.sql("tsql"))
        names = [(result.fname(at) or b"").decode() for at in range(result.nfields)]
        self._remember(_quoted(parsed.this.name), dict(zip(names, map(_type_text, declared), strict=True)))

    def _describe_query(self, query: str) -> bytes:
        text = Declared.of("nvarchar(4000)")
        described = [("name", text), ("", text), ("error_number", Declared.of("int")), ("error_message", text)]
        rows: list[tuple[str | None, ...]]
        try:
            result, declared = self._execute(f"SELECT TOP 0 * FROM ({query}) described")
            names = [(result.fname(at) or b"").decode() for at in range(result.nfields)]
            rows = [(name, _type_text(kind), None, None) for name, kind in zip(names, declared, strict=True)]
        except RefusedError as error:
            rows = [(None, None, str(error.number), str(error))]
        return self._flush() + _row_tokens(described, rows) + done(len(rows))

    # Bulk rows

    def _describe_target(self, text: str) -> bytes:
        found = re.search(r"N'SELECT ' \+ @Column_Names \+ N' FROM (\S+)'\)", text)
        assert found
        name = _backend_name(found[1])
        result = self._run(f"SELECT * FROM {name} LIMIT 0")
        names = [(result.fname(at) or b"").decode() for at in range(result.nfields)]
        declared = self._declared(result)
        text_type, number = Declared.of("nvarchar(128)"), Declared.of("int")
        collations = [("colid", number), ("name", text_type), ("tds_collation", Declared.of("varbinary(5)")),
                      ("collation", text_type)]  # fmt: skip
        rows = [
            (str(at), name, *(("0904d00034", "SQL_Latin1_General_CP1_CI_AS") if _is_text(kind) else (None, None)))
            for at, (name, kind) in enumerate(zip(names, declared, strict=True), 1)
        ]
        out = _row_tokens([("", number)], [("1" if self.transaction else "0",)]) + done(1, more=True)
        out += columns(list(zip(names, declared, strict=True)))[0] + done(0, more=True)
        out += _row_tokens(collations, rows) + done(len(rows), more=True, token=0xFF)
        return self._flush() + out + b"\x79\0\0\0\0" + done(token=0xFE)

    def _bulk_rows(self, data: bytes) -> bytes:
        assert self.bulk and self.connection
        (table, names), body = self.bulk, Cursor(data)
        assert body.number("B") == 0x81
        kinds = []
        for _ in range(body.number("H")):
            body.take(6)
            kinds.append(body.wire_type())
            body.short_text()
        rows = list(_sent_rows(body, kinds))
        binary = {at for at, kind in enumerate(kinds) if kind[0] in (0xA5, 0xAD)}
        into = ", ".join(map(_quoted, names))
        self._run("SELECT 1")  # finds out whether the backend is there
        with self.connection.cursor() as cursor, cursor.copy(f"COPY {table} ({into}) FROM STDIN".encode()) as copy:
            for row in rows:
                copy.write_row([f"\\x{value}" if at in binary and value is not None else value
                                for at, value in enumerate(row)])  # fmt: skip
        return self._flush() + done(len(rows))

    # Remote procedures, by which drivers send statements with parameters

    def _procedure(self, data: bytes) -> bytes:
        body = Cursor(self._headed(data))
        length = body.number("H")
        name: Any = body.number("H") if length == 0xFFFF else body.take(2 * length).decode("utf-16-le").lower()
        body.take(2)
        values: list[str | None] = []
        while not body.ended and body.data[body.position] not in (0x80, 0xFF):
            body.short_text()
            body.take(1)
            values.append(body.value(body.wire_type()))
        ending = b"\x79\0\0\0\0"
        if name in (10, "sp_executesql"):
            text, names = values[0] or "", re.findall(r"@(\w+)", (values[1] or "") if len(values) > 1 else "")
            return self._text(_bound(text, names, values[2:]), 0xFF) + ending + done(token=0xFE)
        if name in (11, 13, "sp_prepare", "sp_prepexec"):
            handle = len(self.prepared) + 1
            self.prepared[handle] = (values[2] or "", re.findall(r"@(\w+)", values[1] or ""))
            out = self._text(_bound(*self.prepared[handle], values[3:]), 0xFF) if name in (13, "sp_prepexec") else b""
            returned = b"\xac" + struct.pack("<H", 0) + short_text("") + b"\x01" + struct.pack("<IH", 0, 0)
            return out + ending + returned + b"\x26\x04\x04" + struct.pack("<i", handle) + done(token=0xFE)
        if name in (12, "sp_execute"):
            return self._text(_bound(*self.prepared[int(values[0] or 0)], values[1:]), 0xFF) + ending + done(token=0xFE)
        if name in (15, "sp_unprepare", "sp_reset_connection"):
            return ending + done(token=0xFE)
        raise RefusedError(2812, f"Could not find stored procedure '{name}'.")


def _prelogin() -> bytes:
    options = [(0, struct.pack(">BBHH", 16, 0, 1000, 0)), (1, b"\x02"), (2, b"\0"), (3, b""), (4, b"\0")]
    head, body, place = b"", b"", 5 * len(options) + 1
    for kind, value in options:
        head += struct.pack(">BHH", kind, place + len(body), len(value))
        body += value
    return head + b"\xff" + body


_transactions = iter(range(1, 1 << 62))
_transaction_lock = threading.Lock()


def _next_transaction() -> int:
    with _transaction_lock:
        return next(_transactions)


def _statements(text: str) -> list[str]:
    """The statements of a batch; what sqlglot has no words for stands alone in its batch."""
    if re.match(r"(?i)\s*(SAVE|ROLLBACK|BEGIN|COMMIT|KILL|SET)\b[^;]*;?\s*$", text):
        return [text]
    tokens = sqlglot.tokenize(text, read="tsql")
    pieces, start = [], 0
    for token in tokens:
        if token.token_type == sqlglot.TokenType.SEMICOLON:
            pieces.append(text[start : token.start])
            start = token.end + 1
    return [piece for piece in (*pieces, text[start:]) if piece.strip()]


def _rows(result: Any, described: list[tuple[str, Declared]], token: int, more: bool) -> bytes:
    head, encoders = columns(described)
    binary = {
        at for at, (_, kind) in enumerate(described) if kind.name in ("binary", "varbinary", "image", "timestamp")
    }
    out = bytearray(head)
    for row in range(result.ntuples):
        out += b"\xd1"
        for at, encode in enumerate(encoders):
            raw = result.get_value(row, at)
            text = None if raw is None else raw.decode()
            out += encode(text[2:] if text is not None and at in binary else _told(text, described[at][1]))
    return bytes(out) + done(result.ntuples, token=token, more=more)


def _told(text: str | None, kind: Declared) -> str | None:
    """PostgreSQL's text as the wire module reads it."""
    if text is not None and kind.name == "bit":
        return {"t": "1", "f": "0"}.get(text, text)
    return text


def _row_tokens(described: list[tuple[str, Declared]], rows: Sequence[Sequence[str | None]]) -> bytes:
    out, encoders = columns(described)
    for row in rows:
        out += b"\xd1" + b"".join(encode(value) for encode, value in zip(encoders, row, strict=True))
    return out


def _sent_rows(body: Cursor, kinds: Sequence[tuple[int, ...]]) -> Iterator[list[str | None]]:
    while not body.ended:
        token = body.number("B")
        if token == 0xD1:
            yield [body.value(kind) for kind in kinds]
        elif token == 0xD2:
            nulls = body.take((len(kinds) + 7) // 8)
            yield [
                None if nulls[at // 8] >> (at % 8) & 1 else body.value(kind) for at, kind in enumerate(kinds)
            ]  # fmt: skip
        else:
            return


def _wire_type(oid: int, modifier: int) -> str:
    if oid == 1700:
        return f"decimal({modifier - 4 >> 16},{modifier - 4 & 0x7FF})" if modifier >= 4 else "decimal(38,0)"
    return WIRE.get(oid, "nvarchar(max)")


def _type_text(declared: Declared) -> str:
    numbers = ",".join("max" if number == -1 else str(number) for number in declared.numbers)
    name = "timestamp" if declared.name == "rowversion" else declared.name
    if name in ("time", "datetime2", "datetimeoffset") and not numbers:
        numbers = "7"
    return f"{name}({numbers})" if numbers and name not in ("float", "real") else name


def _is_text(declared: Declared) -> bool:
    return "char" in declared.name or "text" in declared.name


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _backend_name(name: str) -> str:
    """`[tempdb]..[#x]` or `[dbo].[x]` as PostgreSQL has it."""
    parts = re.findall(r"\[((?:[^\]]|\]\])*)\]|([^.\[\]]+)", name)
    names = [(quoted or plain).replace("]]", "]") for quoted, plain in parts]
    return _quoted(names[-1]) if names[-1].startswith("#") else ".".join(map(_quoted, names))


def _storage(kind: exp.DataType) -> str:
    """PostgreSQL's type for a T-SQL one."""
    text = kind.sql("tsql").lower()
    declared = Declared.of(text)
    if declared.name in TEMPORALS:
        return "text"
    if "char" in declared.name:
        length = declared.number(0, 1)
        fixed = declared.name in ("char", "nchar")
        return "text" if length == -1 else f"{'char' if fixed else 'varchar'}({length})"
    if declared.name == "float" and declared.number(0, 53) <= 24:
        return "real"
    return STORAGE.get(declared.name) or text


def _definition(item: exp.Expression) -> str:
    if not isinstance(item, exp.ColumnDef) or item.kind is None:
        return _translated(item, 0)
    constraints = " ".join(
        _translated(constraint, 0) for constraint in item.constraints
        if not isinstance(constraint.kind, exp.CollateColumnConstraint)
    )  # fmt: skip
    kind = item.kind.sql("tsql").lower()
    check = f" CHECK ({_quoted(item.name)} BETWEEN 0 AND 255)" if kind == "tinyint" else ""
    if kind in ("rowversion", "timestamp"):
        constraints += " DEFAULT '\\x0000000000000001'"
    collation = ' COLLATE "C"' if _storage(item.kind).startswith(("text", "varchar", "char")) else ""
    return f"{_quoted(item.name)} {_storage(item.kind)}{collation} {constraints}{check}"


def _cast_type(projection: exp.Expression) -> Declared | None:
    inner = projection.unalias()
    if isinstance(inner, exp.Convert):
        return Declared.of(inner.this.sql("tsql"))
    return Declared.of(inner.to.sql("tsql")) if isinstance(inner, exp.Cast) else None


def _translated(parsed: exp.Expression, transaction: int) -> str:
    """PostgreSQL's words for a T-SQL statement."""
    tree = parsed.copy().transform(lambda node: _node(node, transaction))
    text: str = tree.sql("postgres")
    return re.sub(r" NULLS (FIRST|LAST)", "", text)


def _node(node: exp.Expression, transaction: int) -> exp.Expression:
    if isinstance(node, exp.National):
        return exp.Literal.string(str(node.this))
    if isinstance(node, exp.Table) and node.this:  # a schema has none
        node.set("hints", None)
        if node.this.args.get("temporary"):
            node.this.set("temporary", False)
            node.set("this", exp.to_identifier(f"#{node.name}", quoted=True))
    if isinstance(node, exp.Convert):
        return _cast(node.expression, node.this, bool(node.args.get("safe")))
    if isinstance(node, (exp.Cast, exp.TryCast)):
        return _cast(node.this, node.to, isinstance(node, exp.TryCast))
    if isinstance(node, exp.Extract) and node.name.lower() in FUNCTIONS:
        return exp.Anonymous(this=FUNCTIONS[node.name.lower()], expressions=[node.expression])
    if isinstance(node, exp.HexString):
        return exp.Literal.string(f"\\x{int(node.this):x}" if node.args.get("is_integer") else f"\\x{node.this}")
    if isinstance(node, exp.Parameter) and isinstance(node.this, exp.Parameter):
        name = node.this.name.upper()
        if name == "SPID":
            return exp.Anonymous(this="pg_backend_pid", expressions=[])
        return exp.Literal.number(int(bool(transaction))) if name == "TRANCOUNT" else exp.Literal.string(PRODUCT)
    return node


def _cast(value: exp.Expression, kind: exp.DataType, safe: bool) -> exp.Expression:
    declared = Declared.of(kind.sql("tsql"))
    if declared.name in TEMPORALS:
        arguments = [value, exp.Literal.string(declared.name), exp.Literal.number(declared.number(0, 7))]
        return exp.Anonymous(this="sys.temporal", expressions=arguments)
    if declared.name == "xml" and safe:
        return exp.Anonymous(this="sys.try_xml", expressions=[value])
    return exp.Cast(this=value, to=exp.DataType.build(_storage(kind), dialect="postgres"))


def _bound(text: str, names: Sequence[str], values: Sequence[str | None]) -> str:
    """The statement with its parameters as literals."""
    for name, value in zip(names, values, strict=False):
        literal = "NULL" if value is None else f"N{_literal(value)}"
        text = re.sub(rf"@{name}\b", lambda _, literal=literal: literal, text)  # type: ignore[misc]
    return text


class Server(socketserver.ThreadingTCPServer):
    """Listens for clients."""

    allow_reuse_address = True
    daemon_threads = True


def main(arguments: Sequence[str]) -> None:
    """Serve until the process is ended."""
    port, host, backend_port = arguments
    Session.backend = (host, int(backend_port))
    with Server(("127.0.0.1", int(port)), Session) as server:
        server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
