"""``python -m neuralbits.app.health``: ask the service whether it is ready; a container's check.

The environment says where it listens. ``settings`` would say so too, but importing them takes twice
the memory, and the check shares its container's limit with the service.
"""

import os
import ssl
import sys
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection

_PATIENCE = 4  # seconds, one fewer than the image gives its check


def check() -> None:
    """Ask for readiness.

    Raises:
        SystemExit: the service isn't ready; one sentence says why.
    """
    # On 0.0.0.0 and ::, where it listens on all addresses, it is found as well.
    host = os.environ.get("NEURALBITS_HOST") or "127.0.0.1"
    port = int(os.environ.get("NEURALBITS_PORT") or 8000)
    connection = HTTPConnection(host, port, timeout=_PATIENCE)
    if os.environ.get("NEURALBITS_TLS_CERTIFICATE"):
        # The certificate is made out to the name by which clients know the service.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = HTTPSConnection(host, port, timeout=_PATIENCE, context=context)
    try:
        connection.request("GET", "/readyz")
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        sys.exit(f"neuralbits: port {port} of {host} doesn't answer: {error!r}")
    if status != HTTPStatus.OK:
        sys.exit(f"neuralbits: port {port} of {host} isn't ready: it answers with status {status}")


if __name__ == "__main__":
    check()
