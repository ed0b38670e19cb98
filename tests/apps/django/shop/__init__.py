"""A small Django project, as its tutorial would have it: sessions, CSRF protection, cache decorators, no database."""
