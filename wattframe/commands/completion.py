"""``wattframe completion``: what a shell needs to complete commands and options.

The script holds the names: nothing is started when the Tab key is pressed.
"""

from __future__ import annotations

import importlib
import shlex
import sys
from typing import Annotated, Literal

import typer
import typer.main

from runner import arguments
from wattframe.commands.arguments import application

app = application()

Shell = Literal["bash", "zsh", "fish"]
_BASH = """\
_wattframe() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} words=
    if [ "$COMP_CWORD" = 1 ]; then
        words={commands}
    elif [ "${{word#-}}" != "$word" ]; then
        case ${{COMP_WORDS[1]}} in
{cases}
        esac
    elif [ "$COMP_CWORD" = 2 ] && [ "${{COMP_WORDS[1]}}" = test ]; then
        words={subcommands}
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _wattframe wattframe
"""
_ZSH = """\
# in ~/.zshrc: source <(wattframe completion zsh)
(( $+functions[compdef] )) || {{ autoload -U compinit && compinit -i; }}
autoload -U +X bashcompinit && bashcompinit
{bash}"""


@app.command()
def completion(shell: Annotated[Shell, typer.Argument(help="Name of the shell.")]) -> int:
    """Print a shell completion script; put it where the shell reads it."""
    sys.stdout.write(_fish() if shell == "fish" else _bash(zsh=shell == "zsh"))
    return 0


def _options(name: str) -> dict[str, str]:
    """The long options of a command with their help; none where a package that it needs is missing."""
    if name == "test":  # its options are not Typer's
        return arguments.flags()
    try:
        command = typer.main.get_command(importlib.import_module(f"wattframe.commands.{name}").app)
    except ModuleNotFoundError:
        return {}
    flags = {
        flag: getattr(parameter, "help", None) or ""
        for parameter in command.params
        for flag in parameter.opts
        if flag.startswith("--")
    }
    return flags | {"--help": "Show this message and exit."}


def _bash(*, zsh: bool) -> str:
    from wattframe.cli import COMMANDS

    cases = [f"        {name}) words={shlex.quote(' '.join(_options(name)))} ;;" for name in COMMANDS]
    commands, subcommands = (shlex.quote(" ".join(names)) for names in (COMMANDS, arguments.SUBCOMMANDS))
    script = _BASH.format(commands=commands, subcommands=subcommands, cases="\n".join(cases))
    return _ZSH.format(bash=script) if zsh else script


def _fish() -> str:
    from wattframe.cli import COMMANDS

    lines = [
        f"complete -c wattframe -n '__fish_seen_subcommand_from test' -a '{' '.join(arguments.SUBCOMMANDS)}'"
    ]
    for name, command in COMMANDS.items():
        lines.append(
            f"complete -c wattframe -n __fish_use_subcommand -f -a {name} -d {shlex.quote(command.summary)}"
        )
        for flag, text in _options(name).items():
            after = f"-n '__fish_seen_subcommand_from {name}'"
            lines.append(f"complete -c wattframe {after} -l {flag[2:]} -d {shlex.quote(text)}")
    return "\n".join(lines) + "\n"
