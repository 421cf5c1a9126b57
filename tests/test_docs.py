"""What the README and the documents say can be done, can be done; what they name is there."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.cli.commands import COMMANDS, load_command
from engine.cli.reference import reference
from engine.config import REPOSITORY, Settings

DOCUMENTS = {
    str(path.relative_to(REPOSITORY)): path.read_text()
    for path in [*REPOSITORY.glob("*.md"), *sorted((REPOSITORY / "docs").rglob("*.md"))]
}
WRITTEN = [name for name in DOCUMENTS if name != "docs/cli.md"]
README = DOCUMENTS["README.md"]
MAKEFILE = (REPOSITORY / "Makefile").read_text()
README_LINES = 120


def code_of(text: str) -> str:
    """The commands of a document, a line each."""
    blocks = re.findall(r"```(?:bash|sh|console)\n(.*?)```", text, re.DOTALL)
    return "\n".join(blocks).replace("\\\n", " ")


def calls() -> Iterator[tuple[str, list[str]]]:
    """(document, words after the program's name) of each command in blocks and in backticks."""
    for name in WRITTEN:
        prose = re.sub(r"```.*?```", "", DOCUMENTS[name], flags=re.DOTALL)
        quoted = re.findall(r"`(?:senet|python -m engine) ([^`]+)`", prose)
        lines = re.findall(r"^(?:senet|python -m engine) (.*)", code_of(DOCUMENTS[name]), re.M)
        for call in [*quoted, *lines]:
            words = call.split("#")[0].split()
            if words[0] not in ("COMMAND", "--help", "--version"):
                yield name, words


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= README_LINES


def test_every_make_target_of_the_documents_exists_and_explains_itself() -> None:
    text = "".join(code_of(DOCUMENTS[name]) for name in WRITTEN)
    used = set(re.findall(r"\bmake ([a-z-]+)", text))
    for name in WRITTEN:
        used |= set(re.findall(r"`make ([a-z-]+)[^`]*`", DOCUMENTS[name]))
    explained = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))
    assert {"run", "test"} <= used <= explained


def test_make_help_is_the_default() -> None:
    result = subprocess.run(
        ["make"], cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=60
    )
    assert "make run" in result.stdout


def test_the_documents_have_commands() -> None:
    shown = {words[0] for _, words in calls()}
    assert {"run", "benchmark", "dataset", "vamp", "import", "weights", "evaluation"} <= shown


@pytest.mark.parametrize(("document", "words"), list(calls()))
def test_every_command_of_the_documents_exists_with_its_options(
    document: str, words: list[str]
) -> None:
    assert words[0] in COMMANDS, document
    command = load_command(words[0])
    if hasattr(command, "commands"):
        assert len(words) > 1, document
        command = command.commands[words[1]]
    known = {name for parameter in command.params for name in parameter.opts}
    used = {word.split("=")[0] for word in words if word.startswith("-")}
    assert used <= known, document


def test_every_setting_is_documented() -> None:
    for name, field in Settings.model_fields.items():
        variable = field.validation_alias or f"SENET_{name.upper()}"
        assert f"`{variable}`" in DOCUMENTS["docs/settings.md"], variable


@pytest.mark.parametrize("name", DOCUMENTS)
def test_local_links_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", DOCUMENTS[name]):
        assert (REPOSITORY / name).parent.joinpath(target).exists(), target


def test_every_document_is_reached_from_the_readme() -> None:
    linked: set[Path] = set()
    for name, text in DOCUMENTS.items():
        for target in re.findall(r"\]\((?!http)([^)#]+\.md)\)", text):
            linked.add((REPOSITORY / name).parent.joinpath(target).resolve())
    reached = {str(path.relative_to(REPOSITORY)) for path in linked}
    assert reached | {"README.md"} >= set(DOCUMENTS)


def test_files_that_documents_name_are_there() -> None:
    path = r"`((?:engine|dashboard|db|tests|docs|requirements)/[\w./-]*)"
    named = {found for name in WRITTEN for found in re.findall(path, DOCUMENTS[name])}
    assert not {path for path in named if not (REPOSITORY / path).exists()}


def test_the_reference_of_commands_is_that_of_the_commands() -> None:
    assert DOCUMENTS["docs/cli.md"] == reference(), "`make docs` writes it anew"
