//! One call of Lambda: a function of the deployment is asked something, with the operator's credentials. The SDK would be
//! hundreds of operations for this one; its signature is AWS's own library's.

use std::{str::FromStr, time::SystemTime};

use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use http::{StatusCode, header};
use jiff::Timestamp;
use platform::Aws;
use salesforce::Http;

use crate::report::CommandError;

/// Set where the function itself failed (Lambda API reference, Invoke).
const FUNCTION_ERROR: &str = "x-amz-function-error";

/// A function or one of its aliases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionArn {
    arn: String,
    partition: String,
    region: String,
}

/// It is no function's ARN.
#[derive(Debug, thiserror::Error)]
#[error("this is no function's ARN, such as arn:aws:lambda:eu-central-1:123456789012:function:name:live")]
pub struct NotAFunction;

/// Why a function did not answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// As many as may run at once do (`TooManyRequestsException`).
    #[error("it is busy: ask again in some minutes")]
    Busy,
    /// Anything else, and what to do about it.
    #[error("{0}")]
    Failed(String),
}

impl FromStr for FunctionArn {
    type Err = NotAFunction;

    fn from_str(arn: &str) -> Result<Self, NotAFunction> {
        let plain = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'$'))
        };
        let parts: Vec<&str> = arn.split(':').collect();
        match parts[..] {
            ["arn", partition, "lambda", region, _, "function", _]
            | ["arn", partition, "lambda", region, _, "function", _, _]
                if parts.iter().all(|part| plain(part)) =>
            {
                Ok(Self { arn: arn.to_owned(), partition: partition.to_owned(), region: region.to_owned() })
            }
            _ => Err(NotAFunction),
        }
    }
}

impl FunctionArn {
    /// Where Lambda answers, unless the environment names another place, as the SDKs read it.
    fn endpoint(&self) -> String {
        let named = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
        let ending = if self.partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
        named("AWS_ENDPOINT_URL_LAMBDA")
            .or_else(|| named("AWS_ENDPOINT_URL"))
            .unwrap_or_else(|| format!("https://lambda.{}.{ending}", self.region))
    }

    /// Asks it, and waits for what it answers.
    pub async fn ask(
        &self,
        question: Vec<u8>,
        aws: &Aws,
        http: &Http,
        now: Timestamp,
    ) -> Result<Vec<u8>, Unanswered> {
        let request =
            self.signed(question, aws, now).map_err(|error| Unanswered::Failed(error.to_string()))?;
        let answer =
            http.send(request).await.map_err(|error| Unanswered::Failed(format!("Lambda: {error}")))?;
        let why = match answer.status() {
            StatusCode::OK if answer.headers().contains_key(FUNCTION_ERROR) => {
                "it failed: its log says why".into()
            }
            StatusCode::OK => return Ok(answer.into_body()),
            StatusCode::TOO_MANY_REQUESTS => return Err(Unanswered::Busy),
            StatusCode::FORBIDDEN => format!("these credentials need lambda:InvokeFunction on {}", self.arn),
            StatusCode::NOT_FOUND => format!("there is no {}", self.arn),
            other => format!("Lambda answered {}", other.as_u16()),
        };
        Err(Unanswered::Failed(why))
    }

    fn signed(
        &self,
        question: Vec<u8>,
        aws: &Aws,
        now: Timestamp,
    ) -> Result<http::Request<Vec<u8>>, CommandError> {
        let (endpoint, name) = (self.endpoint(), self.arn.replace(':', "%3A"));
        let address = format!("{}/2015-03-31/functions/{name}/invocations", endpoint.trim_end_matches('/'));
        let kind = (header::CONTENT_TYPE, "application/json");
        let signable = SignableRequest::new(
            "POST",
            &address,
            std::iter::once((kind.0.as_str(), kind.1)),
            SignableBody::Bytes(&question),
        )?;
        let identity = aws.credentials.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("lambda")
            .time(SystemTime::from(now))
            .settings(SigningSettings::default())
            .build()?;
        let (signature, _) = sign(signable, &parameters.into())?.into_parts();
        let mut request = http::Request::post(&address).header(kind.0, kind.1).body(question)?;
        signature.apply_to_request_http1x(&mut request);
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_named_by_its_arn_and_nothing_else_becomes_a_host() {
        let alias: FunctionArn =
            "arn:aws:lambda:eu-central-1:123456789012:function:latchkey-dev-SweepFunction-1H2G:live"
                .parse()
                .unwrap();
        assert_eq!((alias.partition.as_str(), alias.region.as_str()), ("aws", "eu-central-1"));
        for wrong in [
            "latchkey-dev-SweepFunction",
            "arn:aws:lambda:eu-central-1:123456789012:layer:name",
            "arn:aws:lambda:evil.example/:123456789012:function:name",
            "arn:aws:lambda::123456789012:function:name",
            "arn:aws:lambda:eu-central-1:123456789012:function:name:live:more",
        ] {
            assert!(wrong.parse::<FunctionArn>().is_err(), "{wrong}");
        }
    }
}
