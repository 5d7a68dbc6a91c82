"""One training run: its outcome, its files, its effects on the process, and whether it can be repeated."""

from __future__ import annotations

import builtins
import io
import signal
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from helpers import (
    CONFIGS,
    FAIL,
    INTERRUPT,
    Command,
    ProcessState,
    equal_weights,
    file_contents,
    metrics_without_times,
    read_summary,
    read_weights,
    record_calls,
    use_mirrors,
)

from optimcifar import ImageClassifier, Shapes10DataModule
from optimcifar.errors import UsageError
from optimcifar.runs.folder import RunFolder
from optimcifar.training.arguments import Parser
from optimcifar.training.run import RunOutcome, fit, resume

RUN = Path("lightning_logs/version_0")


def test_finished_run_has_a_summary_and_a_folder(small: list[str]) -> None:
    outcome = fit(small)
    assert (outcome.status, outcome.error) == ("finished", None)
    assert outcome.folder == RunFolder(RUN)
    assert outcome.summary == read_summary(RUN)


def test_diverged_run_is_no_error(small: list[str]) -> None:
    outcome = fit([*small, "--model.optimizer.lr", "1e30"])
    assert (outcome.status, outcome.error) == ("diverged", None)
    assert outcome.summary["diverged_step"] == 2


def test_failed_run_has_its_error_and_a_folder(small: list[str]) -> None:
    outcome = fit([*small, FAIL])
    assert outcome.status == "failed"
    assert type(outcome.error) is RuntimeError
    assert str(outcome.error) == "out of luck"
    assert outcome.folder == RunFolder(RUN)
    assert outcome.summary == read_summary(RUN)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Handle Ctrl-C, which a process in the background ignores; fail if it is not handled in the end."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


@pytest.mark.usefixtures("ctrl_c")
def test_interrupted_run_has_a_checkpoint(small: list[str]) -> None:
    outcome = fit([*small, INTERRUPT])
    assert outcome.status == "interrupted"
    assert isinstance(outcome.error, (KeyboardInterrupt, SystemExit))
    assert outcome.folder == RunFolder(RUN)
    assert outcome.folder.checkpoint().exists()


@pytest.mark.usefixtures("ctrl_c")
def test_run_interrupted_while_data_is_prepared_writes_nothing(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: Shapes10DataModule) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Shapes10DataModule, "prepare_data", interrupt)
    outcome = fit(small)
    assert (outcome.status, outcome.summary) == ("interrupted", {})
    assert list(tmp_path.iterdir()) == []


def test_unknown_option_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unrecognized arguments: --model\.optimiser"):
        fit(["--model.optimiser", "Adam"])
    assert list(tmp_path.iterdir()) == []


def test_invalid_optimizer_is_found_before_the_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_mirrors(monkeypatch, (tmp_path / "no-mirror").as_uri())
    outcome = fit(["--model.optimizer.lr", "-1"])
    assert (outcome.status, outcome.summary) == ("failed", {})
    assert isinstance(outcome.error, ValueError)
    assert str(outcome.error) == "--model.optimizer: Invalid learning rate: -1.0"
    assert list(tmp_path.iterdir()) == []


def test_run_that_wrote_nothing_has_no_folder(small: list[str]) -> None:
    assert fit([*small, "--model.optimizer.lr", "-1"]).folder is None


@pytest.mark.parametrize("options", [[], [FAIL], [INTERRUPT], ["--model.optimiser", "Adam"]])
def test_run_leaves_the_process_as_it_was(options: list[str], small: list[str]) -> None:
    state, filters = ProcessState.current(), list(warnings.filters)
    with suppress(UsageError):
        fit([*small, *options])
    assert ProcessState.current() == state
    assert list(warnings.filters) == filters


def assert_parsed_once(monkeypatch: pytest.MonkeyPatch, options: Sequence[str], config: Path | None = None) -> None:
    """Assert that a run parses its options once, and opens its configuration once if it has one."""
    opened = [record_calls(monkeypatch, module, "open") for module in (builtins, io)]
    parsed = record_calls(monkeypatch, Parser, "parse_args")
    outcome = fit(options)
    monkeypatch.undo()
    assert outcome.status == "finished"
    assert len(parsed) == 1
    assert len([call for calls in opened for call in calls if str(call[0]) == str(config)]) == bool(config)


def test_configuration_is_read_and_parsed_once(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "sgd.yaml"
    config.write_bytes((CONFIGS / "sgd.yaml").read_bytes())
    assert_parsed_once(monkeypatch, ["--config", str(config), *small], config)


def test_options_are_parsed_once_with_a_checkpoint(small: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    fit([*small, "--trainer.max_epochs", "1"])
    checkpoint = str(RunFolder(RUN.absolute()).checkpoint())
    assert_parsed_once(monkeypatch, ["--trainer.max_epochs", "2", "--ckpt_path", checkpoint])


def test_images_are_read_once_and_the_optimizer_is_built_once(
    small: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = record_calls(monkeypatch, Shapes10DataModule, "read_train")
    configured = record_calls(monkeypatch, ImageClassifier, "configure_optimizers")
    lengths = record_calls(monkeypatch, ImageClassifier, "make_optimizer")
    schedule = ["--model.lr_scheduler", "CosineAnnealingLR"]
    assert fit([*small, *schedule]).status == "finished"
    assert (len(reads), len(configured)) == (1, 1)
    # The early check comes before the run's length is known.
    assert [length for _, length in lengths[1:]] == [2]
    assert len(lengths) == 2


def test_run_writes_these_files(small: list[str], tmp_path: Path) -> None:
    fit(small)
    files = sorted(str(path.relative_to(tmp_path / RUN)) for path in file_contents(tmp_path))
    assert files == ["checkpoints/last.ckpt", "config.yaml", "metrics.csv", "summary.json", "validations.csv"]


def test_existing_run_is_not_overwritten(optimcifar: Command, small: list[str], tmp_path: Path) -> None:
    settings = (*small, "--trainer.logger", "optimcifar.RunLogger", "--trainer.logger.version", "mine")
    assert optimcifar("fit", *settings).status == 0
    before = file_contents(tmp_path / "lightning_logs" / "mine")
    outcome = optimcifar("fit", *settings)
    assert outcome.status == 1
    assert len(outcome.err.splitlines()) <= 2
    assert file_contents(tmp_path / "lightning_logs" / "mine") == before


def test_same_seed_gives_bitwise_equal_runs_and_another_seed_does_not(small: list[str]) -> None:
    folders = [fit([*small, "--seed_everything", seed]).folder for seed in ("1", "1", "2")]
    first, again, other = (metrics_without_times(folder.path) for folder in folders if folder)
    assert first == again
    assert first != other


def test_validation_does_not_change_training(small: list[str]) -> None:
    folders = [fit([*small, *options]).folder for options in ([], ["--trainer.limit_val_batches", "0"])]
    with_validation, without = (metrics_without_times(folder.path) for folder in folders if folder)
    trained = ("epoch", "step", "lr", "train_loss", "train_acc")
    assert [[row[name] for name in trained] for row in with_validation] == [
        [row[name] for name in trained] for row in without
    ]
    assert without[0]["val_loss"] == ""


def test_saved_configuration_repeats_the_run(small: list[str]) -> None:
    first = fit(["--config", str(CONFIGS / "sgd_cosine.yaml"), *small, "--seed_everything", "3"])
    assert first.folder
    again = fit(["--config", str(first.folder.config)])
    assert again.folder
    assert metrics_without_times(first.folder.path) == metrics_without_times(again.folder.path)


def test_resumed_run_equals_an_uninterrupted_one(small: list[str]) -> None:
    interrupted = fit([*small, INTERRUPT]).folder
    assert interrupted
    assert resume(interrupted.path).status == "finished"
    whole = fit(small).folder
    assert whole
    assert metrics_without_times(interrupted.path) == metrics_without_times(whole.path)
    assert equal_weights(read_weights(interrupted.checkpoint()), read_weights(whole.checkpoint()))


def test_run_that_has_ended_is_not_resumed(small: list[str], tmp_path: Path) -> None:
    fit(small)
    before = file_contents(tmp_path)
    with pytest.raises(
        UsageError, match=r"the run in lightning_logs/version_0 is finished: there is nothing to resume"
    ):
        resume(RUN)
    with pytest.raises(UsageError, match=r"elsewhere holds no run to resume: there is no config\.yaml in it"):
        resume(Path("elsewhere"))
    assert file_contents(tmp_path) == before


def test_training_continues_from_a_checkpoint_in_a_new_run(small: list[str]) -> None:
    config = ["--config", str(CONFIGS / "sgd_steplr.yaml"), *small]
    fit([*config, "--trainer.max_epochs", "5"])
    fit([*config, "--trainer.max_epochs", "3"])
    checkpoint = "lightning_logs/version_1/checkpoints/last.ckpt"
    assert fit(["--trainer.max_epochs", "5", "--ckpt_path", checkpoint]).status == "finished"
    whole, _, rest = (metrics_without_times(RUN.with_name(f"version_{n}")) for n in range(3))
    assert rest == whole[3:]


def test_class_in_a_module_of_the_current_folder_can_be_named(
    optimcifar: Command, small: list[str], tmp_path: Path
) -> None:
    (tmp_path / "my_file.py").write_text(
        "import torch\n"
        "class MyOptimizer(torch.optim.SGD):\n"
        "    def __init__(self, params, lr: float = 0.5):\n"
        "        super().__init__(params, lr=lr)\n"
        "class AnyArguments(torch.optim.SGD):\n"
        "    def __init__(self, params, **kwargs):\n"
        "        super().__init__(params, **kwargs)\n"
    )
    outcome = optimcifar("fit", "--model.optimizer", "my_file.MyOptimizer", "--model.optimizer.lr", "0.1", *small)
    assert (outcome.status, outcome.err) == (0, "")
    assert "my_file.MyOptimizer(lr=0.1)\n" in outcome.out
    outcome = optimcifar("fit", "--model.optimizer", "my_file.AnyArguments", "--model.optimizer.lr", "0.1", *small)
    assert (outcome.status, outcome.err) == (0, "")
    assert "my_file.AnyArguments(lr=0.1, momentum=0" in outcome.out
    assert read_summary(RUN.with_name("version_1"))["hyperparameters"]["optimizer.lr"] == 0.1


def test_network_can_be_named_by_its_import_path(optimcifar: Command, small: list[str]) -> None:
    options = ("--model.net", "torchvision.models.squeezenet1_1", "--model.net.num_classes", "10")
    outcome = optimcifar("fit", *small, *options, "--trainer.max_epochs", 1, "--trainer.limit_train_batches", 2)
    assert outcome.status == 0
    assert outcome.out.startswith("SqueezeNet, ")


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is a GPU here")
def test_missing_gpu_is_reported(optimcifar: Command, small: list[str]) -> None:
    outcome = optimcifar("fit", *small, "--trainer.accelerator", "gpu")
    assert (outcome.status, outcome.out) == (1, "")
    assert "PyTorch finds no GPU on this machine; leave the option out or use --trainer.accelerator cpu" in outcome.err


def test_checkpoint_loads_in_python(small: list[str]) -> None:
    folder = fit(["--config", str(CONFIGS / "sgd_cosine.yaml"), *small]).folder
    assert folder
    classifier = ImageClassifier.load_from_checkpoint(folder.checkpoint(), weights_only=True)
    assert equal_weights(classifier.state_dict(), read_weights(folder.checkpoint()))
    configured = classifier.configure_optimizers()
    assert isinstance(configured, dict)
    assert isinstance(configured["lr_scheduler"]["scheduler"], torch.optim.lr_scheduler.CosineAnnealingLR)  # type: ignore[typeddict-item]


def test_a_run_without_a_whole_epoch_has_no_speed() -> None:
    summary = {"diverged_step": 3, "epochs": 0, "dataset": "Shapes10", "train_seconds": 0.0, "images_per_second": None}
    assert "images/s" not in RunOutcome("diverged", summary, None).describe()[0]
    assert "2,000 images/s" in RunOutcome("finished", summary | {"images_per_second": 2000.4}, None).describe()[0]
