"""The use cases: mint, relay, hang up, and what operators ask; each decides the order of its steps.

Plain objects go in and come out, never a web request. What a provider or Redis speaks belongs elsewhere.
"""
