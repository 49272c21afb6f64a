import pytest

from nlpx.text import lower, word_spans


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Peru's sol (1,000.5%).", ["Peru", "'", "s", "sol", "(", "1", ",", "000", ".", "5", "%", ")", "."]),
        ("  two\n\tlines ", ["two", "lines"]),
        ("x_y e\u0301te\u0301 हिन्दी", ["x_y", "e\u0301te\u0301", "हिन्दी"]),
        ("日本語 text中", ["日", "本", "語", "text", "中"]),
        (" \n", []),
        ("", []),
    ],
)
def test_words_stand_where_the_spans_say(text, words):
    assert [text[begin:end] for begin, end in word_spans(text)] == words


def test_lower_case_moves_no_character():
    assert lower("ÀB c") == "àb c"
    assert lower("İX y") == "İx y"
    assert len("İX y".lower()) == 5
