"""The flags of `benchmarks.scan_vs_attention`, and the cases and contenders that they ask for."""

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from benchmarks import timing
from benchmarks.sequence_peers import PEERS
from benchmarks.sequence_programs import HEADS, KINDS, MODES, OURS, SWEEPS, Case, Who, refusal
from nlpx.errors import InputError

ARCHS = tuple(dict.fromkeys(who.arch for who in OURS))
FULL = {
    "sweeps": ",".join(SWEEPS),
    "lengths": {"layer": "64:16384", "model": "64,256,1024,4096,16384"},
    "tokens": 16384,
    "widths": "128",
    "model_width": 128,
    "kind_modes": {"layer": MODES, "model": MODES},
    "batches": {"layer": "1:64", "model": "1,4,16,64"},
    "batch_modes": {"layer": ("train", "generate"), "model": ("train", "generate")},
    "newton": "layer",
    "left_out": {},
    "at_length": 256,
    "archs": ",".join(ARCHS),
    "precision": 0.03,
    "least_passes": 2,
    "passes": 6,
    "minutes": 45.0,
    "limit": 10.0,
}
QUICK = {
    "sweeps": "length,batch",
    "lengths": {"layer": "64,256,1024", "model": "64,1024"},
    "tokens": 1024,
    "widths": "64",
    "model_width": 64,
    "kind_modes": {"layer": ("forward", "train"), "model": ("train", "generate")},
    "batches": {"layer": "1,4", "model": "1,4"},
    "batch_modes": {"layer": ("train",), "model": ()},
    "newton": "none",
    "left_out": {"model": (Who("nlpx", "mingru", "scan"), Who("nlpx", "attention", "blockwise"))},
    "at_length": 256,
    "archs": "lstm,gru,mingru,attention",
    "precision": 0.1,
    "least_passes": 1,
    "passes": 3,
    "minutes": 2.0,
    "limit": 2.0,
}


@dataclass(frozen=True)
class MeasureConfig:
    """Measurement"""

    quick: bool = False
    """A first look in less than three minutes: small shapes, few passes, where others are not given."""
    sweeps: str | None = None
    """What varies, of length, batch and devices; if not given all, without devices with --quick."""
    kinds: str = "layer,model"
    """Single layers of equal width; language models of equal parameter count."""
    modes: str | None = None
    """What is measured, of forward, train and generate; train is forward and backward to inputs and weights, of models
    with the optimizer. If not given all; with --quick forward and train of layers, train and generate of models."""
    archs: str | None = None
    """Who takes part, of elman, lstm, gru, mingru, minlstm, attention; if not given all, without elman and minlstm with
    --quick, whose models then also leave out minGRU's loop and attention in blocks: each takes seconds to compile."""
    newton: str | None = None
    """Kinds in which a GRU by Newton's method takes part, as layer,model, or none; layer if not given (a call of a
    model takes it seconds, and a sweep half as long again), none with --quick."""
    peers: str = "none"
    """Other libraries, of single layers in float32: flax, torch (eager; attention also torch.compile), or none. With
    torch all contenders run on the CPU."""
    lengths: str | None = None
    """Of the sequences, as 64:16384 (doubling) or 64,256,1024; if not given 64:16384, of models every other; with
    --quick every other to 1024, of models 64,1024."""
    tokens: int | None = None
    """In a call, whatever the length; 16384 if not given, 1024 with --quick."""
    widths: str | None = None
    """Of the single layers, as 128,512; 128 if not given, 64 with --quick."""
    model_width: int | None = None
    """Of the Transformer whose number of parameters all models have; 128 if not given, 64 with --quick."""
    batches: str | None = None
    """Of the sweep over the batch, as --lengths; if not given 1:64, of models every other, and 1,4 with --quick."""
    at_length: int | None = None
    """Tokens of the sequences in the sweeps over batch and devices; 256 if not given."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the computation."""
    precision: float | None = None
    """To reach by each median: half its notch (1.57 IQR / sqrt(turns), about a 95 % interval) as a part of it; 0.03 if
    not given, 0.1 with --quick."""
    passes: int | None = None
    """Over the sweep, at most; if there is time all figures are measured in two, with --quick in one, and those that
    are not precise then in further ones. 6 if not given, 3 with --quick."""
    minutes: float | None = None
    """After which nothing is measured once more, precise or not; 45 if not given, 2 with --quick."""
    limit: float | None = None
    """Seconds; a call that takes longer is shown as such. 10 if not given, 2 with --quick."""


@dataclass(frozen=True)
class ReportConfig:
    """Report"""

    json: str | None = None
    """Results file, to which figures are added; if not given, benchmarks/results/MACHINE.jsonl."""
    again: bool = False
    """Measure everything anew, also what the results file holds."""
    plots: str | None = None
    """Draw pictures into this folder, as PNG and SVG; if not given, beside the results file."""
    compare: tuple[str, str] | None = None
    """Measure nothing: set the ratios between implementations in two results files side by side."""
    report: bool = False
    """Measure nothing: print and draw what the results file holds."""


@dataclass(frozen=True)
class Config:
    """Flags of this benchmark."""

    measure: MeasureConfig = field(default_factory=MeasureConfig)
    report: ReportConfig = field(default_factory=ReportConfig)


def setting(measure: MeasureConfig, name: str) -> Any:
    """A flag, or its default for a quick or a full run."""
    value = getattr(measure, name, None)
    return (QUICK if measure.quick else FULL)[name] if value is None else value


def parse_range(flag: str, text: str) -> tuple[int, ...]:
    """`64:512` as 64, 128, 256, 512; `64,100` as it stands.

    Raises:
      InputError: anything else.
    """
    remedy = "write a range as 64:16384, which doubles, or numbers as 64,256"
    ends = re.fullmatch(r"\s*(\d+)\s*:\s*(\d+)\s*", text)
    if ends:
        low, high = int(ends[1]), int(ends[2])
        if not 1 <= low <= high:
            raise InputError(f"{flag} {text!r} is an empty range; {remedy}")
        return tuple(low << i for i in range((high // low).bit_length()))
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise InputError(f"{flag} {text!r} is no range; {remedy}")
    return tuple(sorted({int(part) for part in parts}))


def make_cases(measure: MeasureConfig) -> list[Case]:
    """The cases that the flags ask for; those of the sweep over devices without their numbers, which JAX knows.

    Raises:
      InputError: flags that cannot be read.
    """
    sweeps = timing.parse_names("sweep", setting(measure, "sweeps"), SWEEPS)
    kinds = timing.parse_names("kind", measure.kinds, KINDS)
    modes = timing.parse_names("mode", measure.modes, MODES) if measure.modes else None
    defaults = setting(measure, "lengths")
    lengths = {kind: parse_range("--lengths", measure.lengths or defaults[kind]) for kind in kinds}
    batches = {kind: parse_range("--batches", measure.batches or setting(measure, "batches")[kind]) for kind in kinds}
    widths = parse_range("--widths", setting(measure, "widths"))
    tokens, at_length = setting(measure, "tokens"), setting(measure, "at_length")
    for name in ("tokens", "at_length", "model_width", "passes", "minutes", "limit", "precision"):
        if not setting(measure, name) > 0:
            raise InputError(f"--{name.replace('_', '-')} must be above 0, not {setting(measure, name)}")
    for width in (*widths, setting(measure, "model_width")):
        if width % (2 * HEADS):
            raise InputError(f"a width of {width} cannot be had: choose a multiple of {2 * HEADS} for {HEADS} heads")
    for length in sorted(set().union(*lengths.values())) if "length" in sweeps else ():
        if tokens % length:
            raise InputError(f"--lengths: {length} does not divide --tokens {tokens}; choose one that does")
    sizes = {"layer": widths, "model": (setting(measure, "model_width"),)}
    cases = []
    for kind in kinds:
        for width in sizes[kind]:
            for mode in modes or setting(measure, "kind_modes")[kind]:

                def add(sweep, length, batch, of=(kind, mode), width=width):
                    cases.append(Case(sweep, *of, length, batch, width, 1, measure.dtype))

                if "length" in sweeps:
                    for length in lengths[kind]:
                        add("length", length, 1 if mode == "generate" else tokens // length)
                if "batch" in sweeps and (modes or mode in setting(measure, "batch_modes")[kind]):
                    for batch in batches[kind]:
                        add("batch", at_length, batch)
                if "devices" in sweeps and (kind, mode) == ("model", "train"):
                    add("devices", at_length, max(8, tokens // at_length))
    return cases


def newton_kinds(measure: MeasureConfig) -> tuple[str, ...]:
    """Of contenders, in which Newton's method takes part; raises InputError if the flag cannot be read."""
    asked = setting(measure, "newton")
    return () if asked == "none" else timing.parse_names("kind", asked, KINDS)


def contenders(
    case: Case, measure: MeasureConfig, peers: tuple[str, ...], backend: str
) -> tuple[list[Who], dict[Who, str]]:
    """Who takes part in a case; and who was asked for but does not, and why."""
    archs = timing.parse_names("arch", setting(measure, "archs"), ARCHS)
    everyone = [*OURS, *(who for peer in peers for who in PEERS[peer])]
    if case.kind not in newton_kinds(measure):
        everyone = [who for who in everyone if who.backend != "newton"]
    if measure.archs is None:
        left_out = setting(measure, "left_out").get(case.kind, ())
        everyone = [who for who in everyone if who not in left_out]
    reasons = {who: refusal(who, case, backend) for who in everyone if who.arch in archs}
    here = [who for who, reason in reasons.items() if reason is None]
    return here, {who: reason for who, reason in reasons.items() if reason is not None}


def absences(cases: list[Case], measure: MeasureConfig, peers: tuple[str, ...], backend: str) -> list[str]:
    """A sentence for each reason for which contenders have no figure in some cases."""
    counts: dict[str, dict[Who, int]] = {}
    for case in cases:
        for who, reason in contenders(case, measure, peers, backend)[1].items():
            of_reason = counts.setdefault(reason, {})
            of_reason[who] = of_reason.get(who, 0) + 1
    sentences = []
    for reason, of_reason in counts.items():
        for count in dict.fromkeys(of_reason.values()):
            names = ", ".join(str(who) for who in of_reason if of_reason[who] == count)
            sentences.append(f"no figures in {count} of {len(cases)} cases, since it {reason}: {names}")
    return sentences


def how(measure: MeasureConfig) -> dict[str, Any]:
    """What all figures of a run have in common."""
    wanted = {"limit": setting(measure, "limit"), "precision_wanted": setting(measure, "precision")}
    return {"dtype": measure.dtype, **wanted}
