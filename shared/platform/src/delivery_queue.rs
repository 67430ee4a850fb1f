//! The queue of webhook attempts that are due. It is a FIFO queue, and each endpoint has [`LANES`] message groups: SQS
//! gives out no message of a group that has one in flight, so an endpoint that hangs holds two places and no more
//! (docs/decisions/webhook-queue.md). The queue is no timer: a later attempt waits in the table until it is due.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, LazyLock},
    time::Duration,
};

use aws_sdk_sqs::{Client, error::ProvideErrorMetadata as _, types::SendMessageBatchRequestEntry};
use domain::{EndpointId, Event, EventId, Product, ProductId, WebhookEndpoint};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Maximum attempts at once for one endpoint.
pub const LANES: u8 = 2;

/// Maximum messages in one call of SQS.
const BATCH: usize = 10;

/// An attempt that is due: one event for one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DueDelivery {
    /// The product.
    pub product: ProductId,
    /// Its endpoint.
    pub endpoint: EndpointId,
    /// The event.
    pub event: EventId,
    /// When it was due. A message with the same event, endpoint and time is a duplicate, for five minutes.
    pub due_at: Option<Timestamp>,
}

/// The queue could not be used.
#[derive(Debug, thiserror::Error)]
#[error("SQS {operation}: {code}")]
pub struct QueueError {
    /// The call.
    pub operation: &'static str,
    /// AWS's error code, or `NoAnswer`.
    pub code: String,
}

/// The result of a call, on its way.
pub type Queued<'a> = Pin<Box<dyn Future<Output = Result<(), QueueError>> + Send + 'a>>;

/// A queue other than SQS: the local stack's.
pub trait OtherQueue: fmt::Debug + Send + Sync {
    /// Adds messages.
    fn send(&self, messages: Vec<DueDelivery>) -> Queued<'_>;

    /// Hides a received message for so long.
    fn postpone(&self, receipt: String, wait: Duration) -> Queued<'_>;
}

/// The queue. Cheap to clone.
#[derive(Clone)]
pub struct DeliveryQueue(Way);

#[derive(Clone)]
enum Way {
    Sqs { client: Arc<LazyLock<Client, Build>>, url: String },
    Other(Arc<dyn OtherQueue>),
}

/// Builds the client when the queue is first used.
type Build = Box<dyn FnOnce() -> Client + Send>;

impl fmt::Debug for DeliveryQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeliveryQueue").finish_non_exhaustive()
    }
}

impl DueDelivery {
    /// A first attempt for each endpoint of the product that takes the event.
    pub fn first_attempts(product: &Product, event: &Event) -> Vec<Self> {
        let attempt = |endpoint: &WebhookEndpoint| Self {
            product: product.id.clone(),
            endpoint: endpoint.id.clone(),
            event: event.id.clone(),
            due_at: None,
        };
        product.webhooks.iter().filter(|endpoint| endpoint.takes(event)).map(attempt).collect()
    }

    /// The message group. An event always takes the same lane, so two messages of one event are never in flight at once.
    pub fn group(&self) -> String {
        let lane = self.event.as_str().bytes().fold(0u8, u8::wrapping_add) % LANES;
        format!("{}.{}.{lane}", self.product, self.endpoint)
    }

    /// What makes two messages the same.
    pub fn deduplication(&self) -> String {
        let due_at = self.due_at.map_or(0, Timestamp::as_millisecond);
        format!("{}.{}.{due_at}", self.event, self.endpoint)
    }
}

impl DeliveryQueue {
    /// A queue of SQS.
    pub fn new(url: String, build: impl FnOnce() -> Client + Send + 'static) -> Self {
        Self(Way::Sqs { client: Arc::new(LazyLock::new(Box::new(build))), url })
    }

    /// A queue other than SQS.
    pub fn other(queue: Arc<dyn OtherQueue>) -> Self {
        Self(Way::Other(queue))
    }

    /// Adds attempts that are due. An error means that some may be missing; a message that is sent again does no harm.
    pub async fn send(&self, messages: &[DueDelivery]) -> Result<(), QueueError> {
        let (client, url) = match &self.0 {
            Way::Sqs { client, url } => (client, url),
            Way::Other(queue) => return queue.send(messages.to_vec()).await,
        };
        let failed = |code: &str| QueueError { operation: "SendMessageBatch", code: code.to_owned() };
        for batch in messages.chunks(BATCH) {
            let mut request = client.send_message_batch().queue_url(url);
            for (index, message) in batch.iter().enumerate() {
                let body = serde_json::to_string(message).map_err(|_| failed("Unwritable"))?;
                let entry = SendMessageBatchRequestEntry::builder()
                    .id(index.to_string())
                    .message_group_id(message.group())
                    .message_deduplication_id(message.deduplication())
                    .message_body(body)
                    .build();
                request = request.entries(entry.map_err(|_| failed("Incomplete"))?);
            }
            let answer = request.send().await.map_err(|error| {
                failed(error.as_service_error().and_then(|refusal| refusal.code()).unwrap_or("NoAnswer"))
            })?;
            if let Some(refused) = answer.failed().first() {
                return Err(failed(refused.code()));
            }
        }
        Ok(())
    }

    /// Hides a received message for so long, and its group with it.
    pub async fn postpone(&self, receipt: &str, wait: Duration) -> Result<(), QueueError> {
        let (client, url) = match &self.0 {
            Way::Sqs { client, url } => (client, url),
            Way::Other(queue) => return queue.postpone(receipt.to_owned(), wait).await,
        };
        // Rounded up: a message that comes too early waits once more.
        let seconds = i32::try_from(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).unwrap_or(i32::MAX);
        let changed = client.change_message_visibility().queue_url(url).receipt_handle(receipt);
        changed.visibility_timeout(seconds).send().await.map(drop).map_err(|error| QueueError {
            operation: "ChangeMessageVisibility",
            code: error
                .as_service_error()
                .and_then(|refusal| refusal.code())
                .unwrap_or("NoAnswer")
                .to_owned(),
        })
    }
}
