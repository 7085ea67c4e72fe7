"""Pages, static files, headers of every answer, discovery, probes."""

from __future__ import annotations

import hashlib
import re
import uuid
from typing import TYPE_CHECKING

import pytest

import blindsight
from blindsight.problems import CATALOGUE
from gateway.api.pages import STATIC
from tests.support.problems import CANARY

if TYPE_CHECKING:
    from tests.support.stack import Stack

SWAGGER = STATIC / "swagger-ui"
PAGES = ("/", "/docs", "/problems")
OURS = sorted(path.name for path in STATIC.iterdir() if path.is_file())
SUMS = [line.split() for line in (SWAGGER / "SHA256SUMS").read_text().splitlines()]

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


@pytest.mark.parametrize(("sha256", "name"), SUMS)
def test_swagger_ui_is_served_as_its_sums_say(tiny_stack: Stack, sha256: str, name: str) -> None:
    response = tiny_stack.client.get(f"/static/swagger-ui/{name}")
    assert hashlib.sha256(response.content).hexdigest() == sha256


def test_swagger_ui_sums_cover_every_file() -> None:
    assert {name for _, name in SUMS} == {path.name for path in SWAGGER.iterdir()} - {"SHA256SUMS"}


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
    assert forms["multipart/form-data"]["schema"]["properties"]["file"]["format"] == "binary"
    documented = {
        code
        for response in classify["responses"].values()
        for code in response.get("content", {}).get("application/problem+json", {}).get("examples", {})
    }
    elsewhere = {"not_found", "method_not_allowed", "invalid_parameter"}
    assert documented == set(CATALOGUE) - elsewhere
