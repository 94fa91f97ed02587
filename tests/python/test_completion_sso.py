"""Logins of AWS (``aws sso login``): what the portal and the token service are asked, beside what botocore asks
them in the same home, and what is said where there is no login.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from typing import TYPE_CHECKING, Any

import botocore.credentials
import botocore.tokens
import pytest
from botocore.exceptions import BotoCoreError
from botocore.session import Session

import toolbridge
from scripted_aws import ANSWER, Endpoint, Reply, serve, signature_problems
from test_completion_bedrock import ROLE, ROLE_KEYS, assumed

if TYPE_CHECKING:
    from pathlib import Path

MODEL = "bedrock/amazon.nova-lite-v1:0"
QUESTION = [{"role": "user", "content": "Hi"}]
START_URL = "https://a.awsapps.com/start"
TOKEN = "the-token-of-the-login"
KEYS = ("AKIDSSO", "of-the-portal", "token-of-it")
SESSION = f"[sso-session work]\nsso_region = eu-west-1\nsso_start_url = {START_URL}\n"
OF_SESSION = "sso_session = work\nsso_account_id = 123456789012\nsso_role_name = reader\n"
LEGACY = (
    f"sso_start_url = {START_URL}\nsso_region = eu-west-1\n"
    "sso_account_id = 123456789012\nsso_role_name = reader\n"
)
KINDS = pytest.mark.parametrize(
    ("lines", "identifier"),
    [pytest.param(OF_SESSION, "work", id="session"), pytest.param(LEGACY, START_URL, id="legacy")],
)


def stamp(hours: float) -> str:
    """A time from now, as the command writes it."""
    return f"{dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}"


class Home:
    """A home with a login, and the services that it is good for."""

    def __init__(self, path: Path, patch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.patch = patch
        self.cache = path / ".aws/sso/cache"
        self.cache.mkdir(parents=True)

    def profile(self, lines: str, *more: str) -> None:
        text = "".join([f"[profile dev]\nregion = us-east-1\n{lines}", SESSION, *more])
        (self.path / "config").write_text(text)

    def file(self, identifier: str) -> Path:
        name = hashlib.sha1(identifier.encode(), usedforsecurity=False).hexdigest()
        return self.cache / f"{name}.json"

    def token(self, identifier: str, hours: float = 1, **members: str) -> None:
        token = {"startUrl": START_URL, "region": "eu-west-1", "accessToken": TOKEN}
        token |= {"expiresAt": stamp(hours), **members}
        self.file(identifier).write_text(json.dumps(token))

    def complete(self, endpoint: Endpoint, *, profile: str = "dev", is_named: bool = True) -> Any:
        """A completion with the profile of the call or of the environment."""
        named = {"aws_profile_name": profile} if is_named else {}
        if not is_named:
            self.patch.setenv("AWS_PROFILE", profile)
        # A session of its own: what other tests got must not be found.
        settings = {"aws_session_name": self.path.name, "max_retries": 0, **named}
        return toolbridge.completion(MODEL, QUESTION, api_base=endpoint.origin, **settings)

    def reach(self, **endpoints: Endpoint) -> None:
        for name, endpoint in endpoints.items():
            self.patch.setenv(f"AWS_ENDPOINT_URL_{name.upper()}", endpoint.origin)


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Home:
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_BEARER_TOKEN_BEDROCK", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    home = Home(tmp_path, monkeypatch)
    # botocore looks for the home of the process when it is imported.
    for owner in (botocore.credentials.SSOProvider, botocore.tokens.SSOTokenProvider):
        monkeypatch.setattr(owner, "_SSO_TOKEN_CACHE_DIR", str(home.cache))
    return home


def given(hours: float = 1) -> Reply:
    """What the portal gives for a login."""
    end = dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours)
    keys = {"accessKeyId": KEYS[0], "secretAccessKey": KEYS[1], "sessionToken": KEYS[2]}
    return Reply({"roleCredentials": {**keys, "expiration": int(end.timestamp() * 1000)}})


def by_botocore() -> tuple[str, str, str]:
    """The credentials that botocore finds in the same home."""
    found = Session(profile="dev").get_credentials().get_frozen_credentials()
    return (found.access_key, found.secret_key, found.token)


def asked(endpoint: Endpoint) -> list[Any]:
    """What an endpoint was asked, as far as it says who asks for what."""
    return [
        (
            one.method,
            one.path,
            one.headers.get("x-amz-sso_bearer_token"),
            one.headers.get("authorization"),
            json.loads(one.text) if one.text else None,
        )
        for one in endpoint.requests
    ]


@KINDS
@pytest.mark.parametrize("is_named", [True, False])
def test_a_login_gives_the_credentials_that_botocore_gets_and_is_asked_once(
    home, lines, identifier, is_named
):
    home.profile(lines)
    home.token(identifier)
    with (
        serve(given()) as portal,
        serve(given()) as other,
        serve(Reply(ANSWER), Reply(ANSWER)) as model,
    ):
        home.reach(sso=portal)
        home.complete(model, is_named=is_named)
        home.complete(model, is_named=is_named)
        home.reach(sso=other)
        assert by_botocore() == KEYS
    for request in model.requests:
        assert signature_problems(request, "bedrock", "us-east-1", KEYS) == []
    assert asked(portal) == asked(other)
    ((method, path, token, authorization, body),) = asked(portal)
    assert (method, token, authorization, body) == ("GET", TOKEN, None, None)
    assert path.startswith("/federation/credentials?")


REGISTERED = {
    "clientId": "a-client",
    "clientSecret": "its-secret",
    "refreshToken": "to-renew",
    "registrationExpiresAt": stamp(1000),
}
RENEWED = {"accessToken": "a-new-token", "expiresIn": 3600, "refreshToken": "to-renew-again"}


@pytest.mark.parametrize("hours", [-1, 0.05])
def test_a_login_that_is_nearly_over_is_renewed_as_botocore_renews_it(home, hours):
    home.profile(OF_SESSION)
    seen = []
    for ask in (home.complete, lambda _: by_botocore()):
        home.token("work", hours, **REGISTERED)
        with (
            serve(given()) as portal,
            serve(Reply(RENEWED)) as tokens,
            serve(Reply(ANSWER)) as model,
        ):
            home.reach(sso=portal, sso_oidc=tokens)
            ask(model)
        kept = json.loads(home.file("work").read_text())
        assert kept.pop("expiresAt") > stamp(0.9)
        seen.append((asked(portal), asked(tokens), kept))
    ours, theirs = seen
    assert ours == theirs
    ((_, _, token, _, _),), ((method, path, _, _, body),), kept = ours
    assert token == kept["accessToken"] == "a-new-token"
    assert (method, path, body["refreshToken"]) == ("POST", "/token", "to-renew")
    assert kept["refreshToken"] == "to-renew-again"


NOT_FOUND = Reply(
    {"message": "Session token not found or invalid"},
    401,
    {"x-amzn-errortype": "UnauthorizedException"},
)


@KINDS
@pytest.mark.parametrize("state", ["missing", "over", "refused", "unreadable"])
@pytest.mark.parametrize("is_named", [True, False])
def test_a_login_that_is_not_good_names_its_profile_and_the_command(
    home, lines, identifier, state, is_named
):
    home.profile(lines)
    if state == "unreadable":
        home.file(identifier).write_text('{"accessToken": 1}')
    elif state != "missing":
        home.token(identifier, -1 if state == "over" else 1)
    with (
        serve(NOT_FOUND) as portal,
        serve() as model,
        pytest.raises(toolbridge.AuthenticationError) as caught,
    ):
        home.reach(sso=portal)
        home.complete(model, is_named=is_named)
    with serve(NOT_FOUND) as other, pytest.raises((BotoCoreError, KeyError)):
        home.reach(sso=other)
        by_botocore()
    said = str(caught.value)
    assert "`aws sso login --profile dev`" in said
    assert TOKEN not in said
    assert model.requests == []


def test_the_login_that_is_missing_is_the_one_at_the_end_of_the_profiles(home):
    home.profile(f"role_arn = {ROLE}\nsource_profile = login\n", f"[profile login]\n{OF_SESSION}")
    with serve() as model, pytest.raises(toolbridge.AuthenticationError) as caught:
        home.complete(model)
    assert 'the profile "dev"' in str(caught.value)
    assert "`aws sso login --profile login`" in str(caught.value)


def test_another_profile_of_the_environment_has_credentials_of_its_own(home):
    home.profile(OF_SESSION, "[profile other]\nregion = us-east-1\n")
    home.token("work")
    (home.path / "credentials").write_text(
        "[other]\naws_access_key_id = AKIDOTHER\naws_secret_access_key = of-the-other\n"
    )
    with serve(given()) as portal, serve(Reply(ANSWER), Reply(ANSWER)) as model:
        home.reach(sso=portal)
        home.complete(model, profile="dev", is_named=False)
        home.complete(model, profile="other", is_named=False)
    first, second = model.requests
    assert signature_problems(first, "bedrock", "us-east-1", KEYS) == []
    keys = ("AKIDOTHER", "of-the-other")
    assert signature_problems(second, "bedrock", "us-east-1", keys) == []


def test_a_role_that_the_login_may_not_have_asks_for_no_other_login(home):
    home.profile(OF_SESSION)
    home.token("work")
    refusal = Reply({"message": "No access"}, 403, {"x-amzn-errortype": "ForbiddenException"})
    with (
        serve(refusal) as portal,
        serve() as model,
        pytest.raises(toolbridge.AuthenticationError, match="No access") as caught,
    ):
        home.reach(sso=portal)
        home.complete(model)
    assert "aws sso login" not in str(caught.value)


def test_a_role_of_a_profile_is_assumed_with_the_login_of_another(home):
    home.profile(f"role_arn = {ROLE}\nsource_profile = login\n", f"[profile login]\n{OF_SESSION}")
    home.token("work")
    with (
        serve(given()) as portal,
        serve(assumed("AssumeRole")) as sts,
        serve(Reply(ANSWER)) as model,
    ):
        home.reach(sso=portal, sts=sts)
        home.complete(model)
    assert signature_problems(model.requests[0], "bedrock", "us-east-1", ROLE_KEYS) == []
    assert signature_problems(sts.requests[0], "sts", "us-east-1", KEYS) == []
