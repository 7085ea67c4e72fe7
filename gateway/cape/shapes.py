"""The shapes of the Cape endpoints' bodies, for the OpenAPI page."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, Field

from blindsight.cape.constants import USERNAME


class Done(BaseModel):
    """An empty answer."""


class AccountName(BaseModel):
    """The registered username."""

    username: str


class UserKey(BaseModel):
    """An account's Cape Key, attested by the enclave."""

    attestation_document: str = Field(description="COSE_Sign1, base64.")


class ListedFunction(BaseModel):
    """A deployed function."""

    id: str
    name: str
    created_at: str = Field(description="RFC 3339.")
    public: bool = Field(description="Whether others may run it.")
    checksum: str = Field(description="SHA-256 of the bundle, hex.")
    size: int = Field(description="Bytes of the encrypted bundle.")


class Function(ListedFunction):
    """A deployed function and its owner."""

    user_id: str
    location: str = Field(description="Owner and name.")


class Token(BaseModel):
    """The token that was registered."""

    token: str


class ListedToken(BaseModel):
    """A registered token."""

    id: str
    name: str
    description: str
    function_id: str = Field(description="The only function it runs; empty: all.")
    created_at: str = Field(description="RFC 3339.")
    expiry: str | None = Field(description="RFC 3339; null: never.")
    last_used: str | None = Field(description="RFC 3339, to the minute or so; null: never.")


class DeviceCode(BaseModel):
    """The codes for a device (RFC 8628, section 3.2)."""

    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in: int = Field(description="Seconds.")
    interval: int = Field(description="Seconds between polls.")


class WaitingDevice(BaseModel):
    """A device that waits for the owner's decision."""

    user_code: str
    created_at: str = Field(description="RFC 3339.")
    device_name: str | None = Field(description="What it calls itself.")
    address: str | None = Field(description="Where it asked from; behind a proxy, the proxy's.")
    account: str | None = Field(description="The only account that can let it in; null: any.")


class DeviceTokens(BaseModel):
    """The tokens of an approved device (RFC 8628, section 3.5)."""

    access_token: str
    token_type: str
    id_token: str
    expires_in: int | None = Field(default=None, description="Seconds; absent: the token does not expire.")


class DeviceFailure(BaseModel):
    """An error of the device flow (RFC 6749, 5.2)."""

    error: str = Field(examples=["authorization_pending"])
    error_description: str | None = None


def _body(media_type: str, required: list[str], **properties: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "required": required, "properties": properties}
    return {"requestBody": {"required": bool(required), "content": {media_type: {"schema": schema}}}}


_TEXT: Final = {"type": "string"}

NEW_ACCOUNT: Final = _body(
    "application/json",
    ["username", "owner_public_key", "proof"],
    username={"type": "string", "maxLength": 39, "pattern": f"^{USERNAME.pattern}$"},
    owner_public_key={
        "type": "string",
        "pattern": "^[A-Za-z0-9+/]{43}=$",
        "description": "Ed25519, 32 bytes, base64.",
    },
    proof={"type": "string", "description": "A token of scope `account`, signed by that key."},
)
NEW_TOKEN: Final = _body(
    "application/json",
    ["name", "token"],
    name=_TEXT,
    description=_TEXT,
    function_id={"type": "string", "description": "Empty: all functions."},
    expiry={"type": "string", "format": "date-time", "description": "Absent: never."},
    token={"type": "string", "description": "The token: EdDSA JWT of scope `run`, signed by the owner's key."},
)
DEVICE_CODE: Final = _body(
    "application/x-www-form-urlencoded",
    [],
    client_id=_TEXT,
    scope=_TEXT,
    audience=_TEXT,
    device_name=_TEXT,
    login_hint=_TEXT,
)
DEVICE_TOKEN: Final = _body(
    "application/x-www-form-urlencoded",
    ["grant_type", "device_code"],
    grant_type={"type": "string", "enum": ["urn:ietf:params:oauth:grant-type:device_code"]},
    device_code=_TEXT,
    client_id=_TEXT,
)
DEVICE_DECISION: Final = _body(
    "application/json",
    ["user_code", "allow"],
    user_code=_TEXT,
    allow={"type": "boolean"},
    access_token={"type": "string", "description": "Of scope `account`, of the same account; needed to allow."},
    id_token={"type": "string", "description": "Of the same id. Absent: the access token, which names the user, too."},
)
