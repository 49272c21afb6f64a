import gzip
import json

import pytest

from nlpx.data.question_files import Question, read
from nlpx.errors import InputError

CONTEXT = "Lima is in Peru. Peru pays in soles."


def squad(*asked):
    return {"data": [{"title": "Peru", "paragraphs": [{"context": CONTEXT, "qas": list(asked)}]}]}


def qa(*answers, question="Where is Lima?", name="q"):
    return {"id": name, "question": question, "answers": [{"text": text, "answer_start": at} for text, at in answers]}


@pytest.fixture
def write(tmp_path):
    def written(content, name="asked.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return str(path)

    return written


def test_squads_questions_with_all_that_people_answered(write):
    found, dropped = read(write(squad(qa(("in Peru", 8), ("Peru", 11), ("Peru", 11)))))
    # What most people answered comes first; who trains on one answer takes that.
    assert found == [Question(CONTEXT, "Where is Lima?", (("Peru", 11), ("in Peru", 8)), "Peru", "q")]
    assert dropped == {}


@pytest.mark.parametrize(
    ("answer", "place"),
    [
        (("Peru", 11), 11),
        (("Peru", 17), 17),
        (("Peru", 0), 11),
        (("Peru", 30), 17),
        (("Peru", -5), 11),
        ((" Peru ", 10), 11),
    ],
)
def test_an_answer_stands_nearest_to_where_it_is_said_to(write, answer, place):
    (found,), _ = read(write(squad(qa(answer))))
    assert found.answers == (("Peru", place),)


def test_what_has_no_answer_in_its_context_is_counted(write):
    asked = [qa(("Peru", 11)), qa(("Chile", 11)), qa(), qa(("", 0)), qa(("Chile", 0), ("Peru", 11))]
    found, dropped = read(write(squad(*asked)))
    assert [each.answers for each in found] == [(("Peru", 11),)] * 2
    assert dropped == {"answer not in its context": 1, "no answer": 2}


def test_objects_a_line(write):
    rows = [
        {
            "context": CONTEXT,
            "question": "Where?",
            "answers": {"text": ["Peru"], "answer_start": [17]},
            "id": "1",
            "title": "T",
        },
        {"context": CONTEXT, "question": "Where?", "answers": ["Peru", "in Peru"]},
        {"context": CONTEXT, "question": "Where?", "answers": "soles"},
    ]
    found, _ = read(write("\n\n".join(map(json.dumps, rows)) + "\n", "asked.jsonl"))
    assert [each.answers for each in found] == [(("Peru", 17),), (("in Peru", 8), ("Peru", 11)), (("soles", 30),)]
    assert [(each.group, each.id) for each in found] == [("T", "1"), (CONTEXT, ""), (CONTEXT, "")]


def test_a_packed_file(tmp_path):
    with gzip.open(tmp_path / "asked.json.gz", "wt", encoding="utf-8") as file:
        json.dump(squad(qa(("Peru", 11))), file)
    assert len(read(str(tmp_path / "asked.json.gz"))[0]) == 1


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ("{", "a.json", "a.json is no JSON .*name it .jsonl"),
        ("[]", "a.json", "is not SQuAD's JSON, at the top: no 'data'; give"),
        ('{"data": [{"title": "x"}]}', "a.json", r"at data\[0\]: no 'paragraphs'"),
        (squad({"id": "1", "answers": []}), "a.json", r"at data\[0\].paragraphs\[0\].qas\[0\]: no 'question'"),
        (squad(qa(("Peru", 11)), qa(("Peru", "11"))), "a.json", r"qas\[1\]: 'answer_start' is \"11\""),
        (squad(qa(("Peru", 11), question=" ")), "a.json", r"qas\[0\]: the question has no words"),
        ('{"data": []}', "a.json", "no question with an answer in its context .it is empty.; give another"),
        (squad(qa(("Chile", 0))), "a.json", "1 answer not in its context"),
        ('{"context": "x"}', "a.jsonl", "a.jsonl, line 1: no 'answers'"),
        ("[1]", "a.jsonl", "line 1: no 'answers'"),
        ('\n{"context": null, "question": "q", "answers": "x"}', "a.jsonl", "line 2: 'context' is null"),
        ('{"context": "x", "question": "q", "answers": [1]}', "a.jsonl", "line 1: answers are not texts"),
        ("x", "a.jsonl", "a.jsonl, line 1: Expecting value"),
        ('{"context": "x", "question": "q", "answers": {"text": ["x"], "answer_start": []}}', "a.jsonl", "line 1"),
        ("", "a.json", "a.json is empty"),
        ("[" * 100_000, "a.json", "a.json is no JSON .lists or objects lie in each other too deeply"),
        ("[" * 100_000, "a.jsonl", "line 1: lists or objects lie in each other too deeply"),
        ('{"context": "x \\ud800", "question": "q", "answers": "x"}', "a.jsonl", "line 1: half a character"),
    ],
)
def test_what_cannot_be_read_is_named(write, content, name, message):
    with pytest.raises(InputError, match=message) as raised:
        read(write(content, name))
    assert "\n" not in str(raised.value)


def test_one_file_at_a_time():
    with pytest.raises(InputError, match="names several files; give one"):
        read("a.json,b.json")
