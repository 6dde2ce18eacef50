"""The built-in assistant: task commands in plain English, by one table, through the same tools.

It asks for its tools in an order that follows from the messages alone and from what they answered,
so a turn that is taken up again finds each answer in the journal (Toolbox.replay).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from chat.conversations.state import MessageEntry
from chat.deadline import Deadline
from chat.tools.tasks import Result
from chat.tools.toolbox import NEEDS_CONFIRMATION, Call, Toolbox

SHOWN_MAX = 50
SHOWN_CHARACTERS = 200
WHICH = "Which task do you mean?"
EXAMPLES = (
    "I look after your task list. Try one of these:\n"
    '- "add buy milk"\n'
    '- "show my tasks", or only the "active" or "completed" ones\n'
    '- "complete 2", or "mark buy milk as done"\n'
    '- "rename 2 to buy oat milk"\n'
    '- "delete 2", or "delete all completed tasks"'
)
REPLIES = {
    "unknown": f"I can't help with that. {EXAMPLES}",
    "help": f"Hello! {EXAMPLES}",
    "thanks": "You're welcome!",
    "decline": "All right, I leave everything as it is.",
    "reopen": "A task is active until you complete it. I can't undo that: add it again to have "
    "it back.",
}

# What stands in quotation marks is a title, whatever it says.
_QUOTED = r"(?:\"[^\"]+\"|'[^']+'|\u201c[^\u201d]+\u201d)"
_TARGET = rf"(?P<target>{_QUOTED}|.+?)"
_TITLE = rf"(?P<title>{_QUOTED}|.+?)"
_DESCRIPTION = r"(?P<description>.+)"
_DESCRIBED = rf"(?:,? with (?:the |a )?description:? {_DESCRIPTION})?"
_LIST = r"(?:my |the )?(?:task |to[ -]?do )?list"
_NOUN = r"(?:task|to-?do|reminder|item)"
_TASK = rf"{_NOUN}(?! list)"
_CHANGE = r"(?:update|change|set|edit)"
_A = r"(?: an?| another| new)*"
_TASKS = rf"(?:{_NOUN}s|ones)"
_DONE = r"(?:done|completed?|finished)"
_ACTIVE = r"(?:active|open|pending|remaining|unfinished|incomplete|left)"
_ASKING = (  # the words of a question for tasks: with any other, it is about something else
    r"(?:me|us|i|we|i've|all|every|everything|any|of|on|in|for|the|my|that|that's|which|what|what's"
    r"|is|are|there|have|do|need|must|to|be|still|not|yet|and|today|list"
    rf"|{_DONE}|{_ACTIVE}|{_NOUN}|{_TASKS})"
)

# The first row that takes the whole message wins. Nothing interrupts a regular expression, so each
# goes through the message once: no repetition within another, and one lazy group before the rest.
TABLE = [
    ("help", r"(?:help|hi|hello|hey|good (?:morning|afternoon|evening))(?: me| there)?"),
    ("help", r"what can (?:you|i) (?:do|say|ask)|(?:who|what) are you|how (?:do|can|to)\b.*"),
    ("thanks", r"(?:thanks|thank you|thx)(?: a lot| (?:so|very) much)?|ok|okay|great|perfect"),
    ("add", rf"(?:remind me|remember|don't forget)(?: to| about| of| that)?:? {_TITLE}"),
    ("decline", r"(?:no|nope|cancel|stop|never ?mind)|(?:don't|do not|never) .+"),
    ("add", rf"(?:add|create|new){_A} {_TASK}:?(?: to| called)? {_TITLE}{_DESCRIBED}"),
    ("add", rf"(?:{_TASK}|to do|note to self|add to {_LIST}): ?{_TITLE}{_DESCRIBED}"),
    ("add", rf"(?:add|create)(?!{_A} {_TASK}$):? {_TITLE}(?: to {_LIST})?{_DESCRIBED}"),
    ("list", rf"(?P<target>(?:show|list|display|view|see)(?: {_ASKING})*)"),
    ("list", rf"(?P<target>(?:what|what's|which|how many|tell|give|do)(?: {_ASKING})+)"),
    ("list", rf"(?P<target>(?:all )?(?:my )?(?:(?:done|completed|{_ACTIVE}) )?{_TASKS}|{_LIST})"),
    ("reopen", rf"(?:reopen|undo|uncheck)\b.*|.+(?: not|n't)(?: yet)? {_DONE}\b.*"),
    ("reopen", rf"(?:mark|set|change) .+ (?:as|to) {_ACTIVE}"),
    ("update", rf"{_CHANGE} the description of {_TARGET} to {_DESCRIPTION}"),
    ("update", rf"{_CHANGE} the title of {_TARGET} to (?P<title>.+)"),
    ("complete", rf"(?:mark|set|change|check|tick|cross) {_TARGET}(?: as| to)? (?:off|{_DONE})"),
    ("complete", rf"(?:mark as {_DONE}:?|(?:check|tick|cross) off) {_TARGET}"),
    ("complete", rf"(?:(?:i|we)(?:'ve|'m| have)? )?(?:finish|{_DONE})(?: with)? {_TARGET}"),
    ("update", rf"{_CHANGE} {_TARGET}(?:'s)? description(?: to|:)? {_DESCRIPTION}"),
    ("update", rf"(?:rename|{_CHANGE}) {_TARGET}(?:(?:'s)? title)?(?: to|:) (?P<title>.+)"),
    ("delete", rf"(?:delete|remove|erase|clear|get rid of) {_TARGET}(?: from {_LIST})?"),
    ("delete", rf"take {_TARGET} off {_LIST}"),
    ("complete", rf"{_TARGET}(?: is| are)(?: now| already)? {_DONE}|i'm (?:all )?{_DONE}"),
]

_ROWS = [(verb, re.compile(f"(?i){pattern}")) for verb, pattern in TABLE]
_BEFORE = re.compile(
    r"(?i)(?:(?:please|(?:can|could|would|will) (?:you|i|we)|i (?:want|need|would like)(?: you)? to"
    r"|i'd like(?: you)? to|(?:hi|hello|hey)(?: there)?|ok|okay|just|now)\b[ ,!.:-]*)*+"
)
# Without a comma "please" may belong to the title: "learn to say please".
_AFTER = re.compile(r"(?i)(?:[,.!?] (?:please|thanks|thank you)|(?<!say) please)$")
_STOPS = " .!?"

_BESIDE_NUMBERS = {"task", "tasks", "number", "no", "no.", "and", "&", "the"}
_MANY = re.compile(
    rf"(?i)all|everything|(?:all )?(?:the |my )?(?:done|completed|finished)(?: {_TASKS})?"
    rf"|(?:all(?: of)?(?: my| the)?|my)(?: {_ACTIVE})? {_TASKS}|(?:my|the)(?: whole)? list"
    rf"|every task|(?:all|everything|all (?:my )?tasks)(?: that is| that are|that's) {_DONE}"
)
_VAGUE = re.compile(
    r"(?i)(?:it|that|this|(?:all of )?them|these|those)?"
    rf"|(?:(?:the|that|this|a|my) )?(?:(?:last|first|next|other) )?(?:one|{_TASK}|{_TASKS})"
)
_AROUND_NAME = re.compile(rf"(?i)^(?:the |my )?(?:{_TASK}:? (?:called )?)?(.+?)(?: task)?$")
_YES = re.compile(r"(?i)(?:yes|yep|yeah|sure|right|correct)(?:,? (?:please|do it|that one))?")


@dataclass(frozen=True, slots=True)
class Command:
    """What a message asks for; `target` is the task, or the tasks, as the user put it."""

    verb: str
    target: str = ""
    title: str = ""
    description: str = ""


class BuiltinAssistant:
    """Answers without a model."""

    def answer(
        self, window: Sequence[MessageEntry], message: str, tools: Toolbox, deadline: Deadline
    ) -> str:
        """Return the reply. It never fails: what it does not understand, it says."""
        tools.replay()
        if tools.confirmed_deletes:
            return _delete(tools, Command("delete"), tools.confirmed_deletes)
        command = understand(message) or _answer_to_which(window, message) or Command("unknown")
        if command.verb in REPLIES:
            return REPLIES[command.verb]
        found = [] if command.verb in {"add", "list"} else _choose(tools, command)
        return found if isinstance(found, str) else _ANSWERS[command.verb](tools, command, found)


def understand(message: str) -> Command | None:
    """Return what the message asks for by the table, None if it is nothing that the table has."""
    text = " ".join(message.split())
    text = (_BEFORE.sub("", text, count=1) or text).rstrip(_STOPS)
    text = _AFTER.sub("", text).rstrip(_STOPS)
    straight = text.replace("\u2019", "'")
    for verb, pattern in _ROWS:
        if match := pattern.fullmatch(straight):
            said = {name: text[slice(*match.span(name))] for name in pattern.groupindex}
            target = said.pop("target", "")  # keeps its quotation marks: they make it a title
            return Command(verb, target, **{name: _unquoted(text) for name, text in said.items()})
    return None


def _answer_to_which(window: Sequence[MessageEntry], message: str) -> Command | None:
    """Take a number, a yes or a title for the answer, after we asked which task is meant."""
    if not window or not window[-1].content.startswith(WHICH):
        return None
    target = " ".join(message.split()).rstrip(_STOPS)
    shown = re.findall(r"(?m)^([0-9]+)\. ", window[-1].content)
    if _YES.fullmatch(target):
        target = shown[0] if len(shown) == 1 else ""
    is_other = not {*map(str, _numbers(target))} <= {*shown}
    # We may have asked more than once: what was asked for is the last that was understood.
    commands = (understand(entry.content) for entry in reversed(window) if entry.role == "user")
    asked = next(filter(None, commands), None)
    # Another number than those we asked about may be a slip, and nothing brings a task back.
    if _MANY.fullmatch(target) or (is_other and asked and asked.verb == "delete"):
        target = ""
    return replace(asked, target=target) if asked else None


def _choose(tools: Toolbox, command: Command) -> list[int] | str:
    """Return the numbers of the tasks that are meant, or what to ask back."""
    target, completes = command.target, command.verb == "complete"
    if numbers := _numbers(target):
        return numbers
    tasks: list[Result] = tools.call("list_tasks", filter="all")["tasks"]
    is_many, is_vague = _MANY.fullmatch(target), _VAGUE.fullmatch(target)
    spelled = [target] if is_vague else [target, _AROUND_NAME.sub(r"\1", target)]
    names = [_plain(_unquoted(spelling)) for spelling in spelled]
    matches = [task for task in tasks if (title := _plain(task["title"])) and title in names]
    is_sure = not is_many
    if is_many and not matches:
        if (which := _filter(target)) != "all":
            tasks = tools.call("list_tasks", filter=which)["tasks"]
        many = [task["id"] for task in tasks if not (completes and task["completed"])]
        return many or "There are no such tasks."
    if not matches:
        part = "" if is_vague else names[-1]
        matches = [task for task in tasks if part in _plain(task["title"])]
        # Words of a title are enough to complete the only task that has them, never to delete it.
        rows = [f" {_plain(task['title'])} " for task in matches]
        is_sure = completes and not is_vague and all(f" {part} " in row for row in rows)
    if completes:
        matches = [task for task in matches if not task["completed"]] or matches
    if not matches:
        name = _unquoted(target)[:SHOWN_CHARACTERS]
        return f"I found no task '{name}'. \"Show my tasks\" lists what there is."
    if is_sure and len(matches) == 1:
        return [matches[0]["id"]]
    or_yes = ", or with yes" if len(matches) == 1 else ""
    return f"{WHICH}\n{task_lines(matches, len(matches))}\nAnswer with its number{or_yes}."


def _numbers(target: str) -> list[int]:
    """Return the numbers in "3" or "tasks #1, 2 and 5"; none if it is a title."""
    words = target.lower().replace("#", " ").replace(",", " ").split()
    numbers = [word for word in words if word not in _BESIDE_NUMBERS]
    are_numbers = all(re.fullmatch("[0-9]{1,15}", word) for word in numbers)
    return list(dict.fromkeys(map(int, numbers))) if are_numbers else []


def _filter(said: str) -> str:
    active = re.search(rf"(?i)\b(?:{_ACTIVE}|not|need|must)\b", said)
    done = re.search(rf"(?i)\b{_DONE}\b", said)
    if active and not (done and " and " in said):
        return "active"
    return "completed" if done and not active else "all"


def _unquoted(text: str) -> str:
    return text[1:-1].strip() if re.fullmatch(_QUOTED, text) else text


def _plain(title: str) -> str:
    return " ".join(title.split()).strip(_STOPS).casefold()


def _add(tools: Toolbox, command: Command, numbers: list[int]) -> str:
    described = {"description": command.description} if command.description else {}
    result = tools.call("add_task", title=command.title, **described)
    if not result["success"]:
        return f"I could not add that: {result['error']}"
    title, number = result["task"]["title"], result["task_id"]
    return f"I've added '{title}' to your task list, as number {number}."


def _list(tools: Toolbox, command: Command, numbers: list[int]) -> str:
    which = _filter(command.target)
    result = tools.call("list_tasks", filter=which)
    kind = "" if which == "all" else f"{which} "
    if not result["tasks"]:
        return f"You have no {kind}tasks."
    noun = "task" if result["count"] == 1 else "tasks"
    return (
        f"You have {result['count']} {kind}{noun}:\n{task_lines(result['tasks'], result['count'])}"
    )


def task_lines(tasks: list[Result], count: int) -> str:
    """Return a line for each of the first tasks, and how many more of `count` there are."""
    shown = [
        f"{task['id']}. {task['title']} ({'completed' if task['completed'] else 'active'})"
        for task in tasks[:SHOWN_MAX]
    ]
    if count > len(shown):
        shown.append(f"... and {count - len(shown)} more")
    return "\n".join(shown)


def _complete(tools: Toolbox, command: Command, numbers: list[int]) -> str:
    results = tools.call_all([Call("complete_task", {"task_id": number}) for number in numbers])
    return "\n".join(dict.fromkeys(map(_completed, results)))


def _completed(result: Result) -> str:
    if not result["success"]:
        return str(result["error"])
    if "message" in result:
        return f"'{result['task']['title']}' was complete already."
    return f"Well done! '{result['task']['title']}' is complete."


def _update(tools: Toolbox, command: Command, numbers: list[int]) -> str:
    if len(numbers) != 1:
        return f"{WHICH} I can change one at a time."
    new = {"title": command.title, "description": command.description}
    result = tools.call("update_task", task_id=numbers[0], **{k: v for k, v in new.items() if v})
    if not result["success"]:
        return f"I could not change that: {result['error']}"
    about = f", with the description '{command.description}'" if command.description else ""
    return f"Task {numbers[0]} is now '{result['task']['title']}'{about}."


def _delete(tools: Toolbox, command: Command, numbers: list[int]) -> str:
    """Delete them. Those that wait for the user's word are asked about below the reply."""
    going, staying = numbers[: tools.calls_left], numbers[tools.calls_left :]
    results = tools.call_all([Call("delete_task", {"task_id": number}) for number in going])
    deleted = [repr(str(result["title"])) for result in results if result["success"]]
    errors = [str(result["error"]) for result in results if not result["success"]]
    said = [f"I've deleted {', '.join(deleted)}."] if deleted else []
    said += [error for error in errors if error != NEEDS_CONFIRMATION]
    if staying:
        shown = ", ".join(map(str, staying[:SHOWN_MAX])) + " and others" * (
            len(staying) > SHOWN_MAX
        )
        said.append(
            f"{len(staying)} more (number {shown}) stay: they are too many for one message. "
            "Ask for them again afterwards."
        )
    return "\n".join(said)


_ANSWERS = {"add": _add, "list": _list, "complete": _complete, "update": _update, "delete": _delete}
