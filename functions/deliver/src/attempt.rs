//! One message: what is due is sent, and what came of it is recorded.

use std::slice;

use domain::{Product, WebhookEndpoint};
use jiff::{SignedDuration, Timestamp};
use platform::{Deadline, DueDelivery, log::internal};
use store::{
    Delivery, DeliveryAttempt, DeliveryState, DisabledBecause, EndpointHealth, EventRecord, SecretError,
    StoreError,
};
use telemetry::{Fact, Metric, Outcome, about, add, ended, most};
use webhooks::{Answer, NoAnswer, retry, signature};

use crate::{Deliver, DeliverError, Delivered};

/// How far ahead a message may come: the clocks of two functions differ.
const EARLY: SignedDuration = SignedDuration::from_secs(2);

/// Maximum wait for which a message stays in the queue. A longer one is the sweep's.
const MAX_WAIT_IN_QUEUE: SignedDuration = SignedDuration::from_secs(30);

/// How many attempts of one event fail before its endpoint counts as failing. A short outage costs no further write.
const FAILED_BEFORE_FAILING: u32 = 3;

/// Maximum bytes that are recorded of an answer that is no success.
const MAX_ERROR: usize = 200;

/// What an attempt came to.
enum Attempted {
    Accepted,
    /// The endpoint answered 410.
    Gone,
    Failed {
        /// Whether there was no answer at all.
        silent: bool,
    },
}

impl Deliver {
    /// Handles a message. See the table of this crate.
    pub async fn deliver(
        &self,
        message: &DueDelivery,
        receipt: &str,
        time: &Deadline,
    ) -> Result<Delivered, DeliverError> {
        about(Fact::Product, message.product.as_str());
        let delivered = self.handle(message, receipt, time).await?;
        ended(match delivered {
            Delivered::Accepted | Delivered::Nothing => Outcome::Delivered,
            _ => Outcome::Undelivered,
        });
        Ok(delivered)
    }

    async fn handle(
        &self,
        message: &DueDelivery,
        receipt: &str,
        time: &Deadline,
    ) -> Result<Delivered, DeliverError> {
        let now = time.now();
        let store = &self.platform.store;
        let Some(record) = store.event_record(&message.event).await? else { return Ok(Delivered::Nothing) };
        // An event that is passed on for the first time may have no delivery yet.
        let delivery =
            record.deliveries.get(&message.endpoint).cloned().unwrap_or_else(|| Delivery::due(now));
        let delivery = &delivery;
        let Some(due_at) = delivery.due_at() else { return Ok(Delivered::Nothing) };
        if record.event.product != message.product {
            return Ok(Delivered::Nothing);
        }
        if due_at > now + EARLY {
            let wait = due_at.duration_since(now);
            if wait > MAX_WAIT_IN_QUEUE {
                return Ok(Delivered::Nothing);
            }
            self.postpone(receipt, wait).await?;
            return Ok(Delivered::Postponed);
        }
        let Some(endpoint) = self.configured(message, now).await? else {
            return self.close(message, &record, delivery, DeliveryState::Removed, now).await;
        };
        let health = store.endpoint_health(&message.product, &message.endpoint).await?;
        if health.disabled.is_some() {
            let after = delivery.after(None, DeliveryState::Disabled, None, 0);
            return self.close_as_disabled(message, &record, after, now).await;
        }
        if self.is_silent(message, now) {
            let failed = delivery.failed + 1;
            let attempt = DeliveryAttempt {
                at: now.as_millisecond(),
                took: 0,
                status: None,
                error: Some("not sent: the endpoint gave no answer less than a minute ago".to_owned()),
            };
            // The first wait is too short for an endpoint that is silent.
            return self.fail(message, &record, delivery, attempt, failed.max(2), now).await;
        }
        let (attempt, attempted) = self.attempt(&endpoint, &record, now).await?;
        let now = time.now();
        match attempted {
            Attempted::Accepted => {
                self.note_silence(message, None);
                let after = delivery.after(Some(attempt), DeliveryState::Delivered, None, delivery.failed);
                store.put_delivery(&record, &message.endpoint, after, now).await?;
                if health.failing_since.is_some() {
                    store.note_working_endpoint(&message.product, &message.endpoint).await?;
                }
                Ok(Delivered::Accepted)
            }
            Attempted::Gone => {
                // Before the delivery is recorded: an invocation that ends in between finds the endpoint disabled.
                if store
                    .disable_endpoint(&message.product, &message.endpoint, DisabledBecause::Gone, now)
                    .await?
                {
                    add(Metric::DisabledEndpoints, 1.0);
                }
                let after = delivery.after(Some(attempt), DeliveryState::Disabled, None, 0);
                self.close_as_disabled(message, &record, after, now).await
            }
            Attempted::Failed { silent } => {
                add(Metric::WebhookFailures, 1.0);
                self.note_silence(message, silent.then_some(now));
                // The first retry holds its lane for seconds. An endpoint that is known to fail would pile up its new events,
                // and SQS looks for other endpoints' messages behind 120,000 of them at most.
                let skipped = u32::from(delivery.failed == 0 && health.failing_since.is_some());
                let failed = delivery.failed + 1 + skipped;
                if self.gives_up_endpoint(message, health, failed, now).await? {
                    let after = delivery.after(Some(attempt), DeliveryState::Disabled, None, 0);
                    return self.close_as_disabled(message, &record, after, now).await;
                }
                let done = self.fail(message, &record, delivery, attempt, failed, now).await?;
                if failed == 1 && done == Delivered::Failed {
                    let wait = retry::next_attempt(1, now).map_or(EARLY, |at| at.duration_since(now));
                    self.postpone(receipt, wait).await?;
                    return Ok(Delivered::Postponed);
                }
                Ok(done)
            }
        }
    }

    /// The endpoint, as its product file has it. One that the cached file lacks may have been added a moment ago, and closing
    /// its delivery would be final.
    async fn configured(
        &self,
        message: &DueDelivery,
        now: Timestamp,
    ) -> Result<Option<WebhookEndpoint>, StoreError> {
        let products = &self.platform.products;
        let find = |product: &Product| product.endpoint(&message.endpoint).cloned();
        let cached = products.get(&message.product, now).await?;
        if let Some(endpoint) = cached.as_deref().and_then(find) {
            return Ok(Some(endpoint));
        }
        Ok(products.get_now(&message.product, now).await?.as_deref().and_then(find))
    }

    /// Calls the endpoint, once.
    async fn attempt(
        &self,
        endpoint: &WebhookEndpoint,
        record: &EventRecord,
        now: Timestamp,
    ) -> Result<(DeliveryAttempt, Attempted), DeliverError> {
        let body = record.event.payload();
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let at = now.as_millisecond();
        let secrets = match self.secrets.get(&endpoint.secret, now).await {
            Ok(secrets) => secrets,
            // A failed attempt like any other: the message would block its lane until it is a dead letter.
            Err(error) if is_missing(&error) => {
                internal(&error);
                let error = Some("not sent: the signing secret is missing or has the wrong form".to_owned());
                let attempt = DeliveryAttempt { at, took: 0, status: None, error };
                return Ok((attempt, Attempted::Failed { silent: false }));
            }
            Err(error) => return Err(error.into()),
        };
        let headers = signature::headers(record.event.id.as_str(), now, &body, &secrets);
        let answer = self.client.post(&endpoint.url, headers, body).await;
        let millis = |took: std::time::Duration| u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Ok(match answer {
            Ok(Answer { status, took, body }) => {
                let error = (!(200..300).contains(&status)).then(|| first_bytes(&body));
                let attempted = match status {
                    200..300 => Attempted::Accepted,
                    410 => Attempted::Gone,
                    _ => Attempted::Failed { silent: false },
                };
                (DeliveryAttempt { at, took: millis(took), status: Some(status), error }, attempted)
            }
            Err(NoAnswer { what, took }) => (
                DeliveryAttempt { at, took: millis(took), status: None, error: Some(what) },
                Attempted::Failed { silent: true },
            ),
        })
    }

    /// Records a failed attempt, and when the next one is due.
    async fn fail(
        &self,
        message: &DueDelivery,
        record: &EventRecord,
        delivery: &Delivery,
        attempt: DeliveryAttempt,
        failed: u32,
        now: Timestamp,
    ) -> Result<Delivered, DeliverError> {
        most(Metric::OldestUndelivered, now.duration_since(record.event.at).as_secs_f64());
        let due_at = retry::next_attempt(failed, now);
        let state = if due_at.is_some() { DeliveryState::Due } else { DeliveryState::GaveUp };
        let after = delivery.after(Some(attempt), state, due_at, failed);
        self.platform.store.put_delivery(record, &message.endpoint, after, now).await?;
        Ok(if due_at.is_some() { Delivered::Failed } else { Delivered::GaveUp })
    }

    /// Ends a delivery without an attempt.
    async fn close(
        &self,
        message: &DueDelivery,
        record: &EventRecord,
        delivery: &Delivery,
        state: DeliveryState,
        now: Timestamp,
    ) -> Result<Delivered, DeliverError> {
        let after = delivery.after(None, state, None, 0);
        self.platform.store.put_delivery(record, &message.endpoint, after, now).await?;
        Ok(Delivered::Nothing)
    }

    /// Ends a delivery at an endpoint that is disabled: enabling the endpoint sends the event. Whoever enabled it a moment ago
    /// may have looked at this event before it ended here, so the event is due again if the endpoint is enabled by now.
    async fn close_as_disabled(
        &self,
        message: &DueDelivery,
        record: &EventRecord,
        after: Delivery,
        now: Timestamp,
    ) -> Result<Delivered, DeliverError> {
        let store = &self.platform.store;
        store.put_delivery(record, &message.endpoint, after, now).await?;
        let health = store.endpoint_health_now(&message.product, &message.endpoint).await?;
        if health.disabled.is_some() {
            return Ok(Delivered::Disabled);
        }
        store.make_due(&message.event, slice::from_ref(&message.endpoint), now).await?;
        Ok(Delivered::Failed)
    }

    /// Notes that an endpoint fails, and disables one that has failed for three days: the stream makes `endpoint.disabled`
    /// of it. Whether the endpoint is disabled. What was read of it is up to ten seconds old: a success or an operator
    /// may have come between.
    async fn gives_up_endpoint(
        &self,
        message: &DueDelivery,
        health: EndpointHealth,
        failed: u32,
        now: Timestamp,
    ) -> Result<bool, DeliverError> {
        let (store, product, endpoint) = (&self.platform.store, &message.product, &message.endpoint);
        match health.failing_since {
            Some(since) if now.duration_since(since) >= retry::MAX_FAILING => {
                if store.disable_failing_endpoint(product, endpoint, since, now).await? {
                    add(Metric::DisabledEndpoints, 1.0);
                    return Ok(true);
                }
                Ok(store.endpoint_health_now(product, endpoint).await?.disabled.is_some())
            }
            None if failed >= FAILED_BEFORE_FAILING => {
                store.note_failing_endpoint(product, endpoint, now).await?;
                Ok(false)
            }
            _ => Ok(false),
        }
    }
}

/// Whether a secret is not there, and so will not be there a minute later. Secrets Manager that does not answer is no such
/// case: SQS brings the message again.
fn is_missing(error: &SecretError) -> bool {
    match error {
        SecretError::Unreadable { code, .. } => {
            matches!(
                code.as_str(),
                "ResourceNotFoundException" | "AccessDeniedException" | "InvalidRequestException"
            )
        }
        _ => true,
    }
}

/// The first bytes of an answer, for its product's engineers: one line, without secrets.
fn first_bytes(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(2048)]);
    let mut clean = String::new();
    for word in diagnosis::scrub(&text).split_whitespace() {
        let word = if word.contains("whsec_") { "…" } else { word };
        if !clean.is_empty() {
            clean.push(' ');
        }
        clean.push_str(word);
    }
    clean.retain(|c| !c.is_control());
    clean.truncate(clean.floor_char_boundary(MAX_ERROR));
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_answer_is_one_short_line_without_secrets() {
        let body = b"<h1>500</h1>\n\n  access_token=00D5g000008xyzABC!AQEAQabcdefghijklmnopqrstuvwxyz0123456789 \0 whsec_c2VjcmV0c2VjcmV0c2VjcmV0";
        let text = first_bytes(body);
        assert!(text.contains("500") && !text.contains("AQEAQ") && !text.contains("whsec_"), "{text}");
        assert!(!text.contains('\n') && !text.contains('\0'), "{text}");
        assert!(first_bytes("ä".repeat(5000).as_bytes()).len() <= MAX_ERROR);
        assert_eq!(first_bytes(&[0xff; 10]).len(), 30, "no UTF-8 is shown as such");
    }
}
