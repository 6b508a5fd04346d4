"""The same application in Django, which answers only to the host name it is deployed for."""

from __future__ import annotations

import release
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, JsonResponse
from django.urls import path

HOST = "shop.example"

settings.configure(
    ALLOWED_HOSTS=[HOST],
    ROOT_URLCONF=__name__,
    SECRET_KEY="only for tests",
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],  # it is what checks the host
)


def index(request: HttpRequest) -> JsonResponse:
    return JsonResponse(release.answer())


def status(request: HttpRequest) -> JsonResponse:
    return JsonResponse(release.answer(), status=release.health_status())


def slow(request: HttpRequest) -> JsonResponse:
    release.doze(request.GET.get("secs"))
    return JsonResponse(release.answer())


urlpatterns = [path("", index), path("_status", status), path("slow", slow)]


def _application() -> WSGIHandler:
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()


app = _application()
