"""Alert rules, dashboard and their page: against promtool, and against a Prometheus that scrapes a real gateway."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
import yaml

from gateway.metrics import EnclaveMetrics, Metrics
from tests.support import images
from tests.support.waiting import wait_until
from tests.support.wire import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stack import Stack

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / "deploy" / "monitoring"
PAGE = (REPOSITORY / "docs" / "monitoring.md").read_text("utf-8")
RULES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"][0]["rules"]
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text())
QUERIES = [(panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel["targets"]]
_METRIC = re.compile(r"\b[a-z]+(?:_[a-z]+)+\b")
_WORDS = {"histogram_quantile", "label_values"}
_MAY_BE_EMPTY = {"Turned away a second, by reason", "Evidence refused"}
"""Panels of what a healthy gateway does not do."""


def promtool(*arguments: str) -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool (Debian: prometheus) is not installed")
    done = subprocess.run([program, *arguments], cwd=FOLDER, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_configuration_and_rules_are_valid() -> None:
    promtool("check", "config", "prometheus.yml")
    promtool("check", "rules", "alerts.yml")


def test_alerts_fire_when_their_tests_say() -> None:
    promtool("test", "rules", "alerts_test.yml")


def test_every_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    cases = yaml.safe_load((FOLDER / "alerts_test.yml").read_text())["tests"]
    checks = [check for case in cases for check in case["alert_rule_test"]]
    names = {rule["alert"] for rule in RULES}
    assert {check["alertname"] for check in checks if check["exp_alerts"]} == names
    assert {check["alertname"] for check in checks if not check["exp_alerts"]} == names


def published() -> dict[str, set[str]]:
    """The labels of each metric of a gateway, by its name as scraped."""
    metrics = Metrics()
    EnclaveMetrics(metrics, "tcp://127.0.0.1:7500").refused("pcr_mismatch")
    found: dict[str, set[str]] = {}
    for collector in list(metrics.registry._collector_to_names):
        labels = set(collector._labelnames)  # type: ignore[attr-defined]  # prometheus_client's, which it does not type
        name = collector._name + ("_total" if collector._type == "counter" else "")  # type: ignore[attr-defined]  # as above
        found[name] = labels
    return found


def used(text: str) -> set[str]:
    """The metrics of the gateway that an expression names."""
    names = set(_METRIC.findall(re.sub(r'"[^"]*"|by \([^)]*\)|on \([^)]*\)', "", text)))
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in names - _WORDS}


def test_rules_and_dashboard_name_metrics_that_exist() -> None:
    for expression in [rule["expr"] for rule in RULES] + [query for _, query in QUERIES]:
        assert used(expression) <= published().keys(), expression


def test_the_dashboard_shows_every_metric() -> None:
    assert set().union(*(used(query) for _, query in QUERIES)) == published().keys()


def test_the_page_lists_every_metric_with_its_labels() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| (?:counter|gauge|histogram) \| (.*?) \|", PAGE, re.MULTILINE)
    assert {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows} == published()


def test_the_page_lists_every_alert_with_its_severity() -> None:
    rows = re.findall(r"^\| `(Blindsight\w+)` \| (critical|warning) \| .+ \|$", PAGE, re.MULTILINE)
    assert rows == [(rule["alert"], rule["labels"]["severity"]) for rule in RULES]


def test_panels_do_not_overlap_and_are_named() -> None:
    places = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not places & cells, panel["title"]
        assert place["x"] + place["w"] <= 24
        places |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


@pytest.fixture(scope="module")
def prometheus(tiny_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """A Prometheus with the rules, that has scraped the stack's gateway for some seconds under load."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus (Debian: prometheus) is not installed")
    folder, port = tmp_path_factory.mktemp("prometheus"), free_port()
    configuration = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    configuration["global"] = {"scrape_interval": "500ms", "scrape_timeout": "400ms", "evaluation_interval": "500ms"}
    configuration["rule_files"] = [str(FOLDER / "alerts.yml")]
    (scraped,) = configuration["scrape_configs"]
    scraped["static_configs"] = [{"targets": [f"127.0.0.1:{tiny_stack.gateway.metrics_port}"]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
             f"--web.listen-address=127.0.0.1:{port}"],
            stdout=log, stderr=log, cwd=folder,
        )  # fmt: skip
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:
            wait_until("prometheus answers", lambda: _answers(client))
            _load(tiny_stack, seconds=6.0)
            yield client
    finally:
        process.terminate()
        process.wait(30)


def _answers(client: httpx2.Client) -> bool:
    try:
        return client.get("/-/ready").status_code == 200
    except httpx2.TransportError:
        return False


def _load(stack: Stack, seconds: float) -> None:
    end = time.monotonic() + seconds
    refused = False

    def call() -> None:
        nonlocal refused
        while time.monotonic() < end:
            stack.client.post("/classify", files={"file": images.plain(31)})
            refused = stack.client.post("/classify", content=b"no image").status_code != 200

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused


def ask(client: httpx2.Client, query: str) -> list[dict[str, Any]]:
    """The series of `query` now."""
    answer = client.get("/api/v1/query", params={"query": query}).json()
    assert answer["status"] == "success", answer
    found: list[dict[str, Any]] = answer["data"]["result"]
    return found


@pytest.mark.parametrize(("title", "query"), QUERIES)
def test_a_query_of_the_dashboard_finds_series(prometheus: httpx2.Client, title: str, query: str) -> None:
    found = ask(prometheus, query.replace("$__rate_interval", "4s").replace("$job", "blindsight"))
    assert found or title in _MAY_BE_EMPTY
    if title not in _MAY_BE_EMPTY:
        assert all(float(series["value"][1]) >= 0 for series in found)
        assert "NaN" not in [series["value"][1] for series in found if series["metric"].get("stage") == "run"]


def test_the_variable_of_the_dashboard_finds_the_job(prometheus: httpx2.Client) -> None:
    (variable,) = [each for each in DASHBOARD["templating"]["list"] if each["name"] == "job"]
    assert variable["query"]["query"] == "label_values(enclave_up, job)"
    assert {series["metric"]["job"] for series in ask(prometheus, "enclave_up")} == {"blindsight"}


def test_no_alert_fires_at_a_healthy_gateway(prometheus: httpx2.Client) -> None:
    groups = prometheus.get("/api/v1/rules").json()["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert [rule["name"] for rule in rules] == [rule["alert"] for rule in RULES]
    assert {rule["health"] for rule in rules} == {"ok"}
    assert [rule["name"] for rule in rules if rule["state"] == "firing"] == []
