"""Services the sandbox account has nothing of: their lists are there, and empty."""

from __future__ import annotations

from .envelope import Json
from .routing import Call, route

_LISTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "/vpcs": ("*", ("created", "id", "label", "region", "updated", "vpc_type")),
    "/vpcs/ips": ("vpc:read_only", ()),
    "/nodebalancers": ("nodebalancers:read_only", ("ipv4", "label", "region", "tags")),
    "/placement/groups": ("linodes:read_only", ("id", "label", "placement_group_type", "region")),
    "/linode/stackscripts": ("stackscripts:read_only", ("id", "label", "username", "is_public", "mine", "description")),
    "/domains": ("domains:read_only", ("domain", "tags", "group")),
    "/lke/clusters": ("lke:read_only", ("label", "region", "tags")),
    "/databases/instances": ("databases:read_only", ("engine", "label", "region", "status", "type")),
    "/longview/clients": ("longview:read_only", ("label",)),
    "/object-storage/buckets": ("object_storage:read_only", ()),
    "/networking/ipv6/ranges": ("ips:read_only", ()),
    "/networking/ipv6/pools": ("ips:read_only", ()),
    "/networking/reserved/ips": ("ips:read_only", ("address", "region")),
    "/networking/prefixlists": ("firewall:read_only", ("name", "visibility", "id")),
    "/networking/firewalls/rulesets": ("firewall:read_only", ("id", "label", "type")),
    "/images/sharegroups": ("images:read_only", ("id", "label", "is_suspended")),
    "/account/child-accounts": ("child_account:read_only", ()),
    "/account/oauth-clients": ("account:read_only", ()),
    "/account/payment-methods": ("account:read_only", ()),
    "/account/service-transfers": ("account:read_only", ()),
    "/profile/apps": ("account:read_only", ()),
    "/profile/devices": ("account:read_only", ()),
    "/profile/logins": ("account:read_only", ()),
}


def _empty(call: Call) -> Json:
    return call.page([])


for _path, (_scope, _fields) in _LISTS.items():
    _kind = "stackscripts" if "stackscripts" in _path else "collection"
    route("GET", _path, _scope, filterable=_fields, limit=_kind)(_empty)
