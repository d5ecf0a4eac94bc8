"""The HTTP surface: routes, views, bodies, CORS, and the one place where an error becomes an answer."""
