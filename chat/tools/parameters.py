"""What the task tools take, as pydantic models whose docstrings and fields a model is told."""

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from chat.conversations.json_values import check_text

TASK_ID_MAX = 2**53 - 1


def _trimmed(value: object) -> object:
    return check_text(value).strip() if isinstance(value, str) else value


def _not_blank(value: object) -> object:
    if value == "":
        raise ValueError("must not be blank")
    return value


def _whole_number(value: object) -> object:
    """Take "3" and 3.0 for 3, as models write it. What may mean something else is refused."""
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,16}\s*", value, re.ASCII):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if type(value) is not int:
        raise ValueError("must be the task's number, such as 3")
    return value


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


# In this order, which runs from the end: behind a validator, pydantic writes the limits as no JSON
# Schema names them, and says that a text has too many "items".
TaskId = Annotated[int, Field(ge=1, le=TASK_ID_MAX), BeforeValidator(_whole_number)]
Title = Annotated[
    str,
    Field(min_length=1, max_length=200),
    BeforeValidator(_not_blank),
    BeforeValidator(_trimmed),
]
Description = Annotated[str, Field(max_length=1000), BeforeValidator(_trimmed)]


class Parameters(BaseModel):
    """Parameters of a tool: unknown ones are refused, and only task numbers are converted."""

    model_config = ConfigDict(extra="forbid", strict=True)

    blank_is_none: ClassVar[str] = ""  # the optional parameter that can't be set to ""

    @model_validator(mode="before")
    @classmethod
    def drop_nulls(cls, values: Any) -> Any:
        """Take null for an optional parameter as if it were not given."""
        if not isinstance(values, dict):
            return values
        optional = {name for name, field in cls.model_fields.items() if not field.is_required()}
        return {
            name: value
            for name, value in values.items()
            if name not in optional
            or not (value is None or (value == "" and name == cls.blank_is_none))
        }


class AddTask(Parameters):
    """Add a task to the user's list."""

    title: Title
    description: Description | None = None


class ListTasks(Parameters):
    """List the user's tasks: all of them, or only the active or the completed ones."""

    blank_is_none = "filter"

    filter: Annotated[Literal["all", "active", "completed"], BeforeValidator(_lower)] = "all"


class CompleteTask(Parameters):
    """Mark a task as complete."""

    task_id: TaskId


class UpdateTask(Parameters):
    """Change the title or the description of a task, or both."""

    blank_is_none = "title"

    task_id: TaskId
    title: Title | None = None
    description: Description | None = None

    @model_validator(mode="after")
    def check_change(self) -> "UpdateTask":
        """Refuse an update that changes nothing."""
        if self.title is None and self.description is None:
            raise ValueError("give a title or a description")
        return self


class DeleteTask(Parameters):
    """Delete one task. More than one in a turn waits for the user's confirmation."""

    task_id: TaskId
