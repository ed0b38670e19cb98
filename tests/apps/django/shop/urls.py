"""Where everything is."""

from django.urls import path

from . import views

urlpatterns = [
    path("", views.home),
    path("greeting/", views.greeting),
    path("login/", views.login),
    path("contact/", views.contact),
    path("prices.json", views.prices),
]
