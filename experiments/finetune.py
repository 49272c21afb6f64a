"""Trains a task's model from the parameters of another run, or of GPT-2 or BERT in a folder of Hugging Face.

python -m experiments.finetune --from runs/language_model/... --task classify
python -m experiments.finetune --from runs/classify/... --task classify --freeze "(embedding|backbone)/.*"
python -m experiments.finetune --from bert-folder --task answer --lora 8 --lora-alpha 16
python -m experiments.finetune --from runs/language_model/... --task language-model --data file:other.txt

--task is classify (if not given), tag, answer or language-model. The command is then that experiment with --start-from:
it has its data, flags and figures, and `experiments.classify --workdir ... --predict` uses what it trained. The layers'
settings, the tokenizer and the learned positions are those of the model that --from names; flags that say otherwise are
refused. What the new model has beyond it, such as its head, begins anew; what is begun anew or unused is printed.

What starts from a language model reads forward alone, as it does: its features are the same. With --bidirectional a
Transformer sees the rest of a text too, and has to learn to. BERT's classifier takes the features of the token [CLS],
which no text begins with here; a start from it takes the mean of all, unless --pooling says otherwise.

--freeze, --lora, --layer-decay, --unfreeze-every and --head-only say what is trained of it, and how.
"""

import dataclasses
import importlib
import sys
from typing import Any

from experiments import cli
from nlpx.errors import InputError, unknown

TASKS = ("classify", "tag", "answer", "language-model")


def take(words: list[str], flag: str) -> str | None:
    """Take a flag and its value out of the words of a command."""
    for at, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name == flag:
            if not equals and at + 1 == len(words):
                raise InputError(f"{flag} needs a value")
            value = value if equals else words.pop(at + 1)
            del words[at]
            return value
    return None


def suited(kind: type, name: str | None) -> Any:
    """Return the settings of an experiment that suit the model to start from."""
    from nlpx.train.start import read_start

    if name is None:
        raise InputError("which model? give a run, or a folder of Hugging Face, as --from")
    plain = kind.preset(None) if hasattr(kind, "preset") else kind()
    start = read_start(name, type(plain.model))
    if hasattr(kind, "preset"):
        plain = kind.preset(getattr(start.model.config, "arch", None))
    group = "text" if hasattr(plain, "text") else "data"
    data, fitting = getattr(plain, group), {}
    length = "seq_len" if group == "text" else "max_length"
    if start.longest is not None and start.longest < getattr(data, length):
        fitting[length] = start.longest
    if hasattr(data, "tokenizer") and start.tokenizer is not None:
        fitting["tokenizer"] = start.tokenizer.kind
    return dataclasses.replace(
        plain,
        model=dataclasses.replace(plain.model, **start.settings(type(plain.model))),
        train=dataclasses.replace(plain.train, start_from=name),
        **{group: dataclasses.replace(data, **fitting)},
    )


def command() -> None:
    """Run the experiment of the task, with the settings of the model."""
    words = sys.argv[1:]
    try:
        name, task = take(words, "--from"), take(words, "--task") or TASKS[0]
        if task not in TASKS:
            raise unknown("task", task, TASKS)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    page = importlib.import_module(f"experiments.{task.replace('-', '_')}")
    sys.argv[1:] = words

    def main(config: Any) -> None:
        page.main(config)

    ready = name is None and {"--help", "-h", "--config", "--predict", "--evaluate"} & {
        w.partition("=")[0] for w in words
    }
    cli.run(main, page.Config, __doc__, default=None if ready else lambda: suited(page.Config, name))


if __name__ == "__main__":
    command()
