//! What can go wrong between a function and its table, armed ahead and taken by the requests that match.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::meter::Kind;

/// Which requests a fault is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    Any,
    Reads,
    Writes,
    /// By its name, as `UpdateItem`.
    Operation(&'static str),
}

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Refused with this error code; nothing is carried out.
    Refuse(&'static str),
    /// The connection breaks; nothing is carried out.
    Unreachable,
    /// It is carried out, and the connection breaks before the answer.
    LoseAnswer,
    /// A write meets another transaction; nothing is carried out.
    Conflict,
    /// A batch is answered with nothing found and all of it unprocessed, as where capacity is short.
    LeaveUnprocessed,
}

/// An armed fault: lets `after` matching requests by, then strikes the given number of times.
#[derive(Debug, Clone)]
pub struct Fault {
    effect: Effect,
    which: Which,
    after: usize,
    times: usize,
    /// Where a whole call is struck: the calls that were let by, and the one that is struck.
    calls: Option<Calls>,
}

/// The SDK's calls that a fault has seen, by `amz-sdk-invocation-id`: all tries of a call have the same.
#[derive(Debug, Clone, Default)]
struct Calls {
    let_by: Vec<String>,
    struck: Option<String>,
}

impl Fault {
    /// Refuses the next request with DynamoDB's error `code`, as `ProvisionedThroughputExceededException`.
    pub fn refuse(code: &'static str) -> Self {
        Self::once(Effect::Refuse(code))
    }

    /// Carries the next request out and loses the answer.
    pub fn lose_answer() -> Self {
        Self::once(Effect::LoseAnswer)
    }

    /// Refuses the next write because another transaction holds one of its items.
    pub fn conflict() -> Self {
        Self::once(Effect::Conflict).on(Which::Writes)
    }

    /// Answers the next BatchGetItem without having processed any of it.
    pub fn leave_unprocessed() -> Self {
        Self::once(Effect::LeaveUnprocessed).on(Which::Operation("BatchGetItem"))
    }

    /// Breaks the next request's connection before anything is carried out.
    pub fn unreachable() -> Self {
        Self::once(Effect::Unreachable)
    }

    fn once(effect: Effect) -> Self {
        Self { effect, which: Which::Any, after: 0, times: 1, calls: None }
    }

    /// For these requests only.
    #[must_use]
    pub fn on(self, which: Which) -> Self {
        Self { which, ..self }
    }

    /// Lets this many matching requests by first.
    #[must_use]
    pub fn after(self, after: usize) -> Self {
        Self { after, ..self }
    }

    /// Strikes this often; an SDK's retries each take one.
    #[must_use]
    pub fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    /// Strikes every try of one call, however many the SDK makes, and no other call; `after` counts calls. How often a
    /// call is tried depends on how loaded the machine is: a try that takes too long is followed by another.
    #[must_use]
    pub fn every_try(self) -> Self {
        Self { calls: Some(Calls::default()), ..self }
    }

    /// What befalls a request of `operation` in the SDK's `call`, which counts as one if it matches.
    pub(super) fn strike(&mut self, operation: &str, call: &str) -> Option<Effect> {
        let matches = match self.which {
            Which::Any => true,
            Which::Reads => Kind::of(operation) == Kind::Read,
            Which::Writes => Kind::of(operation) == Kind::Write,
            Which::Operation(name) => name == operation,
        };
        if let Some(calls) = self.calls.as_mut().filter(|_| matches) {
            if calls.struck.is_none() && !calls.let_by.iter().any(|seen| seen == call) {
                if calls.let_by.len() < self.after {
                    calls.let_by.push(call.to_owned());
                } else {
                    calls.struck = Some(call.to_owned());
                }
            }
            return (calls.struck.as_deref() == Some(call)).then_some(self.effect);
        }
        if !matches || self.times == 0 {
            return None;
        }
        if self.after > 0 {
            self.after -= 1;
            return None;
        }
        self.times -= 1;
        Some(self.effect)
    }
}

/// DynamoDB's refusal with `code`: status, type and message as the service sends them
/// (Developer Guide, "Error handling with DynamoDB").
pub(super) fn refusal(code: &str, operation: &str) -> Response {
    let denied = format!(
        "User: arn:aws:sts::000000000000:assumed-role/latchkey/function is not authorized to perform: \
         dynamodb:{operation} because no identity-based policy allows the dynamodb:{operation} action"
    );
    let (status, space, message) = match code {
        "InternalServerError" => (500, "com.amazonaws.dynamodb.v20120810", "Internal server error"),
        "ServiceUnavailable" => (503, "com.amazon.coral.availability", "Service is temporarily unavailable"),
        "AccessDeniedException" => (400, "com.amazon.coral.service", denied.as_str()),
        "ThrottlingException" => {
            (400, "com.amazon.coral.availability", "Rate of requests exceeds the allowed throughput.")
        }
        "ProvisionedThroughputExceededException" => (
            400,
            "com.amazonaws.dynamodb.v20120810",
            "The level of configured provisioned throughput for the table was exceeded. Consider increasing your \
             provisioning level with the UpdateTable API.",
        ),
        "TransactionConflictException" => {
            (400, "com.amazonaws.dynamodb.v20120810", "Transaction is ongoing for the item")
        }
        _ => (400, "com.amazonaws.dynamodb.v20120810", "The request was refused"),
    };
    let status = StatusCode::from_u16(status).expect("one of the statuses above");
    let body = json!({ "__type": format!("{space}#{code}"), "message": message }).to_string();
    (status, [(header::CONTENT_TYPE, "application/x-amz-json-1.0")], body).into_response()
}

/// What a write is answered that meets another transaction. A transaction is canceled, with a reason for each of its
/// writes (API reference, `TransactWriteItems`): here the last one met it.
pub(super) fn conflict(operation: &str, asked: &Value) -> Response {
    let Some(writes) = asked["TransactItems"].as_array() else {
        return refusal("TransactionConflictException", operation);
    };
    let mut reasons = vec![json!({ "Code": "None" }); writes.len()];
    if let Some(last) = reasons.last_mut() {
        *last = json!({ "Code": "TransactionConflict", "Message": "Transaction is ongoing for the item" });
    }
    let codes: Vec<_> = reasons.iter().filter_map(|reason| reason["Code"].as_str()).collect();
    let message = format!(
        "Transaction cancelled, please refer cancellation reasons for specific reasons [{}]",
        codes.join(", ")
    );
    let body = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": message,
        "CancellationReasons": reasons,
    });
    (StatusCode::BAD_REQUEST, [(header::CONTENT_TYPE, "application/x-amz-json-1.0")], body.to_string())
        .into_response()
}

/// An answer that leaves the whole batch to be asked for again.
pub(super) fn unprocessed(asked: &Value) -> Response {
    let body = json!({ "Responses": {}, "UnprocessedKeys": asked["RequestItems"] }).to_string();
    ([(header::CONTENT_TYPE, "application/x-amz-json-1.0")], body).into_response()
}
