"""In words: how many images of an evaluation its build had seen, and how it does on the rest."""

from __future__ import annotations

from typing import Any

SEEN_BEFORE = "seen_before"
"""Where an evaluation's protocol holds it: counts `of` images, of them `calibrated` and `searched`
on, of either (`images`), and the top-1 and top-5 counts of the `rest`."""


def seen_sentence(protocol: dict[str, Any]) -> str | None:
    """`312 of 1,000 images were also calibrated on; top-1 on the other 688: 85.76 %`, or None.

    None where nothing is known, as for builds that are not calibrated.
    """
    facts = protocol.get(SEEN_BEFORE)
    if not facts:
        return None
    if not facts["images"]:
        return "none of the images was calibrated or searched on"
    kinds = [kind for kind in ("calibrated", "searched") if facts[kind]]
    text = f"{facts['images']:,} of {facts['of']:,} images were also {' or '.join(kinds)} on"
    rest = facts.get("rest") or {}
    if rest.get("images") and rest.get("top1") is not None:
        share = rest["top1"] / rest["images"]
        text += f"; top-1 on the other {rest['images']:,}: {100 * share:.2f} %"
    return text


def without_rest(protocol: dict[str, Any]) -> dict[str, Any]:
    """The protocol where other labels apply than those that the rest was counted by."""
    facts = protocol.get(SEEN_BEFORE)
    if not facts:
        return protocol
    return {**protocol, SEEN_BEFORE: {k: v for k, v in facts.items() if k != "rest"}}
