"""``wattframe test``: the same as ``run_tests.py``, with the same options."""

from __future__ import annotations

import typer

from runner.cli import main
from wattframe.commands.arguments import application

app = application()

_AS_GIVEN = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@app.command(context_settings=_AS_GIVEN)
def test(context: typer.Context) -> int:
    """Run real ffmpeg scenarios and measure them."""
    return main(context.args, program="wattframe test")
