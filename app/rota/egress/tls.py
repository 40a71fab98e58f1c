"""TLS for connections to others."""

import ssl

import httpx


def client_context() -> ssl.SSLContext:
    """Return a context that checks certificates and host names; it takes about 20 ms.

    It honours SSL_CERT_FILE and SSL_CERT_DIR, which who runs the service sets to trust a certificate authority of their
    own.
    """
    return httpx.create_ssl_context()
