"""What MkDocs runs for these pages: the mark `<!-- commands -->` becomes every command's usage and options.

They are read from the application itself, so the page cannot differ from `--help`.
"""

from collections.abc import Iterator
from typing import Any

MARK = "<!-- commands -->"

FIRST = ("encode", "decode", "verify", "info")
"""Commands that the page begins with; the others follow in the application's order."""


def on_page_markdown(markdown: str, **_: Any) -> str:
    """MkDocs's hook: a page's text before it is rendered."""
    return markdown.replace(MARK, commands()) if MARK in markdown else markdown


def commands() -> str:
    """A section for each command of the real application."""
    from typer.main import get_command

    from shearloc.cli.app import app

    return "\n\n".join(_sections(get_command(app), "shearloc"))


def _sections(command: Any, name: str) -> Iterator[str]:
    """The sections of a group's commands, or the section of a command."""
    inside = getattr(command, "commands", None)
    if not inside:
        yield _section(command, name)
        return
    for one in sorted(inside, key=lambda one: FIRST.index(one) if one in FIRST else len(FIRST)):
        yield from _sections(inside[one], f"{name} {one}")


def _section(command: Any, name: str) -> str:
    about = command.get_short_help_str(limit=1000) if not command.help else _paragraphs(command.help)
    usage = " ".join([name, *command.collect_usage_pieces(command.context_class(command))])
    arguments = [f"| `{_name(p)}` | {_cell(p.help)} |" for p in command.params if p.param_type_name == "argument"]
    options = [_option(p) for p in command.params if p.param_type_name == "option"]
    lines = [f"## {name}", "", about, "", "```text", usage, "```", ""]
    if arguments:
        lines += ["| argument | |", "|---|---|", *arguments, ""]
    if options:
        lines += ["| option | default | |", "|---|---|---|", *options, ""]
    if command.epilog:
        lines += ["```text", command.epilog.replace("\b\n", "").strip(), "```"]
    return "\n".join(lines)


def _option(option: Any) -> str:
    names = [*option.opts, *option.secondary_opts]
    value = "" if option.is_flag else f" {_name(option)}"
    shown = option.default if isinstance(option.default, str | int | float) and not option.is_flag else ""
    default = "required" if option.required else f"`{shown}`" if shown != "" else ""
    return f"| {', '.join(f'`{name}`' for name in names)}{value} | {default} | {_cell(option.help)} |"


def _name(parameter: Any) -> str:
    if parameter.metavar:
        return str(parameter.metavar)
    choices = getattr(parameter.type, "choices", None)
    if choices:
        return "\\|".join(map(str, choices))
    least, most = getattr(parameter.type, "min", None), getattr(parameter.type, "max", None)
    if least is not None and most is not None:
        return f"{least} to {most}"
    return "TEXT" if parameter.type.name in ("text", "str") else "N"


def _cell(text: str | None) -> str:
    """Help as one cell of a table: paragraphs after `\\b` keep their lines."""
    pieces = (text or "").replace("|", "\\|").replace("<", "&lt;").split("`")
    pieces[::2] = [piece.replace("*", "\\*") for piece in pieces[::2]]  # outside of code
    lines = [line.strip() for line in "`".join(pieces).splitlines()]
    return "<br>".join(line for line in lines if line not in ("", "\b"))


def _paragraphs(text: str) -> str:
    return "\n".join(line.strip() for line in text.replace("\b\n", "").splitlines())
