"""Write a run's configuration as YAML that reads back as the same configuration."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Set
from typing import Any

import yaml
from jsonargparse import Namespace
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, SaveConfigCallback

from optimcifar.errors import UsageError
from optimcifar.runs.atomic import write_atomically
from optimcifar.runs.logger import run_folder
from optimcifar.text import first_lines

# The names of a value in a configuration, outermost first; positions in lists are names too.
_Path = tuple[str, ...]


class ConfigFile(SaveConfigCallback):
    """Writes ``config.yaml`` atomically into the run's folder when training starts.

    Raises:
        UsageError: the file could not be read again.
    """

    def __init__(self, parser: LightningArgumentParser, config: Namespace, **kwargs: Any) -> None:
        super().__init__(parser, config, **kwargs | {"save_to_log_dir": False})
        self._text = dump_config(parser, config)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Do nothing: the file is written when training starts."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the file, now that everything that the configuration names could be built."""
        self.save_config(trainer, pl_module, "fit")

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the file."""
        if folder := run_folder(trainer):
            write_atomically(folder.config, self._text)


def dump_config(parser: LightningArgumentParser, config: Namespace) -> str:
    """Return a configuration as YAML.

    Raises:
        UsageError: the text would not read back as the same configuration.
    """
    written = without_objects(parser, config)
    text = write_config(parser, written, with_links=False)
    try:
        again = parser.parse_string(text)
    except UsageError as error:
        raise UsageError(f"config.yaml could not be read again: {first_lines(str(error))}") from error
    values, values_again = dict(_leaves(config)), dict(_leaves(again))
    left_out = values.keys() - dict(_leaves(written)).keys()
    differing = [path for path in left_out if values_again.get(path) != values[path]]
    if not differing and _dump(parser, _without(again, left_out)) != _dump(parser, written):
        differing = [path for path, value in values.items() if repr(values_again.get(path)) != repr(value)]
    if differing:
        raise UsageError(f"config.yaml cannot hold {_option(differing[0])}: {values[differing[0]]!r}")
    return text


def without_objects(parser: LightningArgumentParser, config: Namespace) -> Namespace:
    """Return a configuration without the values that YAML cannot hold.

    Such a value is the default of an argument, because no option can name it: the device of Lightning's
    ``StochasticWeightAveraging``, for example. Reading the rest gives the default again.

    Raises:
        UsageError: it cannot be written without them either.
    """
    if _dump(parser, config) is not None:
        return config
    objects = {path for path, value in _leaves(config) if not _is_plain(value)}
    # Most objects, such as classes and times, can be written.
    left_out = {path for path in objects if _dump(parser, _without(config, objects - {path})) is None}
    written: Namespace = _without(config, left_out)
    if _dump(parser, written) is None:
        raise UsageError(f"config.yaml cannot hold {' or '.join(map(_option, sorted(objects)))}")
    return written


def write_config(parser: LightningArgumentParser, config: Namespace, with_links: bool = True) -> str:
    """Return a configuration as YAML, without looking whether it can be read again.

    Args:
        parser: the parser that made it.
        config: the configuration.
        with_links: whether it has the values that follow from others, such as the seed of the data.

    Raises:
        ValueError, TypeError, UserWarning, yaml.YAMLError: it has a value that cannot be written.
    """
    with warnings.catch_warnings():
        # jsonargparse writes this sentence in place of the value. As an error, it makes jsonargparse try the union's
        # other types: the name of a function may be a text too, as in Lightning's ModelPruning.
        warnings.filterwarnings("error", r"\s*Unable to serialize instance")
        text: str = parser.dump(config, skip_unset=False, skip_validation=True, skip_link_targets=not with_links)
    return text


def _dump(parser: LightningArgumentParser, config: Namespace) -> str | None:
    """Return a configuration as YAML, or None if it has a value that cannot be written."""
    try:
        return write_config(parser, config)
    except (ValueError, TypeError, UserWarning, yaml.YAMLError):
        return None


def _leaves(value: Any, path: _Path = ()) -> Iterator[tuple[_Path, Any]]:
    if isinstance(value, Namespace):
        for name, item in vars(value).items():
            yield from _leaves(item, (*path, name))
    elif isinstance(value, list) and any(isinstance(item, Namespace) for item in value):
        for position, item in enumerate(value):
            yield from _leaves(item, (*path, str(position)))
    else:
        yield path, value


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    return type(value) in (type(None), bool, int, float, str)


def _without(value: Any, paths: Set[_Path], path: _Path = ()) -> Any:
    """Return a copy of a configuration without some values."""
    if isinstance(value, Namespace):
        kept = {name: item for name, item in vars(value).items() if (*path, name) not in paths}
        copies = {name: _without(item, paths, (*path, name)) for name, item in kept.items()}
        return Namespace(**copies)  # type: ignore[no-untyped-call]
    if isinstance(value, list):
        return [_without(item, paths, (*path, str(position))) for position, item in enumerate(value)]
    return value


def _option(path: _Path) -> str:
    return "--" + ".".join(name for name in path if name != "init_args")
