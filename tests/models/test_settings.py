"""A setting that an architecture is said not to read is one that changes nothing of its program."""

import dataclasses
import re
import typing

import jax
import pytest
from small_tasks import SIZE

from nlpx.config import (
    CaptionerConfig,
    ClassifierConfig,
    EncoderDecoderConfig,
    ForecasterConfig,
    LanguageModelConfig,
    MaskedLanguageModelConfig,
    ReaderConfig,
    TaggerConfig,
)

SCALING = {"names": ["a"], "autocorrelation": [0.5]}
KINDS = {
    CaptionerConfig: lambda config: config.build(9, shape=(8, 8, 1)),
    ClassifierConfig: lambda config: config.build(9, labels="xy"),
    EncoderDecoderConfig: lambda config: config.build(9),
    ForecasterConfig: lambda config: config.build(scaling=SCALING, features=1, history=4, horizon=2),
    LanguageModelConfig: lambda config: config.build(9),
    MaskedLanguageModelConfig: lambda config: config.build(9),
    ReaderConfig: lambda config: config.build(9),
    TaggerConfig: lambda config: config.build(9, types=("x",), characters=4),
}


def other(kind, value):
    """Another value of a setting."""
    choices = [name for part in (kind, *typing.get_args(kind)) for name in typing.get_args(part)] or [not value]
    if isinstance(value, (str, bool)):
        return next(choice for choice in reversed(choices) if choice != value)
    return 2 * (value or 3)


def program(kind, options):
    model = KINDS[kind](kind(**{**SIZE, **options}))
    arguments = jax.eval_shape(lambda: (jax.random.key(0), *model.example_inputs()))
    return re.sub("0x[0-9a-f]+", "", str(jax.make_jaxpr(model.init)(*arguments)))


@pytest.mark.thorough(but=["LanguageModelConfig*"])
@pytest.mark.parametrize("arch", ["gru", "transformer"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_an_architecture_does_not_read_changes_nothing(kind, arch):
    kinds, unread = typing.get_type_hints(kind), {}
    for field in dataclasses.fields(kind):
        if arch not in (field.metadata.get("archs") or (arch,)):
            unread[field.name] = other(kinds[field.name], SIZE.get(field.name, field.default))
    assert unread
    assert program(kind, {"arch": arch, **unread}) == program(kind, {"arch": arch})
