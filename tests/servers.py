"""Real database servers for the tests: started on free ports, owned by the test run, ended by pid.

A server lives in a temporary folder, asks for a password, and dies with the test process. PostgreSQL and
MariaDB refuse to run as root, so under root they run as the user that their Debian package made.
A database address in the environment (`FLINKX_TEST_POSTGRES_URL`, `FLINKX_TEST_MARIADB_URL`) is used
instead of a server of our own; a MySQL 8 address may stand in the second one.
"""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import itertools
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, ClassVar, Generic, TypeVar
from urllib.parse import quote, unquote, urlsplit

import psutil

LOCALHOST = "127.0.0.1"
START_SECONDS = 90
STOP_SECONDS = 20
USER = "flinkx"
PASSWORD = "a:Real/Pass@word%1"  # with the characters that break a badly quoted URL
DatabaseType = TypeVar("DatabaseType", bound="Database")
_serial = itertools.count(1)


class ServerMissingError(Exception):
    """The server's programs are not installed; the message says which package brings them."""


def free_port() -> int:
    """A port on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind((LOCALHOST, 0))
        return int(probe.getsockname()[1])


def await_condition(condition: Callable[[], object], seconds: float, what: str, interval: float = 0.05) -> Any:
    """Poll `condition` until it is true and return its value; `TimeoutError` names `what` otherwise."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(interval)
    return value


class OwnedProcess:
    """A process of ours with its log file; `stop` ends it and everything that it started."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        cwd: Path,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.log = log
        self._stop_signal = stop_signal
        self._output: IO[bytes] = log.open("ab")
        self._process = subprocess.Popen(
            [*_owned(user, stop_signal), *command],
            cwd=cwd,
            env=dict(environment) if environment is not None else None,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.pid = self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process has not ended yet."""
        return self._process.poll() is None

    def log_tail(self, characters: int = 3000) -> str:
        """The end of what the process printed."""
        return self.log.read_text(errors="replace")[-characters:]

    def await_ready(self, ready: Callable[[], object], what: str) -> None:
        """Wait until `ready` is true; a process that ends before is an error with its log."""

        def ready_or_ended() -> object:
            if not self.running:
                raise RuntimeError(f"{what} ended with {self._process.returncode}:\n{self.log_tail()}")
            return ready()

        try:
            await_condition(ready_or_ended, START_SECONDS, what)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.log_tail()}") from None

    def listens_on(self, port: int) -> bool:
        """Whether this process or a child of it, and nobody else, listens on `port`."""
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self.pid)
            return any(
                connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
                for process in [parent, *parent.children(recursive=True)]
                for connection in process.net_connections("inet")
            )
        return False

    def stop(self) -> None:
        """Ask the process to end, then kill it and its children."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, self._stop_signal)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._output.close()


@dataclasses.dataclass(frozen=True)
class Database(abc.ABC):
    """One database on a running server, and the login that owns it."""

    host: str
    port: int
    user: str
    password: str
    database: str

    jdbc_scheme: ClassVar[str]
    url_scheme: ClassVar[str]

    @classmethod
    def from_url(cls: type[DatabaseType], url: str) -> DatabaseType:
        """The database at `scheme://user:password@host:port/database`."""
        parts = urlsplit(url)
        if not (parts.hostname and parts.port and parts.username and parts.path.strip("/")):
            raise ValueError(f"{cls.__name__} needs scheme://user:password@host:port/database")
        password = unquote(parts.password or "")
        return cls(parts.hostname, parts.port, unquote(parts.username), password, parts.path.strip("/"))

    @property
    def jdbc_url(self) -> str:
        """The address as a FlinkX job writes it, without the login."""
        return f"jdbc:{self.jdbc_scheme}://{self.host}:{self.port}/{self.database}"

    @property
    def url(self) -> str:
        """The address with the login, as SQLAlchemy and Airflow connections take it."""
        login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        return f"{self.url_scheme}://{login}@{self.host}:{self.port}/{self.database}"

    @abc.abstractmethod
    def connect(self) -> Any:
        """A new DB-API connection in autocommit mode."""

    def fresh_database(self: DatabaseType) -> DatabaseType:
        """A new empty database on the same server, with the same login."""
        name = f"test_{os.getpid()}_{next(_serial)}_{secrets.token_hex(3)}"
        self.execute(f"CREATE DATABASE {name}")
        return dataclasses.replace(self, database=name)

    def drop(self, *tables: str) -> None:
        """Drop tables that may not be there."""
        self.execute(*(f"DROP TABLE IF EXISTS {table}" for table in tables))

    def execute(self, *statements: str) -> None:
        """Run statements one by one, each committed by itself."""
        with contextlib.closing(self.connect()) as connection, contextlib.closing(connection.cursor()) as cursor:
            for statement in statements:
                cursor.execute(statement)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with contextlib.closing(self.connect()) as connection, contextlib.closing(connection.cursor()) as cursor:
            cursor.execute(statement)
            return [tuple(row) for row in cursor.fetchall()]


class PostgresDatabase(Database):
    """A database on PostgreSQL."""

    jdbc_scheme = "postgresql"
    url_scheme = "postgresql"

    def connect(self) -> Any:
        """A new psycopg connection in autocommit mode."""
        import psycopg

        return psycopg.connect(
            host=self.host,
            port=self.port,
            user=self.user,
            password=self.password,
            dbname=self.database,
            autocommit=True,
            connect_timeout=10,
        )


class MariadbDatabase(Database):
    """A database on MariaDB or MySQL."""

    jdbc_scheme = "mysql"
    url_scheme = "mysql"

    def connect(self) -> Any:
        """A new PyMySQL connection in autocommit mode that may send local files."""
        import pymysql

        return pymysql.connect(
            host=self.host,
            port=self.port,
            user=self.user,
            password=self.password,
            database=self.database,
            charset="utf8mb4",
            autocommit=True,
            local_infile=True,
            connect_timeout=10,
        )


class SQLServerDatabase(Database):
    """A database on SQL Server, or on the stand-in for it."""

    jdbc_scheme = "sqlserver"
    url_scheme = "mssql"

    @property
    def jdbc_url(self) -> str:
        """The address in Microsoft's form; neither the stand-in nor a fresh server has a certificate to check."""
        return f"jdbc:sqlserver://{self.host}:{self.port};databaseName={self.database};encrypt=false"

    def connect(self) -> Any:
        """A new mssql-python connection in autocommit mode."""
        import mssql_python

        mssql_python.native_provider = "mssql-odbc"
        mssql_python.pooling(enabled=False)
        parts = {"Server": f"{self.host},{self.port}", "Database": self.database, "UID": self.user,
                 "PWD": self.password, "Encrypt": "no"}  # fmt: skip
        text = ";".join(f"{name}={{{value.replace('}', '}}')}}}" for name, value in parts.items())
        return mssql_python.connect(text, autocommit=True, timeout=10)


class Server(Generic[DatabaseType]):
    """A server of ours, which a test may kill and start again on the same data.

    Start it from the thread that outlives it: the system ends a process when the *thread* that started it ends.
    """

    def __init__(self, start: Callable[[], OwnedProcess], database: DatabaseType) -> None:
        self.database = database
        self._start = start
        self._process = start()

    def await_ready(self) -> None:
        """Wait until our own process answers a login."""
        listens = self._process.listens_on
        port = self.database.port
        self._process.await_ready(lambda: listens(port) and _answers(self.database), self.database.jdbc_url)

    def kill(self) -> None:
        """`kill -9` of all its processes at once."""
        leader = psutil.Process(self._process.pid)
        processes = [leader, *leader.children(recursive=True)]
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.stop()
        psutil.wait_procs(processes, STOP_SECONDS)

    def start_again(self) -> None:
        """Start it after `kill`, and wait until it answers."""
        self._process = self._start()
        self.await_ready()

    def stop(self) -> None:
        """End it."""
        self._process.stop()


@contextlib.contextmanager
def sqlserver_stand_in(backend: PostgresDatabase) -> Iterator[SQLServerDatabase]:
    """The stand-in for SQL Server (`tests/sqlserver_stand_in.py`) in front of a PostgreSQL server."""
    folder = Path(tempfile.mkdtemp(prefix="flinkx-test-"))
    port = free_port()
    login = SQLServerDatabase(LOCALHOST, port, backend.user, backend.password, backend.database)

    def start() -> OwnedProcess:
        return OwnedProcess(
            [sys.executable, "-m", "tests.sqlserver_stand_in", str(port), backend.host, str(backend.port)],
            log=folder / "server.log",
            cwd=Path(__file__).parents[1],
        )

    try:
        with _running(start, login) as server:
            yield server.database
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def postgres_server() -> Iterator[PostgresDatabase]:
    """PostgreSQL from the Debian package, with SCRAM passwords and without waiting for the disk."""
    with killable_postgres() as server:
        yield server.database


@contextlib.contextmanager
def killable_postgres(**others: str) -> Iterator[Server[PostgresDatabase]]:
    """The same.

    Args:
        others: more settings; with `synchronous_commit="on"` what was committed outlives `Server.kill`.
    """
    programs = _postgres_programs()
    with _server_folder("postgres") as folder:
        data = folder / "data"
        password_file = folder / "password"
        password_file.write_text(PASSWORD)
        _hand_over(password_file, "postgres")
        initdb = [str(programs / "initdb"), "-D", str(data), "-U", USER, f"--pwfile={password_file}"]
        _run([*initdb, "--auth=scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync"], folder, "postgres")
        port = free_port()
        settings = {
            "listen_addresses": LOCALHOST,
            "unix_socket_directories": str(folder),
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "max_connections": "200",
            "max_wal_size": "4GB",
            **others,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]

        def start() -> OwnedProcess:
            return OwnedProcess(
                [str(programs / "postgres"), "-D", str(data), "-p", str(port), *options],
                log=folder / "server.log",
                cwd=folder,
                user="postgres",
                stop_signal=signal.SIGINT,  # "fast": does not wait for clients
            )

        with _running(start, PostgresDatabase(LOCALHOST, port, USER, PASSWORD, "postgres")) as server:
            yield server


@contextlib.contextmanager
def mariadb_server(**others: object) -> Iterator[MariadbDatabase]:
    """MariaDB from the Debian package, with native passwords, strict mode as installed, LOCAL files allowed.

    Args:
        others: more settings, such as `ssl_ca`; the files that they name must be readable for everyone.
    """
    with killable_mariadb(**others) as server:
        yield server.database


@contextlib.contextmanager
def killable_mariadb(**others: object) -> Iterator[Server[MariadbDatabase]]:
    """The same; with `innodb_flush_log_at_trx_commit=2` what was committed outlives `Server.kill`."""
    server_program = program("mariadbd", "mariadb-server")
    install_program = program("mariadb-install-db", "mariadb-server")
    with _server_folder("mysql") as folder:
        data = folder / "data"
        install = [install_program, "--no-defaults", f"--datadir={data}", "--skip-test-db"]
        _run([*install, "--auth-root-authentication-method=normal"], folder, "mysql")
        login = f"'{USER}'@'%'"
        start_file = folder / "start.sql"
        start_file.write_text(
            f"CREATE USER IF NOT EXISTS {login} IDENTIFIED VIA mysql_native_password USING PASSWORD('{PASSWORD}');\n"
            f"GRANT ALL ON *.* TO {login} WITH GRANT OPTION;\n"
            f"ALTER USER 'root'@'localhost' IDENTIFIED BY '{PASSWORD}';\n"
            "CREATE DATABASE IF NOT EXISTS flinkx CHARACTER SET utf8mb4;\n"
        )
        _hand_over(start_file, "mysql")
        port = free_port()
        settings = {
            "datadir": data,
            "port": port,
            "bind-address": LOCALHOST,
            "socket": folder / "socket",
            "pid-file": folder / "pid",
            "init-file": start_file,
            "character-set-server": "utf8mb4",
            "local-infile": 1,
            "max-allowed-packet": "64M",
            "innodb-flush-log-at-trx-commit": 0,
            "innodb-flush-method": "nosync",
            **{name.replace("_", "-"): value for name, value in others.items()},
        }
        options = [f"--{name}={value}" for name, value in settings.items()]

        def start() -> OwnedProcess:
            return OwnedProcess(
                [server_program, "--no-defaults", "--skip-name-resolve", "--skip-log-bin", *options],
                log=folder / "server.log",
                cwd=folder,
                user="mysql",
            )

        with _running(start, MariadbDatabase(LOCALHOST, port, USER, PASSWORD, "flinkx")) as server:
            yield server


@contextlib.contextmanager
def _running(start: Callable[[], OwnedProcess], database: DatabaseType) -> Iterator[Server[DatabaseType]]:
    """Start a server and wait until it answers; end it afterwards."""
    server = Server(start, database)
    try:
        server.await_ready()
        yield server
    finally:
        server.stop()


def _answers(database: Database) -> bool:
    """Whether the server lets our login in; while it starts, it refuses in many ways."""
    try:
        database.execute("SELECT 1")
    except Exception as error:
        if type(error).__module__.split(".")[0] in ("psycopg", "pymysql", "mssql_python"):
            return False
        raise
    return True


@contextlib.contextmanager
def _server_folder(user: str) -> Iterator[Path]:
    """A temporary folder of the server's user; the system's folder, because pytest's is closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="flinkx-test-"))
    try:
        _hand_over(folder, user)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _hand_over(path: Path, user: str) -> None:
    """Under root, give `path` to the user that the server runs as."""
    if os.geteuid() == 0:
        shutil.chown(path, user, user)


def _owned(user: str | None, stop_signal: signal.Signals) -> list[str]:
    """A prefix that drops root and lets the process end when the test process does."""
    prefix = ["setpriv", "--pdeathsig", stop_signal.name.removeprefix("SIG")]
    if user and os.geteuid() == 0:
        prefix += [f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    return prefix


def _run(command: Sequence[str], folder: Path, user: str) -> None:
    """Run a program that sets a server up; its output is the error when it fails."""
    done = subprocess.run(
        [*_owned(user, signal.SIGTERM), *command], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def program(name: str, package: str) -> str:
    """Path of an installed program; Debian keeps servers outside a user's PATH."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin")
    if not found:
        raise ServerMissingError(f"{name} is not installed: apt-get install {package}")
    return found


def _postgres_programs() -> Path:
    """Folder of initdb and postgres of the newest installed PostgreSQL."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if versions:
        return versions[-1].parent
    return Path(program("initdb", "postgresql")).resolve().parent
