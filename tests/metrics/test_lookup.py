from nlpx.metrics import lookup_tags

TRAIN = [
    (["New", "York", "is", "not", "York"], ["B-LOC", "I-LOC", "O", "O", "B-LOC"]),
    (["Chad", "left", "Chad"], ["B-PER", "O", "B-LOC"]),
    (["New", "York", "Times"], ["B-ORG", "I-ORG", "I-ORG"]),
]


def test_the_longest_phrase_is_found_and_one_of_several_types_is_not():
    sentences = [
        ["York", ",", "Chad", "and", "New", "York"],
        ["New", "York", "Times"],
        ["New", "York", "York", "new", "york"],
        [],
    ]
    assert lookup_tags(TRAIN, sentences) == [
        ["B-LOC", "O", "O", "O", "B-LOC", "I-LOC"],
        ["B-ORG", "I-ORG", "I-ORG"],
        ["B-LOC", "I-LOC", "B-LOC", "O", "O"],
        [],
    ]


def test_without_a_training_entity_there_is_none():
    assert lookup_tags([(["a"], ["O"])], [["a", "b"]]) == [["O", "O"]]
