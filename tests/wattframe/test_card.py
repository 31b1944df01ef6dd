"""The model card shows names from outside as text."""

from __future__ import annotations

from html.parser import HTMLParser

from msgspec import structs

from tests.torture.targets import stored_model
from wattframe.retraining.card import model_card

NASTY = '</style></script><script>alert(\'1\')</script><img src=x onerror="alert(2)"> & "co"'


class Tags(HTMLParser):
    """The elements of a page and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.scripts += tag == "script"
        self.attributes.update(name for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_names_from_outside_are_text() -> None:
    trained, manifest = stored_model()
    hostile = structs.replace(
        manifest,
        hardware_id=NASTY,
        hardware_known=(NASTY,),
        encoders_known=(NASTY,),
        feature_names=(NASTY,),
        reason=NASTY,
        notes=(NASTY,),
        created=NASTY,
        grouped_by=NASTY,
        tier=NASTY,
        library_versions={NASTY: NASTY},
    )
    page = Tags()
    page.feed(model_card(trained, hostile))
    assert page.names.isdisjoint({"img", "iframe", "object", "link"})
    assert page.scripts == 1  # the page's own, which its policy names by its hash
    assert not {name for name in page.attributes if name.startswith("on")}
    assert page.text.count(NASTY) >= 11
