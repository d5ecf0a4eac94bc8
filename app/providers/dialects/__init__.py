"""Dialects of single providers, besides those of OpenAI and Azure, which others build on. Pure."""
