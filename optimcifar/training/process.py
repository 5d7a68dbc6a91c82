"""What the command line sets in its process while it works, and restores."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from lightning.fabric.utilities.exceptions import MisconfigurationException

from optimcifar.environment import restored_environment
from optimcifar.errors import UsageError

# Warnings about what is intended here: small runs without loader workers or validation, options given by a program,
# evaluation without the callbacks of training, a resumed run's own checkpoints, one cycle of epochs.
_INTENDED = (
    ".*callbacks used to create the checkpoint need to be provided",
    "The dirpath has changed",
    "Checkpoint directory .* exists and is not empty",
    "A `OneCycleLR` scheduler is using 'interval': 'epoch'",
    "LightningCLI's args parameter is intended",
    ".*does not have many workers",
    "It is recommended to use `self.log",  # across processes: the rate is equal, seconds are those of the first
    ".*smaller than the logging interval",
    ".*no `val_dataloader`",
    ".*across ranks is zero",
    ".*LeafSpec",
    "The `srun` command is available on your system but is not used",  # it need not be: a run is one process
    "You are trying to `self.log",  # barebones asks for speed alone
)

# The levels of Lightning's logs: without its remarks, but with the reports of its profilers.
_LOG_LEVELS = {
    "lightning.pytorch": logging.WARNING,
    "lightning.fabric": logging.WARNING,
    "lightning.pytorch.profilers": logging.INFO,
    "lightning.pytorch.loggers.mlflow": logging.ERROR,  # it warns that a first run creates an experiment
}


@contextmanager
def command_line_settings() -> Iterator[None]:
    """Set what the command line needs in this process, and restore it afterwards.

    A class in a module of the current folder can be named without being installed. Lightning's remarks on small runs
    are silenced.

    Raises:
        UsageError: in place of Lightning's MisconfigurationException.
    """
    with ExitStack() as stack:
        stack.enter_context(restored_environment())
        folder = os.getcwd()
        if folder not in sys.path:
            sys.path.append(folder)
            stack.callback(sys.path.remove, folder)
        for name, level in _LOG_LEVELS.items():
            logger = logging.getLogger(name)
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(level)
        stack.enter_context(warnings.catch_warnings())
        for message in _INTENDED:
            warnings.filterwarnings("ignore", message)
        try:
            yield
        except MisconfigurationException as error:
            raise UsageError(str(error)) from error


@contextmanager
def restored_sigint() -> Iterator[None]:
    """Restore Ctrl-C, which Lightning leaves ignored once it has been pressed."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)
