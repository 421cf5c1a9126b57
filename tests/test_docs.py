"""What the README says can be done, can be done."""

from __future__ import annotations

import re
import subprocess

import pytest
import typer.main

from engine.cli.main import app
from engine.config import REPOSITORY, Settings

README = (REPOSITORY / "README.md").read_text()
MAKEFILE = (REPOSITORY / "Makefile").read_text()


def code_blocks() -> str:
    return "\n".join(re.findall(r"```(?:bash|sh|console)?\n(.*?)```", README, re.DOTALL))


def test_every_make_target_of_the_readme_exists_and_explains_itself() -> None:
    used = set(re.findall(r"\bmake ([a-z-]+)", code_blocks()))
    explained = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))
    assert {"run", "test"} <= used <= explained


def test_make_help_is_the_default() -> None:
    result = subprocess.run(
        ["make"], cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=60
    )
    assert "make run" in result.stdout


SECOND_WORDS = "add|list|show|check|cache|relabel|evaluation|benchmark|compile"


def commands_in_readme() -> list[str]:
    return sorted(
        set(re.findall(rf"python -m engine ([a-z0-9_]+(?: (?:{SECOND_WORDS}))?)", README))
    )


@pytest.mark.parametrize("call", commands_in_readme())
def test_every_command_of_the_readme_exists(call: str) -> None:
    group = typer.main.get_command(app)
    first, _, second = call.partition(" ")
    command = group.commands[first]  # type: ignore[attr-defined]
    if hasattr(command, "commands"):
        assert second in command.commands


def test_every_option_of_the_readme_exists() -> None:
    group = typer.main.get_command(app)
    for line in re.findall(r"python -m engine .*", code_blocks()):
        words = line.split("python -m engine ", 1)[1].split("#")[0].split()
        command = group.commands[words[0]]  # type: ignore[attr-defined]
        if hasattr(command, "commands"):
            command = command.commands[words[1]]
        known = {name for parameter in command.params for name in parameter.opts}
        used = {word.split("=")[0] for word in words if word.startswith("-")}
        assert used <= known, line


def test_every_setting_is_in_the_readme() -> None:
    for name in Settings.model_fields:
        variable = "DATABASE_URL" if name == "database_url" else f"SENET_{name.upper()}"
        assert variable in README, variable


def test_local_links_of_the_readme_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (REPOSITORY / target).exists(), target
