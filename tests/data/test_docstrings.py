import sys
import sysconfig

import pytest

from nlpx.data import docstrings, load_pairs
from nlpx.data.docstrings import near_copies, summarized
from nlpx.errors import InputError


@pytest.fixture(scope="module")
def data():
    before = set(sys.modules)
    data = load_pairs("docstrings")
    assert not {"this", "antigravity", "idlelib", "tkinter", "asyncio"} & (set(sys.modules) - before)
    return data


@pytest.mark.thorough
def test_thousands_of_pairs_in_three_parts(data):
    everything = [*data.train, *data.validation, *data.test]
    assert 3000 < len(everything) < 6000
    for part in (data.validation, data.test):
        assert 0.08 < len(part) / len(everything) < 0.13
    for body, summary in everything:
        assert len(body.split()) >= 4
        assert 2 <= len(summary.split()) <= 30
        assert (body + summary).isascii()
        assert "\n" not in body + summary
    assert data.dropped["no summary with a body"] > 1000
    assert 0 < data.dropped["nearly a body of validation or test"] < 100
    held_out = [body for body, _ in (*data.validation, *data.test)]
    assert not near_copies([body for body, _ in data.train], held_out)


def test_near_copies_share_half_of_the_runs_of_the_shorter():
    other = "Wake up all threads that wait on this condition."  # 6 runs
    texts = [
        other.replace("threads", "tasks"),  # 2 of 6
        other.replace("condition", "lock"),  # 5 of 6
        "wake up ALL threads",
        f"When called, it does this. {other} And then no more.",
        "Wake up all the threads there are.",
        "It is done once.",
        "",
    ]
    assert near_copies(texts, [other, "Nothing at all."]) == {1, 2, 3}
    assert near_copies(texts, []) == set()


def test_no_module_is_in_two_parts(monkeypatch):
    """Modules of made-up docstrings, one of them large, one the pure-Python version of another."""
    sizes = {"email/message.py": 30, "email/policy.py": 30, "_pydecimal.py": 1, "decimal.py": 1}
    sizes |= {f"small{number}.py": 1 for number in range(60)}
    root = sysconfig.get_path("stdlib")

    def read(skipped):
        for path, size in sizes.items():
            for number in range(size):
                body = " ".join(f"{word}{number}{path}" for word in ("It", "is", "all", "of", "this"))
                yield f"{root}/{path}", f"Sum up {path}. {body}"

    monkeypatch.setattr(docstrings, "docstrings", read)
    train, validation, test, _ = docstrings.make()
    modules = [
        {summary.removeprefix("Sum up ").split("/")[0].removesuffix(".").replace("_py", "") for _, summary in part}
        for part in (train, validation, test)
    ]
    assert not modules[0] & modules[1]
    assert not modules[0] & modules[2]
    assert not modules[1] & modules[2]
    assert "email" in modules[0]
    assert all(8 <= len(part) <= 14 for part in (validation, test))


@pytest.mark.parametrize(
    ("docstring", "pair"),
    [
        ("Do it.\n\n    It is done once.", ("It is done once.", "Do it.")),
        ("Do it\n    at once.  Then it\n    is never done again.", ("Then it is never done again.", "Do it at once.")),
        ("Do, e.g., this.\n\n>>> do()\n1\n\nIt is done “once” only.", ('It is done "once" only.', "Do, e.g., this.")),
        ("Do it.", None),
        ("Do it.\n\n>>> do()\n1", None),
        ("Short.\n\nIt is done once only.", None),
        ("Tue es.\n\nEs wird völlig und ganz getan.", None),
    ],
)
def test_a_docstring_is_its_first_sentence_and_the_prose_after_it(docstring, pair):
    assert summarized(docstring) == pair


def test_refusals(monkeypatch):
    with pytest.raises(InputError, match="leave out ':x'"):
        load_pairs("docstrings:x")
    monkeypatch.setattr(docstrings, "docstrings", lambda skipped: iter(()))
    with pytest.raises(InputError, match="without the sources"):
        load_pairs("docstrings")
