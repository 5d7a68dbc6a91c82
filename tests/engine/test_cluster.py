"""What is said about the cluster that trains the runs."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError

import pytest
from distributed import Client

from optimcifar.engine.cluster import _show_dashboard
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
