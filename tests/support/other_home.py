"""Evaluates shards in a home of its own, as another machine: `python -m tests.support.other_home`.

The one argument is JSON: `spec`; `ranges`, the shards to compute, and None for the joining of all;
`shard_images`; `facts` and `bits`, by which this machine pretends to differ from the others.
Prints JSON: the results of the jobs, and what they said.
"""

from __future__ import annotations

import io
import json
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from typing import Any
from uuid import uuid4

from engine.common import environment
from engine.config import settings
from engine.evaluation import groups, job
from engine.specs import EvaluateSpec, evaluations
from tests.support.tiny import Quiet


def main(asked: dict[str, Any]) -> dict[str, Any]:
    """Runs the jobs; returns their results, and what they said."""
    evaluations.SHARD_IMAGES = asked["shard_images"]
    pretend(asked.get("facts") or {}, bits=asked.get("bits"))
    spec = EvaluateSpec.model_validate(asked["spec"])
    results, said = [], []
    for shard in asked["ranges"]:
        context = Quiet(settings().url, settings().home / "tmp" / uuid4().hex)
        with redirect_stdout(io.StringIO()):
            if shard is None:
                results.append(job.run(spec.to_json(), context))
            else:
                part = spec.model_copy(update={"start": shard[0], "stop": shard[1]})
                results.append(job.run_shard(part.to_json(), context))
        said += context.said
    return {"home": str(settings().home), "results": results, "said": said}


def pretend(facts: dict[str, Any], bits: str | None) -> None:
    """Makes this machine report other facts, or other bits for the fixed batch."""
    observe, digest = environment.observe_machine, groups.probe_digest

    def observed() -> environment.MachineFacts:
        found = observe()
        packages = {**found.facts["packages"], **facts.get("packages", {})}
        return replace(found, facts={**found.facts, **facts, "packages": packages})

    environment.observe_machine = observed
    if bits is not None:
        groups.probe_digest = lambda task, run: digest(task, run) + bits


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
