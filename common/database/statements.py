"""Statements of the ORM that are compiled once, for those that a busy path executes each time.

The ORM takes .1 to .3 ms to compile a statement that a database carries out in .02, and compiles it
again at each execution. Here parameters stand for the values, and a thread compiles once:

    _OF_USER = Select(lambda: Turn.objects.filter(user_id=Parameter("user_id")))
    turns = _OF_USER.rows(user_id="alice")

No parameter of a condition may be None, as that would be another statement (IS NULL).

PostgreSQL prepares those that write, too, on connections that allow it (common.database.limits).
Not those that read: when a migration has changed a column's type, each would fail until its
connection ends.
"""

import threading
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.models import Expression, Field, Model, QuerySet
from django.db.models.sql import InsertQuery, UpdateQuery

from common.database.limits import prepares_statements

Row = TypeVar("Row", bound=Model)


class Parameter(Expression):
    """Stands for the value of this name. `output_field`: of a value that is written to a field."""

    def __init__(self, name: str, output_field: "Field[Any, Any] | None" = None) -> None:
        super().__init__(output_field)
        self.name, self._field = name, output_field

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        return "%s", [self]

    def prepared(self, value: Any, connection: Any) -> Any:
        """Return the value as the database's driver takes it."""
        if self._field is not None:
            return self._field.get_db_prep_save(value, connection)
        return connection.ops.adapt_unknown_value(value)


class _Statement(threading.local):
    """A statement as it was compiled for the connection of this thread."""

    connection: Any = None

    def __init__(self, make_query: Callable[[], Any]) -> None:
        self._make_query = make_query

    def compile(self) -> None:
        """Compile it, if that was not done yet."""
        connection = connections[DEFAULT_DB_ALIAS]
        if self.connection is connection:
            return
        self.compiler: Any = self._make_query().get_compiler(connection=connection)
        compiled = self.compiler.as_sql()
        self._sql, self._parts = compiled[0] if isinstance(compiled, list) else compiled
        columns = [column for column, *_ in self.compiler.select or ()]
        self.names = [column.target.attname for column in columns]
        self.converters = self.compiler.get_converters(columns)
        self.connection = connection

    def execute(self, cursor: Any, values: dict[str, Any]) -> None:
        """Execute it with these values of its parameters."""
        given = [
            part.prepared(values[part.name], self.connection)
            if isinstance(part, Parameter)
            else part
            for part in self._parts
        ]
        cursor.execute(self._sql, given)


class Select(Generic[Row]):
    """A query for rows of one model. `build` returns it, with parameters."""

    def __init__(self, build: Callable[[], QuerySet[Row]]) -> None:
        self._statement = _Statement(lambda: build().query)

    def rows(self, **values: Any) -> list[Row]:
        """Return the rows for these values of the parameters."""
        statement = self._statement
        statement.compile()
        with statement.connection.cursor() as cursor:
            statement.execute(cursor, values)
            found = cursor.fetchall()
        found = statement.compiler.apply_converters(found, statement.converters)
        model: type[Row] = statement.compiler.query.model
        return [model.from_db(DEFAULT_DB_ALIAS, statement.names, row) for row in found]

    def first(self, **values: Any) -> Row | None:
        """Return the first row, None without one."""
        return next(iter(self.rows(**values)), None)


class Update:
    """A change of rows.

    Args:
        build: returns the rows, with parameters.
        names: the fields that are set to parameters of their own names.
        fields: other fields, with what they are set to.
    """

    def __init__(self, build: Callable[[], QuerySet[Any]], *names: str, **fields: Any) -> None:
        def make_query() -> Any:
            rows = build()
            query: Any = rows.query.chain(UpdateQuery)
            query.add_update_values({**_parameters(rows.model, names), **fields})
            return query

        self._statement = _Statement(make_query)

    def run(self, row: Model | None = None, **values: Any) -> int:
        """Change the rows; return how many there are.

        Args:
            row: has the values of parameters with the names of its fields.
            values: of other parameters.
        """
        return _write(self._statement, {**row.__dict__, **values} if row else values)


class Insert(Generic[Row]):
    """The insertion of a row that has its primary key."""

    def __init__(self, model: type[Row]) -> None:
        def make_query() -> Any:
            fields = model._meta.concrete_fields
            parameters = _parameters(model, (field.attname for field in fields))
            query = InsertQuery(model)
            query.insert_values(fields, [model(**parameters)])
            return query

        self._statement = _Statement(make_query)

    def run(self, row: Row) -> None:
        """Insert this row."""
        _write(self._statement, row.__dict__)
        row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS


def _parameters(model: type[Model], names: Iterable[str]) -> dict[str, Parameter]:
    fields: Any = {name: model._meta.get_field(name) for name in names}
    return {name: Parameter(name, field) for name, field in fields.items()}


def _write(statement: _Statement, values: dict[str, Any]) -> int:
    statement.compile()
    with (
        transaction.mark_for_rollback_on_error(DEFAULT_DB_ALIAS),
        statement.connection.cursor() as cursor,
    ):
        if prepares_statements(statement.connection):
            _let_prepare(cursor)
        statement.execute(cursor, values)
        count: int = cursor.rowcount
    return count


def _let_prepare(cursor: Any) -> None:
    """Have the statement and its parameters sent apart; the ORM's own cursors put them together."""
    from django.db.backends.postgresql.base import ServerBindingCursor

    cursor.cursor = ServerBindingCursor(cursor.db.connection)  # type: ignore[call-arg]  # psycopg's
