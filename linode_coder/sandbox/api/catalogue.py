"""What the API shows of plans, regions, availability, images and kernels."""

from __future__ import annotations

from .envelope import Json, fail, not_found
from .routing import Call, route

_TYPE_FIELDS = ("accelerated_devices", "class", "disk", "gpus", "label", "memory", "network_out", "transfer", "vcpus")
_IMAGE_FIELDS = (
    "deprecated", "id", "is_public", "is_shared", "label", "size", "status", "tags", "type", "vendor", "created_by",
)  # fmt: skip


def _named(rows: dict[str, Json], name: str) -> Json:
    if name not in rows:
        raise not_found()
    return rows[name]


@route("GET", "/linode/types", None, filterable=_TYPE_FIELDS)
def list_types(call: Call) -> Json:
    return call.page(call.sandbox.catalogue.types)


@route("GET", "/linode/types/{typeId}", None)
def view_type(call: Call) -> Json:
    return _named(call.sandbox.catalogue.type, call.params["typeId"])


@route(
    "GET", "/linode/kernels", None, filterable=("architecture", "deprecated", "id", "kvm", "label", "pvops", "version")
)
def list_kernels(call: Call) -> Json:
    return call.page(call.sandbox.catalogue.kernels)


@route("GET", "/linode/kernels/{kernelId...}", None)
def view_kernel(call: Call) -> Json:
    return _named(call.sandbox.catalogue.kernel, call.params["kernelId"])


@route("GET", "/regions", None, filterable=("country", "site_type"))
def list_regions(call: Call) -> Json:
    return call.page(call.sandbox.catalogue.regions)


@route("GET", "/regions/availability", None, filterable=("available", "plan", "region"))
def list_availability(call: Call) -> Json:
    return call.page(call.sandbox.catalogue.availability)


@route("GET", "/regions/{regionId}", None)
def view_region(call: Call) -> Json:
    return _named(call.sandbox.catalogue.region, call.params["regionId"])


@route("GET", "/regions/{regionId}/availability", None)
def region_availability(call: Call) -> list[Json]:
    """A bare array, without an envelope, as recorded."""
    region = _named(call.sandbox.catalogue.region, call.params["regionId"])
    return [row for row in call.sandbox.catalogue.availability if row["region"] == region["id"]]


@route("GET", "/images", None, filterable=_IMAGE_FIELDS, limit="images")
def list_images(call: Call) -> Json:
    return call.page(call.sandbox.catalogue.images)


@route("GET", "/images/{imageId...}", None)
def view_image(call: Call) -> Json:
    return _named(call.sandbox.catalogue.image, call.params["imageId"])


@route("PUT", "/images/{imageId...}", "images:read_write")
@route("DELETE", "/images/{imageId...}", "images:read_write")
def change_image(call: Call) -> Json:
    """There are only public images here, and those belong to somebody else."""
    _named(call.sandbox.catalogue.image, call.params["imageId"])
    raise fail("Unauthorized", status=403)
