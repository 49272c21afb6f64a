"""Claims that go wrong in ways which only another process survives."""

from dataclasses import dataclass

from nlpx.claims import Claim, Finding, Verdict


@dataclass(frozen=True)
class Setting:
    pass


def make(measure):
    about = {"title": "A claim", "statements": (1,), "kind": "exact", "method": "m.", "decides": "d."}

    def conclude(results):
        return [Finding(1, Verdict.HOLDS, "1", "So it is.")]

    return Claim(**about, full=Setting(), functions=(measure, conclude, lambda results: []))
