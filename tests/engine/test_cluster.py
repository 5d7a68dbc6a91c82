"""What is said about the cluster that trains the runs."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from distributed import Client

from optimcifar.engine.cluster import _show_dashboard, connect
from optimcifar.engine.cluster_options import ClusterOptions


def test_address_of_the_dashboard_is_printed_if_it_is_asked_for(
    client: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("optimcifar.engine.cluster.version", lambda package: "3.9")
    _show_dashboard(client, ClusterOptions())
    assert capsys.readouterr().out == ""
    _show_dashboard(client, ClusterOptions(dashboard=True))
    assert re.fullmatch(r"dashboard: http://[\w.]+:\d+/status\n", capsys.readouterr().out)


def test_dashboard_without_bokeh_says_what_to_install(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr("optimcifar.engine.cluster.version", version)
    with pytest.raises(RuntimeError, match=r"^--dashboard needs bokeh: pip install bokeh$"):
        _show_dashboard(client, ClusterOptions(dashboard=True))
    address = "tcp://host:8786"
    with pytest.raises(RuntimeError, match=f"pip install bokeh where the scheduler at {address} runs, and start it"):
        _show_dashboard(client, ClusterOptions(scheduler=address, dashboard=True))


@pytest.mark.slow
@pytest.mark.parametrize("dashboard", [False, True])
def test_usual_port_of_the_dashboard_may_be_taken(dashboard: bool) -> None:
    Path("script.py").write_text(
        "from pathlib import Path\n"
        "from optimcifar.engine import cluster\n"
        "from optimcifar.engine.cluster_options import ClusterOptions\n"
        "if __name__ == '__main__':\n"
        "    cluster.version = lambda package: '3.9'\n"
        f"    with cluster.connect(ClusterOptions(jobs=1, dashboard={dashboard}), Path('out'), []):\n"
        "        pass\n"
    )
    with socket.socket() as port:
        with suppress(OSError):  # it is taken already
            port.bind(("127.0.0.1", 8787))
            port.listen()
        ended = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, check=True)
    assert ended.stderr == ""
    assert ended.stdout.count("dashboard: http://127.0.0.1:") == int(dashboard)


def test_workers_that_take_too_long_to_close_cost_no_results(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []

    class Slow:
        def __init__(self, *arguments: object, **options: object) -> None:
            pass

        def close(self) -> None:
            closed.append(self)
            raise TimeoutError

    for name in ("SpecCluster", "Client"):
        monkeypatch.setattr(f"optimcifar.engine.cluster.{name}", Slow)
    with connect(ClusterOptions(), Path(), []) as client:
        assert isinstance(client, Slow)
    assert closed[0] is client
    assert len(closed) == 2
    with pytest.raises(TimeoutError, match="of a run"), connect(ClusterOptions(), Path(), []):
        raise TimeoutError("of a run")
