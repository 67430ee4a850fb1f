//! AWS's errors in one sentence, with what to do. The SDK's own texts for them are pages of debugging output.

use std::error::Error;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use store::{SecretError, StoreError};

/// What an SDK says when no answer came, as `store` names it.
const NO_ANSWER: &str = "NoAnswer";

/// A call of the SDK that failed.
pub(crate) fn explain<E, R>(error: &SdkError<E, R>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug + 'static,
{
    match error {
        SdkError::ServiceError(refusal) => {
            let (code, message) = (refusal.err().code(), refusal.err().message());
            refused(code.unwrap_or("an unknown error"), message.unwrap_or_default())
        }
        SdkError::TimeoutError(_) => refused(NO_ANSWER, "no answer in time"),
        SdkError::DispatchFailure(failure) => {
            let source = failure.as_connector_error().map(|error| innermost(error));
            refused(NO_ANSWER, &source.unwrap_or_default())
        }
        SdkError::ResponseError(_) => refused(NO_ANSWER, "the answer is not one of AWS's"),
        other => refused("the request could not be made", &innermost(other)),
    }
}

/// An error of any command, with what to do where it is one of AWS's.
pub(crate) fn told(error: &(dyn Error + 'static)) -> String {
    if let Some(StoreError::Unavailable { operation, code, message }) = error.downcast_ref() {
        return format!("DynamoDB {operation}: {}", refused(code, message));
    }
    if let Some(SecretError::Unreadable { name, code, message }) = error.downcast_ref() {
        return format!("secret {name} could not be read: {}", refused(code, message));
    }
    error.to_string()
}

/// Whether Secrets Manager says that it has no such secret.
pub(crate) fn is_missing(error: &SecretError) -> bool {
    matches!(error, SecretError::Unreadable { code, .. } if code == "ResourceNotFoundException")
}

fn refused(code: &str, message: &str) -> String {
    let what = if message.is_empty() { code.to_owned() } else { format!("{code}: {message}") };
    match advice(code) {
        Some(advice) => format!("{}. {advice}", what.trim_end_matches('.')),
        None => what,
    }
}

/// What to do about an error code of AWS's.
fn advice(code: &str) -> Option<&'static str> {
    Some(match code {
        NO_ANSWER | "RequestTimeout" | "TimedOut" => {
            "AWS did not answer: check the network, AWS_REGION and the AWS_ENDPOINT_URL variables, and try again"
        }
        "ResourceNotFoundException" => "Check the name, and that AWS_REGION is the deployment's region",
        "AccessDeniedException" | "AccessDenied" => {
            "These credentials lack a permission: docs/deploy.md lists what the command needs"
        }
        "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "InvalidClientTokenId"
        | "MissingAuthenticationToken"
        | "ExpiredToken"
        | "ExpiredTokenException" => {
            "AWS does not accept these credentials: sign in again, and try aws sts get-caller-identity"
        }
        "ThrottlingException" | "ProvisionedThroughputExceededException" | "RequestLimitExceeded" => {
            "Try again in a minute"
        }
        _ => return None,
    })
}

/// The innermost reason, which says what happened and nothing more.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut reason = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    reason.to_string()
}
