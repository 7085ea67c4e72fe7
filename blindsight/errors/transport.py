"""Errors of connections, addresses and proxies."""

from __future__ import annotations

from types import MappingProxyType

from blindsight.errors.base import BlindsightError


class ProxyError(BlindsightError):
    """The requested proxy must not be used in this way. Nothing was sent. Not retryable."""

    NEXT_STEPS = MappingProxyType(
        {
            "plain_through_proxy": "Use an https:// address, seal the photos (--sealed), or leave the proxy out.",
            "proxy_unusable": "Give it as http://HOST:PORT; SOCKS needs the packages socksio and python-socks.",
        }
    )


class AddressError(BlindsightError):
    """An address is invalid or cannot be listened on. Retry only with another one, or when it is free."""

    NEXT_STEPS = MappingProxyType(
        {
            "invalid_address": "Give tcp://HOST:PORT, unix:///PATH, unix:///PATH?port=N or vsock://CID:PORT.",
            "address_taken": "Stop the program that listens there, or choose another address.",
            "address_unusable": "Check that the folder or interface exists, and that this user may use it.",
        }
    )


class TransportError(BlindsightError):
    """The other side was not reached or did not answer completely. The same request is safe to send again.

    Only `certificate_refused` and `no_tls` do not pass by themselves.
    """

    NEXT_STEPS = MappingProxyType(
        {
            "unreachable": "Check the address and that the service runs, then try again.",
            "certificate_refused": "Name its authority's file in SSL_CERT_FILE (of `up`: .blindsight/tls/ca.pem),"
            " or use the name that the certificate is for.",
            "timed_out": "Try again; if it stays slow, ask the operator.",
            "connection_lost": "Try again.",
            "no_tls": "Give the service's HTTPS port, or write http:// if it is on this machine.",
            "unavailable": "The service is starting or busy: try again in a few seconds.",
            "bad_frame": "Check that both sides are of the same release, then try again.",
            "unexpected_answer": "Check that the address is a Blindsight service, then try again.",
            "unsupported_protocol": "Run gateway and enclave of releases with one protocol; see docs/protocol.md, 8.",
            "access_refused": "Give both sides the same secret: BLINDSIGHT_ENCLAVE_SECRET_FILE and --gateway-secret.",
        }
    )
    RETRYABLE = True

    @property
    def retryable(self) -> bool:
        return self.code not in {"certificate_refused", "no_tls"}
