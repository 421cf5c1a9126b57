"""A decision of the gate as JUnit XML, Markdown and plain data."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from xml.etree import ElementTree

from engine.results.formats import escape_markdown
from engine.results.gate.checks import Decision
from engine.results.recommend.constraints import State
from engine.text import printable

VERDICTS = {State.MEETS: "pass", State.FAILS: "fail"}
INCONCLUSIVE = "inconclusive"


def verdict(state: State) -> str:
    """`pass`, `fail` or `inconclusive`."""
    return VERDICTS.get(state, INCONCLUSIVE)


def decision_document(decision: Decision) -> dict[str, Any]:
    """The decision as plain data, for JSON."""
    return {
        "verdict": verdict(decision.state),
        "state": decision.state.name.lower(),
        "baseline": decision.baseline,
        "candidate": decision.candidate,
        "checks": [
            {**asdict(one), "state": one.state.name.lower(), "verdict": verdict(one.state)}
            for one in decision.checks
        ],
    }


def junit(decision: Decision) -> str:
    """JUnit XML: a test case for each check.

    A failed check is a failure, an inconclusive one an error, so that it never passes.
    """
    states = [verdict(one.state) for one in decision.checks]
    suite = ElementTree.Element(
        "testsuite",
        name="senet gate",
        tests=str(len(states)),
        failures=str(states.count("fail")),
        errors=str(states.count(INCONCLUSIVE)),
    )
    for one in decision.checks:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=printable(decision.candidate),
            name=f"{one.name} {one.limit}",
        )
        text = printable(f"{one.state}: {one.sentence}")
        if one.state == State.MEETS:
            ElementTree.SubElement(case, "system-out").text = text
        else:
            kind = "failure" if one.state == State.FAILS else "error"
            ElementTree.SubElement(case, kind, message=text, type=one.state.name.lower())
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def markdown(decision: Decision) -> str:
    """The decision with a table of its checks, for the comment of a pull request."""
    from tabulate import tabulate

    rows = [[verdict(one.state), one.name, one.limit, one.sentence] for one in decision.checks]
    escaped = [[escape_markdown(printable(text)) for text in row] for row in rows]
    table = tabulate(
        escaped, headers=["", "check", "limit", "measured"], tablefmt="pipe", disable_numparse=True
    )
    names = (escape_markdown(printable(name)) for name in (decision.candidate, decision.baseline))
    subject = " vs ".join(names)
    return f"### senet gate: {verdict(decision.state)}\n\n{subject}\n\n{table}\n"
