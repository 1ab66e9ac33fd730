"""Rows of a real PostgreSQL server come as they are there, and nothing is written to it."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import pytest
from postgres_server import server

from polycera.data.sources import postgres
from polycera.errors import InputError

psycopg = pytest.importorskip("psycopg")
pytestmark = pytest.mark.nokeras

TABLE = """
CREATE TABLE "Orders" (
    id bigint, price numeric(10, 2), share real, note text, paid boolean, day date,
    moment timestamptz, tags text[], photo bytea, "a ""b" varchar, info jsonb
);
INSERT INTO "Orders" VALUES
    (9007199254740993, 12.50, 0.5, 'say "hi", now', true, '2024-02-01',
     '2024-02-01 12:00:00+02', '{a,b}', '\\xff00', 'x', '{"k": 1}'),
    (NULL, NULL, NULL, '', NULL, NULL, NULL, NULL, NULL, NULL, NULL);
CREATE SCHEMA shop; CREATE TABLE shop.empty (a int);
"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with server() as address:
        with psycopg.connect(address, autocommit=True) as database:
            database.execute(TABLE)
        yield address


def test_types_gaps_and_empty_text(address: str) -> None:
    rows = postgres.read(f"{address}&table=Orders", exclude=["info"])
    assert rows.left_out == ("info",)
    assert dict(rows.types) == {
        "id": "BIGINT",
        "price": "DOUBLE",
        "share": "DOUBLE",
        "note": "VARCHAR",
        "paid": "BOOLEAN",
        "day": "DATE",
        "moment": "TIMESTAMP WITH TIME ZONE",
        "tags": "VARCHAR[]",
        "photo": "BLOB",
        'a "b': "VARCHAR",
    }
    names = ("id", "price", "share", "note", "paid", "day", 'a "b')
    chosen = ", ".join(rows.quoted(name) for name in names)
    found = rows.execute(f"select {chosen} from {rows.relation}").fetchall()
    first = (9007199254740993, 12.5, 0.5, 'say "hi", now', True, datetime.date(2024, 2, 1), "x")
    assert found == [first, (None, None, None, "", None, None, None)]
    moment = rows.execute(f"select epoch(moment) from {rows.relation}").fetchone()
    assert moment == (datetime.datetime(2024, 2, 1, 10, tzinfo=datetime.UTC).timestamp(),)


def test_a_query(address: str) -> None:
    rows = postgres.read(address, sql='SELECT price * 2 AS double FROM "Orders" WHERE paid;')
    assert rows.execute(f"select * from {rows.relation}").fetchall() == [(25.0,)]


SENTENCES = {
    "no table": ("&table=nope", None, 'relation "nope" does not exist'),
    "no rows": ("&table=shop.empty", None, "has 0 rows"),
    "neither": ("", None, "name one in its address"),
    "no query": ("", "DELETE FROM shop.empty", "syntax error"),
    "a query that writes": ("", "SELECT nextval('counter')", "read-only transaction"),
    "a column twice": ("", "SELECT 1 AS a, 2 AS a", "'a' twice"),
}


@pytest.mark.parametrize("case", SENTENCES)
def test_one_sentence(address: str, case: str) -> None:
    more, sql, said = SENTENCES[case]
    with psycopg.connect(address, autocommit=True) as database:
        database.execute("CREATE SEQUENCE IF NOT EXISTS counter")
    with pytest.raises(InputError, match=said) as caught:
        postgres.read(f"{address}{more}", sql=sql)
    assert "\n" not in str(caught.value)


def test_no_server_and_no_password_shown() -> None:
    with pytest.raises(InputError, match="cannot be read") as caught:
        postgres.read("postgresql://ada:secret@127.0.0.1:1/sales?table=orders")
    assert "secret" not in str(caught.value)
    assert "ada@127.0.0.1:1/sales" in str(caught.value)
