"""Elements of HTML and SVG with everything escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable

__all__ = ["Markup", "el", "join"]

Attribute = str | float | int | bool | None


class Markup(str):
    """Text that is markup already and is not escaped again."""

    __slots__ = ()


def el(tag: str, /, *children: str | Markup | None, **attributes: Attribute) -> Markup:
    """One element. A trailing underscore of an attribute's name is dropped, others become dashes.

    >>> el("a", "1 < 2", class_="x", data_run=3)
    '<a class="x" data-run="3">1 &lt; 2</a>'
    """
    rendered = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if tag in ("br", "meta", "circle", "line", "rect", "path", "polyline") and not children:
        return Markup(f"<{tag}{rendered}/>")
    return Markup(f"<{tag}{rendered}>{join(children)}</{tag}>")


def join(children: Iterable[str | Markup | None]) -> Markup:
    """Children in order, each escaped unless it is markup; None is nothing."""
    return Markup("".join(c if isinstance(c, Markup) else html.escape(c) for c in children if c is not None))


def _value(value: Attribute) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return html.escape(str(value), quote=True)
