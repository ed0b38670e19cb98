"""Django: the site in `shop`, with threads."""

from django.core.wsgi import get_wsgi_application

from serving import serve

if __name__ == "__main__":
    serve(get_wsgi_application())
