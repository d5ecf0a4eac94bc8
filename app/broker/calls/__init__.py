"""What is done with a call after its relay at a request.

What is done without a request belongs in ``deadlines``. The relay itself is beside this package.
"""
