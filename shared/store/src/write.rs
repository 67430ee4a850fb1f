//! Sends writes to the table, and sends those again that met another transaction.
//!
//! DynamoDB rejects a write to an item that is part of a transaction at that moment, and a transaction that meets
//! another one. Nothing was carried out then, and it is over within milliseconds. The SDK does not retry these errors
//! (`TransactionConflictException`, and `TransactionCanceledException` with the reason `TransactionConflict`), so every
//! write goes through [`SendWrite::send_write`]. `clippy.toml` rejects a plain `send`.

use std::time::Duration;

use aws_sdk_dynamodb::{
    error::{ProvideErrorMetadata, SdkError},
    operation::{
        delete_item::{DeleteItemError, DeleteItemOutput, builders::DeleteItemFluentBuilder},
        put_item::{PutItemError, PutItemOutput, builders::PutItemFluentBuilder},
        transact_write_items::{
            TransactWriteItemsError, TransactWriteItemsOutput, builders::TransactWriteItemsFluentBuilder,
        },
        update_item::{UpdateItemError, UpdateItemOutput, builders::UpdateItemFluentBuilder},
    },
};
use tokio::time::sleep;

/// Maximum number of times that a write is sent which meets a transaction each time.
pub const MAX_SENDS: u32 = 6;

/// How long the first retry waits at most. Each further one waits twice as long; together they wait up to 0.8 s.
const FIRST_WAIT: Duration = Duration::from_millis(25);

/// An error of a write.
pub trait WriteError: ProvideErrorMetadata {
    /// Whether the write met another transaction. It was not carried out, and may be sent again.
    fn met_transaction(&self) -> bool {
        self.code() == Some("TransactionConflictException")
    }
}

impl WriteError for UpdateItemError {}
impl WriteError for PutItemError {}
impl WriteError for DeleteItemError {}

impl WriteError for TransactWriteItemsError {
    /// A transaction that lacks capacity is retried like one that meets another: the SDK retries neither.
    fn met_transaction(&self) -> bool {
        const TRANSIENT: [&str; 3] =
            ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"];
        let Self::TransactionCanceledException(canceled) = self else { return false };
        let mut codes = canceled.cancellation_reasons().iter().filter_map(|reason| reason.code());
        codes.any(|code| TRANSIENT.contains(&code))
    }
}

/// A request that writes.
pub trait SendWrite: Clone + Send + Sized {
    /// What DynamoDB answers.
    type Output: Send;
    /// What it answers if it refuses.
    type Error: WriteError + Send;

    /// Sends it once, with the SDK's own retries.
    fn send_once(self) -> impl Future<Output = Result<Self::Output, SdkError<Self::Error>>> + Send;

    /// Sends it, and again while it meets another transaction.
    fn send_write(self) -> impl Future<Output = Result<Self::Output, SdkError<Self::Error>>> + Send {
        async move {
            let mut wait = FIRST_WAIT;
            for _ in 1..MAX_SENDS {
                match Box::pin(self.clone().send_once()).await {
                    Err(error) if error.as_service_error().is_some_and(WriteError::met_transaction) => {}
                    written => return written,
                }
                sleep(wait.mul_f64(1.0 - fastrand::f64() / 2.0)).await;
                wait *= 2;
            }
            Box::pin(self.send_once()).await
        }
    }
}

macro_rules! send_write {
    ($($builder:ty => $output:ty, $error:ty;)*) => {$(
        impl SendWrite for $builder {
            type Output = $output;
            type Error = $error;

            #[expect(clippy::disallowed_methods, reason = "the one place that sends a write")]
            fn send_once(self) -> impl Future<Output = Result<$output, SdkError<$error>>> + Send {
                self.send()
            }
        }
    )*};
}

send_write! {
    UpdateItemFluentBuilder => UpdateItemOutput, UpdateItemError;
    PutItemFluentBuilder => PutItemOutput, PutItemError;
    DeleteItemFluentBuilder => DeleteItemOutput, DeleteItemError;
    TransactWriteItemsFluentBuilder => TransactWriteItemsOutput, TransactWriteItemsError;
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::{CancellationReason, error::TransactionCanceledException};

    use super::*;

    fn canceled(codes: &[&str]) -> TransactWriteItemsError {
        let reasons = codes.iter().map(|code| CancellationReason::builder().code(*code).build()).collect();
        let canceled =
            TransactionCanceledException::builder().set_cancellation_reasons(Some(reasons)).build();
        TransactWriteItemsError::TransactionCanceledException(canceled)
    }

    #[test]
    fn transaction_is_sent_again_if_any_write_met_another() {
        assert!(canceled(&["None", "TransactionConflict"]).met_transaction());
        assert!(
            canceled(&["ConditionalCheckFailed", "TransactionConflict"]).met_transaction(),
            "no verdict yet"
        );
        assert!(canceled(&["ThrottlingError"]).met_transaction());
        assert!(canceled(&["None", "ProvisionedThroughputExceeded"]).met_transaction());
        assert!(!canceled(&["None", "ConditionalCheckFailed"]).met_transaction());
        assert!(!canceled(&["ValidationError"]).met_transaction());
        assert!(!canceled(&[]).met_transaction());
    }
}
