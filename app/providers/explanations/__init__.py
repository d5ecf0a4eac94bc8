"""What a provider's refusal most likely means, and which of our settings to change. Pure; one table.

The providers' own messages are true and seldom help: for a wrong endpoint Azure says "Resource not found",
and for an old api-version it sends a 500 with a path. The provider's message is read and never repeated.
"""

from app.providers.explanations.explain import explain, rule_for, setting_name
from app.providers.explanations.rules import RULES, Operation, Rule

__all__ = ["RULES", "Operation", "Rule", "explain", "rule_for", "setting_name"]
