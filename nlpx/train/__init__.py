"""The engine: one training step for every task, the loop, checkpoints and reports around it, and the recipe of a run.

It knows no model and no task: `Task` is all that it needs.
"""

from nlpx.train.command import carry_out, over_seeds
from nlpx.train.loop import Engine, Interrupted, TrainResult, train
from nlpx.train.report import DivergedError
from nlpx.train.run import Run, Trained, headline, load, own_workdir, read_summaries
from nlpx.train.step import Task, TrainState, make_eval_step, make_train_step

__all__ = [
    "DivergedError",
    "Engine",
    "Interrupted",
    "Run",
    "Task",
    "TrainResult",
    "TrainState",
    "Trained",
    "carry_out",
    "headline",
    "load",
    "make_eval_step",
    "make_train_step",
    "over_seeds",
    "own_workdir",
    "read_summaries",
    "train",
]
