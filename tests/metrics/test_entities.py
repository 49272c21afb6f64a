import random
import warnings

import pytest

from nlpx.errors import InputError
from nlpx.metrics import entity_metrics, entity_table
from nlpx.text import tags_of

TYPES = ("LOC", "ORG", "PER")
HARD = {  # true, predicted
    "right": (["B-PER", "I-PER", "O"], ["B-PER", "I-PER", "O"]),
    "another type": (["B-PER", "I-PER", "O"], ["B-LOC", "I-LOC", "O"]),
    "half": (["B-PER", "I-PER", "O"], ["B-PER", "O", "O"]),
    "two for one": (["B-PER", "I-PER", "O"], ["B-PER", "B-PER", "O"]),
    "one for two": (["B-PER", "B-PER", "O"], ["B-PER", "I-PER", "O"]),
    "begun by I": (["B-PER", "I-PER", "O"], ["I-PER", "I-PER", "O"]),
    "type changes within": (["B-PER", "I-PER", "I-PER"], ["B-PER", "I-LOC", "I-PER"]),
    "nothing found": (["B-PER", "O", "B-ORG"], ["O", "O", "O"]),
    "nothing there": (["O", "O", "O"], ["B-ORG", "I-ORG", "O"]),
    "at the end": (["O", "O", "B-LOC"], ["O", "O", "B-LOC"]),
    "neither": (["O"], ["O"]),
}


def rounds():
    rng = random.Random(0)
    yield from ({name: [pair] for name, pair in HARD.items()} | {"all": list(HARD.values())}).values()
    for _ in range(50):
        sizes = [rng.randint(1, 8) for _ in range(20)]
        yield [tuple(rng.choices(tags_of(TYPES), k=size) for _ in "ab") for size in sizes]


def test_the_figures_are_those_of_seqeval():
    seqeval = pytest.importorskip("seqeval.metrics")
    for pairs in rounds():
        true, found = map(list, zip(*pairs, strict=True))
        ours = entity_metrics(true, found, TYPES)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of types that do not occur
            theirs = seqeval.classification_report(true, found, output_dict=True, zero_division=0)
            totals = seqeval.precision_score, seqeval.recall_score, seqeval.f1_score
            expected = [each(true, found, zero_division=0) for each in totals]
        assert [ours["precision"], ours["recall"], ours["f1"]] == pytest.approx(expected)
        assert ours["accuracy"] == pytest.approx(seqeval.accuracy_score(true, found))
        for each in ours["per_type"]:
            row = theirs.get(each["type"], {"precision": 0, "recall": 0, "f1-score": 0, "support": 0})
            assert [each["precision"], each["recall"], each["f1"], each["count"]] == pytest.approx(list(row.values()))
        assert ours["entities"] == sum(each["count"] for each in ours["per_type"])


def test_the_confusion_is_of_entities_of_one_extent():
    names = ("another type", "half", "right", "nothing there")
    confusion = entity_metrics(*zip(*(HARD[name] for name in names), strict=True), TYPES)["confusion"]
    #       LOC ORG PER none
    assert confusion == [
        [0, 0, 0, 0],
        [0, 0, 0, 0],
        [1, 0, 1, 1],
        [0, 1, 1, 0],
    ]


@pytest.mark.parametrize(("true", "found", "named"), [
    ([["O"]], [["O", "O"]], "as many sentences and words"),
    ([], [], "at least one"),
    ([["B-X"]], [["O"]], "of type 'X', and the types are LOC, ORG, PER"),
])  # fmt: skip
def test_what_cannot_be_scored_is_named(true, found, named):
    with pytest.raises(InputError, match=named):
        entity_metrics(true, found, TYPES)


def test_the_table_has_a_line_for_the_whole_and_one_a_type():
    test = entity_metrics(*zip(*HARD.values(), strict=True), TYPES)
    first, *rest = entity_table({"count": len(HARD), **test}).splitlines()
    assert first.startswith("test, 11 sentences: F1 26.09  precision 25.00  recall 27.27  of 11 entities")
    assert [line.split()[0] for line in rest] == list(TYPES)
    assert rest[0] == "  LOC  F1  50.00  precision  33.33  recall 100.00  of 1"
    _, baseline, *_ = entity_table({"count": len(HARD), **test, "baseline": test}).splitlines()
    assert baseline == "  entities of training looked up: F1  26.09  precision  25.00  recall  27.27"
