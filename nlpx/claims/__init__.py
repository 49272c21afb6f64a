"""Claims: statements that an experiment decides, what it found, and the page that shows it.

claim = Claim("Causality", statements=(33,), kind="exact", ..., functions=(measure, conclude, exhibit))
outcomes = carry_out({"causality": "experiments.claims.causality"}, {"causality": path}, ["causality"], workdir, ...)
"""

from nlpx.claims.carry_out import carry_out
from nlpx.claims.claim import Claim, Finding, Verdict
from nlpx.claims.exhibits import AttentionMap, Exhibit, Plot, Table, draw_cells
from nlpx.claims.interval import Interval, every, t_interval
from nlpx.claims.measure import Outcome
from nlpx.claims.page import Story, write_page
from nlpx.claims.text import write_text

__all__ = [
    "AttentionMap",
    "Claim",
    "Exhibit",
    "Finding",
    "Interval",
    "Outcome",
    "Plot",
    "Story",
    "Table",
    "Verdict",
    "carry_out",
    "draw_cells",
    "every",
    "t_interval",
    "write_page",
    "write_text",
]
