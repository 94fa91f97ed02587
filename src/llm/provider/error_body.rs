//! What the body of an error says, whoever wrote it.

use serde_json::Value;

use crate::error::ErrorKind;

/// What an error body says.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ErrorBody {
    /// The sentence.
    pub message: Option<String>,
    /// Its code, numbers as text.
    pub code: Option<String>,
    /// The parameter that it complains of.
    pub param: Option<String>,
    /// Its type.
    pub error_type: Option<String>,
    /// The code of the error within, as Azure has it.
    pub inner_code: Option<String>,
}

impl ErrorBody {
    /// Reads the error out of a body: OpenAI's `{"error": {…}}`, and the shapes that compatible
    /// servers send instead (`{"error": "…"}`, `{"message": …}`, `{"detail": …}`, a list of one).
    pub fn parse(body: &[u8]) -> Self {
        serde_json::from_slice(body)
            .map_or_else(|_| Self::default(), |value| Self::from_value(&value))
    }

    /// As [`Self::parse`], for a decoded body.
    pub fn from_value(body: &Value) -> Self {
        let body = match body {
            Value::Array(items) => items.first().unwrap_or(&Value::Null),
            other => other,
        };
        // A stream of the Responses API fails with the whole response.
        let inside = || body.get("response")?.get("error");
        let error = match body.get("error").or_else(inside) {
            Some(Value::Null) | None => body,
            Some(error) => error,
        };
        // IBM has a list of errors.
        let error = match error.get("errors") {
            Some(Value::Array(errors)) => errors.first().unwrap_or(error),
            _ => error,
        };
        if let Value::String(sentence) = error {
            return Self {
                message: Some(sentence.clone()),
                code: text(body.get("code")),
                ..Self::default()
            };
        }
        Self {
            message: ["message", "detail", "msg", "Message"]
                .iter()
                .find_map(|key| text(error.get(*key))),
            // AWS tells what the model behind it answered.
            code: [
                "code",
                "error_code",
                "originalStatusCode",
                "OriginalStatusCode",
            ]
            .iter()
            .find_map(|key| text(error.get(*key))),
            param: text(error.get("param")),
            error_type: text(error.get("type")).or_else(|| type_of_aws(error)),
            inner_code: ["innererror", "inner_error"]
                .iter()
                .find_map(|key| text(error.get(*key)?.get("code"))),
        }
    }

    /// The kind that a status and this body mean. Without a status (an error in the middle of a
    /// stream) a numeric code that is an HTTP status stands in for it.
    pub fn kind(&self, status: Option<u16>) -> ErrorKind {
        let status = status.or_else(|| {
            self.code
                .as_ref()?
                .parse()
                .ok()
                .filter(|code: &u16| (400..600).contains(code))
        });
        let bad_request = match self.code.as_deref().unwrap_or_default() {
            "context_length_exceeded" | "string_above_max_length" => {
                ErrorKind::ContextWindowExceeded
            }
            "content_policy_violation" | "content_filter" | "moderation_blocked" => {
                ErrorKind::ContentPolicyViolation
            }
            "unsupported_parameter" | "unsupported_value" => ErrorKind::UnsupportedParams,
            _ if self.inner_code.as_deref() == Some("ResponsibleAIPolicyViolation") => {
                ErrorKind::ContentPolicyViolation
            }
            _ => self.kind_by_sentence(),
        };
        let by_type = self.kind_of_aws();
        if status == Some(424) || status.is_none() || by_type == Some(ErrorKind::Authentication) {
            let original = self.code.as_ref().and_then(|code| code.parse().ok());
            match (by_type, status, original) {
                (Some(ErrorKind::BadRequest), _, _) => return bad_request,
                (_, Some(424), Some(original)) if original != 424 => {
                    return self.kind(Some(original));
                }
                (Some(kind), _, _) => return kind,
                _ => {}
            }
        }
        let Some(status) = status else {
            let by_name = match self.code.as_deref().or(self.error_type.as_deref()) {
                Some("rate_limit_exceeded" | "insufficient_quota" | "rate_limit_error") => {
                    ErrorKind::RateLimit
                }
                Some("invalid_api_key" | "authentication_error") => ErrorKind::Authentication,
                _ => ErrorKind::Api,
            };
            return if bad_request == ErrorKind::BadRequest {
                by_name
            } else {
                bad_request
            };
        };
        match status {
            400 => bad_request,
            413 if bad_request == ErrorKind::ContextWindowExceeded => bad_request,
            401 => ErrorKind::Authentication,
            402 => ErrorKind::PaymentRequired,
            403 => ErrorKind::PermissionDenied,
            404 => ErrorKind::NotFound,
            408 => ErrorKind::Timeout,
            409 => ErrorKind::Conflict,
            422 => ErrorKind::UnprocessableEntity,
            429 => ErrorKind::RateLimit,
            502 => ErrorKind::BadGateway,
            503 => ErrorKind::ServiceUnavailable,
            500..=599 => ErrorKind::InternalServer,
            _ => ErrorKind::Status,
        }
    }

    /// The kind that the name of an exception of AWS means.
    fn kind_of_aws(&self) -> Option<ErrorKind> {
        let name = self.error_type.as_ref()?.to_ascii_lowercase();
        let name = name.strip_suffix("exception").unwrap_or(&name);
        Some(match name {
            "throttling" | "toomanyrequests" | "servicequotaexceeded" | "modelnotready" => {
                ErrorKind::RateLimit
            }
            "validation" | "validationerror" => ErrorKind::BadRequest,
            "unrecognizedclient"
            | "invalidsignature"
            | "expiredtoken"
            | "invalidclienttokenid"
            | "incompletesignature"
            | "missingauthenticationtoken" => ErrorKind::Authentication,
            "accessdenied" => ErrorKind::PermissionDenied,
            "resourcenotfound" => ErrorKind::NotFound,
            "modeltimeout" => ErrorKind::Timeout,
            "serviceunavailable" => ErrorKind::ServiceUnavailable,
            "internalserver" | "internalfailure" | "modelerror" | "modelstreamerror" => {
                ErrorKind::InternalServer
            }
            _ => return None,
        })
    }

    fn kind_by_sentence(&self) -> ErrorKind {
        const CONTEXT: [&str; 11] = [
            "maximum context length",
            "context length exceeded",
            "context window",
            "exceeds the context",
            "prompt is too long",
            "reduce the length of the messages",
            "exceed context limit",
            "input is too long",
            "too many input tokens",
            "input tokens exceeded",
            "exceeds the maximum number of tokens",
        ];
        const POLICY: [&str; 5] = [
            "content filtering policy",
            "content policy",
            "content management policy",
            "content_filter",
            "rejected as a result of our safety system",
        ];
        let sentence = self.message.as_deref().unwrap_or_default().to_lowercase();
        let says = |phrases: &[&str]| phrases.iter().any(|phrase| sentence.contains(phrase));
        if says(&CONTEXT) {
            ErrorKind::ContextWindowExceeded
        } else if says(&POLICY) {
            ErrorKind::ContentPolicyViolation
        } else if says(&["api key not valid", "api key expired"]) {
            // Google answers 400 for them.
            ErrorKind::Authentication
        } else {
            ErrorKind::BadRequest
        }
    }
}

/// `"__type": "com.amazon.…#ThrottlingException"`.
fn type_of_aws(error: &Value) -> Option<String> {
    let name = error.get("__type")?.as_str()?;
    name.rsplit('#').next().map(str::to_owned)
}

fn text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_shape_gives_its_sentence() {
        for body in [
            r#"{"error":{"message":"no","type":"t","param":null,"code":7}}"#,
            r#"{"error":"no","code":7}"#,
            r#"{"message":"no","code":7}"#,
            r#"{"detail":"no","code":"7"}"#,
            r#"[{"error":{"message":"no","code":7}}]"#,
        ] {
            let error = ErrorBody::parse(body.as_bytes());
            assert_eq!(error.message.as_deref(), Some("no"), "{body}");
            assert_eq!(error.code.as_deref(), Some("7"), "{body}");
        }
        assert_eq!(ErrorBody::parse(b"<html>"), ErrorBody::default());
    }

    #[test]
    fn the_context_window_and_the_content_policy_are_recognised() {
        let kind = |body: &str| ErrorBody::parse(body.as_bytes()).kind(Some(400));
        assert_eq!(
            kind(r#"{"error":{"message":"x","code":"context_length_exceeded"}}"#),
            ErrorKind::ContextWindowExceeded
        );
        assert_eq!(
            kind(r#"{"message":"This model's maximum context length is 8 tokens","code":400}"#),
            ErrorKind::ContextWindowExceeded
        );
        assert_eq!(
            kind(r#"{"error":{"message":"x","code":"content_filter"}}"#),
            ErrorKind::ContentPolicyViolation
        );
        assert_eq!(
            kind(
                r#"{"error":{"message":"x","code":"400","innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#
            ),
            ErrorKind::ContentPolicyViolation
        );
        assert_eq!(
            kind(r#"{"error":{"message":"x","code":"unsupported_parameter"}}"#),
            ErrorKind::UnsupportedParams
        );
        assert_eq!(kind(r#"{"error":{"message":"x"}}"#), ErrorKind::BadRequest);
        let google = |message: &str| {
            kind(&format!(
                r#"[{{"error":{{"code":400,"message":"{message}","status":"INVALID_ARGUMENT"}}}}]"#
            ))
        };
        assert_eq!(
            google("The input token count (9) exceeds the maximum number of tokens allowed (8)."),
            ErrorKind::ContextWindowExceeded
        );
        assert_eq!(
            google("API key not valid. Please pass a valid API key."),
            ErrorKind::Authentication
        );
    }

    #[test]
    fn statuses_have_their_kinds() {
        let kind = |status| ErrorBody::default().kind(Some(status));
        for (status, wanted) in [
            (401, ErrorKind::Authentication),
            (402, ErrorKind::PaymentRequired),
            (403, ErrorKind::PermissionDenied),
            (404, ErrorKind::NotFound),
            (408, ErrorKind::Timeout),
            (409, ErrorKind::Conflict),
            (418, ErrorKind::Status),
            (422, ErrorKind::UnprocessableEntity),
            (429, ErrorKind::RateLimit),
            (500, ErrorKind::InternalServer),
            (502, ErrorKind::BadGateway),
            (503, ErrorKind::ServiceUnavailable),
            (529, ErrorKind::InternalServer),
        ] {
            assert_eq!(kind(status), wanted, "{status}");
        }
    }

    #[test]
    fn without_a_status_the_body_decides() {
        let kind = |body: &str| ErrorBody::parse(body.as_bytes()).kind(None);
        assert_eq!(
            kind(r#"{"error":{"message":"x","code":429}}"#),
            ErrorKind::RateLimit
        );
        assert_eq!(
            kind(r#"{"error":{"message":"x","code":"rate_limit_exceeded"}}"#),
            ErrorKind::RateLimit
        );
        assert_eq!(
            kind(r#"{"error":{"message":"x","type":"server_error"}}"#),
            ErrorKind::Api
        );
    }
}
