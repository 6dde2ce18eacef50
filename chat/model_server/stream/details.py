"""What a model thought, as the lists that go back to its server, put together from fragments.

https://openrouter.ai/docs/use-cases/reasoning-tokens: `reasoning_details`; LiteLLM's
`thinking_blocks` are Anthropic's. What a signature stands for has to be whole.
"""

from typing import Any

Json = dict[str, Any]

_TEXTS = ("text", "summary", "data", "thinking")


def joined(before: object, more: str | list[Any]) -> str | list[Any]:
    """Return a field of a message with what an event adds to it: text, or a list of details."""
    if isinstance(more, str):
        return before + more if isinstance(before, str) else more
    details = before if isinstance(before, list) else []
    for fragment in more:
        detail = _detail_of(details, fragment)
        if detail is None:
            details.append(fragment)
        else:
            _join(detail, fragment)
    return details


def _detail_of(details: list[Any], fragment: object) -> Json | None:
    """Return the detail that a fragment goes on with, None if it begins one."""
    if not isinstance(fragment, dict):
        return None
    if fragment.get("type") == "thinking":  # has no index: the signature is its end
        details = [detail for detail in details[-1:] if not _of(detail, "signature")]
    elif fragment.get("index") is None:
        return None
    for detail in reversed(details):
        if isinstance(detail, dict) and _fits(detail, fragment):
            return detail
    return None


def _fits(detail: Json, fragment: Json) -> bool:
    pairs = [(detail.get(name), fragment.get(name)) for name in ("type", "id")]
    same_index = detail.get("index") == fragment.get("index")
    return same_index and all(None in pair or pair[0] == pair[1] for pair in pairs)


def _join(detail: Json, fragment: Json) -> None:
    for name, value in fragment.items():
        if name in _TEXTS and isinstance(value, str) and isinstance(detail.get(name), str):
            detail[name] += value
        elif value not in (None, ""):
            detail[name] = value


def _of(detail: object, name: str) -> object:
    return detail.get(name) if isinstance(detail, dict) else None
