import gc
import re
import sys
import sysconfig

import pytest

from nlpx.data import cpython_docs, load_text
from nlpx.errors import InputError


@pytest.fixture(scope="module")
def data():
    return load_text("cpython-docs")


def test_size_and_characters(data):
    whole = data.train + data.validation
    assert 1_000_000 < len(whole) < 2_500_000
    assert 0.08 < len(data.validation) / len(whole) < 0.12
    assert set(whole) <= {"\n", *map(chr, range(32, 127))}
    assert set(data.validation) <= set(data.train)


def test_it_is_english_prose(data):
    words = re.findall(r"[a-z]+", data.validation.lower())
    assert words.count("the") > 0.05 * len(words)  # about 6% of written English
    letters = sum(c.isalpha() or c == " " for c in data.validation)
    assert letters > 0.85 * len(data.validation)
    assert data.validation.count("\n>>> ") < 0.01 * data.validation.count("\n")


def test_validation_shares_no_document_and_no_paragraph(data):
    def paragraphs(text):
        found = (" ".join(p.split()) for p in text.split("\n\n"))
        return {words for words in found if len(words) >= 40}

    assert len(paragraphs(data.validation)) > 500
    assert not paragraphs(data.validation) & paragraphs(data.train)
    assert data.train.endswith("\n\n\n")


def test_it_is_deterministic_and_leaves_the_interpreter_alone(data):
    modules = set(sys.modules)
    assert load_text("cpython-docs").sha256 == data.sha256
    assert gc.isenabled()
    assert set(sys.modules) - modules <= {"pydoc_data", "pydoc_data.topics"}


def test_cleaning():
    raw = """Return the sum of two numbers, whichever they are.

    >>> add(1, 2)
    3

    add(a, b) -> c

        Indented prose is kept with its indentation, “quotes” become plain.

    The ß is no ASCII letter, so this one goes.
    """
    assert cpython_docs.prose(raw) == (
        "Return the sum of two numbers, whichever they are.\n\n"
        '    Indented prose is kept with its indentation, "quotes" become plain.'
    )


def test_docstrings_are_found_wherever_a_definition_stands(tmp_path, monkeypatch):
    source = '''
"module"
if x:
    def f():
        "f"
        class C:
            "C"
            async def g(self): "g"
else:
    try: pass
    except E:
        def h(): "h"
    finally:
        def i(): """i"""
def j(): return "none"
'''
    file = tmp_path / "one.py"
    file.write_text(source)
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))  # where the standard library lies
    assert sorted(cpython_docs.docstrings()) == [(str(file), text) for text in ("C", "f", "g", "h", "i", "module")]


def test_refusals(monkeypatch):
    with pytest.raises(InputError, match="leave out ':x'"):
        load_text("cpython-docs:x")
    monkeypatch.setattr(cpython_docs, "documents", list)
    with pytest.raises(InputError, match="without the sources"):
        load_text("cpython-docs")
