//! Keys: signed JWTs (RFC 7515, 7518, 7519) and proofs of possession (DPoP, RFC 9449). The
//! cryptography is that of aws-lc-rs.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
    RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use url::Url;

use crate::error::{Error, ErrorKind, Result};

/// Bytes as text that URLs and JWTs take.
pub(super) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What nobody can guess: 256 bits.
pub(super) fn random_text() -> Result<String> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| Error::new(ErrorKind::Internal, "the system gives no random numbers"))?;
    Ok(base64url(&bytes))
}

/// The SHA-256 digest of a text, as text.
pub(super) fn sha256(text: &str) -> String {
    base64url(digest(&SHA256, text.as_bytes()).as_ref())
}

/// Compares without telling how far two secrets agree.
pub(super) fn is_same_secret(one: &str, other: &str) -> bool {
    verify_slices_are_equal(one.as_bytes(), other.as_bytes()).is_ok()
}

/// The time in seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

fn configuration(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Configuration, message)
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Rsa(Box<RsaKeyPair>, &'static dyn RsaEncoding),
    Ed25519(Ed25519KeyPair),
}

/// A private key and the algorithm that it signs with.
pub struct SigningKey {
    algorithm: String,
    pair: Pair,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("SigningKey")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Reads a private key in PEM (PKCS #8, PKCS #1 or SEC 1).
    pub fn from_pem(pem: &str, algorithm: &str) -> Result<Self> {
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| {
            configuration(
                "the signing key is not a private key in PEM (-----BEGIN PRIVATE KEY-----)",
            )
        })?;
        let pair = match algorithm {
            "ES256" => ecdsa(&der, true),
            "ES384" => ecdsa(&der, false),
            "RS256" => rsa(&der, &RSA_PKCS1_SHA256),
            "RS384" => rsa(&der, &RSA_PKCS1_SHA384),
            "RS512" => rsa(&der, &RSA_PKCS1_SHA512),
            "PS256" => rsa(&der, &RSA_PSS_SHA256),
            "PS384" => rsa(&der, &RSA_PSS_SHA384),
            "PS512" => rsa(&der, &RSA_PSS_SHA512),
            "EdDSA" => match &der {
                PrivateKeyDer::Pkcs8(key) => {
                    let pair = Ed25519KeyPair::from_pkcs8(key.secret_pkcs8_der());
                    pair.ok().map(Pair::Ed25519)
                }
                _ => None,
            },
            _ => {
                return Err(configuration(format!(
                    "the signing algorithm {algorithm} is unknown; ES256, ES384, RS256, RS384, \
                     RS512, PS256, PS384, PS512 and EdDSA are known"
                )));
            }
        };
        let pair = pair.ok_or_else(|| {
            configuration(format!(
                "the signing key does not fit the algorithm {algorithm}"
            ))
        })?;
        Ok(Self {
            algorithm: algorithm.to_owned(),
            pair,
        })
    }

    /// A signed JWT.
    pub fn sign(&self, claims: &Value) -> Result<String> {
        self.sign_with(&json!({ "alg": self.algorithm, "typ": "JWT" }), claims)
    }

    fn sign_with(&self, header: &Value, claims: &Value) -> Result<String> {
        let signed = format!(
            "{}.{}",
            base64url(header.to_string().as_bytes()),
            base64url(claims.to_string().as_bytes())
        );
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Ecdsa(pair) => pair
                .sign(&random, signed.as_bytes())
                .map(|signature| base64url(signature.as_ref())),
            Pair::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &random, signed.as_bytes(), &mut signature)
                    .map(|()| base64url(&signature))
            }
            Pair::Ed25519(pair) => Ok(base64url(pair.sign(signed.as_bytes()).as_ref())),
        }
        .map_err(|_| Error::new(ErrorKind::Internal, "the JWT could not be signed"))?;
        Ok(format!("{signed}.{signature}"))
    }
}

fn ecdsa(der: &PrivateKeyDer<'_>, is_p256: bool) -> Option<Pair> {
    let curve = if is_p256 {
        &ECDSA_P256_SHA256_FIXED_SIGNING
    } else {
        &ECDSA_P384_SHA384_FIXED_SIGNING
    };
    let pair = match der {
        PrivateKeyDer::Pkcs8(key) => EcdsaKeyPair::from_pkcs8(curve, key.secret_pkcs8_der()),
        PrivateKeyDer::Sec1(key) => {
            EcdsaKeyPair::from_private_key_der(curve, key.secret_sec1_der())
        }
        _ => return None,
    };
    pair.ok().map(Pair::Ecdsa)
}

fn rsa(der: &PrivateKeyDer<'_>, encoding: &'static dyn RsaEncoding) -> Option<Pair> {
    let pair = match der {
        PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
        _ => return None,
    };
    pair.ok().map(|pair| Pair::Rsa(Box::new(pair), encoding))
}

/// The key that tokens are bound to, and the proofs that this client holds it.
pub struct DpopKey {
    key: SigningKey,
    jwk: Value,
    /// The form in which it is stored; none for a key of the user's.
    private: Option<String>,
}

impl std::fmt::Debug for DpopKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("DpopKey")
    }
}

impl DpopKey {
    /// A new key.
    pub fn generate() -> Result<Self> {
        let failed = |_| Error::new(ErrorKind::Internal, "no key for DPoP could be made");
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?;
        let private = base64url(pair.to_pkcs8v1().map_err(failed)?.as_ref());
        Self::of(pair, Some(private))
    }

    /// The user's key: P-256, in PEM.
    pub fn from_pem(pem: &str) -> Result<Self> {
        match SigningKey::from_pem(pem, "ES256")?.pair {
            Pair::Ecdsa(pair) => Self::of(pair, None),
            _ => Err(configuration("the key for DPoP is not one for ES256")),
        }
    }

    /// A key that was made by [`Self::generate`] and stored.
    pub(super) fn restore(private: &str) -> Result<Self> {
        let unusable = || configuration("the stored key for DPoP cannot be read");
        let der = URL_SAFE_NO_PAD.decode(private).map_err(|_| unusable())?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der)
            .map_err(|_| unusable())?;
        Self::of(pair, Some(private.to_owned()))
    }

    fn of(pair: EcdsaKeyPair, private: Option<String>) -> Result<Self> {
        // An uncompressed point: 4, x, y.
        let point = pair.public_key().as_ref();
        let Some((x, y)) = point.get(1..).and_then(|point| point.split_at_checked(32)) else {
            return Err(configuration("the key for DPoP is not one for ES256"));
        };
        let jwk = json!({ "crv": "P-256", "kty": "EC", "x": base64url(x), "y": base64url(y) });
        let key = SigningKey {
            algorithm: "ES256".to_owned(),
            pair: Pair::Ecdsa(pair),
        };
        Ok(Self { key, jwk, private })
    }

    /// The form in which the key is stored, if it is ours to store.
    pub(super) fn private(&self) -> Option<&str> {
        self.private.as_deref()
    }

    /// The thumbprint of the public key (RFC 7638).
    pub(super) fn thumbprint(&self) -> String {
        // The members are made in the order that the thumbprint asks for.
        sha256(&self.jwk.to_string())
    }

    /// A proof for one request, with the token that it carries and the nonce of its server.
    pub(super) fn proof(
        &self,
        method: &str,
        url: &Url,
        token: Option<&str>,
        nonce: Option<&str>,
    ) -> Result<String> {
        let mut target = url.clone();
        target.set_query(None);
        target.set_fragment(None);
        let mut claims = json!({
            "jti": random_text()?,
            "htm": method,
            "htu": target.as_str(),
            "iat": now(),
        });
        if let Some(token) = token {
            claims["ath"] = sha256(token).into();
        }
        if let Some(nonce) = nonce {
            claims["nonce"] = nonce.into();
        }
        let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk });
        self.key.sign_with(&header, &claims)
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
        VerificationAlgorithm,
    };
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn parts(jwt: &str) -> (Value, Value, Vec<u8>) {
        let all: Vec<_> = jwt
            .split('.')
            .map(|part| URL_SAFE_NO_PAD.decode(part).unwrap())
            .collect();
        let [header, claims, signature] = all.try_into().unwrap();
        let header = serde_json::from_slice(&header).unwrap();
        (header, serde_json::from_slice(&claims).unwrap(), signature)
    }

    fn verify(algorithm: &'static dyn VerificationAlgorithm, public: &[u8], jwt: &str) {
        let (signed, _) = jwt.rsplit_once('.').unwrap();
        UnparsedPublicKey::new(algorithm, public)
            .verify(signed.as_bytes(), &parts(jwt).2)
            .unwrap();
    }

    fn pem(der: &[u8]) -> String {
        let text = STANDARD.encode(der);
        format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
    }

    #[test]
    fn a_proof_is_signed_by_the_key_that_it_shows() {
        let key = DpopKey::generate().unwrap();
        let url = Url::parse("https://h/mcp?key=1#x").unwrap();
        let proof = key.proof("POST", &url, Some("token"), Some("n")).unwrap();
        let (header, claims, _) = parts(&proof);
        assert_eq!(header["typ"], "dpop+jwt");
        assert_eq!(header["jwk"].get("d"), None);
        assert_eq!(claims["htm"], "POST");
        assert_eq!(claims["htu"], "https://h/mcp");
        assert_eq!(claims["ath"], "PEaenWxYddN6Q_NT1PiOYfz4EsZu7jRXRlpAsNpBU-A");
        assert_eq!(claims["nonce"], "n");
        let mut point = vec![4];
        for name in ["x", "y"] {
            let number = header["jwk"][name].as_str().unwrap();
            point.extend(URL_SAFE_NO_PAD.decode(number).unwrap());
        }
        verify(&ECDSA_P256_SHA256_FIXED, &point, &proof);
        let again = key.proof("POST", &url, None, None).unwrap();
        assert_ne!(parts(&again).1["jti"], claims["jti"]);
        assert_eq!(parts(&again).1.get("ath"), None);
        let restored = DpopKey::restore(key.private().unwrap()).unwrap();
        assert_eq!(restored.thumbprint(), key.thumbprint());
        assert_eq!(format!("{key:?}"), "DpopKey");
    }

    #[test]
    fn the_thumbprint_is_that_of_the_members_in_order() {
        let key = DpopKey::generate().unwrap();
        let (x, y) = (&key.jwk["x"], &key.jwk["y"]);
        let text = format!(r#"{{"crv":"P-256","kty":"EC","x":{x},"y":{y}}}"#);
        assert_eq!(key.thumbprint(), sha256(&text));
    }

    #[test]
    fn keys_sign_what_they_fit() {
        let rsa = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = rsa.as_der().unwrap();
        let text = pem(der.as_ref());
        let key = SigningKey::from_pem(&text, "RS256").unwrap();
        let jwt = key.sign(&json!({ "sub": "me" })).unwrap();
        assert_eq!(parts(&jwt).0["alg"], "RS256");
        assert_eq!(parts(&jwt).1, json!({ "sub": "me" }));
        verify(&RSA_PKCS1_2048_8192_SHA256, rsa.public_key().as_ref(), &jwt);
        for (pem, algorithm, expected) in [
            (&*text, "ES256", "does not fit"),
            (&*text, "HS256", "unknown"),
            ("secret", "ES256", "PEM"),
        ] {
            let error = SigningKey::from_pem(pem, algorithm).unwrap_err();
            assert!(error.message().contains(expected), "{error}");
            assert!(!error.message().contains("secret"), "{error}");
        }
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let text = pem(pair.to_pkcs8v1().unwrap().as_ref());
        let key = SigningKey::from_pem(&text, "ES256").unwrap();
        let jwt = key.sign(&json!({})).unwrap();
        verify(&ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref(), &jwt);
        DpopKey::from_pem(&text).unwrap();
    }
}
