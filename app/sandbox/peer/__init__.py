"""The provider's end of a call: a real WebRTC peer, and one that only answers.

What the partner says belongs in ``conversation``.
"""
