"""Trains a forecaster on a series, measures it beside baselines on the steps held out at the end, and forecasts.

python -m experiments.forecast
python -m experiments.forecast --data file:weather.csv --horizon 7 --history 30
python -m experiments.forecast --workdir runs/forecast/... --predict weather.csv
python -m experiments.forecast --workdir runs/forecast/... --evaluate file:others.csv

By default: the sea-surface temperature off Peru, six months ahead. Half a minute on two CPU cores. Expect a mean
absolute error of 0.38 °C one month ahead and of 0.61 °C over all six, as of SARIMA; climatology has 0.62 and 0.63 °C.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from experiments import cli
from nlpx.config import ForecasterConfig, PredictConfig, SeriesConfig, TrainConfig, setting

TRAIN = {"steps": 300, "batch_size": 64, "learning_rate": 2e-3, "weight_decay": 0.3, "eval_every": 25}


@dataclass(frozen=True)
class ForecastConfig(PredictConfig):
    """Prediction"""

    predict: str | None = setting(None, training=False)
    """Train nothing: use the model in --workdir to forecast the steps after the last row of this CSV file (FILE or
    file:FILE:DATE,VALUE), or of standard input (-)."""


@dataclass(frozen=True)
class Config:
    """Flags of this experiment."""

    experiment: ClassVar[str] = "forecast"
    model: ForecasterConfig
    data: SeriesConfig = field(default_factory=SeriesConfig)
    train: TrainConfig = field(default_factory=lambda: TrainConfig(**TRAIN))
    use: ForecastConfig = field(default_factory=ForecastConfig)

    @classmethod
    def preset(cls, arch: str | None) -> "Config":
        """The defaults of each family."""
        return cls(ForecasterConfig(arch=arch or "gru", layers=1, width=32, dropout=0.5))


def run(config: Config) -> dict[str, Any]:
    """Trains, or resumes the run in the workdir; measures, and writes the summary."""
    from nlpx import data, predict
    from nlpx.tasks import Forecasting
    from nlpx.train import Engine, Run

    given, run = config.data, Run(config.experiment, config)
    series = data.load_series(given.data, missing=given.missing)
    size = {"history": given.history, "horizon": given.horizon}
    fractions = {"validation_fraction": given.validation_fraction, "test_fraction": given.test_fraction}
    parts = data.cut_in_time(series, **size, **fractions)
    run.open(series)
    train_steps = parts["train"][1]
    scaling = data.fit_scaling(series, train_steps)
    model = run.build(scaling=scaling.to_json(), features=len(series.names) + scaling.features, **size)
    windows = {part: scaling.windows(series, *size.values(), *ends) for part, ends in parts.items()}
    engine = Engine(Forecasting(model), config.train)
    batches, evaluation = run.bucketed(engine, windows["train"], windows["validation"], buckets=1)
    amounts = {part: len(each["future"]) for part, each in windows.items()}
    summary = run.train(engine, batches=batches, evaluation=evaluation, amounts=amounts)
    trained = run.trained()
    begin = {"start": parts["test"][0], "train_steps": train_steps}
    test = predict.measure_forecasts(predict.SeriesForecaster(trained), series, run.workdir, **begin)
    return run.finish(summary, test=test, checkpoint=trained.step)


def evaluate(config: Config, trained: Any, folder: Path) -> dict[str, Any]:
    """Measures the trained model on all of another series."""
    from nlpx import data, predict

    forecaster = predict.SeriesForecaster(trained)
    series = data.load_series(config.use.evaluate, missing=config.data.missing, scaling=forecaster.scaling)
    return predict.measure_forecasts(forecaster, series, folder)


def predict(config: Config, trained: Any) -> None:
    """Prints the forecast: one line per step, with its date and the quantiles of each variable."""
    from nlpx import predict

    forecaster = predict.SeriesForecaster(trained)
    series = predict.read_given(config.use.predict, forecaster.scaling, config.data.missing)
    print(*predict.forecast_lines(forecaster, series), sep="\n")


def main(config: Config) -> None:
    from nlpx import metrics
    from nlpx.train import carry_out

    carry_out(config, run=run, evaluate=evaluate, predict=predict, tell=metrics.forecast_table)


if __name__ == "__main__":
    cli.run(main, Config, __doc__)
