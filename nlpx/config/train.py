"""The settings of training."""

import re
from dataclasses import dataclass
from typing import Literal

from nlpx.config.settings import Settings, setting
from nlpx.errors import InputError


@dataclass(frozen=True)
class TrainConfig(Settings):
    """Training"""

    steps: int = setting(1000, "[1, inf)")
    """Updates of the parameters. A run in --workdir can be continued to more, with the learning rates that the longer
    schedule has from there on."""
    batch_size: int = setting(32, "[1, inf)")
    """Examples per update, over all devices and accumulation parts; an average where --buckets makes batches of
    several sizes."""
    learning_rate: float = setting(3e-3, "[0, inf)")
    """Highest learning rate of the schedule."""
    schedule: Literal["constant", "linear", "cosine", "inverse_sqrt"] = "cosine"
    """How the learning rate falls after the warm-up."""
    warmup: int | None = setting(None, "[0, inf)")
    """Steps over which the learning rate rises linearly from zero; if not given, a tenth of the run, at most 100."""
    final_fraction: float = setting(0.1, "[0, 1]")
    """Final learning rate of linear and cosine, as a fraction of --learning-rate."""
    optimizer: Literal["adamw", "sgd", "adafactor"] = "adamw"
    """Update rule; sgd has momentum --beta1."""
    beta1: float = setting(0.9, "[0, 1)")
    """Decay of the mean of gradients."""
    beta2: float = setting(0.99, "[0, 1)")
    """Decay of the mean of squared gradients (adamw)."""
    weight_decay: float = setting(0.1, "[0, inf)")
    """Decoupled decay of matrices, per unit of learning rate; biases, norms and single vectors do not decay."""
    clip_norm: float = setting(1.0, "[0, inf)")
    """Largest global norm of the gradient; 0 switches clipping off."""
    start_from: str | None = None
    """Start from the parameters of a trained model of the same layers: the workdir of a run, or a folder or hub id of
    Hugging Face. What the new model has beyond it, such as a head, begins anew. experiments.finetune sets the flags
    that must fit."""
    freeze: str | None = None
    """Leave parameters as they start: those whose whole path matches this regular expression, as embedding/table or
    backbone/.*; they have no gradient, no decay and no optimizer state."""
    head_only: bool = False
    """Train the head alone, on features of the layers below that are computed once per example, without dropout, and
    kept in memory."""
    layer_decay: float | None = setting(None, "(0, 1]")
    """Multiply the learning rate of each layer by this number for each layer above it: lower layers learn slower."""
    unfreeze_every: int | None = setting(None, "[1, inf)")
    """Train the topmost layer alone at first, and after each so many steps one layer more. Each stage is compiled."""
    lora: int | None = setting(None, "[1, inf)")
    """Rank of two thin matrices whose product is added to each kernel of the blocks: they and the head are trained, and
    all else stays as it starts."""
    lora_alpha: float | None = setting(None, "(0, inf)")
    """Multiply the product by this number over the rank; if not given, it is added as it is."""
    lora_kernels: str | None = None
    """Add products to other kernels: those whose whole path matches this regular expression."""
    grad_accumulation: int = setting(1, "[1, inf)")
    """Parts a batch is processed in, one after the other, to save memory; the result is the same."""
    seed: int = setting(0, "[-9e18, 9e18]")
    """Seed of the initial parameters, the order of the data and dropout."""
    seeds: str | None = setting(None, training=False)
    """Several seeds, such as 0,1,2: one run each, in the folders seed-0, seed-1, ... of the workdir; then mean and
    spread."""
    patience: int | None = setting(None, "[1, inf)", training=False)
    """Stop after this many validations in a row without a new lowest loss; if not given, after --steps."""
    mesh: str = setting("auto", training=False)
    """Devices, such as data=2,fsdp=2,model=2: data and fsdp split the batch, fsdp also the parameters and the optimizer
    state, model the heads and hidden features of a Transformer; sequence, instead of model, long texts along time
    (transformer, mingru, minlstm). auto: as many devices along data as divide the batch; on CPU one per core."""
    coordinator: str | None = setting(None, training=False)
    """Train with several processes, each started with the same flags: HOST:PORT of process 0; or auto under SLURM or
    Open MPI, on Kubernetes and TPU pods. The devices of --mesh are those of all processes together."""
    num_processes: int | None = setting(None, "[1, inf)", training=False)
    """How many processes there are."""
    process_id: int | None = setting(None, "[0, inf)", training=False)
    """The number of this process, from 0 on; process 0 writes and reports."""
    workdir: str | None = setting(None, training=False)
    """Folder the run writes into, and resumes from if started again; if not given, one under runs/ named by the
    flags."""
    eval_every: int = setting(250, "[1, inf)", training=False)
    """Steps between two validations, each followed by a checkpoint."""
    save_every: str | None = setting(None, training=False)
    """Save between validations too, every so many steps (200) or minutes (10min): what a killed run does again."""
    keep: int = setting(2, "[1, inf)", training=False)
    """Checkpoints to keep: the latest so many, and the best."""
    log_every: int = setting(50, "[1, inf)", training=False)
    """Steps between two lines of metrics.jsonl."""
    config: str | None = setting(None, training=False)
    """Start from the settings in this config.json of another run, except workdir and seeds; further flags take
    precedence."""

    def __post_init__(self):
        super().__post_init__()
        if self.lora is None and (self.lora_alpha is not None or self.lora_kernels is not None):
            raise InputError("lora_alpha and lora_kernels say how lora adapts: give lora a rank, or leave them out")
        if self.save_every is not None and not re.fullmatch(r"0{0,9}[1-9]\d{0,8}(min)?", self.save_every):
            raise InputError(f"save_every is a number of steps or minutes, as 200 or 10min, not {self.save_every!r}")
        if self.head_only and (self.lora is not None or self.unfreeze_every is not None):
            raise InputError("head_only trains nothing below the head: leave lora and unfreeze_every out")
