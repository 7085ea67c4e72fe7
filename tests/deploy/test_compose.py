"""Dockerfile and compose file: linted, valid by the published schema, and held to rules of security."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import blindsight

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / "deploy" / "compose"
COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text("utf-8")
TOOLS = REPOSITORY / ".venv-chart" / "bin"
PROFILES = {
    "postgres": {"postgres"}, "redis": {"redis"}, "monitoring": {"prometheus", "grafana"},
    "": {"bundle", "policy", "token", "tls", "enclave", "gateway"},
}  # fmt: skip
_EXACT = re.compile(r"[\w./-]+:v?\d+\.\d+(\.\d+)?(-[\w.]+)?(@sha256:[0-9a-f]{64})?")
"""An image by the tag of one version."""
_VALIDATE = """
import json, pathlib, sys, sysconfig, jsonschema
folder = pathlib.Path(sysconfig.get_path("purelib"), "check_jsonschema", "builtin_schemas", "vendor")
schema = json.loads((folder / "compose-spec.json").read_text())
validator = jsonschema.validators.validator_for(schema)(schema)
print(json.dumps([error.message for error in validator.iter_errors(json.load(sys.stdin))]))
"""
"""The package's own modules are not imported: they need packages that are not installed."""


def tool(name: str) -> Path:
    if not (TOOLS / name).exists():
        pytest.skip(f"`make prepared` has not installed {name}")
    return TOOLS / name


def faults(composed: dict[str, Any]) -> list[str]:
    folder = TOOLS.parent
    if not list(folder.glob("lib/python3*/site-packages/check_jsonschema")):
        pytest.skip("`make prepared` has not installed the schema of compose files")
    done = subprocess.run(
        [tool("python"), "-c", _VALIDATE], input=json.dumps(composed), capture_output=True, text=True, check=True
    )
    found: list[str] = json.loads(done.stdout)
    return found


def targets() -> list[str]:
    return re.findall(r"^FROM base AS ([\w-]+)$", DOCKERFILE, re.MULTILINE)


def stage(name: str) -> str:
    return DOCKERFILE.partition(f" AS {name}\n")[2].partition("\nFROM ")[0]


@pytest.mark.parametrize("name", ["Dockerfile", "deploy/nitro/Dockerfile"])
def test_dockerfiles_are_linted(name: str) -> None:
    done = subprocess.run(
        [tool("hadolint"), "--no-color", "--failure-threshold", "style", name],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")


def test_the_linter_finds_faults(tmp_path: Path) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text("FROM python:latest\nRUN cd /app\n")
    assert subprocess.run([tool("hadolint"), file], capture_output=True, check=False).returncode == 1


def test_the_compose_file_is_valid() -> None:
    assert faults(COMPOSE) == []
    assert faults({"services": {"a": {"image": "b", "read-only": True}}}) != []


@pytest.mark.parametrize("name", targets())
def test_images_say_what_they_are(name: str) -> None:
    text = stage(name)
    assert re.search(r'org\.opencontainers\.image\.title="Blindsight [^"]+"', text)
    assert re.search(r'org\.opencontainers\.image\.description="[^"]{20,}"', text)
    assert "\nUSER 10001:10001\n" in text
    if "EXPOSE" in text:
        assert "\nHEALTHCHECK " in text


def test_the_base_says_version_and_origin() -> None:
    labels = dict(re.findall(r'org\.opencontainers\.image\.([\w.]+)="([^"]*)"', stage("base")))
    assert labels["version"] == blindsight.__version__
    assert labels["licenses"] == "Apache-2.0"
    (base,) = re.findall(r"^FROM (\S+) AS base$", DOCKERFILE, re.MULTILINE)
    assert labels["base.name"] == f"docker.io/library/{base.partition('@')[0]}"


def broken_rules(name: str, service: dict[str, Any]) -> list[str]:
    """The rules of security that a service breaks."""
    once = service.get("restart") == "no"
    waited_for = any(
        other.get("depends_on", {}).get(name, {}).get("condition") == "service_completed_successfully"
        for other in SERVICES.values()
    )
    image, target = service.get("image", ""), service.get("build", {}).get("target", "")
    user = service.get("user", "10001:10001" if target else "")
    checked = "healthcheck" in service or bool(target and "HEALTHCHECK" in stage(target))
    rules = {
        "read_only": service.get("read_only") is True,
        "cap_drop": service.get("cap_drop") == ["ALL"] and "cap_add" not in service,
        "no-new-privileges": service.get("security_opt") == ["no-new-privileges:true"],
        "user": re.fullmatch(r"[1-9]\d*:\d+", user) is not None,
        "health": waited_for if once else checked,
        "restart": once or service.get("restart") == "unless-stopped",
        "image": bool(target) or _EXACT.fullmatch(image) is not None,
        "ports": all(str(port).startswith("127.0.0.1:") for port in service.get("ports", [])),
        "privileges": not {"privileged", "pid", "ipc", "devices", "userns_mode"} & service.keys(),
        "network": service.get("network_mode", "none") == "none",
        "mounts": not any(volume.startswith(("/", "~")) or "docker.sock" in volume for volume in service["volumes"]),
        "sources": all(not volume.startswith("./") or volume.endswith(":ro") for volume in service["volumes"]),
        "secrets": not any(
            re.search("PASSWORD|SECRET|TOKEN|KEY", variable) and value and not str(value).startswith("/")
            for variable, value in (service.get("environment") or {}).items()
        ),
    }
    return [rule for rule, kept in rules.items() if not kept]


@pytest.mark.parametrize("name", SERVICES)
def test_services_keep_the_rules(name: str) -> None:
    assert broken_rules(name, SERVICES[name]) == []


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"read_only": False}, "read_only"),
        ({"cap_add": ["NET_ADMIN"]}, "cap_drop"),
        ({"security_opt": []}, "no-new-privileges"),
        ({"user": "0:0"}, "user"),
        ({"healthcheck": None, "restart": "no"}, "health"),
        ({"image": "redis:latest", "build": {}}, "image"),
        ({"image": "redis", "build": {}}, "image"),
        ({"ports": ["8000:8000"]}, "ports"),
        ({"ports": ["0.0.0.0:8000:8000"]}, "ports"),
        ({"network_mode": "host"}, "network"),
        ({"privileged": True}, "privileges"),
        ({"volumes": ["/var/run/docker.sock:/s"]}, "mounts"),
        ({"volumes": ["./deploy:/deploy"]}, "sources"),
        ({"environment": {"POSTGRES_PASSWORD": "postgres"}}, "secrets"),
    ],
)
def test_a_broken_rule_is_found(change: dict[str, Any], rule: str) -> None:
    assert rule in broken_rules("redis", SERVICES["redis"] | change)


def test_profiles_add_what_they_say() -> None:
    for name, service in SERVICES.items():
        if name != "secrets":
            (profile,) = service.get("profiles", [""])
            assert name in PROFILES[profile]
    assert set().union(*PROFILES.values()) == SERVICES.keys() - {"secrets"}
    assert set(SERVICES["secrets"]["profiles"]) == PROFILES.keys() - {""}


def test_what_a_profile_adds_is_not_required_without_it() -> None:
    for name, service in SERVICES.items():
        for needed, how in (service.get("depends_on") or {}).items():
            optional = how.get("required") is False
            profiles = set(service.get("profiles", []))
            assert optional or profiles <= set(SERVICES[needed].get("profiles", profiles)), (name, needed)
            assert optional or profiles or "profiles" not in SERVICES[needed], (name, needed)


def test_databases_and_enclave_have_no_way_out() -> None:
    for name in ("enclave", "postgres", "redis", "prometheus"):
        assert all(COMPOSE["networks"][network]["internal"] is True for network in SERVICES[name]["networks"])
        assert "ports" not in SERVICES[name]
    assert "data" not in SERVICES["grafana"]["networks"]
    assert {name for name, service in SERVICES.items() if "inside" in service.get("networks", [])} == {
        "enclave", "gateway",
    }  # fmt: skip


def test_volumes_and_mounted_files_exist() -> None:
    named, mounted = set(), []
    for service in SERVICES.values():
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            mounted.append(REPOSITORY / source) if source.startswith("./") else named.add(source)
    assert named == COMPOSE["volumes"].keys()
    assert all(path.exists() for path in mounted)


def test_each_password_is_mounted_by_its_readers_alone() -> None:
    mounted = {name: {each.partition(":")[0] for each in service["volumes"]} for name, service in SERVICES.items()}
    readers = {
        volume: {name for name, volumes in mounted.items() if volume in volumes}
        for volume in COMPOSE["volumes"]
        if volume.endswith(("-password", "-passwords", "-users"))
    }
    assert readers == {
        "gateway-passwords": {"secrets", "gateway"},
        "postgres-password": {"secrets", "postgres"},
        "redis-users": {"secrets", "redis"},
        "grafana-password": {"secrets", "grafana"},
    }


def test_prometheus_scrapes_as_the_example_does() -> None:
    example = yaml.safe_load((REPOSITORY / "deploy/monitoring/prometheus.yml").read_text())
    own = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    example["scrape_configs"][0]["static_configs"] = [{"targets": ["gateway:9000"]}]
    assert own == example


def test_grafana_finds_its_source_and_its_dashboard() -> None:
    (source,) = yaml.safe_load((FOLDER / "grafana/datasources/prometheus.yml").read_text())["datasources"]
    assert (source["type"], source["url"], source["isDefault"]) == ("prometheus", "http://prometheus:9090", True)
    (provider,) = yaml.safe_load((FOLDER / "grafana/dashboards/blindsight.yml").read_text())["providers"]
    folder = provider["options"]["path"]
    assert f"./deploy/monitoring/dashboard.json:{folder}/blindsight.json:ro" in SERVICES["grafana"]["volumes"]
