"""A run's model.json that is damaged is named; whole ones are read by the tests of the experiments."""

import dataclasses
import functools
import json

import pytest

from nlpx.config import LanguageModelConfig
from nlpx.errors import InputError
from nlpx.train import load

SIZES = {"vocab_size": 9, "max_length": 8}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"config": ["x"]}, r"holds a model of \['x'\], which no imported module defines"),
        ({"settings": None}, "LanguageModelConfig is null, and not settings by name"),
        ({"settings": {"width": True}}, "width is true, a value of another type"),
        ({"settings": {"layers": 10**30}}, r"layers must be in \[1, 1000\], not 10{30}"),  # no list is that long
        ({"sizes": None}, "the sizes in .*model.json are damaged"),
        ({"sizes": {"max_length": 8}}, "the sizes in .*model.json are damaged .*vocab_size"),
        ({"sizes": {**SIZES, "vocab_size": -3}}, "model.json describes a model that cannot be built"),
        ({"sizes": {**SIZES, "vocab_size": 10**12}}, "model.json describes a model that cannot be built"),
        (
            {"sizes": {**SIZES, "max_length": functools.reduce(lambda inner, _: [inner], range(800), 8)}},
            "cannot be built|are damaged",  # the latter where annotations are checked
        ),
        ({"lora": {"rank": "two"}}, "lora in .*model.json is damaged"),
    ],
)
def test_a_damaged_description_of_a_model_is_named(tmp_path, damage, message):
    settings = dataclasses.asdict(LanguageModelConfig(layers=1, width=4))
    about = {"config": "LanguageModelConfig", "settings": settings, "sizes": SIZES, "tokenizer": False}
    (tmp_path / "model.json").write_text(json.dumps(about | damage))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match=message) as raised:
        load(tmp_path)
    assert "\n" not in str(raised.value)
