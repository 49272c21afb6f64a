"""A small one of every task whose batches come from columns, and columns to train it on: for the laws that all obey."""

import dataclasses

import numpy as np

from nlpx.config import (
    CaptionerConfig,
    ClassifierConfig,
    EncoderDecoderConfig,
    FeedForwardConfig,
    ForecasterConfig,
    MaskedLanguageModelConfig,
    ReaderConfig,
    TaggerConfig,
)
from nlpx.tasks import (
    Captioning,
    Classification,
    Forecasting,
    MaskedLanguageModelling,
    QuestionAnswering,
    RowClassification,
    RowRegression,
    SequenceToSequence,
    Tagging,
)

ROWS, LONGEST, VOCAB = 13, 6, 9  # no number of devices divides the rows, so the last batch has some that only fill up
LENGTHS = 3 + np.arange(ROWS) % (LONGEST - 2)
SIZE = {"layers": 1, "width": 8, "heads": 2}
SCALES = {"center": [0.0] * 4, "spread": [1.0] * 4}


def rng():
    return np.random.default_rng(0)


def ragged(high, *rest, less=0, low=0):
    draw = rng()
    return [draw.integers(low, high, (length - less, *rest), np.int32) for length in LENGTHS]


def classification(**options):
    task = Classification(ClassifierConfig(**SIZE, **options).build(VOCAB, labels="abc", max_length=9), 0.1)
    return task, {"text": ragged(VOCAB), "label": (np.arange(ROWS) % 3).astype(np.int32)}


def tagging(**options):
    config = TaggerConfig(**SIZE, character_width=4, **options)
    task = Tagging(config.build(VOCAB, types=("x", "y"), characters=4, max_length=9))
    words = ragged(VOCAB)
    tags = [np.where(ids > 5, 3, ids % 2).astype(np.int32) for ids in words]
    return task, {"words": words, "tags": tags, "spelling": ragged(4, 3, low=1)}


def answers(**options):
    task = QuestionAnswering(ReaderConfig(**SIZE, **options).build(VOCAB, max_length=9), 0.1)
    places = [np.arange(length, dtype=np.int32) for length in LENGTHS]
    inside = [(place > 1).astype(np.int32) for place in places]
    start = (2 + np.arange(ROWS) % (LENGTHS - 2)).astype(np.int32)
    columns = {"text": ragged(VOCAB), "segment": inside, "begins": inside, "ends": inside}
    return task, {**columns, "start": start, "end": (LENGTHS - 1).astype(np.int32)}


def masked(**options):
    task = MaskedLanguageModelling(MaskedLanguageModelConfig(**SIZE, **options).build(VOCAB + 1, max_length=9), 0.1)
    places = [np.array([1, length - 1], np.int32) for length in LENGTHS]
    documents = [(np.arange(length) > 1).astype(np.int32) for length in LENGTHS]
    hidden = [np.where(np.arange(len(ids)) == 1, VOCAB, ids).astype(np.int32) for ids in ragged(VOCAB)]
    targets = [ids[[1, -1]] for ids in ragged(VOCAB)]
    return task, {"text": hidden, "segment_ids": documents, "places": places, "targets": targets}


def pairs(smoothing=0.1, **options):
    task = SequenceToSequence(EncoderDecoderConfig(**SIZE, **options).build(VOCAB, max_length=9), smoothing)
    return task, task.columns(source=ragged(VOCAB, less=1), target=ragged(VOCAB, less=2)[::-1])


def captions(**options):
    task = Captioning(CaptionerConfig(**SIZE, **options).build(VOCAB, shape=(8, 8, 1), max_length=9), 0.1)
    pictures = rng().integers(0, 256, (ROWS, 8, 8, 1)).astype(np.uint8)
    return task, task.columns(source=pictures, target=ragged(VOCAB, less=2))


def forecasts(**options):
    model = ForecasterConfig(**SIZE, **options)
    scaling = {"names": ["a", "b"], "autocorrelation": [0.8, 0.3]}
    task = Forecasting(model.build(scaling=scaling, features=3, history=LONGEST, horizon=2))
    draw = rng()
    values = {"history": draw.normal(size=(ROWS, LONGEST, 3)), "future": draw.normal(size=(ROWS, 2, 2))}
    columns = {name: each.astype(np.float32) for name, each in values.items()}
    return task, {**columns, "known": draw.random((ROWS, 2, 2)) < 0.7}


def rows(kind):
    labels = "abc" if kind == "labels" else ()
    config = FeedForwardConfig(layers=1, width=8, dropout=0.2)
    model = config.build("wxyz", labels=labels, target="y", scales=SCALES)
    features = rng().normal(size=(ROWS, 4)).astype(np.float32)
    target = (np.arange(ROWS) % 3).astype(np.int32) if labels else features.sum(axis=1)
    return RowClassification(model) if labels else RowRegression(model, 20.0), {"features": features, "target": target}


@dataclasses.dataclass(frozen=True)
class Small:
    """How to make a task and its columns, and whether its tests are slow ones: another holds the same code."""

    make: object
    options: dict
    slow: bool = False

    def __call__(self):
        return self.make(**self.options)


TASKS = {
    "classification": Small(classification, {"arch": "gru", "pooling": "attention", "dropout": 0.2}),
    "classification-transformer": Small(classification, {"arch": "transformer", "dropout": 0.2}, slow=True),
    "tagging": Small(tagging, {"arch": "lstm", "crf": True, "dropout": 0.2, "word_dropout": 0.2}),
    "tagging-transformer": Small(tagging, {"arch": "transformer", "crf": False, "dropout": 0.2}, slow=True),
    "answers": Small(answers, {"arch": "gru", "dropout": 0.2}),
    "answers-transformer": Small(answers, {"arch": "transformer", "dropout": 0.2}, slow=True),
    "masked": Small(masked, {"arch": "lstm", "dropout": 0.2}),
    "masked-transformer": Small(masked, {"arch": "transformer", "dropout": 0.2}, slow=True),
    "pairs": Small(pairs, {"arch": "gru", "attention": "luong", "dropout": 0.2}),
    "pairs-transformer": Small(pairs, {"arch": "transformer", "dropout": 0.2}, slow=True),
    "pairs-copying": Small(pairs, {"arch": "gru", "copy": True, "attention": "bahdanau", "smoothing": 0.0}, slow=True),
    "captions": Small(captions, {"arch": "transformer", "encoder": "cnn", "dropout": 0.2}),
    "captions-gru": Small(captions, {"arch": "gru", "encoder": "patches", "dropout": 0.2}, slow=True),
    "forecasts": Small(forecasts, {"arch": "gru", "dropout": 0.2}),
    "forecasts-transformer": Small(forecasts, {"arch": "transformer", "dropout": 0.2}, slow=True),
    "row-labels": Small(rows, {"kind": "labels"}),
    "row-numbers": Small(rows, {"kind": "numbers"}, slow=True),
}
