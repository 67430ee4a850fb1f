//! **deliver**: from the queue, one event to one endpoint of its product, as a signed webhook.
//!
//! | what happens | what follows |
//! | --- | --- |
//! | the endpoint answers 2xx within 10 s | delivered: one write |
//! | it answers anything else, or nothing | the next attempt is due after 5 s, 5 min, 30 min … three days: one write |
//! | it answers 410 | the endpoint is disabled |
//! | it has failed for three days without a success | the endpoint is disabled |
//! | it is disabled | the event waits until somebody enables it |
//! | this function dies between the answer and the write | SQS gives the message out again: delivered twice, with one id |
//!
//! Only this function may read webhook secrets, and only this function calls endpoints. The queue carries attempts that
//! are due; a later attempt is an attribute of the event's item, and the sweep queues it (`functions/sweep`).

#![warn(missing_docs)]

mod attempt;
mod signing_secrets;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::{EndpointId, ProductId};
use jiff::{SignedDuration, Timestamp};
use platform::{Deadline, DeliveryQueue, DueDelivery, Platform, QueueError, SettingError};
use runtime::QueueFunction;
use store::{SecretError, StoreError};
use webhooks::{AddressGuard, EndpointClient};

use signing_secrets::SigningSecrets;

/// The function. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Deliver {
    platform: Platform,
    queue: DeliveryQueue,
    client: EndpointClient,
    secrets: SigningSecrets,
    silent: Arc<Mutex<HashMap<(ProductId, EndpointId), Timestamp>>>,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// The endpoint accepted the event.
    Accepted,
    /// The attempt failed, or none was made because the endpoint was silent a moment ago; another one is due.
    Failed,
    /// The first attempt failed: the message comes again in a few seconds.
    Postponed,
    /// Every attempt failed.
    GaveUp,
    /// The endpoint is disabled, by this attempt or before it.
    Disabled,
    /// There was nothing to send: delivered before, not due, or the event or its endpoint is gone.
    Nothing,
}

/// Why a message was not handled. SQS gives it out again.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The endpoint's signing secrets.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// How long an endpoint that gave no answer is left alone by this process: a thousand events for it would each wait for
/// ten seconds.
const SILENT_FOR: SignedDuration = SignedDuration::from_secs(60);

/// Maximum number of silent endpoints that are remembered.
const MAX_SILENT: usize = 1000;

impl QueueFunction for Deliver {
    const NAME: &'static str = "deliver";
    type Message = DueDelivery;
    type Error = DeliverError;

    fn new(platform: Platform) -> Result<Self, SettingError> {
        let guard = AddressGuard::public(platform.settings.own_network()?);
        Self::with_guard(platform, guard)
    }

    async fn run(&self, message: DueDelivery, receipt: &str, time: Deadline) -> Result<bool, DeliverError> {
        let delivered = self.deliver(&message, receipt, &time).await?;
        Ok(delivered != Delivered::Postponed)
    }
}

impl Deliver {
    /// The function with another guard: the local stack calls this machine.
    pub fn with_guard(platform: Platform, guard: AddressGuard) -> Result<Self, SettingError> {
        Self::with_client(platform, EndpointClient::new(guard))
    }

    /// The function with another way to endpoints: that of a schedule with a clock of its own.
    pub fn with_client(platform: Platform, client: EndpointClient) -> Result<Self, SettingError> {
        Ok(Self {
            queue: platform.deliveries()?.clone(),
            secrets: SigningSecrets::new(platform.secrets.clone()),
            client,
            silent: Arc::default(),
            platform,
        })
    }

    /// Hides the message for so long.
    async fn postpone(&self, receipt: &str, wait: SignedDuration) -> Result<(), DeliverError> {
        Ok(self.queue.postpone(receipt, Duration::try_from(wait).unwrap_or_default()).await?)
    }

    /// Whether this endpoint gave this process no answer a moment ago.
    fn is_silent(&self, message: &DueDelivery, now: Timestamp) -> bool {
        let silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        let since = silent.get(&(message.product.clone(), message.endpoint.clone()));
        since.is_some_and(|since| now.duration_since(*since) < SILENT_FOR)
    }

    /// Remembers whether an endpoint answered.
    fn note_silence(&self, message: &DueDelivery, silent_at: Option<Timestamp>) {
        let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (message.product.clone(), message.endpoint.clone());
        match silent_at {
            None => {
                silent.remove(&key);
            }
            Some(at) => {
                silent.retain(|_, since| at.duration_since(*since) < SILENT_FOR);
                if silent.len() < MAX_SILENT {
                    silent.insert(key, at);
                }
            }
        }
    }
}
