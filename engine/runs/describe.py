"""Name, notes and tags of a stored run; nothing else of a run ever changes."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import ValidationError

from db.models import Run
from db.session import writing
from engine.errors import InvalidRequest
from engine.runs.request import RunRequest
from engine.runs.submit import title_of


def describe_run(
    run_id: int, name: str | None, notes: str | None, tags: Iterable[str], url: str
) -> None:
    """Replaces name, notes and tags of a run; without a name it has its models as title again.

    Raises InvalidRequest for a run that does not exist, and for texts that are too long.
    """
    described = {"name": name or None, "notes": notes or None, "tags": tuple(dict.fromkeys(tags))}
    with writing(url) as session:
        run = session.get(Run, run_id)
        if run is None:
            raise InvalidRequest(f"There is no run {run_id}; `runs list` shows them.")
        try:
            request = RunRequest.model_validate({**run.request, **described})
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"]))
            raise InvalidRequest(f"Run {run_id}, {field}: {first['msg']}.") from error
        run.request, run.title = request.to_json(), title_of(request)
