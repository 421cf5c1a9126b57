"""Sentences about a run of several models: equal ones once, with the models that they concern."""

from __future__ import annotations

from collections.abc import Iterable

NAMED = 3
"""So many models are named; more are counted."""
_MODEL = "\0"


def merge_sentences(said: Iterable[tuple[str, Iterable[str]]]) -> tuple[str, ...]:
    """The sentences of each model (its id, its sentences) in order, equal ones once.

    Sentences that differ in the model id alone are equal.
    """
    models: list[str] = []
    groups: dict[str, list[str]] = {}
    for model_id, sentences in said:
        models.append(model_id)
        for sentence in sentences:
            concerned = groups.setdefault(sentence.replace(model_id, _MODEL), [])
            if model_id not in concerned:
                concerned.append(model_id)
    return tuple(_about(text, ids, len(models)) for text, ids in groups.items())


def _about(text: str, ids: list[str], total: int) -> str:
    if len(ids) == 1:
        return text.replace(_MODEL, ids[0]) if _MODEL in text else f"{ids[0]}: {text}"
    if _MODEL in text:
        named = "" if len(ids) == total else f" ({list_models(ids)})"
        replaced = text.replace(_MODEL, f"each of {len(ids)} models{named}", 1)
        replaced = replaced.replace(_MODEL, "it")
        return replaced[0].upper() + replaced[1:]
    if len(ids) == total:
        return text
    return f"{len(ids)} of {total} models ({list_models(ids)}): {text}"


def list_models(ids: list[str]) -> str:
    """`timm/a, timm/b and 3 more`."""
    more = len(ids) - NAMED
    if more <= 1:
        return ", ".join(ids)
    return f"{', '.join(ids[:NAMED])} and {more} more"
