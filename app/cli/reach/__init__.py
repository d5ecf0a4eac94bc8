"""The ways to reach a service: the admin API of a replica, or its store; one module each.

A command asks the ``Operator`` that ``target.operate`` opens. What it prints does not belong here.
"""
