"""Stub."""

from __future__ import annotations

from optimcifar.report.tuning.study import Study


def provenance(study: Study, name: str) -> list[str]:
    """Return comment lines."""
    return [f"{name}, tuned"]
