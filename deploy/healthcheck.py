"""The image's HEALTHCHECK: exit status 0 when the address given, else this replica's /livez, answers 200.

Liveness and not readiness: a container is not replaced because Redis is away. ``http.client`` and not
``urllib.request``, which would send the question to the proxy that HTTP_PROXY names.
"""

import http.client
import os
import sys
from urllib.parse import urlsplit

SECONDS = 2.5  # below the HEALTHCHECK's own timeout, so that the reason is printed


def main(arguments: list[str]) -> int:
    port = os.environ.get("CLOAKROOM_PORT", "8080")
    url = urlsplit(arguments[0] if arguments else f"http://127.0.0.1:{port}/livez")
    connection = http.client.HTTPConnection(url.netloc, timeout=SECONDS)
    try:
        connection.request("GET", url.path)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        sys.stderr.write(f"{url.geturl()}: {error}\n")
        return 1
    finally:
        connection.close()
    sys.stderr.write(f"{url.geturl()}: {status}\n")
    return 0 if status == 200 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
