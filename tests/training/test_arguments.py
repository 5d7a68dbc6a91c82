"""Options, configurations, and the settings that a checkpoint holds."""

from __future__ import annotations

from pathlib import Path

from helpers import CONFIGS, Command, read_summary

RUN = Path("lightning_logs/version_0")
CHECKPOINT = RUN / "checkpoints" / "last.ckpt"


def test_chosen_class_starts_from_its_own_defaults(optimcifar: Command, small: list[str]) -> None:
    outcome = optimcifar("fit", "--config", CONFIGS / "sgd.yaml", *small, "--model.optimizer", "Adadelta")
    assert "torch.optim.Adadelta(lr=1.0, rho=0.9, eps=1e-06, weight_decay=0" in outcome.out


def test_chosen_class_takes_the_arguments_that_follow_it(optimcifar: Command, small: list[str]) -> None:
    options = ("--model.optimizer", "torch.optim.RMSprop", "--model.optimizer.lr", "0.02")
    outcome = optimcifar("fit", "--config", CONFIGS / "sgd.yaml", *small, *options)
    assert "torch.optim.RMSprop(lr=0.02, momentum=0.0, alpha=0.99, eps=1e-08, " in outcome.out


def test_class_in_a_configuration_starts_from_its_own_defaults(
    optimcifar: Command, small: list[str], tmp_path: Path
) -> None:
    (tmp_path / "adam.yaml").write_text("model:\n  optimizer: Adam\n")
    outcome = optimcifar("fit", "--config", CONFIGS / "sgd.yaml", "--config", "adam.yaml", *small)
    assert "torch.optim.Adam(lr=0.001, betas=(0.9, 0.999)" in outcome.out


def test_option_overrides_one_argument_of_a_configuration(optimcifar: Command, small: list[str]) -> None:
    outcome = optimcifar("fit", "--config", CONFIGS / "rmsprop.yaml", *small, "--model.optimizer.lr", "0.003")
    assert "torch.optim.RMSprop(lr=0.003, momentum=0.0, alpha=0.99" in outcome.out


def test_duplicate_key_is_refused(optimcifar: Command, small: list[str], tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("trainer:\n  max_epochs: 1\nmodel: {}\ntrainer:\n  max_epochs: 2\n")
    outcome = optimcifar("fit", "--config", "config.yaml", *small)
    assert (outcome.status, outcome.err) == (2, "optimcifar: config.yaml: 'trainer' stands a second time in line 4\n")


def test_data_and_model_of_a_checkpoint_are_defaults(optimcifar: Command, small: list[str]) -> None:
    optimcifar("fit", *small, "--model.optimizer", "Adam", "--seed_everything", 5)
    summary = read_summary(RUN)
    outcome = optimcifar("validate", "--ckpt_path", CHECKPOINT)
    assert outcome.out == (
        f"validation accuracy {summary['val_acc']:.4f}, validation loss {summary['val_loss']:.4f} "
        "(200 validation images of Shapes10)\n"
    )


def test_training_does_not_continue_with_other_settings(optimcifar: Command, small: list[str]) -> None:
    optimcifar("fit", *small)
    outcome = optimcifar("fit", "--ckpt_path", CHECKPOINT, "--model.optimizer.lr", "0.5")
    assert outcome.status == 2
    assert f"--model.optimizer differs from what {CHECKPOINT} was" in outcome.err
    assert not RUN.with_name("version_1").exists()


def test_checkpoint_that_is_truncated_or_executes_code_is_refused(
    optimcifar: Command, small: list[str], tmp_path: Path
) -> None:
    optimcifar("fit", *small)
    content = CHECKPOINT.read_bytes()
    for damaged in (content[: len(content) // 2], b"cos\nmkdir\n(S'executed'\ntR.", b""):
        (tmp_path / "damaged.ckpt").write_bytes(damaged)
        outcome = optimcifar("test", "--ckpt_path", "damaged.ckpt")
        assert outcome.status == 1
        assert "damaged.ckpt is damaged, or not a checkpoint of Lightning" in outcome.err
    assert not (tmp_path / "executed").exists()
