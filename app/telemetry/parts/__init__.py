"""The metrics of one part of the service each, beside those of its requests.

What every request counts does not belong here, nor what is read at a scrape.
"""
