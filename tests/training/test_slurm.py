"""Runs within a SLURM job."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import Command


@pytest.fixture
def with_srun(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a command srun on the path, as on the machines of a cluster."""
    program = tmp_path_factory.mktemp("bin") / "srun"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")


@pytest.mark.usefixtures("with_srun")
@pytest.mark.filterwarnings("error:The .srun. command is available")
@pytest.mark.parametrize(
    "job",
    [
        {},  # outside of any job
        {"SLURM_NTASKS": "1", "SLURM_NTASKS_PER_NODE": "4", "SLURM_PROCID": "0", "SLURM_JOB_ID": "12345"},
        {"SLURM_NTASKS": "2", "SLURM_JOB_NAME": "interactive"},  # as salloc calls it
    ],
)
def test_a_run_of_one_task_trains(
    job: dict[str, str], optimcifar: Command, small: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in job.items():
        monkeypatch.setenv(name, value)
    outcome = optimcifar("fit", *small, "--trainer.limit_train_batches", 1)
    assert (outcome.status, outcome.err) == (0, "")
    assert Path("lightning_logs/version_0/metrics.csv").exists()


@pytest.mark.parametrize("command", ["fit", "schedule"])
@pytest.mark.parametrize("job", [{"SLURM_NTASKS": "2"}, {"SLURM_NTASKS": "4", "SLURM_NTASKS_PER_NODE": "4"}])
def test_a_run_that_several_tasks_would_repeat_is_refused(
    job: dict[str, str], command: str, optimcifar: Command, small: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in job.items():
        monkeypatch.setenv(name, value)
    outcome = optimcifar(command, *small)
    tasks = job["SLURM_NTASKS"]
    assert (outcome.status, outcome.err) == (
        2,
        f"optimcifar: SLURM starts {tasks} tasks (SLURM_NTASKS), one for each device of a run: for one device, put "
        "srun --ntasks 1 before the command;\n"
        f"for {tasks}, use sbatch --nodes M --ntasks-per-node N, srun, --trainer.num_nodes M and --trainer.devices N\n",
    )
    assert not list(Path().iterdir())
