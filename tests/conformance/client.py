"""The client that the official MCP conformance suite tests: ``client.py SERVER_URL``.

The suite names the scenario in ``MCP_CONFORMANCE_SCENARIO``, the revision that its server speaks in
``MCP_CONFORMANCE_PROTOCOL_VERSION``, and what the client knows in ``MCP_CONFORMANCE_CONTEXT``. Exit
status 0 says that the session did all that the scenario asks for, 2 that this kind of scenario is
not supported yet.
"""

import asyncio
import json
import os
import sys

from toolbridge.mcp import Client, types
from toolbridge.mcp.client.auth import OAuthClientProvider, OAuthFlowError, loopback_redirect, visit
from toolbridge.mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider,
    PrivateKeyJWTOAuthProvider,
    SignedJWTParameters,
    static_assertion_provider,
)
from toolbridge.mcp.client.auth.extensions.identity_assertion import (
    EnterpriseManagedOAuthProvider,
    WorkloadIdentityOAuthProvider,
)

MODERN_REVISION = "2026-07-28"
UNSUPPORTED = 2
CLIENT_METADATA_URL = "https://conformance-test.local/client-metadata.json"
# What the client must not go along with.
REFUSALS = {
    "auth/iss-normalized": "issuer",
    "auth/iss-supported-missing": "issuer",
    "auth/iss-unexpected": "issuer",
    "auth/iss-wrong-issuer": "issuer",
    "auth/metadata-issuer-mismatch": "issuer",
    "auth/resource-mismatch": "another resource",
    "auth/scope-retry-limit": "scope",
}


def accept_defaults(context, params):
    """Accept an elicitation with the default of each field that has one (SEP-1034)."""
    properties = params.requestedSchema.get("properties", {})
    content = {name: field["default"] for name, field in properties.items() if "default" in field}
    return types.ElicitResult(action="accept", content=content)


def in_browser(url, context, **options):
    """Authorization by a person, at a client that is registered already if the suite names one.

    The authorization server of the suite asks nobody: it sends everybody back at once.
    """
    redirect = loopback_redirect(open_url=visit)
    known = {key: context[key] for key in ("client_id", "client_secret") if key in context}
    return OAuthClientProvider(
        url,
        {"client_name": "toolbridge-conformance", "redirect_uris": [redirect.redirect_uri]},
        None,
        redirect.redirect_handler,
        redirect.callback_handler,
        client_metadata_url=CLIENT_METADATA_URL,
        client_info=known or None,
        **options,
    )


def with_proofs(url, context):
    return in_browser(url, context, dpop=True)


def with_secret(url, context):
    return ClientCredentialsOAuthProvider(url, None, context["client_id"], context["client_secret"])


def with_private_key(url, context):
    signed = SignedJWTParameters(
        issuer=context["client_id"],
        subject=context["client_id"],
        signing_key=context["private_key_pem"],
        signing_algorithm=context.get("signing_algorithm", "ES256"),
    )
    assertions = signed.create_assertion_provider()
    return PrivateKeyJWTOAuthProvider(url, None, context["client_id"], assertions)


def with_enterprise(url, context):
    return EnterpriseManagedOAuthProvider(
        url,
        client_id=context["client_id"],
        client_secret=context["client_secret"],
        idp_client_id=context["idp_client_id"],
        idp_issuer=context["idp_issuer"],
        id_token=context["idp_id_token"],
    )


def with_workload(url, context):
    assertions = static_assertion_provider(context["valid_jwt"])
    return WorkloadIdentityOAuthProvider(
        url, assertion_provider=assertions, client_id=context["client_id"]
    )


PROVIDERS = {
    "auth/client-credentials-basic": with_secret,
    "auth/client-credentials-jwt": with_private_key,
    "auth/dpop": with_proofs,
    "auth/dpop-nonce": with_proofs,
    "auth/enterprise-managed-authorization": with_enterprise,
    "auth/wif-jwt-bearer": with_workload,
}


def authorization(scenario, url):
    """Make what the scenario authorizes itself with, or None if it needs nothing."""
    if not scenario.startswith("auth/"):
        return None
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))
    return PROVIDERS.get(scenario, in_browser)(url, context)


async def list_tools(session):
    await session.list_tools()


async def use_everything(session):
    """List, call, and list again: a server may change its mind about the client in between."""
    await session.list_tools()
    await session.call_tool("test-tool", {})
    await session.list_tools()


async def call_add_numbers(session):
    await session.list_tools()
    await expect_text(session, "add_numbers", {"a": 2, "b": 3}, "The sum of 2 and 3 is 5")


async def call_eliciting_tool(session):
    await session.list_tools()
    result = await session.call_tool("test_client_elicitation_defaults", {})
    assert not result.isError, result


async def call_tool_whose_stream_ends(session):
    await session.list_tools()
    await expect_text(session, "test_reconnection", {}, "Reconnection test completed successfully")


async def echo_input_schema(session):
    listed = await session.list_tools()
    (schema,) = [
        tool.inputSchema for tool in listed.tools if tool.name == "json_schema_2020_12_tool"
    ]
    await expect_text(session, "json_schema_echo", {"schema": schema}, "echoed")


async def use_every_named_thing(session):
    for tool in (await session.list_tools()).tools:
        await session.call_tool(tool.name, {})
    for resource in (await session.list_resources()).resources:
        await session.read_resource(resource.uri)
    for prompt in (await session.list_prompts()).prompts:
        await session.get_prompt(prompt.name)


async def make_named_calls(session):
    await session.list_tools()
    context = json.loads(os.environ["MCP_CONFORMANCE_CONTEXT"])
    for call in context["toolCalls"]:
        await session.call_tool(call["name"], call["arguments"])


async def call_every_tool(session):
    for tool in (await session.list_tools()).tools:
        await session.call_tool(tool.name, {"region": "us-west1"})


async def answer_wishes_for_input(session):
    for name in ("echo_state", "unrelated", "no_state", "unrelated", "no_result_type"):
        await session.call_tool(f"test_mrtr_{name}", {})


async def expect_text(session, tool, arguments, text):
    result = await session.call_tool(tool, arguments)
    assert [block.text for block in result.content] == [text], result


SCENARIOS = {
    "initialize": list_tools,
    "tools_call": call_add_numbers,
    "elicitation-sep1034-client-defaults": call_eliciting_tool,
    "sse-retry": call_tool_whose_stream_ends,
    "json-schema-2020-12-preservation": echo_input_schema,
    "json-schema-ref-no-deref": list_tools,
    "http-standard-headers": use_every_named_thing,
    "http-custom-headers": make_named_calls,
    "http-invalid-tool-headers": call_every_tool,
    "request-metadata": list_tools,
    "sep-2322-client-request-state": answer_wishes_for_input,
}


async def run(scenario, url):
    revision = os.environ["MCP_CONFORMANCE_PROTOCOL_VERSION"]
    async with Client(
        url,
        mode="auto" if revision == MODERN_REVISION else "legacy",
        auth=authorization(scenario, url),
        elicitation_callback=accept_defaults,
    ) as client:
        await SCENARIOS.get(scenario, use_everything)(client)


async def run_and_refuse(scenario, url):
    """Run a scenario; one that a client must refuse has to end with that."""
    try:
        await run(scenario, url)
    except OAuthFlowError as refusal:
        if REFUSALS.get(scenario, "\n") not in str(refusal):
            raise
    else:
        assert scenario not in REFUSALS, f"{scenario} was not refused"


def main():
    scenario = os.environ["MCP_CONFORMANCE_SCENARIO"]
    if scenario not in SCENARIOS and not scenario.startswith("auth/"):
        print(f"{scenario}: this scenario is not supported yet", file=sys.stderr)
        return UNSUPPORTED
    asyncio.run(run_and_refuse(scenario, sys.argv[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
