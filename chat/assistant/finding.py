"""Which of the user's tasks the words for a task mean."""

from collections.abc import Callable
from typing import Any

from chat.assistant.phrases.targets import spellings
from chat.assistant.phrases.wording import ARTICLES, PUNCTUATION, words

Task = dict[str, Any]


def exactly(tasks: list[Task], target: str) -> list[Task]:
    """Return the tasks with just this title, upper or lower case."""
    wanted = {_plain(spelling) for spelling in spellings(target)}
    return [task for task in tasks if _plain(task["title"]) in wanted]


def by_words(tasks: list[Task], target: str) -> list[Task]:
    """Return the tasks with these words in their titles: one after the other, else anywhere."""
    wanted = [word for word in words(_shortest(target)) if word not in ARTICLES]
    if not wanted:
        return []
    row, known = f" {' '.join(wanted)} ", set(wanted)
    return _first_found(
        tasks,
        lambda title: row in f" {' '.join(words(title))} ",
        lambda title: known <= set(words(title)),
    )


def by_letters(tasks: list[Task], target: str) -> list[Task]:
    """Return the tasks with this in their titles, if only as a part of a word."""
    wanted = _plain(_shortest(target))
    return [task for task in tasks if wanted and wanted in task["title"].casefold()]


def _first_found(tasks: list[Task], *rules: Callable[[str], bool]) -> list[Task]:
    found = ([task for task in tasks if fits(task["title"])] for fits in rules)
    return next((some for some in found if some), [])


def _shortest(target: str) -> str:
    return (spellings(target) or [""])[-1]


def _plain(title: str) -> str:
    return " ".join(title.split()).strip(PUNCTUATION).casefold()
