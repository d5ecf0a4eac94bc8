"""OpenAI without a key: one access token for the workload's own token, which lies in a file that is rotated.

The file is read anew for each exchange, so that the platform may replace it at any time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from app.outbound.client import UpstreamClient
from app.outbound.egress import Egress
from app.outbound.keeping.keeper import read_token_file
from app.outbound.keeping.tokens import Fetch, FreshToken, TokenFault
from app.outbound.upstream import NoAnswer, NotAllowed, NotConnected
from app.providers.federation import ExchangeRefused, Federation, exchange_request, read_exchange
from app.telemetry.timings import Timings

# Seconds for one exchange; the official client's are ten.
EXCHANGE_SECONDS: Final = 10.0


def federation_fetch(
    federation: Federation, *, clock: Callable[[], float], egress: Egress | None = None
) -> Fetch:
    """Return a function that asks for one token.

    Args:
        clock: returns epoch seconds.
        egress: the way out, as for providers; directly where it is left out.
    """

    async def fetch() -> FreshToken:
        workload_token = await read_token_file(federation.token_file, place=f"{federation.place}.token_file")
        request, asked_at = exchange_request(federation, workload_token), clock()
        # One exchange in half an hour keeps no connection.
        client = UpstreamClient(connect_timeout=EXCHANGE_SECONDS, egress=egress)
        try:
            response = await client.post(request, timeout=EXCHANGE_SECONDS, timings=Timings())
            token, life, renew = read_exchange(federation, response)
        except NotAllowed as refused:
            raise TokenFault(f"the token exchange may not be asked: {refused}") from None
        except NotConnected:
            raise TokenFault(
                f"the token exchange cannot be reached, check {federation.place}.token_url"
            ) from None
        except NoAnswer as failure:
            how = "did not answer in time" if failure.timed_out else "broke off its answer"
            raise TokenFault(f"the token exchange {how}") from None
        except ExchangeRefused as refused:
            raise TokenFault(str(refused)) from None
        finally:
            await client.close()
        return FreshToken(token, expires_at=asked_at + life, refresh_at=asked_at + renew)

    return fetch
