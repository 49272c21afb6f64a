"""One to one, one to many, many to one, many to many: can each be run, by either family?"""

from dataclasses import dataclass

from experiments.claims._recipes import recipe
from nlpx.claims import Claim, Finding, Table, Verdict
from nlpx.train.workdir import read_metrics

LEARNS = 0.8
SHAPES = {
    "one to one": ("feed_forward", "picture of a digit", "digit"),
    "one to many": ("caption", "picture", "caption"),
    "many to one": ("classify", "phrase", "language"),
    "many to as many": ("tag", "words", "a tag each"),
    "many to others": ("translate", "French", "English"),
}
OPTIONS = {
    "feed_forward": {"data": "digits"},
    "caption": {"beams": 1, "width": 64},
    "classify": {"width": 64, "buckets": 1, "learning_rate": 1e-2},
    "tag": {"width": 64, "buckets": 1, "crf": False},
    "translate": {"beams": 1, "width": 64, "buckets": 1, "max_length": 24},
}
FAMILIES = {"recurrent": "lstm", "Transformer": "transformer"}


@dataclass(frozen=True)
class Setting:
    steps: int = 150
    families: tuple[str, ...] = ("recurrent", "Transformer")


def measure(setting, seed, workdir):
    figures = []
    for shape, (experiment, *_) in SHAPES.items():
        for family in ("plain",) if experiment == "feed_forward" else setting.families:
            place = workdir / f"{experiment}-{family}"
            options = {"steps": setting.steps, "log_every": 1, "seed": seed, **OPTIONS[experiment]}
            summary = recipe(experiment, place, FAMILIES.get(family), **options)
            begin = next(each["loss"] for each in read_metrics(place) if each["split"] == "train")
            how = {"begin": begin, "end": summary["eval_loss"], "unit": summary["units"]["loss"]}
            figures.append({"shape": shape, "family": family, "parameters": summary["parameters"], **how})
    return {"runs": figures}


def conclude(results):
    runs = results[0]["runs"]
    learn = [each for each in runs if each["end"] <= LEARNS * each["begin"]]
    families = sorted({each["family"] for each in runs if each["family"] != "plain"})
    figure = f"{len(learn)} of {len(runs)} runs learn: {len(SHAPES)} shapes, by {' and '.join(families)} networks"
    least = max(each["end"] / each["begin"] for each in runs)
    meaning = (
        f"On unseen examples the loss is at most {least:.2f} times that of the first update; one to one is run by a "
    )
    meaning += "plain network, which has one input and no sequence."
    return [Finding(20, Verdict.of(len(learn) == len(runs)), figure, meaning)]


def exhibit(results):
    rows = [
        (each["shape"], *SHAPES[each["shape"]], each["family"], f"{each['begin']:.2f}", f"{each['end']:.2f}")
        for each in results[0]["runs"]
    ]
    heads = ("shape", "experiment", "from", "to", "family", "first loss (nats)", "unseen, at the end (nats)")
    return [Table("A short run of each shape", heads, rows)]


CLAIM = Claim(
    title="Shapes of problems",
    statements=(20,),
    kind="exact",
    method="A short run of an experiment of each shape, by a recurrent network (LSTM) and by a Transformer; compared "
    "are the loss of the first update and that on unseen examples at the end.",
    decides=f"A shape can be run if the loss falls to {LEARNS:g} times that of the first update, or lower.",
    full=Setting(),
    quick=Setting(steps=50, families=("recurrent",)),
    functions=(measure, conclude, exhibit),
)
