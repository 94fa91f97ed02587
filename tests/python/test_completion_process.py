"""The completion call and what surrounds it: certificates, forked children."""

from __future__ import annotations

import ssl
import sys
from contextlib import contextmanager

import pytest
import trustme

import toolbridge
from scripted_openai import Endpoint, answer, run_script

QUESTION = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    (folder / "extensions").write_text("subjectAltName=IP:127.0.0.1\n", encoding="utf-8")
    authority = trustme.CA()
    server = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(folder / "authority.pem")
    server.private_key_pem.write_to_path(folder / "server.key")
    for part in server.cert_chain_pems:
        part.write_to_path(folder / "server.pem", append=True)
    return folder


class EncryptedEndpoint(Endpoint):
    """The scripted endpoint behind TLS."""

    def __init__(self, replies, certificates):
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
        super().__init__(replies)
        self.api_base = self.api_base.replace("http://", "https://")

    def _serve(self, connection):
        try:
            encrypted = self._context.wrap_socket(connection, server_side=True)
        except OSError:
            # The client does not trust the certificate.
            connection.close()
            return
        self._open.append(encrypted)
        with encrypted:
            super()._serve(encrypted)


@contextmanager
def serve_encrypted(certificates, *replies):
    endpoint = EncryptedEndpoint(replies or [answer()], certificates)
    try:
        yield endpoint
    finally:
        endpoint.close()


def test_a_certificate_of_an_unknown_authority_is_refused(certificates):
    with (
        serve_encrypted(certificates) as endpoint,
        pytest.raises(toolbridge.APIConnectionError, match="certificate"),
    ):
        toolbridge.completion("gpt-4o", QUESTION, **endpoint.settings)
    assert endpoint.requests == []


@pytest.mark.parametrize("verify", ["no", "bundle", "bundle as a path"])
def test_certificates_can_be_named_or_left_unchecked(certificates, verify):
    bundle = certificates / "authority.pem"
    ssl_verify = {"no": False, "bundle": str(bundle), "bundle as a path": bundle}[verify]
    with serve_encrypted(certificates) as endpoint:
        response = toolbridge.completion(
            "gpt-4o", QUESTION, ssl_verify=ssl_verify, **endpoint.settings
        )
    assert response.choices[0].message.content == "Paris"


@pytest.mark.parametrize("verify", ["no", "bundle", "system"])
def test_tokens_are_asked_for_by_the_same_certificates(certificates, verify):
    ssl_verify = {"no": False, "bundle": certificates / "authority.pem", "system": True}[verify]
    token = answer({"access_token": "a-token", "expires_in": 3600})
    with serve_encrypted(certificates, token, answer()) as endpoint:
        arguments = {
            "api_base": endpoint.api_base,
            "client_id": verify,
            "client_secret": "a-secret-of-mine",
            "ssl_verify": ssl_verify,
            "max_retries": 0,
        }
        if verify == "system":
            with pytest.raises(toolbridge.APIConnectionError, match="no token could be asked for"):
                toolbridge.completion("databricks/m", QUESTION, **arguments)
            return
        response = toolbridge.completion("databricks/m", QUESTION, **arguments)
    assert response.choices[0].message.content == "Paris"
    first, second = endpoint.requests
    assert first.path == "/oidc/v1/token"
    assert second.headers["authorization"] == "Bearer a-token"


def test_a_file_without_certificates_is_named(certificates):
    with (
        serve_encrypted(certificates) as endpoint,
        pytest.raises(toolbridge.ConfigurationError, match=r"extensions holds no PEM"),
    ):
        toolbridge.completion(
            "gpt-4o", QUESTION, ssl_verify=certificates / "extensions", **endpoint.settings
        )


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_forked_child_has_connections_of_its_own_and_no_streams_of_its_parent():
    script = """
import os, warnings
warnings.simplefilter("ignore")
import toolbridge
from scripted_openai import UNTIL_GONE, answer, chunk, serve, stream
question = [{"role": "user", "content": "x"}]
with serve(answer(), stream(chunk({"content": "x"}), UNTIL_GONE), answer(), answer()) as endpoint:
    ask = lambda **more: toolbridge.completion("gpt-4o", question, **endpoint.settings, **more)
    ask()
    streamed = ask(stream=True)
    next(streamed)
    child = os.fork()
    if child == 0:
        try:
            assert ask().choices[0].message.content == "Paris"
            try:
                next(streamed)
            except toolbridge.ToolbridgeError as error:
                assert "os.fork()" in str(error), error
                os._exit(0)
            os._exit(1)
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(2)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, status
    assert ask().choices[0].message.content == "Paris"
    streamed.close()
    print("both")
"""
    done = run_script(script)
    assert (done.stdout, done.stderr) == ("both\n", "")
