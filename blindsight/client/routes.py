"""Creation of the client's HTTP connections, with their proxy and redirect rules.

The environment does not determine where requests go: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and ~/.netrc are ignored, and
no redirect is followed. A proxy is used only on request, never for this machine, and never for data that it could read.
SSL_CERT_FILE and SSL_CERT_DIR name the trusted certificate authorities, as for OpenSSL.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
import urllib.request
from typing import TYPE_CHECKING, Any, Final

import httpx2

from blindsight.errors import ProxyError, TransportError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping

FROM_ENVIRONMENT: Final = "env"
"""Instead of a proxy's URL: the proxy that HTTPS_PROXY and similar variables name for the host, considering
NO_PROXY."""

_CLEARTEXT: Final = frozenset({"http", "ws"})
_NOT_TRUSTED: Final = re.compile(r"CERTIFICATE_VERIFY_FAILED(?:\] certificate verify failed: (.*?)\.?(?: \(_ssl|$))?")
_NOT_TLS: Final = re.compile(r"WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE|HTTP_REQUEST")
_PROXY_SCHEMES: Final = frozenset({"http", "https", "socks5", "socks5h"})


def blocking(
    url: str,
    *,
    timeout: float,
    proxy: str | None = None,
    readable: str = "",
    headers: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
    transport: httpx2.BaseTransport | None = None,
) -> httpx2.Client:
    """A client of the service at `url`. `proxy` and `readable` are those of `proxy_for`; `transport` replaces the
    network.

    Raises `ProxyError`, and `httpx2.InvalidURL`.
    """
    options = _options(url, proxy, readable, tls, own_network=transport is None)
    with _usable_proxy(proxy):
        return httpx2.Client(base_url=url, headers=headers, timeout=timeout, transport=transport, **options)


def asynchronous(
    url: str,
    *,
    timeout: float,
    proxy: str | None = None,
    readable: str = "",
    headers: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
    transport: httpx2.AsyncBaseTransport | None = None,
) -> httpx2.AsyncClient:
    """As `blocking`."""
    options = _options(url, proxy, readable, tls, own_network=transport is None)
    with _usable_proxy(proxy):
        return httpx2.AsyncClient(base_url=url, headers=headers, timeout=timeout, transport=transport, **options)


def fault(error: Exception) -> TransportError | None:
    """What `error` of the HTTP library says about TLS and the address's scheme; None if it says nothing about them.

    `certificate_refused`: the certificate is not trusted here. `no_tls`: the answer to TLS is not TLS.
    `connection_lost`: a plain request got no whole answer, which is also what a port for TLS does.
    """
    if found := _NOT_TRUSTED.search(str(error)):
        reason = found[1] or "certificate verify failed"
        return TransportError("certificate_refused", f"The gateway's certificate is not trusted here: {reason}.")
    if isinstance(error, httpx2.ConnectError) and _NOT_TLS.search(str(error)):
        return TransportError("no_tls", "The gateway's port does not take TLS.")
    if isinstance(error, (httpx2.RemoteProtocolError, httpx2.ReadError)) and error.request.url.scheme == "http":
        name = type(error).__name__
        text = (
            f"The connection to the gateway was lost ({name}). A port for https:// closes plain connections like this."
        )
        return TransportError("connection_lost", text)
    return None


def tls_context() -> ssl.SSLContext:
    """Trust the system's certificate authorities, or those of SSL_CERT_FILE or SSL_CERT_DIR instead."""
    return httpx2.create_ssl_context()


def proxy_for(url: str, asked: str | None, *, readable: str) -> str | None:
    """The URL of the proxy for requests to `url`; None for a direct connection.

    `asked` is a proxy's URL, `FROM_ENVIRONMENT` or None. `readable` names the data that a proxy could read without TLS,
    such as "the photos"; empty if there are none. Raises `ProxyError` (`plain_through_proxy`, `proxy_unusable`), and
    `httpx2.InvalidURL` for `url`.
    """
    target = httpx2.URL(url)
    if asked is None or is_loopback(url):
        return None
    proxy = _of_environment(target) if asked == FROM_ENVIRONMENT else asked
    if proxy is None:
        return None
    with _usable_proxy(proxy):
        parsed = httpx2.URL(proxy)
        if parsed.scheme not in _PROXY_SCHEMES or not parsed.host:
            raise ValueError(proxy)
    if readable and target.scheme in _CLEARTEXT:
        raise ProxyError("plain_through_proxy", f"the proxy could read {readable}: {address(url)} is not encrypted")
    return proxy


def in_the_clear(url: str) -> bool:
    """Whether requests to `url` cross a network without encryption. Raises `httpx2.InvalidURL`."""
    return httpx2.URL(url).scheme in _CLEARTEXT and not is_loopback(url)


def is_loopback(url: str) -> bool:
    """Whether `url` is on this machine: 127.0.0.0/8 in any notation, ::1, localhost and names below it (RFC 6761).

    Raises `httpx2.InvalidURL`.
    """
    host = httpx2.URL(url).host.lower().removesuffix(".")
    with contextlib.suppress(ValueError):
        parsed = ipaddress.ip_address(host)
        return (getattr(parsed, "ipv4_mapped", None) or parsed).is_loopback
    with contextlib.suppress(OSError):
        return socket.inet_aton(host)[0] == 127  # 127.1, 0x7f000001: connecting takes them, too.
    return host == "localhost" or host.endswith(".localhost")


def address(url: str) -> str:
    """Scheme, host and port of `url`, without credentials. Raises `httpx2.InvalidURL`."""
    parsed = httpx2.URL(url)
    return f"{parsed.scheme}://{parsed.netloc.decode()}"


def _options(
    url: str, proxy: str | None, readable: str, tls: ssl.SSLContext | None, *, own_network: bool
) -> dict[str, Any]:
    fixed = {"trust_env": False, "follow_redirects": False}
    if own_network:
        return {**fixed, "verify": tls or tls_context(), "proxy": proxy_for(url, proxy, readable=readable)}
    if proxy is not None:
        raise TypeError("give a transport or a proxy, not both")
    return {**fixed}


@contextlib.contextmanager
def _usable_proxy(proxy: str | None) -> Iterator[None]:
    """Replace errors about the proxy's URL, which may contain a password, by one without it."""
    try:
        yield
    except (ValueError, ImportError, httpx2.InvalidURL) as error:
        if proxy is None:
            raise
        raise ProxyError("proxy_unusable", f"the proxy cannot be used ({type(error).__name__})") from None


def _of_environment(target: httpx2.URL) -> str | None:
    proxies = urllib.request.getproxies()
    scheme = "http" if target.scheme in _CLEARTEXT else "https"
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or _is_excepted(target, proxies.get("no", "")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _is_excepted(target: httpx2.URL, exceptions: str) -> bool:
    """Whether NO_PROXY lists the host, as urllib reads it, and with networks as curl does."""
    if urllib.request.proxy_bypass(target.netloc.decode()):
        return True
    with contextlib.suppress(ValueError):
        host = ipaddress.ip_address(target.host)
        for exception in exceptions.split(","):
            with contextlib.suppress(ValueError):
                if host in ipaddress.ip_network(exception.strip().strip("[]"), strict=False):
                    return True
    return False
