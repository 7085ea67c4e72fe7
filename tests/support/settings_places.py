"""The gateway's settings where they are listed besides docs/settings.md: .env.example, the compose file, the chart.

`python -m tests.support.settings_table` writes all of them anew.
"""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic_core import PydanticUndefined

from gateway.settings import Settings

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

REPOSITORY: Final = Path(__file__).resolve().parents[2]
COMPOSE: Final = REPOSITORY / "docker-compose.yml"
ENV_EXAMPLE: Final = REPOSITORY / ".env.example"
CHART: Final = REPOSITORY / "deploy" / "helm" / "blindsight"
SCHEMA: Final = CHART / "values.schema.json"

_BEGIN: Final = "      # generated: python -m tests.support.settings_table\n"
_END: Final = "      # end of what is generated\n"
CHARTS_PORTS: Final = frozenset(f"BLINDSIGHT_{name}" for name in ("HOST", "PORT", "METRICS_HOST", "METRICS_PORT"))
"""Settings that the chart leaves at the image's values, because probes and services name the ports."""

_OF_AWS: Final = "^AWS_[A-Z0-9_]+$"
"""Variables of AWS's library, which reads credentials, region and endpoint of a bucket from them."""

_HEAD: Final = """\
# Settings of `docker compose up`: copy this file to `.env`, and remove the `#` before what you change. Each line shows
# the default. A gateway that is started in this folder without Docker reads `.env`, too.

# Services beside the gateway and its enclave, separated by commas: postgres, redis, monitoring.
# COMPOSE_PROFILES=

"""
_PROFILES: Final = """\
# With the profile `postgres`:
#   BLINDSIGHT_DATABASE=postgresql://gateway@postgres/blindsight?passfile=/secrets/pgpass
# With the profile `redis`:
#   BLINDSIGHT_REDIS=redis://gateway@redis:6379/0
#   BLINDSIGHT_REDIS_PASSWORD_FILE=/secrets/redis
#   BLINDSIGHT_RATE_LIMIT=10/second
"""
_COMPOSES: Final = {
    "BLINDSIGHT_DATABASE": "sqlite:////state/cape.sqlite",
    "BLINDSIGHT_BUNDLES": "/state/bundles",
    "BLINDSIGHT_HOSTS": "localhost",
}
"""Defaults that the compose file has in place of the code's."""


def variables() -> dict[str, FieldInfo]:
    """All settings, by the names of their variables."""
    return {f"BLINDSIGHT_{name.upper()}": field for name, field in Settings.model_fields.items()}


def set_by_compose() -> set[str]:
    """What the compose file sets itself, and does not take from `.env`."""
    own = COMPOSE.read_text(encoding="utf-8").partition(_BEGIN)[0]
    return set(re.findall(r"^ +(BLINDSIGHT_\w+): (?!.*\$\{)", own, re.MULTILINE))


def read_by_compose() -> set[str]:
    """What the compose file takes from `.env` with a default of its own."""
    return set(re.findall(r"\$\{(\w+)", COMPOSE.read_text(encoding="utf-8")))


def set_by_chart() -> set[str]:
    """What the chart sets itself."""
    templates = "".join(path.read_text(encoding="utf-8") for path in sorted((CHART / "templates").glob("*.yaml")))
    return set(re.findall(r"name: (BLINDSIGHT_\w+)", templates)) | CHARTS_PORTS


def compose(text: str) -> str:
    """The compose file `text` with the settings that are passed on."""
    passed = [name for name in variables() if name not in set_by_compose() | read_by_compose()]
    lines = "".join(f"      {name}:\n" for name in passed)
    return text.partition(_BEGIN)[0] + _BEGIN + lines + _END + text.partition(_END)[2]


def env_example() -> str:
    """The text of .env.example."""
    parts = [_HEAD]
    for name, field in variables().items():
        if name not in set_by_compose():
            about = (field.description or "").replace("`", "")
            told = textwrap.fill(about, 118, initial_indent="# ", subsequent_indent="# ")
            parts.append(f"{told}\n# {name}={default(name, field)}\n\n")
    return "".join([*parts, _PROFILES])


def default(name: str, field: FieldInfo) -> str:
    """The default as `.env` has it; empty where there is none."""
    if name in _COMPOSES:
        return _COMPOSES[name]
    value = field.default
    if value is PydanticUndefined or value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def schema(text: str) -> str:
    """The chart's schema `text` with the names that `gateway.settings` and `gateway.secretSettings` may have."""
    described = json.loads(text)
    names = [name for name in variables() if name not in set_by_chart()]
    gateway = described["properties"]["gateway"]["properties"]
    gateway["settings"]["propertyNames"] = {"enum": names}
    gateway["secretSettings"]["propertyNames"] = {"anyOf": [{"enum": names}, {"pattern": _OF_AWS}]}
    return json.dumps(described, indent=2) + "\n"


def write() -> None:
    """Write all places anew."""
    COMPOSE.write_text(compose(COMPOSE.read_text(encoding="utf-8")), encoding="utf-8")
    ENV_EXAMPLE.write_text(env_example(), encoding="utf-8")
    SCHEMA.write_text(schema(SCHEMA.read_text(encoding="utf-8")), encoding="utf-8")
