"""What the API shows of plans, regions, availability, images and kernels."""

from __future__ import annotations

from .envelope import Json, not_found
from .routing import Call, route

_TYPE_FIELDS = ("accelerated_devices", "class", "disk", "gpus", "label", "memory", "network_out", "transfer", "vcpus")


# Dollars per GB beyond the pool where it is not the usual price.
_TRANSFER = {"br-gru": 0.007, "id-cgk": 0.015}


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


@route("GET", "/network-transfer/prices", None)
def transfer_prices(call: Call) -> Json:
    price = {"hourly": 0.005, "monthly": None}
    dearer = [{"id": region, "hourly": hourly, "monthly": None} for region, hourly in _TRANSFER.items()]
    return call.page(
        [
            {
                "id": "distributed_network_transfer",
                "label": "Distributed Network Transfer",
                "price": {"hourly": 0.01, "monthly": None},
                "region_prices": [],
                "transfer": 0,
            },
            {
                "id": "network_transfer",
                "label": "Network Transfer",
                "price": price,
                "region_prices": dearer,
                "transfer": 0,
            },
        ]
    )


def _type(name: str, label: str, hourly: float, monthly: float, elsewhere: dict[str, tuple[float, float]]) -> Json:
    prices = [{"id": region, "hourly": hour, "monthly": month} for region, (hour, month) in elsewhere.items()]
    price = {"hourly": hourly, "monthly": monthly}
    return {"id": name, "label": label, "price": price, "region_prices": prices, "transfer": 0}


@route("GET", "/lke/types", None)
def cluster_types(call: Call) -> Json:
    """High availability as recorded; that the plain control plane is there with a price of 0 is unverified."""
    return call.page(
        [
            _type("lke-sa", "LKE Standard Availability", 0.0, 0.0, {}),
            _type("lke-ha", "LKE High Availability", 0.09, 60.0, {"id-cgk": (0.108, 72.0), "br-gru": (0.126, 84.0)}),
        ]
    )


@route("GET", "/lke/versions", "lke:read_only")
def cluster_versions(call: Call) -> Json:
    """Which versions there are now is unverified."""
    return call.page([{"id": "1.34"}, {"id": "1.33"}, {"id": "1.32"}])


@route("GET", "/nodebalancers/types", None)
def balancer_types(call: Call) -> Json:
    return call.page(
        [_type("nodebalancer", "NodeBalancer", 0.015, 10.0, {"id-cgk": (0.018, 12.0), "br-gru": (0.021, 14.0)})]
    )
