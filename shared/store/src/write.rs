//! Sends writes to the table, and sends those again that met another transaction.
//!
//! DynamoDB rejects a write to an item that is part of a transaction at that moment, and a transaction that meets
//! another one. Nothing was carried out then, and it is over within milliseconds. The SDK does not retry these errors
//! (`TransactionConflictException`, and `TransactionCanceledException` with the reason `TransactionConflict`), so every
//! write goes through [`SendWrite::send_write`]. `clippy.toml` rejects a plain `send`.

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
    types::{CancellationReason, Delete, Put, TransactWriteItem, Update},
};
use std::time::Duration;
use tokio::time::sleep;

use crate::{Item, Store, StoreError};

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

/// An error that may be a condition's refusal.
pub(crate) trait Refusal: ProvideErrorMetadata {
    /// The condition's refusal, if that is what it is.
    fn refused(&self) -> Option<Refused>;
}

/// A refused condition, with the item that refused: absent where it was not asked for or there is none.
pub(crate) struct Refused(Option<Item>);

macro_rules! refusal {
    ($($error:path),*) => {$(
        impl Refusal for $error {
            fn refused(&self) -> Option<Refused> {
                match self {
                    Self::ConditionalCheckFailedException(refused) => Some(Refused(refused.item.clone())),
                    _ => None,
                }
            }
        }
    )*};
}

refusal!(
    aws_sdk_dynamodb::operation::put_item::PutItemError,
    aws_sdk_dynamodb::operation::update_item::UpdateItemError,
    aws_sdk_dynamodb::operation::delete_item::DeleteItemError
);

/// Splits a conditional write's outcomes: a refused condition is expected, with the item that refused; any
/// other error is not.
pub(crate) fn conditional<T, E: Refusal>(
    operation: &'static str,
    written: Result<T, SdkError<E>>,
) -> Result<Result<T, Option<Item>>, StoreError> {
    match written {
        Ok(output) => Ok(Ok(output)),
        Err(error) => match error.as_service_error().and_then(Refusal::refused) {
            Some(Refused(item)) => Ok(Err(item)),
            None => Err(StoreError::unavailable(operation, &error)),
        },
    }
}

impl Store {
    /// Writes all or nothing. The inner error: a condition refused, with each write's reason.
    pub(crate) async fn transact(
        &self,
        writes: Vec<TransactWriteItem>,
    ) -> Result<Result<(), Vec<CancellationReason>>, StoreError> {
        let written = self.client.transact_write_items().set_transact_items(Some(writes)).send_write().await;
        let Err(error) = written else { return Ok(Ok(())) };
        match error.as_service_error() {
            // A transaction that met another one as well has no verdict: which condition refused is not known.
            Some(refused) if refused.met_transaction() => {
                Err(StoreError::unavailable("TransactWriteItems", &error))
            }
            Some(TransactWriteItemsError::TransactionCanceledException(cancelled))
                if cancelled
                    .cancellation_reasons()
                    .iter()
                    .any(|reason| reason.code() == Some("ConditionalCheckFailed")) =>
            {
                Ok(Err(cancelled.cancellation_reasons().to_vec()))
            }
            _ => Err(StoreError::unavailable("TransactWriteItems", &error)),
        }
    }
}

/// One write of a transaction.
pub(crate) trait Write {
    fn write(self) -> TransactWriteItem;
}

impl Write for Put {
    fn write(self) -> TransactWriteItem {
        TransactWriteItem::builder().put(self).build()
    }
}

impl Write for Update {
    fn write(self) -> TransactWriteItem {
        TransactWriteItem::builder().update(self).build()
    }
}

impl Write for Delete {
    fn write(self) -> TransactWriteItem {
        TransactWriteItem::builder().delete(self).build()
    }
}

/// A builder that lacks a part is a bug of ours; it surfaces as a failed call, never as a panic.
pub(crate) fn built<W: Write>(
    write: Result<W, aws_sdk_dynamodb::error::BuildError>,
) -> Result<TransactWriteItem, StoreError> {
    write.map(Write::write).map_err(|error| StoreError::Unavailable {
        operation: "TransactWriteItems",
        code: "Incomplete".into(),
        message: error.to_string(),
    })
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
