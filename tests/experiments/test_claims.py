import json
import re
import time
from collections import Counter
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from importlib import import_module
from itertools import pairwise

import numpy as np
import pytest
from statsmodels.stats.weightstats import DescrStatsW

import experiments.claims.__main__ as claims_command
from experiments.claims._story import CHAPTERS
from nlpx.claims import Claim, Finding, Interval, Plot, Story, Verdict, every, t_interval, write_text
from nlpx.claims.measure import Failure, conclude, measure
from nlpx.claims.workers import measure_all
from nlpx.errors import InputError

pytestmark = pytest.mark.thorough

MEASURED = ("causality", "softmax_weights")
SOURCE = '''"""A claim."""
from _helper import wide

def measure():
    return {width}  # a comment

def conclude():
    return {words!r}
'''


@dataclass(frozen=True)
class Setting:
    width: int = 2


def make(measure, kind="statistical", verdict=Verdict.HOLDS, seeds=2):
    def conclude(results):
        return [Finding(1, verdict, f"{[result['value'] for result in results]}", "So it is.")]

    about = {"title": "A claim", "statements": (1,), "kind": kind, "method": "m.", "decides": "d."}
    return Claim(
        **about,
        full=Setting(),
        functions=(measure, conclude, lambda results: []),
        seeds=seeds,
    )


def carry_out(name, claim, source, workdir, say=print, limit=600.0, **how):
    failure = measure(name, claim, source, workdir, say=say, limit=limit, **how)
    return conclude(name, claim, source, workdir, failure or Failure("nothing"), **how)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "claim.py"
    path.write_text(SOURCE.format(width=1, words="a"))
    return path


def test_what_was_measured_is_kept_until_the_code_that_measures_changes(tmp_path, source):
    calls, said = [], []

    def measure(setting, seed, workdir):
        calls.append(seed)
        return {"value": np.float32(setting.width + seed)}

    def run(claim=None, **options):
        calls.clear(), said.clear()
        return carry_out("claim", claim or make(measure), source, tmp_path / "work", say=said.append, **options)

    assert run().findings[0].figure == "[2.0, 3.0]"
    assert calls == [0, 1]
    assert run(seeds=3).findings[0].figure == "[2.0, 3.0, 4.0]"
    assert calls == [2]
    source.write_text("# Another comment.\n" + SOURCE.format(width=1, words="b"))
    run()
    assert (calls, said) == ([], [])
    for change in (source, source.with_name("_helper.py")):
        change.write_text(SOURCE.format(width=2, words="b"))
        run()
        assert calls == [0, 1]
        assert "measured by another version" in said[0]
    run(replace(make(measure), full=Setting(3)))
    assert calls == [0, 1]
    (damaged,) = (path for path in (tmp_path / "work").rglob("seed-0.json") if '"width": 3' in path.read_text())
    damaged.write_text("{")
    run(replace(make(measure), full=Setting(3)))
    assert calls == [0]
    assert f"{damaged} is damaged" in said[0]


@pytest.mark.parametrize(
    ("error", "failed", "reason"),
    [
        (InputError("the loss is no longer finite"), False, "the loss is no longer finite"),
        (ZeroDivisionError("by zero\nmore"), True, "it failed: ZeroDivisionError: by zero"),
        (None, False, "over the limit of 0.05 s after 0 of 2 seeds"),
    ],
)
def test_what_goes_wrong_is_the_reason(tmp_path, source, error, failed, reason):
    def measure(setting, seed, workdir):
        if seed == 1 and error:
            raise error
        if not error:
            time.sleep(5)
        return {"value": 1}

    outcome = carry_out("claim", make(measure), source, tmp_path, limit=0.05 if error is None else 60)
    assert (outcome.failed, outcome.findings) == (failed, (Finding(1, Verdict.NOT_MEASURED, "", reason),))


def test_an_exact_statement_that_is_wrong_fails(tmp_path, source):
    claim = make(lambda *_: {"value": 1}, kind="exact", verdict=Verdict.DOES_NOT, seeds=1)
    assert carry_out("claim", claim, source, tmp_path).failed
    unanswered = replace(claim, statements=(1, 2))
    assert "each once" in carry_out("claim", unanswered, source, tmp_path).findings[0].meaning


def test_one_seed_decides_no_statistical_claim(tmp_path, source):
    claim = make(lambda setting, seed, workdir: {"value": seed}, seeds=3)
    assert carry_out("claim", claim, source, tmp_path, quick=True).findings[0].figure == "[0]"
    assert carry_out("claim", claim, source, tmp_path, quick=True, seeds=2).findings[0].figure == "[0, 1]"
    alone = t_interval([2.0])
    assert (alone.above(1), alone.below(1), str(alone)) == (None, None, "2")


def test_an_interval_is_students():
    values = [1.0, 2.5, 2.0, 4.0]
    interval = t_interval(values)
    assert (interval.low, interval.high) == pytest.approx(DescrStatsW(values).tconfint_mean(0.05))
    assert Interval(1, 1, 0, 2, 3).above(1) is None
    assert [Interval(1, 1, 0, 2, 3).above(each) for each in (-1, 3)] == [True, False]
    assert [Interval(1, 1, 0, 2, 3).below(each) for each in (-1, 3)] == [False, True]


def test_a_worker_that_does_not_keep_to_its_limit_is_replaced(tmp_path):
    """One claim does not look at the clock, another ends the process."""
    modules = {name: f"tests.experiments.claims_for_workers.{name}" for name in ("wrong", "fine", "endless", "gone")}
    common = {"workdir": tmp_path / "work", "limit": 60.0, "source": tmp_path / "claim.py"}
    common["source"].write_text("")
    ended = {}
    tasks = {
        name: (module, {"name": name, **common, **({"limit": 1.0} if name == "endless" else {})})
        for name, module in modules.items()
    }
    measure_all(tasks, 2, tmp_path / "compiled", lambda name, failure, seconds: ended.update({name: failure}))
    assert ended["endless"] == Failure("over the limit of 1 s")
    assert ended["gone"] == Failure("its process ended without a word", ours=True)
    log = tmp_path / "work" / "wrong" / "log.txt"
    assert ended["wrong"] == Failure(f"it failed: ZeroDivisionError: division by zero; see {log}", ours=True)
    assert "ZeroDivisionError" in log.read_text()
    assert ended["fine"] is None


def test_all_answers_make_one():
    assert [every(*each) for each in ([True, True], [True, None], [None, False])] == [True, None, False]


def test_the_findings_as_text(tmp_path, source):
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "old.png").touch()
    plot = Plot("What it says", "One line.", lambda figure: figure.add_subplot().plot([1, 2]))
    claim = make(lambda *_: {"value": 1})
    claim = replace(claim, functions=(*claim.functions[:2], lambda results: [plot]))
    outcome = carry_out("claim", claim, source, tmp_path)
    story = Story("Title", {"A": {1: "This | that."}, "B": {2: "Other."}}, [outcome], "not yet", "the command")
    write_text(story, tmp_path / "claims.md")
    written = (tmp_path / "claims.md").read_text()
    assert "| 1 | [This \\| that.](#claim) | **holds** |" in written
    assert "| 2 | Other. | not measured: not yet |" in written
    assert "**holds**: [1, 1]. So it is.\n" in written
    assert "statistical, 2 seeds, 0 s: `the command --only claim`" in written
    assert "![What it says. One line.](claims/claim-1.png)" in written
    assert (tmp_path / "claims" / "claim-1.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "claims" / "old.png").exists()
    assert "Verdicts on 2 statements: holds 1, not measured 1." in written


def test_each_statement_has_one_claim():
    numbers = [number for chapter in CHAPTERS.values() for number in chapter]
    assert numbers == list(range(1, 44))
    found = [import_module(f"experiments.claims.{name}").CLAIM for name in claims_command.sources()]
    assert max(Counter(number for claim in found for number in claim.statements).values()) == 1
    assert {number for claim in found for number in claim.statements} == set(numbers)


class Page(HTMLParser):
    """What a page contains: ids, addresses, headings, and the elements with their attributes."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def all(self, *tags):
        return [attributes for tag, attributes in self.elements if tag in tags]


@pytest.fixture(scope="module")
def written(call_once, tmp_path_factory):
    folder = tmp_path_factory.mktemp("claims")
    flags = ["--quick", f"--only={','.join(MEASURED)}", f"--workdir={folder}/work"]
    assert call_once(claims_command, flags) == 0
    return (folder / "work" / "report" / "index.html").read_text(encoding="utf-8")


def test_the_page_says_what_was_measured_and_what_was_not(written):
    page = Page(written)
    assert "0 of 66 later tokens leak with the mask, 66 without it" in page.text
    assert "left out by --only" in page.text
    (overview,) = re.findall(r'<table class="sortable overview">(.*?)</table>', written, re.DOTALL)
    assert [int(number) for number in re.findall(r"<tr>\s*<td>(\d+)</td>", overview)] == list(range(1, 44))
    (counts,) = re.findall(r'<ul class="counts">(.*?)</ul>', written, re.DOTALL)
    assert sum(map(int, re.findall(r"<b>(\d+)</b>", counts))) == 43


def test_the_page_needs_no_network_and_can_be_read_without_seeing(written):
    page = Page(written)
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", written.replace("data:,", ""))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    pictures = page.all("svg")
    assert len(pictures) == 1
    for picture in page.all("svg"):
        named = picture["aria-labelledby"].split()
        assert picture["role"] == "img"
        assert set(named) <= set(ids)
    assert not page.all("img")
    assert all(link.get("href", "").startswith(("#", "..", "data:")) or "/" in link["href"] for link in page.all("a"))
    refers = re.findall(r'(?:href="#|url\(#|aria-(?:describedby|labelledby)=")([^"\s)]+)', written)
    assert set(refers) <= set(ids)
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    cells = [cell for cell in page.all("td") if "aria-label" in cell]
    assert len(cells) == 36
    assert [cell["tabindex"] for cell in cells].count("0") == 1  # the arrow keys reach the others
    assert re.fullmatch(r"the looks at the: 0\.\d{3}", cells[0]["aria-label"])
    assert len(written.encode()) < 500_000


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--only=causalty"], "unknown claim 'causalty'; did you mean 'causality'?"),
        (["--report=file/report"], "cannot write into file/report: Not a directory"),
        (["--save", "--quick"], "leave out quick or save"),
        (["--seeds=1"], "seeds must be at least 2"),
    ],
)
def test_what_cannot_be_used_is_named(command, tmp_path, monkeypatch, capsys, flags, named):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    assert command(claims_command, flags) == 2
    assert named in capsys.readouterr().err
    assert json.dumps(sorted(path.name for path in tmp_path.iterdir())) == '["file"]'
