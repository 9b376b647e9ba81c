"""The pool of PostgreSQL connections."""

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool

Connection = psycopg.Connection[DictRow]
Pool = ConnectionPool[Connection]

CONNECT_TIMEOUT_S = 10.0


def open_pool(url: str, max_size: int) -> Pool:
    """A pool whose rows are dictionaries; a connection that died is replaced before it is handed out."""
    return ConnectionPool(
        url,
        min_size=1,
        max_size=max_size,
        open=True,
        timeout=CONNECT_TIMEOUT_S,
        check=ConnectionPool.check_connection,
        connection_class=psycopg.Connection[DictRow],
        kwargs={"row_factory": dict_row},
    )


def connect(url: str) -> Connection:
    """One connection of its own, in autocommit: for locks and for LISTEN."""
    return psycopg.Connection[DictRow].connect(
        url, row_factory=dict_row, autocommit=True, connect_timeout=int(CONNECT_TIMEOUT_S)
    )
