import builtins
import io
import sys

import pytest

from nlpx.errors import InputError
from nlpx.predict import answer_lines, is_text
from nlpx.text.tokenizer import utf8


@pytest.fixture
def answered(capsys):
    """What is printed, and in which groups `answer` was asked."""

    def run(given):
        asked = []

        def answer(texts):
            asked.append(list(texts))
            return [f"<{text}>" for text in texts]

        answer_lines(str(given), answer)
        printed = capsys.readouterr()
        assert printed.err == ""
        return printed.out, asked

    return run


def test_a_text_is_answered_by_a_line(answered):
    assert answered("un  deux ") == ("<un  deux >\n", [["un  deux "]])


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        (b"un\ndeux trois\n", "<un>\n<deux trois>\n"),
        (b" un \ndeux", "< un >\n<deux>\n"),
        (b"\xef\xbb\xbfun\r\n\r\ndeux\r\n", "<un>\n\n<deux>\n"),
        ("\n \n\tété\n\n".encode(), "\n\n<\tété>\n\n"),
        ("a\u2028b\x0cc\x85d\n\ne\n".encode(), "<a\u2028b\x0cc\x85d>\n\n<e>\n"),
        (b"\n\n", "\n\n"),
        (b"", ""),
    ],
    ids=["lines", "no end", "BOM and CRLF", "empty ones", "no line ends to others", "nothing but ends", "empty"],
)
def test_each_line_of_a_file_is_answered_where_it_stands(answered, tmp_path, written, printed):
    """An empty line stays one, and `answer` is never asked for it."""
    path = tmp_path / "texts"
    path.write_bytes(written)
    out, asked = answered(path)
    assert out == printed
    assert all(text.strip() for texts in asked for text in texts)


def test_lines_of_a_long_file_are_answered_together_but_not_all_at_once(answered, tmp_path):
    path = tmp_path / "texts"
    path.write_text("".join(f"{number}\n" for number in range(600)))
    out, asked = answered(path)
    assert out.splitlines() == [f"<{number}>" for number in range(600)]
    assert 1 < len(asked) < 10


def test_lines_of_standard_input_are_answered_alone_and_stay_where_they_are(answered, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(" un \r\n\n  \ndeux"))
    assert answered("-") == ("< un >\n\n\n<deux>\n", [[" un "], ["deux"]])


def test_each_answer_is_there_before_the_next_line_is_read(monkeypatch, capsys):
    """Somebody may type the next line only after the answer."""
    printed = []

    def type_lines():
        for line in ("un\n", "\n", "deux\n"):
            yield line
            printed.append(capsys.readouterr().out)

    monkeypatch.setattr(sys, "stdin", type_lines())
    answer_lines("-", lambda texts: [text.upper() for text in texts])
    assert printed == ["UN\n", "\n", "DEUX\n"]


def test_an_answer_is_flushed(monkeypatch):
    """Into a pipe too, where Python would keep it until there is much."""
    shown = []

    class Pipe(io.StringIO):
        def flush(self):
            shown.append(self.getvalue())

    def type_lines():
        for line in ("un\n", "deux\n"):
            yield line
            assert shown[-1].endswith(f"<{line[:-1]}>\n")

    monkeypatch.setattr(sys, "stdin", type_lines())
    monkeypatch.setattr(sys, "stdout", Pipe())
    answer_lines("-", lambda texts: [f"<{text}>" for text in texts])
    assert shown[-1] == "<un>\n<deux>\n"


def test_what_is_a_text(tmp_path):
    (tmp_path / "file").write_text("un")
    assert not is_text("-")
    assert not is_text(str(tmp_path / "file"))
    for text in ("un", str(tmp_path), str(tmp_path / "other"), "un\ndeux", "x" * 5000, "a\0b", ""):
        assert is_text(text)


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_a_text_without_anything_is_refused(text):
    with pytest.raises(InputError, match="nothing to answer"):
        answer_lines(text, list)


def test_a_line_that_is_no_text_is_named_and_the_others_answered(tmp_path, capsys):
    path = tmp_path / "texts"
    path.write_bytes(b"\xef\xbb\xbfun\n\xff\xfe\ntrois\n")

    def answer(texts):
        for text in texts:
            utf8(text)
        return texts

    with pytest.raises(InputError, match="1 of 3 lines could not be answered"):
        answer_lines(str(path), answer)
    captured = capsys.readouterr()
    assert captured.out == "un\n\ntrois\n"
    assert captured.err.startswith("line 2: ")
    assert "is not valid Unicode" in captured.err


def test_a_file_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    (tmp_path / "texts").write_text("un")
    monkeypatch.setattr(builtins, "open", lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "denied")))
    with pytest.raises(InputError, match=f"cannot read {tmp_path / 'texts'}"):
        answer_lines(str(tmp_path / "texts"), list)


def test_what_cannot_be_answered_is_named_and_the_others_answered(monkeypatch, capsys):
    def answer(texts):
        if texts[0] == "deux":
            raise InputError("not this one")
        return texts

    monkeypatch.setattr(sys, "stdin", io.StringIO("un\ndeux\ntrois\n"))
    with pytest.raises(InputError, match="1 of 3 lines could not be answered"):
        answer_lines("-", answer)
    captured = capsys.readouterr()
    assert captured.out == "un\n\ntrois\n"
    assert captured.err == "line 2: not this one\n"
