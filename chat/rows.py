"""Rows by equality alone: the statements of a turn that need no more of the ORM.

To write such a statement takes the ORM four times as long as the database takes to carry it out,
and a turn has eight. Here the text is written once; values go in as their fields convert them.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Field, Model

Row = TypeVar("Row", bound=Model)


def find(model: type[Row], where: Mapping[str, Any], fields: Iterable[str] = ()) -> list[Row]:
    """Return the rows in which each of these fields has this value, or one of this tuple.

    Args:
        model: whose rows.
        where: by name of the field. None is no value: nothing equals it.
        fields: what is read, the primary key among it; nothing: all.
    """
    database = connections[DEFAULT_DB_ALIAS]
    statement = _select(model, tuple(fields), _shape(where), database.vendor)
    return list(model._default_manager.raw(statement, _values(model, where, database)))


def update(model: type[Row], where: Mapping[str, Any], **values: Any) -> int:
    """Give the fields of the rows that find would return these values; return how many rows."""
    database = connections[DEFAULT_DB_ALIAS]
    statement = _update(model, tuple(values), _shape(where), database.vendor)
    parameters = [*_values(model, values, database), *_values(model, where, database)]
    with database.cursor() as cursor:
        cursor.execute(statement, parameters)
        return int(cursor.rowcount)


# --- The text: names as the models have them, and no value ----------------------------------------

Shape = tuple[tuple[str, int], ...]  # the fields of a condition, each with its number of values


def _shape(where: Mapping[str, Any]) -> Shape:
    return tuple((name, len(_as_tuple(value))) for name, value in where.items())


@lru_cache(maxsize=64)
def _select(model: type[Model], fields: tuple[str, ...], where: Shape, vendor: str) -> str:
    columns = ", ".join(_column(model, name) for name in fields) or "*"
    return f"SELECT {columns} FROM {_table(model)} WHERE {_condition(model, where)}"  # noqa: S608


@lru_cache(maxsize=64)
def _update(model: type[Model], fields: tuple[str, ...], where: Shape, vendor: str) -> str:
    changes = ", ".join(f"{_column(model, name)} = %s" for name in fields)
    return f"UPDATE {_table(model)} SET {changes} WHERE {_condition(model, where)}"  # noqa: S608


def _condition(model: type[Model], where: Shape) -> str:
    return " AND ".join(
        f"{_column(model, name)} IN ({', '.join(['%s'] * count)})" for name, count in where
    )


def _table(model: type[Model]) -> str:
    return connections[DEFAULT_DB_ALIAS].ops.quote_name(model._meta.db_table)


def _column(model: type[Model], name: str) -> str:
    column = _field(model, name).column
    assert column is not None
    return connections[DEFAULT_DB_ALIAS].ops.quote_name(column)


# --- The values -----------------------------------------------------------------------------------


def _values(model: type[Model], values: Mapping[str, Any], database: Any) -> list[Any]:
    return [
        _field(model, name).get_db_prep_save(one, database)
        for name, value in values.items()
        for one in _as_tuple(value)
    ]


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _field(model: type[Model], name: str) -> "Field[Any, Any]":
    field = model._meta.get_field(name)
    assert isinstance(field, Field)
    return field
