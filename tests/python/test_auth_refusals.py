"""What authorization refuses, what servers may say instead of an answer, and that no secret shows."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading

import pytest

from servers.authorization import (
    CLIENT_SECRET,
    CODE,
    REFRESH,
    TOKEN,
    Answer,
    Authorization,
    Person,
    Protected,
)
from test_auth_code import METADATA, REDIRECT, provider_for, session
from toolbridge.exceptions import ConfigurationError, MCPError
from toolbridge.mcp.client.auth import (
    OAuthClientProvider,
    OAuthFlowError,
    OAuthRegistrationError,
    OAuthTokenError,
    PKCEParameters,
)
from toolbridge.mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from toolbridge.mcp.client.auth.storage import MemoryTokenStorage
from toolbridge.mcp.client.sse import sse_client
from toolbridge.mcp.client.streamable_http import streamable_http_client, streamablehttp_client
from toolbridge.mcp.shared.auth import OAuthClientInformationFull, OAuthToken

WELL_KNOWN = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"


async def refusal(server, auth, kind=OAuthFlowError):
    """The error of a session that cannot be opened, which shows no secret."""
    with pytest.raises(kind) as caught:
        async with session(server, auth):
            pass
    chain, failure = [], caught.value
    while failure is not None:
        chain += [str(failure), repr(failure), repr(failure.__dict__)]
        failure = failure.__cause__
    text = "\n".join(chain)
    assert isinstance(caught.value, MCPError)
    for secret in (CODE, TOKEN, REFRESH, CLIENT_SECRET):
        assert secret not in text
    return str(caught.value)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"resource": "https://other.example/mcp"}, "another resource (https://other.example)"),
        ({"path": "/other"}, "another resource (another path of it)"),
        ({"authorization_servers": ["ftp://elsewhere"]}, "not reached over https"),
    ],
)
async def test_metadata_of_a_resource_that_cannot_be_believed(change, expected):
    with Authorization() as authorization, Protected(authorization) as server:
        if "path" in change:
            change = {"resource": server.origin + change["path"]}
        server.resource.update(change)
        assert expected in await refusal(server, provider_for(server))
        assert authorization.paths() == []


@pytest.mark.asyncio
async def test_the_user_may_check_the_resource_instead():
    async def check(server_url, resource):
        assert server_url == server.url
        checked.append(resource)
        if len(checked) > 1:
            message = "not that one"
            raise RuntimeError(message)

    checked = []
    with Authorization() as authorization, Protected(authorization) as server:
        server.resource["resource"] = "https://other.example/mcp"
        async with session(server, provider_for(server, validate_resource_url=check)):
            pass
        assert authorization.asked["resource"] == "https://other.example/mcp"
        refused = await refusal(server, provider_for(server, validate_resource_url=check))
    assert "validate_resource_url failed: RuntimeError: not that one" in refused
    assert checked == ["https://other.example/mcp"] * 2


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"issuer": "https://evil.example"}, "names another issuer, https://evil.example"),
        ({"issuer": None}, "names no issuer"),
        ({"code_challenge_methods_supported": ["plain"]}, "PKCE with S256"),
        ({"code_challenge_methods_supported": None}, "allow_undeclared_pkce=True"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "absolute URL"),
        ({"authorization_endpoint": "file:///etc/passwd"}, "absolute URL"),
        ({"authorization_endpoint": None}, "no authorization endpoint"),
        ({"token_endpoint": "ftp://a/token"}, "not reached over https"),
    ],
)
async def test_metadata_of_an_authorization_server_that_cannot_be_used(metadata, expected):
    with Authorization(**metadata) as authorization, Protected(authorization) as server:
        assert expected in await refusal(server, provider_for(server))
        assert authorization.forms() == []


@pytest.mark.asyncio
async def test_a_server_that_leaves_pkce_out_can_be_taken():
    metadata = {"code_challenge_methods_supported": None}
    with Authorization(**metadata) as authorization, Protected(authorization) as server:
        async with session(server, provider_for(server, allow_undeclared_pkce=True)):
            pass


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("replaced", "metadata", "expected"),
    [
        ({"state": "other"}, {}, "(state)"),
        ({"state": None}, {}, "(state)"),
        ({"code": None}, {}, "holds no code"),
        ({"iss": "https://evil.example"}, {}, "comes from issuer https://evil.example"),
        (
            {"iss": None},
            {"authorization_response_iss_parameter_supported": True},
            "names no issuer (iss)",
        ),
        ({"error": "access_denied", "error_description": "no"}, {}, "access_denied (no)"),
    ],
)
async def test_what_comes_back_with_the_browser_is_checked(replaced, metadata, expected):
    with Authorization(**metadata) as authorization, Protected(authorization) as server:
        assert expected in await refusal(server, provider_for(server, Person(**replaced)))
        assert authorization.forms() == []


def echo(call):
    """Complain with all that came."""
    return Answer(400, {"error": "invalid_grant", "error_description": f"{call.form}"})


def page(_):
    return Answer(200, "<html><h1>Sign in</h1></html>", {"Content-Type": "text/html"})


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("path", "answer", "kind", "expected"),
    [
        ("/token", echo, OAuthTokenError, "invalid_grant"),
        ("/token", page, OAuthTokenError, "200 OK: its answer is no JSON object"),
        ("/token", lambda _: Answer(500, "down"), OAuthTokenError, "status 500"),
        ("/token", lambda _: Answer(200, {"token_type": "Bearer"}), OAuthTokenError, "no token"),
        ("/token", lambda _: Answer(200, "x" * (2 << 20)), OAuthFlowError, "1048576 bytes"),
        (
            "/token",
            lambda _: Answer(200, {"access_token": f"{TOKEN}1", "token_type": "mac"}),
            OAuthTokenError,
            "type 'mac'",
        ),
        (
            "/token",
            lambda _: Answer(200, {"access_token": f"{TOKEN}\n", "token_type": "Bearer"}),
            OAuthTokenError,
            "characters",
        ),
        ("/register", page, OAuthRegistrationError, "no JSON object"),
        ("/register", lambda _: Answer(400, {"error": "no"}), OAuthRegistrationError, "no"),
        (
            "/register",
            lambda _: Answer(
                201, {"client_id": "c", "token_endpoint_auth_method": "tls_client_auth"}
            ),
            OAuthRegistrationError,
            "tls_client_auth",
        ),
        (WELL_KNOWN, page, OAuthFlowError, "publishes no metadata"),
        (WELL_KNOWN, lambda _: Answer(404, ""), OAuthFlowError, "publishes no metadata"),
        (WELL_KNOWN, lambda _: Answer(503, "later"), OAuthFlowError, "status 503"),
    ],
)
async def test_what_an_authorization_server_says_instead(path, answer, kind, expected):
    with Authorization() as authorization, Protected(authorization) as server:
        authorization.script[path] = answer
        text = await refusal(server, provider_for(server), kind)
        assert expected.replace("'", '"') in text


@pytest.mark.asyncio
async def test_the_server_that_registers_nobody_says_what_to_do():
    with Authorization(registration_endpoint=None) as authorization:
        with Protected(authorization) as server:
            text = await refusal(server, provider_for(server), OAuthRegistrationError)
            assert "client_info" in text
            auth = provider_for(server, client_info={"client_id": "mine"})
            async with session(server, auth):
                pass
        assert authorization.asked["client_id"] == "mine"


@pytest.mark.asyncio
async def test_a_server_that_refuses_every_token_ends_the_flow():
    with Authorization() as authorization, Protected(authorization) as server:
        authorization.script["/token"] = lambda _: Answer(200, {"access_token": "unknown-token"})
        person = Person()
        text = await refusal(server, provider_for(server, person))
        assert "refuses the token" in text
        assert len(person.urls) == 1


@pytest.mark.asyncio
async def test_a_server_that_repeats_the_token_does_not_show_it():
    def repeat(exchange):
        exchange.respond(403, exchange.request.headers["authorization"])

    with Authorization() as authorization, Protected(authorization, initialize=repeat) as server:
        text = await refusal(server, provider_for(server), MCPError)
    assert "status 403" in text


@pytest.mark.asyncio
async def test_an_authorization_server_that_is_slow_is_given_up_with_the_caller():
    arrived, released = threading.Event(), threading.Event()

    def wait(_):
        arrived.set()
        released.wait()

    with Authorization() as authorization, Protected(authorization) as server:
        authorization.script["/token"] = wait
        auth = provider_for(server)
        async with (
            streamable_http_client(server.url, auth=auth) as streams,
        ):
            from toolbridge.mcp import ClientSession

            async with ClientSession(*streams) as one:
                opening = asyncio.ensure_future(one.initialize())
                await asyncio.to_thread(arrived.wait)
                opening.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await opening
        released.set()


@pytest.mark.asyncio
async def test_credentials_of_one_issuer_go_to_no_other():
    with Authorization() as authorization, Protected(authorization) as server:
        auth = ClientCredentialsOAuthProvider(
            server.url, None, "me", CLIENT_SECRET, issuer="https://mine.example"
        )
        assert "https://mine.example alone" in await refusal(server, auth)
        assert authorization.paths() == []


@pytest.mark.asyncio
async def test_a_client_of_the_user_is_not_shown_to_the_next_authorization_server():
    with Authorization() as first, Authorization() as second, Protected(first) as server:
        auth = ClientCredentialsOAuthProvider(server.url, None, "me", CLIENT_SECRET)
        async with session(server, auth) as one:
            server.resource["authorization_servers"] = [second.issuer]
            server.authorization = second
            with pytest.raises(OAuthFlowError, match=f"the client is one of {first.issuer}"):
                await one.call_tool("any")
        assert second.forms() == []
        info = {"client_id": "me", "issuer": first.issuer}
        assert "the client is one of" in await refusal(
            server, provider_for(server, client_info=info)
        )
        assert second.forms() == []


@pytest.mark.asyncio
async def test_a_provider_is_for_its_own_server():
    with Authorization() as authorization, Protected(authorization) as server:
        auth = OAuthClientProvider("https://other.example/mcp", METADATA)
        text = await refusal(server, auth)
        assert "auth is for the MCP server at https://other.example" in text
        assert server.seen == []


@pytest.mark.asyncio
async def test_handlers_that_fail_or_are_missing_say_so():
    class Broken(Person):
        async def redirect(self, url):
            message = "no screen"
            raise OSError(message)

    class Silent(MemoryTokenStorage):
        async def get_tokens(self):
            return 3

    with Authorization() as authorization, Protected(authorization) as server:
        text = await refusal(server, provider_for(server, Broken()))
        assert "redirect_handler failed: OSError: no screen" in text
        text = await refusal(server, OAuthClientProvider(server.url, METADATA))
        assert "redirect_handler" in text
        text = await refusal(server, provider_for(server, storage=Silent()))
        assert "storage.get_tokens" in text


@pytest.mark.asyncio
async def test_no_secret_is_logged_or_shown(caplog, capfd):
    caplog.set_level(logging.DEBUG)
    with Authorization() as authorization, Protected(authorization) as server:
        storage = MemoryTokenStorage()
        info = OAuthClientInformationFull(client_id="mine", client_secret=CLIENT_SECRET)
        auth = provider_for(server, storage=storage, client_info=info)
        async with session(server, auth) as one:
            await one.call_tool("any")
        kept = await storage.get_tokens()
    assert kept.access_token.startswith(TOKEN)
    shown = [repr(kept), repr(info), repr(auth), repr(storage), caplog.text, *capfd.readouterr()]
    for secret in (TOKEN, REFRESH, CLIENT_SECRET, CODE):
        assert secret not in "\n".join(shown)
    assert repr(auth) == f"<OAuthClientProvider for {server.origin}>"
    assert "mine" in repr(info)


@pytest.mark.parametrize("client", [sse_client, streamablehttp_client, streamable_http_client])
def test_a_provider_of_the_official_sdk_is_an_error_that_names_ours(client):
    class OAuthClientProviderOfSdk:
        pass

    OAuthClientProviderOfSdk.__module__ = "mcp.client.auth.oauth2"
    with pytest.raises(TypeError, match=r"official mcp package.*toolbridge\.mcp\.client\.auth"):
        client("http://127.0.0.1:1/mcp", auth=OAuthClientProviderOfSdk())


@pytest.mark.parametrize(
    ("options", "kind", "expected"),
    [
        ({"server_url": 3}, TypeError, "server_url"),
        ({"server_url": "mcp"}, ConfigurationError, "server_url"),
        ({"client_metadata": 3}, TypeError, "client_metadata"),
        ({"storage": object()}, TypeError, "get_tokens"),
        ({"redirect_handler": 3}, TypeError, "redirect_handler"),
        ({"timeout": -1}, ValueError, "timeout"),
        ({"client_metadata_url": "http://a/b"}, ValueError, "client_metadata_url"),
        ({"client_metadata_url": "https://a/"}, ValueError, "client_metadata_url"),
        ({"client_info": "me"}, TypeError, "client_info"),
        ({"dpop": 3}, TypeError, "dpop"),
        ({"dpop": "no key"}, ConfigurationError, "PEM"),
    ],
)
def test_arguments_are_checked_when_the_provider_is_made(options, kind, expected):
    given = {"server_url": "https://h/mcp", "client_metadata": {"redirect_uris": [REDIRECT]}}
    with pytest.raises(kind, match=expected):
        OAuthClientProvider(**{**given, **options})


def test_the_positions_of_both_sdks_are_understood():
    async def check(*_):
        pass

    place = ("https://h/mcp", METADATA, MemoryTokenStorage(), None, None)
    OAuthClientProvider(*place, 10.0, "https://h/client.json")
    OAuthClientProvider(*place, "https://h/client.json", check)
    with pytest.raises(ValueError, match="client_metadata_url"):
        OAuthClientProvider(*place, "http://h/client.json")


def test_values_answer_like_those_of_the_official_sdk():
    token = OAuthToken.model_validate_json('{"access_token":"a","expires_in":3,"more":[1]}')
    assert (token.token_type, token.expires_in, token.scope, token.more) == ("Bearer", 3, None, [1])
    assert OAuthToken.model_validate_json(token.model_dump_json()) == token
    assert METADATA.grant_types == ["authorization_code", "refresh_token"]
    assert METADATA.redirect_uris == [REDIRECT]


def test_a_secret_of_pkce_is_not_shown():
    one, other = PKCEParameters.generate(), PKCEParameters.generate()
    assert one.code_verifier != other.code_verifier
    assert 43 <= len(one.code_verifier) <= 128
    assert len(one.code_challenge) == 43
    assert one.code_verifier not in repr(one)


def test_sessions_without_authorization_import_none_of_it():
    import subprocess

    script = (
        "import sys, toolbridge.mcp, toolbridge.mcp.client.streamable_http as s;"
        "s.streamable_http_client('http://h/mcp', auth='token');"
        "print([name for name in sys.modules if 'client.auth' in name])"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert shown.stdout == "[]\n", shown.stderr
