"""The account and the profile of the one user it has."""

from __future__ import annotations

import secrets
import time
from typing import Any

from .auth import RESOURCES, digest, normal_scopes
from .envelope import Json, Problems, fail, not_found, unstamp
from .event_log import entity
from .interfaces import DEFAULT_SETTING
from .invoices import uninvoiced
from .routing import Call, route
from .sandbox import Sandbox
from .state import USERNAME
from .validation import check_ssh_key, require

_RO, _RW = "account:read_only", "account:read_write"
_EMAIL = "sandbox@example.com"
_CAPABILITIES = [
    "Linodes", "NodeBalancers", "Block Storage", "Object Storage", "Placement Group", "Block Storage Encryption",
    "Cloud Firewall", "Disk Encryption", "GPU Linodes", "Kubernetes", "LA Disk Encryption", "Linode Interfaces",
    "Machine Images", "Maintenance Policy", "Managed Databases", "Metadata", "Object Storage Endpoint Types",
    "Premium Plans", "StackScripts", "Support Ticket Severity", "Vlans", "VPCs",
]  # fmt: skip
_INTERFACE_SETTINGS = (
    "legacy_config_only", "legacy_config_default_but_linode_allowed", "linode_default_but_legacy_config_allowed",
    "linode_only",
)  # fmt: skip
_MAINTENANCE = ("complete_time", "maintenance_policy_set", "not_before", "start_time", "status", "type", "when")
_ADDRESS: Json = {
    "company": "",
    "email": _EMAIL,
    "first_name": "Local",
    "last_name": "Sandbox",
    "address_1": "127 Loopback Lane",
    "address_2": "",
    "city": "Philadelphia",
    "state": "PA",
    "zip": "19106",
    "country": "US",
    "phone": "",
}


def _account(sandbox: Sandbox) -> Json:
    kept = sandbox.setting("account")
    changed = {key: kept[key] for key in (*_ADDRESS, "tax_id") if key in kept}
    return {
        **_ADDRESS,
        "balance": 0.0,
        "tax_id": "",
        "billing_source": "linode",
        "credit_card": {"last_four": "1111", "expiry": "12/2030"},
        "balance_uninvoiced": uninvoiced(sandbox),
        "active_since": kept["active_since"],
        "capabilities": _CAPABILITIES,
        "active_promotions": [],
        "euuid": kept["euuid"],
        **changed,
    }


@route("GET", "/account", _RO)
def view_account(call: Call) -> Json:
    return _account(call.sandbox)


@route("PUT", "/account", _RW)
def update_account(call: Call) -> Json:
    changes = {
        key: value for key, value in call.body.items() if key in (*_ADDRESS, "tax_id") and isinstance(value, str)
    }
    call.sandbox.store.put("singleton", "account", {**call.sandbox.setting("account"), **changes})
    call.sandbox.events.add("account_update", None)
    return _account(call.sandbox)


def _settings(sandbox: Sandbox) -> Json:
    return {
        "managed": False,
        "network_helper": True,
        "longview_subscription": None,
        "backups_enabled": False,
        "object_storage": "disabled",
        "interfaces_for_new_linodes": DEFAULT_SETTING,
        "maintenance_policy": "linode/migrate",
        "tfa_enforced": False,
        **sandbox.setting("account_settings"),
    }


@route("GET", "/account/settings", _RO)
def view_settings(call: Call) -> Json:
    return _settings(call.sandbox)


@route("PUT", "/account/settings", _RW)
def update_settings(call: Call) -> Json:
    body, problems = call.body, Problems()
    allowed: dict[str, tuple[Any, ...]] = {
        "backups_enabled": (True, False),
        "network_helper": (True, False),
        "interfaces_for_new_linodes": _INTERFACE_SETTINGS,
        "maintenance_policy": ("linode/migrate", "linode/power_off_on"),
    }
    if body.get("longview_subscription") is not None:
        problems.add(
            "longview_subscription editing at this location is no longer available."
            " Please use the /longview/plan endpoint instead.",
            "longview_subscription",
        )
    changes: Json = {}
    for field, values in allowed.items():
        value = body.get(field)
        if value is None:
            continue
        if not any(value is choice or (isinstance(value, str) and value == choice) for choice in values):
            problems.add(f"Must be one of {', '.join(str(choice).lower() for choice in values)}", field)
        changes[field] = value
    problems.check()
    kept = call.sandbox.setting("account_settings")
    call.sandbox.store.put("singleton", "account_settings", {**kept, **changes})
    call.sandbox.events.add("account_settings_update", None)
    return _settings(call.sandbox)


def _availability(region: Json) -> Json:
    services = ("Linodes", "NodeBalancers", "Block Storage", "Kubernetes", "GPU Linodes", "Object Storage", "VPCs")
    return {
        "region": region["id"],
        "available": [name for name in services if name in region["capabilities"]],
        "unavailable": [name for name in services if name not in region["capabilities"]],
    }


@route("GET", "/account/availability", _RO, filterable=("region",))
def list_availability(call: Call) -> Json:
    return call.page([_availability(region) for region in call.sandbox.catalogue.regions])


@route("GET", "/account/availability/{regionId}", _RO)
def view_availability(call: Call) -> Json:
    region = call.sandbox.catalogue.region.get(call.params["regionId"])
    if region is None:
        raise not_found()
    return _availability(region)


@route("GET", "/account/transfer", _RO)
def account_transfer(call: Call) -> Json:
    quota = sum(r["api"]["specs"]["transfer"] for r in call.sandbox.instances() if not r["foreign"])
    regions = [{"id": name, "used": 0, "quota": 0, "billable": 0} for name in ("br-gru", "id-cgk")]
    return {"used": 0, "quota": quota, "billable": 0, "region_transfers": regions}


@route("GET", "/account/maintenance", "*", filterable=_MAINTENANCE)
def list_maintenance(call: Call) -> Json:
    return call.page([])


@route("GET", "/account/notifications", "*")
def list_notifications(call: Call) -> Json:
    return call.page([])


@route("GET", "/account/payments", _RO)
def list_payments(call: Call) -> Json:
    return call.page([])


@route("GET", "/account/logins", _RO)
def list_logins(call: Call) -> Json:
    return call.page([])


@route("GET", "/account/users", _RO, filterable=("username", "user_type"))
def list_users(call: Call) -> Json:
    return call.page([_user(call)])


def _user(call: Call) -> Json:
    return {
        "username": USERNAME,
        "email": _EMAIL,
        "restricted": False,
        "ssh_keys": [row["label"] for row in call.sandbox.store.table("sshkey").values()],
        "tfa_enabled": False,
        "tfa_enforced": False,
        "verified_phone_number": None,
        "password_created": None,
        "last_login": None,
        "user_type": "default",
    }


@route("GET", "/account/users/{username}", _RO)
def view_user(call: Call) -> Json:
    if call.params["username"] != USERNAME:
        raise not_found()
    return _user(call)


@route("GET", "/account/users/{username}/grants", _RO)
def view_user_grants(call: Call) -> Json:
    view_user(call)
    raise NoContent


@route("GET", "/maintenance/policies", None, filterable=("notification_period_sec",), beta_only=True)
def list_policies(call: Call) -> Json:
    migrate = {
        "slug": "linode/migrate",
        "label": "Migrate",
        "description": "Migrates the Linode to a new host while it remains fully operational. Recommended for"
        " maximizing availability.",
        "type": "migrate",
        "notification_period_sec": 300,
        "is_default": True,
    }
    power = {
        "slug": "linode/power_off_on",
        "label": "Power-off/on",
        "description": "Powers off the Linode at the start of the maintenance event and reboots it once the"
        " maintenance finishes. Recommended for maximizing performance.",
        "type": "power_off_on",
        "notification_period_sec": 1800,
        "is_default": False,
    }
    return call.page([migrate, power])


# -- profile


@route("GET", "/profile", "*")
def view_profile(call: Call) -> Json:
    profile: Json = {
        "uid": 1,
        "username": USERNAME,
        "email": _EMAIL,
        "timezone": "GMT",
        "email_notifications": True,
        "referrals": {
            "total": 0,
            "completed": 0,
            "pending": 0,
            "credit": 0.0,
            "code": "0" * 40,
            "url": "https://www.linode.com/?r=" + "0" * 40,
        },
        "ip_whitelist_enabled": False,
        "lish_auth_method": "password_keys",
        "authorized_keys": None,
        "restricted": False,
        "two_factor_auth": False,
        "tfa_enforced": False,
        "authentication_type": "password",
        "verified_phone_number": None,
        "user_type": "default",
    }
    return {**profile, **call.sandbox.setting("profile")}


@route("PUT", "/profile", _RW)
def update_profile(call: Call) -> Json:
    allowed = ("email", "timezone", "email_notifications", "lish_auth_method", "authorized_keys")
    changes = {key: call.body[key] for key in allowed if call.body.get(key) is not None}
    call.sandbox.store.put("singleton", "profile", {**call.sandbox.setting("profile"), **changes})
    answer: Json = view_profile(call)
    return answer


@route("GET", "/profile/grants", "*")
def view_grants(call: Call) -> Json:
    """Unrestricted users have no grants; the API answers them 204."""
    raise NoContent


class NoContent(Exception):
    """Answered as 204 without a body."""


@route("GET", "/profile/preferences", "*")
def preferences(call: Call) -> Json:
    return call.sandbox.setting("preferences")


@route("GET", "/profile/tokens", _RO, filterable=("created", "label"))
def list_tokens(call: Call) -> Json:
    return call.page(list(call.sandbox.store.table("token").values()))


@route("POST", "/profile/tokens", _RW)
def create_token(call: Call) -> Json:
    """The answer is the only one that ever holds the whole token."""
    body, problems = call.body, Problems()
    label = body.get("label") or ""
    if not isinstance(label, str) or len(label) > 100:
        problems.add("Length must be 1-100 characters", "label")
    scopes = normal_scopes(str(body.get("scopes") or "*"))
    if scopes is None:
        problems.add(f"Scopes are *, or resource:read_only and resource:read_write of {', '.join(RESOURCES)}", "scopes")
    expiry = body.get("expiry")
    if expiry is not None:
        try:
            if unstamp(str(expiry)) <= time.time():
                problems.add("Must be in the future", "expiry")
        except ValueError:
            problems.add("Must be a date and time, YYYY-MM-DDTHH:MM:SS", "expiry")
    problems.check()
    store, number, secret = call.sandbox.store, call.sandbox.store.next_id("token"), secrets.token_hex(32)
    row: Json = {
        "id": number,
        "scopes": scopes,
        "created": call.sandbox.now(),
        "label": label,
        "token": secret[:16],
        "expiry": expiry or "2999-12-31T23:59:59",
    }
    store.put("token", number, row)
    store.put("token_secret", digest(secret), {"id": number, "scopes": scopes, "revoked": False, "expiry": expiry})
    call.sandbox.events.add("token_create", entity("token", number, label, f"/v4/profile/tokens/{number}"))
    return {**row, "token": secret}


def _token(call: Call) -> Json:
    row = call.sandbox.store.table("token").get(call.number("tokenId"))
    if row is None:
        raise not_found()
    return row


@route("GET", "/profile/tokens/{tokenId}", _RO)
def view_token(call: Call) -> Json:
    return _token(call)


@route("PUT", "/profile/tokens/{tokenId}", _RW)
def update_token(call: Call) -> Json:
    row = _token(call)
    if isinstance(call.body.get("label"), str):
        row["label"] = call.body["label"]
        call.sandbox.store.put("token", row["id"], row)
    return row


@route("DELETE", "/profile/tokens/{tokenId}", _RW)
def revoke_token(call: Call) -> Json:
    row, store = _token(call), call.sandbox.store
    for key, secret in list(store.table("token_secret").items()):
        if secret["id"] == row["id"]:
            store.put("token_secret", key, {**secret, "revoked": True})
    store.drop("token", row["id"])
    call.sandbox.events.add("token_delete", entity("token", row["id"], row["label"], f"/v4/profile/tokens/{row['id']}"))
    return {}


@route("GET", "/profile/sshkeys", _RO, filterable=("label",))
def list_keys(call: Call) -> Json:
    return call.page(list(call.sandbox.store.table("sshkey").values()))


@route("POST", "/profile/sshkeys", _RW)
def add_key(call: Call) -> Json:
    body, problems = call.body, Problems()
    require(problems, body, "label", "ssh_key")
    if body.get("label") is not None and not (isinstance(body["label"], str) and len(body["label"]) <= 64):
        problems.add("Length must be 0-64 characters", "label")
    if body.get("ssh_key") is not None and not check_ssh_key(body["ssh_key"]):
        problems.add("SSH Key is not a valid public key", "ssh_key")
    problems.check()
    number = call.sandbox.store.next_id("sshkey")
    row = {"id": number, "label": body["label"], "ssh_key": body["ssh_key"].strip(), "created": call.sandbox.now()}
    call.sandbox.store.put("sshkey", number, row)
    call.sandbox.events.add(
        "user_ssh_key_add", entity("user_ssh_key", number, row["label"], f"/v4/profile/sshkeys/{number}")
    )
    return row


def _key(call: Call) -> Json:
    row = call.sandbox.store.table("sshkey").get(call.number("sshKeyId"))
    if row is None:
        raise not_found()
    return row


@route("GET", "/profile/sshkeys/{sshKeyId}", _RO)
def view_key(call: Call) -> Json:
    return _key(call)


@route("PUT", "/profile/sshkeys/{sshKeyId}", _RW)
def update_key(call: Call) -> Json:
    row = _key(call)
    if not isinstance(call.body.get("label"), str):
        raise fail("label is required", "label")
    row["label"] = call.body["label"]
    call.sandbox.store.put("sshkey", row["id"], row)
    return row


@route("DELETE", "/profile/sshkeys/{sshKeyId}", _RW)
def delete_key(call: Call) -> Json:
    row = _key(call)
    call.sandbox.store.drop("sshkey", row["id"])
    about = entity("user_ssh_key", row["id"], row["label"], f"/v4/profile/sshkeys/{row['id']}")
    call.sandbox.events.add("user_ssh_key_delete", about)
    return {}
