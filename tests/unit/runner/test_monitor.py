"""What a step costs is told only where it was measured."""

from __future__ import annotations

import time

from dbmigration_runner.monitor import Monitor


def test_a_step_that_was_looked_at_once_has_no_share_of_a_processor():
    monitor = Monitor("/")
    monitor.start()
    measured = monitor.stop()
    assert measured.peak_memory_bytes
    assert measured.peak_cpu_percent is None


def test_a_step_that_computes_between_two_looks_has_one(monkeypatch):
    monkeypatch.setattr("dbmigration_runner.monitor.PERIOD_SECONDS", 0.15)  # psutil needs 0.1 between two looks
    monitor = Monitor("/")
    monitor.start()
    used = time.process_time()
    while time.process_time() < used + 1:
        sum(range(10_000))
    assert monitor.stop().peak_cpu_percent
