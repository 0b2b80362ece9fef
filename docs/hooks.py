"""What MkDocs runs for these pages: `<!-- commands -->` becomes the help of every command, as the command prints it."""

from typing import Any

MARK = "<!-- commands -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """MkDocs's hook: a page's text before it is rendered."""
    return markdown.replace(MARK, commands()) if MARK in markdown else markdown


def commands() -> str:
    """A section for each command of the real application."""
    from typer.main import get_command
    from typer.testing import CliRunner

    from shearloc.cli.app import app

    names = list(get_command(app).commands)  # type: ignore[attr-defined]
    runner = CliRunner()
    sections = []
    for name in names:
        shown = runner.invoke(app, [name, "--help"], prog_name="shearloc", terminal_width=100)
        if shown.exit_code:
            raise RuntimeError(f"shearloc {name} --help: exit code {shown.exit_code}")
        sections.append(f"## shearloc {name}\n\n```text\n{shown.output.strip()}\n```\n")
    return "\n".join(sections)
