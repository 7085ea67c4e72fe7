"""Pages, static files, headers of every answer, discovery, probes."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import uuid
from typing import TYPE_CHECKING

import pytest

import blindsight
from blindsight.attestation import Policy
from blindsight.problems import CATALOGUE
from gateway.api.pages import STATIC
from tests.support import node
from tests.support.problems import CANARY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.stack import Stack

SWAGGER = STATIC / "swagger-ui"
PAGES = ("/", "/docs", "/problems")
OURS = sorted(path.name for path in STATIC.iterdir() if path.is_file())
APP = STATIC / "app"
WEB = node.ROOT / "gateway" / "web"
SUMS = [
    (folder.name, *line.split())
    for folder in (SWAGGER, APP)
    for line in (folder / "SHA256SUMS").read_text().splitlines()
]
SHARED = ("/attestation", "/.well-known/ohttp-gateway", "/ohttp")

_ABSOLUTE_URL = re.compile(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", re.IGNORECASE)


@pytest.mark.parametrize("page", PAGES)
def test_pages_name_no_third_party(tiny_stack: Stack, page: str) -> None:
    response = tiny_stack.client.get(page)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert not _ABSOLUTE_URL.search(response.text)
    for target in re.findall(r'(?:src|href)="([^"#]+)', response.text):
        assert tiny_stack.client.get(target).status_code == 200, target


@pytest.mark.parametrize("name", OURS)
def test_our_static_files_name_no_third_party(tiny_stack: Stack, name: str) -> None:
    response = tiny_stack.client.get(f"/static/{name}")
    assert response.content == (STATIC / name).read_bytes()
    assert not _ABSOLUTE_URL.search(response.text)


@pytest.mark.parametrize(("folder", "sha256", "name"), SUMS)
def test_what_was_built_is_served_as_its_sums_say(tiny_stack: Stack, folder: str, sha256: str, name: str) -> None:
    response = tiny_stack.client.get(f"/static/{folder}/{name}")
    assert hashlib.sha256(response.content).hexdigest() == sha256


@pytest.mark.parametrize("folder", [SWAGGER, APP], ids=lambda folder: folder.name)
def test_the_sums_cover_every_file(folder: Path) -> None:
    assert {name for place, _, name in SUMS if place == folder.name} == {path.name for path in folder.iterdir()} - {
        "SHA256SUMS"
    }


def test_the_committed_page_is_what_its_sources_give(tmp_path: Path) -> None:
    """With the pinned tools and the built JavaScript client, in a copy, byte for byte; and its types are checked."""
    node.node()
    sources = tmp_path / "gateway" / "web"
    shutil.copytree(WEB, sources, ignore=shutil.ignore_patterns("node_modules"))
    # As it was built: the page has none of its sources.
    shutil.copytree(node.CLIENT / "dist", tmp_path / "clients" / "js" / "dist")
    shutil.copyfile(node.CLIENT / "package.json", tmp_path / "clients" / "js" / "package.json")
    node.install(sources)
    node.run("npm", "run", "--silent", "check", cwd=sources)
    node.run("npm", "run", "--silent", "build", "--", tmp_path / "app", cwd=sources)
    assert node.tree(tmp_path / "app") == node.tree(APP)


def test_the_page_has_a_policy_of_its_own(tiny_stack: Stack) -> None:
    policies = tiny_stack.client.get("/").headers.get_list("content-security-policy")
    assert len(policies) == 1
    assert "unsafe" not in policies[0]
    for part in ("default-src 'none'", "script-src 'self'", "connect-src 'self'", "trusted-types 'none'"):
        assert part in policies[0]


def test_the_page_names_its_parts_by_their_digests() -> None:
    """So that no browser puts parts of two releases together."""
    page = (APP / "index.html").read_text()
    for name in ("app.js", "app.css"):
        digest = hashlib.sha256((APP / name).read_bytes()).hexdigest()
        assert f'"static/app/{name}?{digest[:16]}"' in page


def test_the_single_file_needs_nothing_else(tiny_stack: Stack) -> None:
    response = tiny_stack.client.get("/blindsight.html")
    assert response.headers["content-disposition"] == 'attachment; filename="blindsight.html"'
    page = response.text
    for kind in ("script", "style"):
        (content,) = re.findall(rf"<{kind}>(.*?)</{kind}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in page
    assert not re.findall(r'<(?:script|link|img)[^>]* (?:src|href)="', page)


def test_the_gateways_policy_is_stated(tiny_stack: Stack) -> None:
    response = tiny_stack.client.get("/policy")
    assert Policy.from_json(response.text) == tiny_stack.policy
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", SHARED)
def test_the_sealed_lane_is_open_to_pages_of_any_origin(tiny_stack: Stack, path: str) -> None:
    asked = {"origin": "null", "access-control-request-method": "POST"}
    preflight = tiny_stack.client.options(path, headers=asked)
    assert preflight.status_code == 204
    assert {"authorization", "content-type"} <= set(preflight.headers["access-control-allow-headers"].split(", "))
    for response in (preflight, tiny_stack.client.get(path), tiny_stack.client.post(path, content=b"x")):
        assert response.headers.get_list("access-control-allow-origin") == ["*"]
        assert response.headers.get_list("cross-origin-resource-policy") == ["cross-origin"]
        assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize("path", ["/", "/classify", "/policy", "/ohttp/", "/v1/key", "/info"])
def test_nothing_else_is(tiny_stack: Stack, path: str) -> None:
    asked = {"origin": "https://other.example", "access-control-request-method": "POST"}
    for method in ("GET", "POST", "OPTIONS"):
        headers = tiny_stack.client.request(method, path, headers=asked).headers
        assert not [name for name in headers if name.startswith("access-control")]


def test_problem_page_has_every_code(tiny_stack: Stack) -> None:
    page = tiny_stack.client.get("/problems").text
    for code in CATALOGUE:
        assert f'id="{code}"' in page


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", [*PAGES, "/classify", "/livez", "/openapi.json", "/static/style.css", "/nowhere"])
def test_security_headers_are_everywhere(tiny_stack: Stack, method: str, path: str) -> None:
    headers = tiny_stack.client.request(method, path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "server" not in headers
    assert "access-control-allow-origin" not in headers
    assert method == "GET" or headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/livez", "/classify", "/nowhere"])
def test_request_id_is_the_callers_if_it_is_a_uuid(tiny_stack: Stack, path: str) -> None:
    ours = str(uuid.uuid4())
    assert tiny_stack.client.get(path, headers={"x-request-id": ours}).headers["x-request-id"] == ours
    for other in (CANARY, "", f"{ours}; {CANARY}", "5", "\u00e4".encode()):
        headers = tiny_stack.client.get(path, headers={"x-request-id": other}).headers
        assert headers["x-request-id"] == str(uuid.UUID(headers["x-request-id"])) != ours


def test_info(tiny_stack: Stack) -> None:
    info = tiny_stack.client.get("/info").json()
    assert (info["name"], info["version"]) == ("blindsight", blindsight.__version__)
    assert info["model"]["name"] == "tiny"
    assert info["model"]["digest"] == tiny_stack.measured.model_digest
    assert info["limits"]["max_image_bytes"] == 20 * 1024 * 1024
    assert info["limits"]["max_in_flight"] == 64
    assert info["confinement"] == tiny_stack.enclave.status()["confinement"]
    assert set(info["confinement"]) == {"layers", "landlock_abi", "absent", "gaps"}
    assert len(info["notices"]) == 1
    assert "SIMULATED" in info["notices"][0]
    for name, link in info["links"].items():
        status = tiny_stack.client.get(link).status_code
        assert status == (405 if name in {"classify", "batch", "sealed"} else 200), name


@pytest.mark.parametrize(
    ("path", "status"),
    [("/livez", "alive"), ("/v2/health/live", "alive"), ("/readyz", "ready"), ("/v2/health/ready", "ready")],
)
def test_probes(tiny_stack: Stack, path: str, status: str) -> None:
    response = tiny_stack.client.get(path)
    assert (response.status_code, response.json()) == (200, {"status": status})
    assert f'"route": "{path}"' not in tiny_stack.gateway.log()


def test_openapi_describes_every_form_and_problem(tiny_stack: Stack) -> None:
    schema = tiny_stack.client.get("/openapi.json").json()
    classify = schema["paths"]["/classify"]["post"]
    forms = classify["requestBody"]["content"]
    assert {"multipart/form-data", "image/jpeg", "image/png", "image/webp", "application/json"} <= set(forms)
    # What Swagger UI shows a file picker for.
    assert forms["multipart/form-data"]["schema"] == {"$ref": "#/components/schemas/ImageForm"}
    assert schema["components"]["schemas"]["ImageForm"]["properties"]["file"]["format"] == "binary"
    documented = {
        code
        for response in classify["responses"].values()
        for code in response.get("content", {}).get("application/problem+json", {}).get("examples", {})
    }
    elsewhere = {"not_found", "method_not_allowed", "date", "replayed", "unsupported_version"}
    assert documented == set(CATALOGUE) - elsewhere
