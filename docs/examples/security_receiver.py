"""Takes the messages of CLOAKROOM_SECURITY_WEBHOOK_URL, and prints those that are signed with our secret.

Run it:

    export WEBHOOK_SECRET="whsec_$(openssl rand -base64 32)"  # CLOAKROOM_SECURITY_WEBHOOK_SECRET, too
    python security_receiver.py  # listens on 127.0.0.1:8090

It needs nothing but Python. Put TLS in front of it.
"""

import base64
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"))
SEEN: set[str] = set()


def is_signed(message_id: str, timestamp: str, signatures: str, body: bytes) -> bool:
    if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > 300:
        return False
    mac = hmac.digest(KEY, f"{message_id}.{timestamp}.".encode() + body, "sha256")
    ours = f"v1,{base64.b64encode(mac).decode()}"
    return any(hmac.compare_digest(ours.encode(), one.encode()) for one in signatures.split())


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(min(int(self.headers.get("content-length") or 0), 65536))
        names = ("webhook-id", "webhook-timestamp", "webhook-signature")
        message_id, timestamp, signatures = (self.headers.get(name, "") for name in names)
        signed = is_signed(message_id, timestamp, signatures, body)
        # A message may come twice, with the same id.
        if signed and message_id not in SEEN:
            SEEN.add(message_id)
            event = json.loads(body)
            # One write a line: messages may come at once.
            sys.stdout.write(f"{event['type']} {event['timestamp']} {json.dumps(event['data'])}\n")
            sys.stdout.flush()
        self.send_response(204 if signed else 401)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing else is printed."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8090"))), Receiver)
    print("listening on", server.server_port, flush=True)
    server.serve_forever()
