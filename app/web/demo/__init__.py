"""The demo page: a call in a browser, step by step. On in development, off in production unless asked for."""
