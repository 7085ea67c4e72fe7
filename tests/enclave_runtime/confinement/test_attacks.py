"""Each attack is refused by every layer that is said to refuse it, alone; and by none of the others."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enclave_runtime.confinement.layers import IDS, LANDLOCK, NAMESPACES, SECCOMP, SIGNALS_ABI, Layers

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.enclave_runtime.confinement.conftest import Machine

    Outcomes = Callable[[Machine, Layers], dict[str, str]]

SOURCE = (Path(__file__).parent / "attacks.py").read_text()
TCP_ABI, TRUNCATE_ABI = 4, 3

KEPT_BY: dict[str, tuple[str | tuple[str, int], ...]] = {
    "reads_a_file": (NAMESPACES, LANDLOCK),
    "writes_a_file": (NAMESPACES, LANDLOCK),
    "cuts_a_file": (NAMESPACES, (LANDLOCK, TRUNCATE_ABI), SECCOMP),
    "changes_a_lent_file": (NAMESPACES, LANDLOCK),
    "cuts_a_lent_file": (NAMESPACES, (LANDLOCK, TRUNCATE_ABI), SECCOMP),
    "makes_a_file": (NAMESPACES, LANDLOCK, IDS),
    "removes_a_file": (NAMESPACES, LANDLOCK, IDS),
    "lists_a_folder": (NAMESPACES, LANDLOCK),
    "asks_for_attributes": (NAMESPACES,),
    "changes_times": (NAMESPACES, IDS, SECCOMP),
    "changes_a_mode": (NAMESPACES, IDS, SECCOMP),
    "leases_a_lent_file": (IDS, SECCOMP),
    "watches_a_folder": (SECCOMP,),
    "opens_a_device": (NAMESPACES, LANDLOCK),
    "connects_by_tcp": (NAMESPACES, (LANDLOCK, TCP_ABI), SECCOMP),
    "sends_by_udp": (NAMESPACES, SECCOMP),
    "asks_for_network_devices": (SECCOMP,),
    "connects_to_an_abstract_name": (NAMESPACES, (LANDLOCK, SIGNALS_ABI), SECCOMP),
    "connects_to_a_path": (NAMESPACES, IDS, SECCOMP),
    "signals": (NAMESPACES, IDS, (LANDLOCK, SIGNALS_ABI), SECCOMP),
    "queues_a_signal": (NAMESPACES, IDS, (LANDLOCK, SIGNALS_ABI), SECCOMP),
    "sees_processes": (NAMESPACES, LANDLOCK),
    "reads_a_command_line": (NAMESPACES, LANDLOCK),
    "reads_an_environment": (NAMESPACES, IDS, LANDLOCK),
    "reads_memory_by_file": (NAMESPACES, IDS, LANDLOCK),
    "reads_memory": (NAMESPACES, IDS, LANDLOCK, SECCOMP),
    "traces": (NAMESPACES, IDS, LANDLOCK, SECCOMP),
    "takes_a_descriptor": (NAMESPACES, IDS, LANDLOCK, SECCOMP),
    "sets_a_limit": (NAMESPACES, IDS, SECCOMP),
    "sets_a_priority": (NAMESPACES, IDS, SECCOMP),
    "moves_to_a_processor": (NAMESPACES, IDS, SECCOMP),
    "attaches_shared_memory": (NAMESPACES, IDS, SECCOMP),
    "makes_a_user_namespace": (SECCOMP,),
    "sets_up_io_uring": (SECCOMP,),
    "traps_page_faults": (SECCOMP,),
    "uses_a_keyring": (SECCOMP,),
    "watches_performance": (SECCOMP,),
}
"""The layers that refuse each attack, with the first ABI of Landlock that does."""

BY_KERNEL = {"sets_up_io_uring", "traps_page_faults", "uses_a_keyring", "watches_performance", "makes_a_user_namespace"}
"""What a kernel may not have, or refuse to all processes."""

ALONE = {
    "none": Layers(),
    IDS: Layers(ids=True),
    NAMESPACES: Layers(namespaces=True),
    SECCOMP: Layers(seccomp=True),
    **{f"{LANDLOCK} {abi}": Layers(landlock=abi) for abi in (1, TRUNCATE_ABI, TCP_ABI, SIGNALS_ABI)},
}


@pytest.fixture(scope="session")
def outcomes() -> Outcomes:
    """How all attacks end under some layers, tried once."""

    @cache
    def of(user: int, layers: Layers) -> dict[str, str]:
        machine = machines[user]
        done = machine.ask("attack()", layers, before=SOURCE + "\nprepare(place)", read_only=("{place}/shared",))
        ended: dict[str, str] = json.loads(done)
        return ended

    machines: dict[int, Machine] = {}

    def ask(machine: Machine, layers: Layers) -> dict[str, str]:
        machines[machine.user] = machine
        if layers.namespaces and not machine.root:
            layers = Layers(**{**vars(layers), "user_namespace": True})
        if not _has(machine.layers, layers):
            pytest.skip("this machine does not have it")
        return of(machine.user, layers)

    return ask


def _has(there: Layers, wanted: Layers) -> bool:
    return set(wanted.present) <= set(there.present) and wanted.landlock <= there.landlock


def _keeps(name: str, layers: Layers) -> bool:
    kept_by = [(entry, 1) if isinstance(entry, str) else entry for entry in KEPT_BY[name]]
    return any(layer in layers.present and (layer != LANDLOCK or layers.landlock >= abi) for layer, abi in kept_by)


def test_every_attack_has_its_layers(machine: Machine, outcomes: Outcomes):
    assert outcomes(machine, machine.layers).keys() == KEPT_BY.keys()


@pytest.mark.parametrize("attack", KEPT_BY)
def test_with_all_layers_it_is_refused(either: Machine, outcomes: Outcomes, attack: str):
    assert outcomes(either, either.layers)[attack] != "reached"


@pytest.mark.parametrize("attack", KEPT_BY)
@pytest.mark.parametrize("version", [1, TCP_ABI, SIGNALS_ABI])
def test_with_an_older_landlock_it_is_refused(either: Machine, outcomes: Outcomes, attack: str, version: int):
    """As Ubuntu 22.04 has (5.15: ABI 1), Debian 12 nearly (6.1: ABI 2), and Linux 6.7 to 6.11."""
    layers = Layers(**{**vars(either.layers), "landlock": version})
    assert outcomes(either, layers)[attack] != "reached"


@pytest.mark.parametrize("attack", KEPT_BY)
def test_without_landlock_it_is_refused(either: Machine, outcomes: Outcomes, attack: str):
    """As in an enclave of AWS, whose kernel (4.14) has none."""
    assert outcomes(either, Layers(**{**vars(either.layers), "landlock": 0}))[attack] != "reached"


@pytest.mark.parametrize("attack", sorted(set(KEPT_BY) - {"asks_for_attributes"}))
def test_without_namespaces_it_is_refused(either: Machine, outcomes: Outcomes, attack: str):
    """As where a container or a distribution forbids them; only attributes can then be asked for, which is said."""
    layers = Layers(**{**vars(either.layers), "namespaces": False, "user_namespace": False})
    assert outcomes(either, layers)[attack] != "reached"


@pytest.mark.parametrize("attack", KEPT_BY)
@pytest.mark.parametrize("layer", ALONE)
def test_one_layer_alone(either: Machine, outcomes: Outcomes, layer: str, attack: str):
    """What shows that a test above would fail if the layer were off."""
    layers = ALONE[layer]
    outcome = outcomes(either, layers)[attack]
    if _keeps(attack, layers):
        assert outcome != "reached"
        return
    if attack == "opens_a_device" and not either.root:
        pytest.skip("only root makes devices")
    if outcome != "reached" and attack in BY_KERNEL:
        pytest.skip(f"this kernel refuses it to all processes: {outcome}")
    assert outcome == "reached"
