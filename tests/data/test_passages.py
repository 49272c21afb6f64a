import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpx.data import PassageEncoder, Question
from nlpx.errors import InputError
from nlpx.text import CharTokenizer, WordTokenizer, train_tokenizer

CONTEXT = "Lima is in Peru . Peru pays in soles"
WORDS = WordTokenizer([*dict.fromkeys(CONTEXT.split()), "where", "Where", "?"])
BPE = train_tokenizer("bpe", " ".join(20 * [CONTEXT]), vocab_size=270)


def asked(context=CONTEXT, question="Where is Lima?", answer="Peru", start=11):
    return Question(context, question, ((answer, start),), "", "")


def encoder(tokenizer=WORDS, *, max_length=20, question_length=4, **options):
    return PassageEncoder(tokenizer, max_length=max_length, question_length=question_length, **options)


def test_a_row_is_question_separator_and_context():
    passages = encoder()([asked()])
    columns = {name: rows[0].tolist() for name, rows in passages.columns.items()}
    question = WORDS.encode("Where is Lima ?").tolist()
    assert columns["text"] == [*question, WORDS.vocab_size, *WORDS.encode(CONTEXT)]
    assert columns["segment"] == [0] * 5 + [2, 2, 1, 1, 1, 1, 1, 1, 1]  # "Lima is" stands in the question too
    assert columns["begins"] == columns["ends"] == [0] * 4 + [1] * 10
    assert passages.words[0].tolist() == [-1] * 5 + list(range(9))
    assert passages.targets([asked()])["start"].tolist() == passages.targets([asked()])["end"].tolist() == [8]


@given(data=st.data())
def test_every_word_is_in_a_window_with_its_own_target(data):
    """Whatever the tokenizer, the window and the stride: each answer that fits into half a window can be found, and is
    cut from the context as it stands."""
    context = " ".join(data.draw(st.lists(st.sampled_from(CONTEXT.split()), min_size=1, max_size=30)))
    tokenizer = data.draw(st.sampled_from([WORDS, BPE, CharTokenizer(CONTEXT + "Where?h")]))
    starts = [n for n in range(len(context)) if n == 0 or context[n - 1] == " "]
    start = data.draw(st.sampled_from(starts))
    answer = context[start:].split()[0]
    question = asked(context, "Where?", answer, start)
    encode = encoder(tokenizer, max_length=data.draw(st.integers(24, 60)), question_length=9)
    passages = encode([question])
    targets = passages.targets([question])
    tokens = [row[words >= 0] for row, words in zip(passages.columns["text"], passages.words, strict=True)]
    found = 0
    for row, words in enumerate(passages.words):
        first, last = (words[targets[name][row]] for name in ("start", "end"))
        if first >= 0:
            found += 1
            begin, end = passages.spans[0][first][0], passages.spans[0][last][1]
            assert (begin, context[begin:end]) == (start, answer)
        else:
            assert passages.columns["text"][row][targets["start"][row]] == tokenizer.vocab_size
            assert targets["start"][row] == targets["end"][row]
    assert found >= 1
    assert all(len(row) <= 60 for row in passages.columns["text"])
    # Windows overlap, and together are the context.
    whole = np.concatenate([tokenizer.encode(f" {word}") for word in context.split()])
    assert set(range(len(context.split()))) <= {int(word) for words in passages.words for word in words}
    assert len(tokens[0]) == len(whole) or len(tokens) > 1


def test_windows_and_their_stride():
    passages = encoder(max_length=12, question_length=4, stride=3)([asked(question="Where?")])
    assert [words[words >= 0].tolist() for words in passages.words] == [[*range(9)]]
    passages = encoder(max_length=8, question_length=2, stride=2)([asked(question="Where?")])
    assert [words[words >= 0].tolist() for words in passages.words] == [
        [0, 1, 2, 3, 4],
        [2, 3, 4, 5, 6],
        [4, 5, 6, 7, 8],
    ]
    assert passages.dropped == {"context read in windows: over 8 tokens": 1}
    assert passages.question.tolist() == [0, 0, 0]
    assert passages.targets([asked(question="Where?")])["start"].tolist() == [6, 4, 2]


def test_long_contexts_may_be_left_out_and_long_questions_are_cut():
    encode = encoder(max_length=8, question_length=2)
    passages = encode([asked(), asked("Peru .", start=0)], windows=False)
    assert passages.question.tolist() == [1]
    assert passages.dropped == {"question cut to 2 tokens": 2, "context left out: over 8 tokens": 1}
    with pytest.raises(InputError, match="no question is left"):
        encode([asked()], windows=False)


def test_an_answer_within_a_word_is_the_word():
    question = asked("in Peruvian soles", "Where?", "Peru", 3)
    passages = encoder()([question])
    assert passages.words[0][passages.targets([question])["start"]].tolist() == [1]


def test_words_are_read_in_lower_case_and_cut_as_they_stand():
    small = WordTokenizer(["lima", "where"])
    passages = encoder(small, lowercase=True)([asked("LIMA İx", "Where?", "LIMA", 0)])
    assert passages.columns["text"][0].tolist() == [3, 0, 4, 2, 0]
    assert passages.spans == [[(0, 4), (5, 7)]]
    # Whether a word is the question's is told without regard to case, and by the word where the id is unknown.
    shared = encoder(small)([asked("LIMA in Peru", "Is Lima here?")]).columns["segment"][0]
    assert shared.tolist() == [0] * 5 + [2, 1, 1]


@pytest.mark.parametrize(
    ("options", "question", "message"),
    [
        ({"max_length": 9}, asked(), "question_length of 4 leaves less than half of the max_length 9"),
        ({}, asked(question=" "), "the question ' ' has no words"),
        ({}, asked(context="\n"), r"the context '\\n' has no words"),
        ({"tokenizer": CharTokenizer("Lima ?isn")}, asked(), "characters outside the vocabulary"),
    ],
)
def test_what_cannot_be_read_is_named(options, question, message):
    with pytest.raises(InputError, match=message):
        encoder(**options)([question])
