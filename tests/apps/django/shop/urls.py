"""Where everything is."""

from django.urls import path

from . import files, slow, views

urlpatterns = [
    path("", views.home),
    path("greeting/", views.greeting),
    path("login/", views.login),
    path("contact/", views.contact),
    path("prices.json", views.prices),
    path("upload/", files.upload),
    path("report/", files.report),
    path("report/ask/", files.ask),
    path("yearly/", slow.yearly),
]
