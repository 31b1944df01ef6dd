"""Values of files, options and callers as the types that they have to be; what is not is one line."""

from __future__ import annotations

import functools
import re
from typing import Any, Literal, SupportsFloat, get_args, get_origin, get_type_hints

import msgspec
from msgspec.structs import force_setattr

from advisor.common.near import did_you_mean
from advisor.errors import InputError

_PLAINLY = (
    (r", got.*|`|(?<=\d)\.0$", ""),
    (r" >= 1e-60$", " above 0"),
    (r" (>= -|<= )1e\+60$|^Number out of range$", " that is finite"),
    (r" of length >= 1$", " that is not empty"),
    (r" >= (\S+)$", r" of \1 or more"),
    (r" <= (\S+)$", r" of at most \1"),
    (r"^ that is finite$", "expected a number that is finite"),
    (r"^(Invalid RFC3339 encoded|Expected) date$", "expected a date such as 2026-12-25"),
    (r" \| null", ""),
    (r" \| ", " or "),
    (r"\bfloat\b", "a number"),
    (r"\bint\b", "a whole number"),
    (r"\bstr\b", "a text"),
    (r"\bbool\b", "true or false"),
    (r"\bobject\b", "a mapping"),
    (r"\barray\b", "a list"),
    (r"^Expected", "expected"),
)
"""What msgspec says, in plain words."""


def checked(
    value: Any,
    kind: Any,
    *,
    subject: object = None,
    field: str = "",
    error: type[InputError] = InputError,
) -> Any:
    """``value`` as ``kind``, a type with msgspec's constraints; a text may hold a number.

    Raises
    ------
    InputError
        Of the class ``error``; names subject, field, what was expected and what was found.

    >>> checked("0.12", float)
    0.12
    >>> checked([1, "x"], list[float], subject="prices.yaml", field="pue")
    Traceback (most recent call last):
    advisor.errors.InputError: prices.yaml: pue[1]: expected a number, found 'x'
    """
    value = _with_plain_numbers(value)
    try:
        return msgspec.convert(value, kind, strict=False, dec_hook=lambda kind, value: kind(value))
    except msgspec.ValidationError as exc:
        message, _, place = str(exc).replace("`key` in ", "").partition(" - at `$")
        place = place.rstrip("`")
        name = re.search(r"(?:unknown|required) field `(.*)`", message)
        if name is None:
            problem = f"{_plainly(message, _inside(kind, place))}, found {_found(value, place)}"
        elif "required" in message:
            problem, place = "expected a value, found none", f"{place}.{name[1]}"
        else:
            fields = [f for part in _parts(_inside(kind, place)) for f in _fields(part)]
            problem, place = did_you_mean(name[1], fields), f"{place}.{name[1]}"
        raise error(problem, subject=subject, field=f"{field}{place}".lstrip(".") or None) from None


@functools.cache
def field_types(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The type of each field, with its limits."""
    hints = get_type_hints(kind, include_extras=True)
    return {name: hints[name] for name in kind.__struct_fields__}


class Checked(msgspec.Struct, frozen=True):
    """A struct whose fields are checked against their types also where Python code makes it."""

    def __post_init__(self) -> None:
        for name, kind in field_types(type(self)).items():
            force_setattr(self, name, checked(getattr(self, name), kind, field=name))


def _with_plain_numbers(value: Any) -> Any:
    """numpy's scalars and decimals are numbers too."""
    if isinstance(value, dict):
        return {name: _with_plain_numbers(item) for name, item in value.items()}
    if getattr(value, "shape", None) == ():
        return value.item()
    # the usual types first: to ask a protocol is slow
    is_number = not isinstance(value, (bool, int, float, str)) and isinstance(value, SupportsFloat)
    return float(value) if is_number else value


def _plainly(message: str, kind: Any) -> str:
    if message.startswith("Invalid enum value"):
        return f"expected one of {', '.join(_words(kind))}"
    for pattern, plain in _PLAINLY:
        message = re.sub(pattern, plain, message)
    return message


def _inside(kind: Any, place: str) -> Any:
    """The type at a place such as ``.ladder[0].crf``; None where no struct names it."""
    for name in re.findall(r"\.([^.\[]+)", place):
        kind = next((field_types(part)[name] for part in _parts(kind) if name in _fields(part)), None)
    return kind


def _parts(kind: Any) -> list[Any]:
    """A type and those that it is made of."""
    return [kind, *(part for argument in get_args(kind) for part in _parts(argument))]


def _fields(kind: Any) -> tuple[str, ...]:
    return getattr(kind, "__struct_fields__", ())


def _words(kind: Any) -> list[str]:
    """The words that a literal, optional or not, may be."""
    return [str(word) for part in _parts(kind) if get_origin(part) is Literal for word in get_args(part)]


def _found(value: Any, place: str) -> str:
    # msgspec does not say which key of a mapping it means
    for key, index in re.findall(r"\.([^.\[]+)|\[(\d+)\]", place.partition("[...]")[0]):
        value = value[key] if key else value[int(index)]
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
