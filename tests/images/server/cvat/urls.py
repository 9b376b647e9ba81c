"""Addresses as CVAT has them."""

from django.contrib import admin
from django.urls import include, path

from cvat.engine import uploads, views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("django-rq/", include("django_rq.urls")),
    path("api/server/about", views.about),
    path("api/server/health/", views.health),
    path("api/auth/rules", views.rules),
    path("api/auth/login", views.login),
    path("api/users/self", views.users_self),
    path("api/tasks/<int:task>/data/", uploads.create),
    path("api/tasks/<int:task>/data/<uuid:upload>", uploads.one),
]
