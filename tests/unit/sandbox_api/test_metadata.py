# SPDX-License-Identifier: GPL-3.0-or-later
"""The metadata service, asked as cloud-init's Akamai data source asks it."""

from __future__ import annotations

import base64

from aiohttp.test_utils import TestClient, TestServer

from linode_coder.sandbox.api.metadata import metadata_app
from tests.unit.sandbox_api.api_client import CREATE, Api, with_api

FOR_A_WHILE = {"Metadata-Token-Expiry-Seconds": "300"}


def test_what_cloud_init_asks_and_when_it_gives_up() -> None:
    async def check(api: Api) -> None:
        given = base64.b64encode(b"#cloud-config\n{}").decode()
        _, made = await api("POST", "/linode/instances", CREATE | {"metadata": {"user_data": given}})
        async with TestClient(TestServer(metadata_app(api.sandbox, made["id"]))) as client:
            async with client.get("/v1/user-data", headers={"Metadata-Token": "made up"}) as answer:
                assert answer.status == 401
            async with client.put("/v1/token", headers=FOR_A_WHILE) as answer:
                assert answer.status == 200
                token = {"Metadata-Token": await answer.text()}
            async with client.get("/v1/instance", headers=token | {"Accept": "application/json"}) as answer:
                assert (await answer.json())["id"] == made["id"]
            async with client.get("/v1/user-data", headers=token) as answer:
                assert await answer.text() == given
            # After anything but 503, for which it asks again without end, it goes on without user-data.
            api.sandbox.faults.add({"kind": "metadata_unavailable"})
            async with client.put("/v1/token", headers=FOR_A_WHILE) as answer:
                assert answer.status == 500

    with_api(check)
