"""The targets, a module each for one room of the code; ``TARGETS`` has all of them by their names."""

from typing import Final

from tests.fuzz.target import Target
from tests.fuzz.targets import answers, bindings, handles, http1, litellm, offers, tokens, urls

TARGETS: Final[dict[str, Target]] = {
    target.name: target
    for target in (
        handles.TARGET,
        bindings.TARGET,
        tokens.TARGET,
        offers.TARGET,
        http1.TARGET,
        urls.TARGET,
        litellm.TARGET,
        answers.TARGET,
    )
}
