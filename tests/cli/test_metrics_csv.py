"""The table of a run's metrics."""

import csv

from moshi_zoo.cli.metrics_csv import MetricsCsv


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_new_metric_adds_a_column_to_all_rows(tmp_path):
    path = tmp_path / "run/metrics.csv"
    logger = MetricsCsv(path)
    logger.log_metrics({"a": 1.0}, 0)
    logger.log_metrics({"a": 2.0, "b,c": 0.5}, 1)
    logger.log_metrics({"b,c": 0.25}, 2)
    assert rows(path) == [
        {"step": "0", "a": "1.0", "b,c": ""},
        {"step": "1", "a": "2.0", "b,c": "0.5"},
        {"step": "2", "a": "", "b,c": "0.25"},
    ]


def test_a_resumed_run_goes_on_with_the_table(tmp_path):
    path = tmp_path / "metrics.csv"
    MetricsCsv(path).log_metrics({"a": 1.0}, 0)
    MetricsCsv(path).log_metrics({"b": 2.0}, 1)
    assert rows(path) == [{"step": "0", "a": "1.0", "b": ""}, {"step": "1", "a": "", "b": "2.0"}]
