"""Authorization without a browser: client credentials, assertions, workloads; files of tokens."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import stat
import subprocess
import sys

import pytest

from servers.authorization import (
    CLIENT_SECRET,
    REFRESH,
    TOKEN,
    Answer,
    Authorization,
    Person,
    Protected,
    claims_of,
    part_of,
)
from test_auth_code import provider_for, session
from test_auth_refusals import refusal
from toolbridge.exceptions import ConfigurationError
from toolbridge.mcp.client.auth import FileTokenStorage, OAuthFlowError, OAuthTokenError
from toolbridge.mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider,
    JWTParameters,
    PrivateKeyJWTOAuthProvider,
    RFC7523OAuthClientProvider,
    SignedJWTParameters,
    static_assertion_provider,
)
from toolbridge.mcp.client.auth.extensions.identity_assertion import (
    EnterpriseManagedOAuthProvider,
    IdentityAssertionOAuthProvider,
    WorkloadIdentityOAuthProvider,
)
from toolbridge.mcp.shared.auth import OAuthClientInformationFull, OAuthToken

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION = "assertion-hidden-1"


@pytest.fixture(scope="session")
def private_key():
    """A P-256 key in PEM, from the certificates' library of the tests."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    return (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        .decode()
    )


@pytest.mark.asyncio
@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_a_client_with_a_secret_needs_no_person(method):
    with Authorization() as authorization, Protected(authorization) as server:
        server.scope = "read"
        auth = ClientCredentialsOAuthProvider(
            server.url, None, "a b", CLIENT_SECRET, method, issuer=authorization.issuer
        )
        async with session(server, auth) as one:
            await one.call_tool("any")
        (call,) = authorization.of("/token")
        assert call.form["grant_type"] == "client_credentials"
        assert call.form["scope"] == "read"
        assert call.form["resource"] == server.url
        if method == "client_secret_basic":
            pair = base64.b64encode(f"a%20b:{CLIENT_SECRET}".encode()).decode()
            assert call.headers["authorization"] == f"Basic {pair}"
            assert "client_secret" not in call.form
        else:
            assert (call.form["client_id"], call.form["client_secret"]) == ("a b", CLIENT_SECRET)


@pytest.mark.asyncio
async def test_a_client_with_a_key_signs_for_the_issuer(private_key):
    with Authorization() as authorization, Protected(authorization) as server:
        signed = SignedJWTParameters(
            issuer="me",
            subject="me",
            signing_key=private_key,
            signing_algorithm="ES256",
            additional_claims={"team": "a"},
        )
        assertions = signed.create_assertion_provider()
        async with session(server, PrivateKeyJWTOAuthProvider(server.url, None, "me", assertions)):
            pass
        (form,) = authorization.forms("client_credentials")
        assert "client_secret" not in form
        assertion = form["client_assertion"]
        claims = claims_of(assertion)
        assert claims["aud"] == authorization.issuer
        assert (claims["iss"], claims["sub"], claims["team"]) == ("me", "me", "a")
        assert claims["exp"] - claims["iat"] == 300
        assert part_of(assertion, 0)["alg"] == "ES256"
        assert private_key[40:60] not in repr(signed)


@pytest.mark.asyncio
async def test_a_key_that_does_not_fit_is_an_error_that_does_not_show_it(private_key):
    for key, algorithm, expected in (
        (private_key, "RS256", "does not fit"),
        (private_key, "HS256", "unknown"),
        ("hidden", "ES256", "PEM"),
    ):
        signed = SignedJWTParameters(
            issuer="me", subject="me", signing_key=key, signing_algorithm=algorithm
        )
        with pytest.raises(ConfigurationError, match=expected) as caught:
            await signed.create_assertion_provider()("https://h")
        assert "hidden" not in str(caught.value)


@pytest.mark.asyncio
async def test_a_workload_shows_its_token_once_and_gives_up_when_it_is_refused():
    with Authorization() as authorization, Protected(authorization) as server:
        asked = []

        async def assertion(audience):
            asked.append(audience)
            return ASSERTION

        auth = WorkloadIdentityOAuthProvider(
            server.url, assertion_provider=assertion, client_id="workload"
        )
        async with session(server, auth) as one:
            await one.call_tool("any")
        assert asked == [authorization.issuer]
        (form,) = authorization.forms(JWT_BEARER)
        assert (form["assertion"], form["client_id"]) == (ASSERTION, "workload")
        authorization.calls.clear()
        authorization.script["/token"] = lambda call: Answer(
            400, {"error": "invalid_grant", "error_description": call.form["assertion"]}
        )
        auth = WorkloadIdentityOAuthProvider(
            server.url, assertion_provider=static_assertion_provider(ASSERTION)
        )
        text = await refusal(server, auth, OAuthTokenError)
        assert "invalid_grant" in text
        assert ASSERTION not in text
        assert len(authorization.forms()) == 1


@pytest.mark.asyncio
async def test_the_deprecated_provider_of_sdk_1_shows_its_jwt(private_key):
    with Authorization() as authorization, Protected(authorization) as server:
        parameters = JWTParameters(
            issuer="me", subject="me", jwt_signing_key=private_key, jwt_signing_algorithm="ES256"
        )
        metadata = {"redirect_uris": ["http://127.0.0.1:1/"], "grant_types": [JWT_BEARER]}
        with pytest.warns(DeprecationWarning, match="WorkloadIdentityOAuthProvider"):
            auth = RFC7523OAuthClientProvider(server.url, metadata, jwt_parameters=parameters)
        async with session(server, auth):
            pass
        (form,) = authorization.forms(JWT_BEARER)
        assert claims_of(form["assertion"])["aud"] == authorization.issuer
    assert JWTParameters(assertion="made").to_assertion() == "made"
    assert private_key[40:60] not in repr(parameters)
    with pytest.raises(ValueError, match="audience"):
        parameters.to_assertion()
    with pytest.raises(ValueError, match="jwt_signing_key"):
        JWTParameters(issuer="me")


@pytest.mark.asyncio
async def test_the_server_is_not_asked_where_an_id_jag_goes():
    with Authorization() as authorization, Protected(authorization) as server:
        asked = []

        async def assertion(audience, resource):
            asked.append((audience, resource))
            return ASSERTION

        server.resource["authorization_servers"] = ["https://evil.example"]
        auth = IdentityAssertionOAuthProvider(
            server.url, None, "me", CLIENT_SECRET, authorization.issuer, assertion
        )
        async with session(server, auth):
            pass
        assert asked == [(authorization.issuer, server.url)]
        assert not any("well-known" in one.path or "metadata" in one.path for one in server.seen)
        (form,) = authorization.forms(JWT_BEARER)
        assert form["client_secret"] == CLIENT_SECRET
        authorization.metadata["token_endpoint"] = "http://localhost:9/token"
        auth = IdentityAssertionOAuthProvider(
            server.url, None, "me", CLIENT_SECRET, authorization.issuer, assertion
        )
        assert "not where its issuer is" in await refusal(server, auth)


@pytest.mark.asyncio
async def test_the_identity_provider_of_an_enterprise_vouches_for_a_person():
    exchange = "urn:ietf:params:oauth:grant-type:token-exchange"
    id_jag = "urn:ietf:params:oauth:token-type:id-jag"
    with (
        Authorization() as provider,
        Authorization() as authorization,
        Protected(authorization) as server,
    ):
        given = {"access_token": ASSERTION, "issued_token_type": id_jag, "token_type": "N_A"}
        provider.script["/token"] = lambda _: Answer(body=given)

        async def id_token():
            return "id-hidden-1"

        def make(**options):
            return EnterpriseManagedOAuthProvider(
                server.url,
                client_id="me",
                client_secret=CLIENT_SECRET,
                idp_client_id="me-there",
                id_token=id_token,
                **options,
            )

        async with session(server, make(idp_issuer=provider.issuer)):
            pass
        (form,) = provider.forms(exchange)
        assert form["subject_token"] == "id-hidden-1"
        assert form["audience"] == authorization.issuer
        assert form["resource"] == server.url
        assert form["requested_token_type"] == id_jag
        assert form["client_id"] == "me-there"
        (form,) = authorization.forms(JWT_BEARER)
        assert form["assertion"] == ASSERTION
        provider.script["/token"] = lambda call: Answer(
            400, {"error": "invalid_grant", "error_description": str(call.form)}
        )
        text = await refusal(
            server, make(idp_token_endpoint=f"{provider.issuer}/token"), OAuthTokenError
        )
        assert "gave no assertion" in text
        assert "id-hidden-1" not in text


@pytest.mark.asyncio
async def test_a_file_keeps_tokens_for_its_owner_alone(tmp_path):
    path = tmp_path / "tokens.json"
    with Authorization() as authorization, Protected(authorization) as server:
        person = Person()
        auth = provider_for(server, person, FileTokenStorage(path))
        async with session(server, auth):
            pass
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        auth = provider_for(server, person, FileTokenStorage(path))
        async with session(server, auth):
            pass
        assert len(person.urls) == 1
        storage = FileTokenStorage(path, server.url)
        assert (await storage.get_tokens()).refresh_token == f"{REFRESH}1"
        client = await storage.get_client_info()
        assert (client.client_id, client.issuer) == ("registered", authorization.issuer)
        assert await FileTokenStorage(path, "https://other").get_tokens() is None
        assert TOKEN not in repr(storage)
    assert {entry.name for entry in tmp_path.iterdir()} == {"tokens.json", "tokens.json.lock"}


@pytest.mark.asyncio
async def test_a_file_keeps_bound_tokens_and_their_key(tmp_path):
    with Authorization() as authorization, Protected(authorization) as server:
        server.scheme = "DPoP"
        authorization.script["/token"] = lambda _: Answer(body=authorization.tokens(kind="DPoP"))
        person = Person()
        for _ in range(2):
            auth = provider_for(server, person, FileTokenStorage(tmp_path / "t"), dpop=True)
            async with session(server, auth):
                pass
        assert len(person.urls) == 1
        keys = {
            part_of(one.headers["dpop"], 0)["jwk"]["x"]
            for one in server.seen
            if "dpop" in one.headers
        }
        assert len(keys) == 1


@pytest.mark.asyncio
async def test_a_file_of_something_else_is_not_overwritten(tmp_path):
    path = tmp_path / "tokens"
    path.write_text('{"secret-1": [', encoding="utf-8")
    storage = FileTokenStorage(path, "https://h")
    for attempt in (storage.get_tokens(), storage.set_tokens(OAuthToken(access_token="a"))):
        with pytest.raises(OAuthFlowError, match="is not a file of tokens") as caught:
            await attempt
        assert "secret-1" not in str(caught.value)
    assert path.read_text(encoding="utf-8") == '{"secret-1": ['
    with pytest.raises(OAuthFlowError, match="cannot be"):
        await FileTokenStorage(tmp_path / "no" / "folder").set_tokens(OAuthToken(access_token="a"))


def test_processes_that_write_at_once_lose_nothing(tmp_path):
    script = """
import asyncio, sys
from toolbridge.mcp.client.auth import FileTokenStorage
from toolbridge.mcp.shared.auth import OAuthToken
async def main(path, name):
    for number in range(20):
        storage = FileTokenStorage(path, f"https://{name}-{number}")
        await storage.set_tokens(OAuthToken(access_token=name))
asyncio.run(main(*sys.argv[1:]))
"""
    path = tmp_path / "tokens"
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(path), name], env=os.environ)
        for name in ("a", "b", "c")
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    kept = json.loads(path.read_text(encoding="utf-8"))
    expected = {f"https://{name}-{number}" for name in "abc" for number in range(20)}
    assert set(kept) == expected


@pytest.mark.asyncio
async def test_tokens_that_another_process_refreshed_are_taken_up(tmp_path):
    path = tmp_path / "tokens"
    with Authorization() as authorization, Protected(authorization) as server:
        auth = provider_for(server, storage=FileTokenStorage(path))
        async with session(server, auth) as one:
            authorization.scopes["renewed-elsewhere"] = ""
            other = OAuthToken(access_token="renewed-elsewhere", refresh_token="next")
            await FileTokenStorage(path, server.url).set_tokens(other)
            server.revoked.add(f"{TOKEN}1")
            await one.call_tool("any")
        assert authorization.forms("refresh_token") == []
        assert server.tokens_seen()[-1] == "Bearer renewed-elsewhere"


@pytest.mark.asyncio
async def test_clients_are_kept_by_issuer(tmp_path):
    storage = FileTokenStorage(tmp_path / "t", "https://h")
    for name in ("one", "two"):
        await storage.set_client_info(
            OAuthClientInformationFull(client_id=name, issuer=f"https://{name}")
        )
    assert (await storage.get_client_info()).client_id == "two"
    kept = json.loads((tmp_path / "t").read_text(encoding="utf-8"))
    assert set(kept["https://h"]["clients"]) == {"https://one", "https://two"}


def test_a_provider_may_be_made_before_there_is_a_loop_and_used_on_several():
    with Authorization() as authorization, Protected(authorization) as server:
        person = Person()
        auth = provider_for(server, person)

        async def use():
            async with session(server, auth) as one:
                await one.call_tool("any")

        asyncio.run(use())
        server.revoked.add(f"{TOKEN}1")
        authorization.script["/token"] = lambda call: (
            Answer(400, {"error": "invalid_grant"})
            if call.form["grant_type"] == "refresh_token"
            else None
        )
        asyncio.run(use())
        assert len(person.urls) == 2


@pytest.mark.asyncio
async def test_a_link_to_the_file_of_tokens_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    target, first, link = tmp_path / "real" / "t", tmp_path / "first", tmp_path / "link"
    first.symlink_to("real/t")
    link.symlink_to(first)
    for token in ("a", "b"):
        await FileTokenStorage(link, "https://h").set_tokens(OAuthToken(access_token=token))
        assert link.is_symlink()
        assert first.is_symlink()
        assert not target.is_symlink()
        assert target.stat().st_mode & 0o777 == 0o600
        stored = await FileTokenStorage(target, "https://h").get_tokens()
        assert stored.access_token == token
    assert (await FileTokenStorage(link, "https://h").get_tokens()).access_token == "b"
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    with pytest.raises(OAuthFlowError, match="its link leads to a link"):
        await FileTokenStorage(circle, "https://h").set_tokens(OAuthToken(access_token="a"))


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ((5,), TypeError, "path takes a str or a path object; found int"),
        ((b"t",), TypeError, "path takes a str or a path object; found bytes"),
        ((None,), TypeError, "path takes a str or a path object; found NoneType"),
        (("",), ValueError, "path is empty"),
        (("a\0b",), ValueError, "with a NUL in it"),
        (("t", 5), TypeError, "server_url takes a str; found int"),
    ],
)
def test_what_is_no_file_of_tokens_is_named(arguments, kind, words):
    with pytest.raises(kind, match=words):
        FileTokenStorage(*arguments)
