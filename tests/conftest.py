"""Stacks that tests share: starting one takes seconds."""

from __future__ import annotations

import os

# ONNX Runtime's wheels record what they run and send it to their vendor, unless told before they are loaded not to.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import gc
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import postgres
from tests.support.models import TinyModel, write_colour_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stack import Stack


_NEEDS = {
    "stack": ("tiny_stack", "mobilenet_stack", "telling_stack", "cape_host", "world"),
    "browser": ("browser", "page"),
    "pycape": ("pycape",),
    "postgres": ("postgres_server",),
    "long": ("exported",),
}
"""Markers by the fixtures that make them true: `-m "not browser"` leaves out what needs one."""

_LONG = (
    "tests/benchmarks/test_bench_classifier.py::test_an_int8_graph_gives_the_functions_logits_to_the_last_bit",
    "tests/benchmarks/test_bench_run.py",
    "tests/benchmarks/test_bench_stacks.py",
    "tests/blindsight_cli/commands/test_backup.py::test_backup_destroy_restore",
    "tests/blindsight_cli/commands/test_doctor_deployment.py::test_a_stack_that_listens_elsewhere",
    "tests/blindsight_cli/commands/test_model_options.py::test_a_stack_serves_with_them",
    "tests/blindsight_cli/commands/test_up_models.py::test_a_manifest_beside_the_file_counts",
    "tests/blindsight_cli/commands/test_up_models.py::test_labels_changed_beside_the_file",
    "tests/blindsight_cli/commands/test_up_precision.py",
    "tests/browser/test_accessibility.py::test_an_answer_in_the_documentation[dark]",
    "tests/browser/test_accessibility.py::test_the_documentation_with_everything_opened",
    "tests/browser/test_precision.py",
    "tests/campaigns/test_campaign_run.py",
    "tests/cape_host/test_backup.py::test_backup_destroy_restore[sqlite]",
    "tests/cape_host/test_backup.py::test_without_the_root_secret_nothing_is_revealed_and_the_reason_is_told[sqlite]",
    "tests/cape_host/test_crashes.py",
    "tests/cape_host/test_scale.py",
    "tests/cape_host/test_stopped_enclave.py",
    "tests/clients/js/test_package.py::test_the_sources_pass_their_own_checks",
    "tests/docs/test_day_two.py",
    "tests/docs/test_from_an_app.py::test_what_is_retryable_is_sent_again_after_a_while",
    "tests/docs/test_several.py",
    "tests/docs/test_site.py",
    "tests/enclave_function/test_precision.py::test_an_int8_model_is_served_and_says_so",
    "tests/evil_gateway/test_browser.py::test_the_trick_is_refused_on_the_page",
    "tests/gateway/cape/test_device_flood.py",
    "tests/gateway/cape/test_s3_bundles.py::test_a_service_that_is_gone_or_stalled",
    "tests/gateway/test_connections.py::test_slow_readers_are_cut[pipelined]",
    "tests/gateway/test_connections.py::test_slow_readers_are_cut[then close]",
    "tests/gateway/test_refusals.py::test_a_crowd_does_not_fill_the_log",
    "tests/gateway/test_trace_delivery.py::test_a_bad_collector_costs_requests_nothing[dripping]",
    "tests/gateway/test_trace_delivery.py::test_a_bad_collector_costs_requests_nothing[endless]",
    "tests/gateway/test_trace_delivery.py::test_a_bad_collector_costs_requests_nothing[later]",
    "tests/gateway/test_trace_delivery.py::test_a_bad_collector_costs_requests_nothing[never]",
    "tests/model_build/test_export.py",
    "tests/model_build/test_offline_export.py",
    "tests/model_build/test_offline_training.py",
    "tests/model_build/test_quantise.py",
    "tests/stack/test_event_loop.py::test_the_enclave_answers_others_meanwhile[calls of a function, all numbers]",
    "tests/stack/test_offline_stack.py::test_the_accuracy_of_the_card_through_the_service",
    "tests/tools/test_makefile.py::test_run_in_a_folder_with_spaces",
)
"""Tests with the marker `long`, by the beginnings of their names: the most processor time for what they add. Continuous
integration has twenty minutes and leaves them out."""

_SLOW = {
    "stack",
    "campaigns",
    "browser",
    "cape_host",
    "docs",
    "js",
    "model_build",
    "cape",
    "commands",
    "evil_gateway",
    "tools",
}
"""Folders whose tests start stacks, browsers or builds."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        if item.path.parent.name == "stack":
            item.add_marker("stack")
        if item.nodeid.startswith(_LONG):
            item.add_marker("long")
        if parameters.get("store_url") == "postgresql":
            item.add_marker("postgres")
        for marker, names in _NEEDS.items():
            if fixtures.intersection(names):
                item.add_marker(marker)
    if os.environ.get("PYTEST_XDIST_WORKER"):
        # Files that start processes first: a long one that came last would leave the other workers without work.
        items.sort(key=lambda item: item.path.parent.name not in _SLOW)


def pytest_collection() -> None:
    """Thirteen thousand tests are a million objects that stay: the garbage collector does not visit them."""
    gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def assets() -> Path:
    folder = os.environ.get("BLINDSIGHT_ASSETS")
    if not folder:
        pytest.skip("BLINDSIGHT_ASSETS is not set: no test photos and no trained model")
    return Path(folder)


@pytest.fixture(scope="session")
def cases(assets: Path) -> Path:
    """The folder of inputs made after people's complaints; its README says what each should give."""
    folder = assets.parent / "cases"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there: no inputs after people's complaints")
    return folder


@pytest.fixture(scope="session")
def colour_model(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    """A model directory whose right answer for any picture is the grid colour next to its mean."""
    return write_colour_model(tmp_path_factory.mktemp("colour-model"))


@pytest.fixture(scope="session")
def tiny_stack(colour_model: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """An enclave with two workers on the colour model, and a gateway. Tests leave it as they found it."""
    from tests.support.stack import running_stack  # other tests need neither the stack nor what it imports

    with running_stack(colour_model.folder, tmp_path_factory.mktemp("tiny-stack")) as stack:
        yield stack


@pytest.fixture(scope="session")
def mobilenet_stack(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """An enclave on the trained MobileNetV2 of the assets, and a gateway."""
    from model_build.build import import_onnx
    from tests.support.stack import running_stack

    model = tmp_path_factory.mktemp("mobilenet")
    import_onnx(model, assets / "models" / "mobilenet_v2_imagenet.onnx")
    with running_stack(model, tmp_path_factory.mktemp("mobilenet-stack")) as stack:
        yield stack


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL of the tests' own."""
    folder = postgres.binaries()
    if folder is None:
        pytest.skip("PostgreSQL's server programs (Debian: postgresql) are not installed")
    with postgres.running_postgres(folder) as url:
        yield url
