"""The library's recipes, run to the end in this process."""

from dataclasses import fields, is_dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any


def configured(module: Any, arch: str | None, flags: dict[str, Any]) -> Any:
    """Return the settings that suit an architecture, with `flags` in the groups that have them."""
    config = module.Config.preset(arch) if hasattr(module.Config, "preset") else module.Config()
    groups = {each.name: getattr(config, each.name) for each in fields(config)}
    groups = {name: group for name, group in groups.items() if is_dataclass(group)}
    place = {flag: name for name, group in groups.items() for flag in vars(group)}
    chosen: dict[str, dict[str, Any]] = {name: {} for name in groups}
    for flag, value in {**flags, **({"arch": arch} if arch else {})}.items():  # a preset is a family's
        chosen[place[flag]][flag] = value
    return replace(config, **{name: replace(group, **chosen[name]) for name, group in groups.items()})


def recipe(experiment: str, workdir: Path, arch: str | None = None, **flags: Any) -> dict[str, Any]:
    """Run an experiment as its command does, and return its summary. Validation
    comes once, at the end, unless `flags` say otherwise."""
    module = import_module(f"experiments.{experiment}")
    once = {"eval_every": flags["steps"]} if "steps" in flags else {}
    config = configured(module, arch, {"mesh": "data=1", **once, **flags, "workdir": str(workdir)})
    return module.run(config)
