//! A queue in this process, as SQS's FIFO queues are documented: a group with a message in flight gives out no other, a
//! message that was sent a moment ago is dropped, and one that is not deleted comes again.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use deliver::{Deliver, Delivered};
use jiff::{SignedDuration, Timestamp};
use platform::{
    Deadline, DueDelivery,
    delivery_queue::{OtherQueue, Queued},
};
use runtime::invocation_log::Observer;
use tokio::task::JoinSet;
use world::Clock;

use crate::logs::Lines;

/// How long a message stays hidden whose receiver died, as the template has it.
pub const VISIBILITY_TIMEOUT: SignedDuration = SignedDuration::from_secs(60);

/// How long a message that was sent is known.
const DEDUPLICATED: SignedDuration = SignedDuration::from_mins(5);

/// Maximum messages that are handled at once: the template's `MaximumConcurrency`.
const AT_ONCE: usize = 50;

/// The queue. Clones share it.
#[derive(Debug, Clone)]
pub struct LocalQueue {
    clock: Clock,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    messages: Vec<Held>,
    sent: HashMap<String, Timestamp>,
    number: u64,
    most_in_flight: HashMap<String, usize>,
}

#[derive(Debug)]
struct Held {
    receipt: String,
    group: String,
    message: DueDelivery,
    hidden_until: Option<Timestamp>,
}

/// A message that was given out. It comes again unless it is deleted.
#[derive(Debug)]
pub struct Received {
    /// What names it to the queue.
    pub receipt: String,
    /// The message.
    pub message: DueDelivery,
}

impl LocalQueue {
    /// An empty queue.
    pub fn new(clock: &Clock) -> Self {
        Self { clock: clock.clone(), state: Arc::default() }
    }

    /// The next message that may be given out.
    pub fn receive(&self) -> Option<Received> {
        let now = self.clock.now();
        let mut state = self.lock();
        let in_flight = |held: &Held| held.hidden_until.is_some_and(|until| until > now);
        let locked: HashSet<String> =
            state.messages.iter().filter(|held| in_flight(held)).map(|held| held.group.clone()).collect();
        let held = state.messages.iter_mut().find(|held| !locked.contains(&held.group))?;
        held.hidden_until = Some(now + VISIBILITY_TIMEOUT);
        let received = Received { receipt: held.receipt.clone(), message: held.message.clone() };
        let endpoint = |message: &DueDelivery| format!("{}.{}", message.product, message.endpoint);
        let of = endpoint(&received.message);
        let count =
            state.messages.iter().filter(|held| in_flight(held) && endpoint(&held.message) == of).count();
        let most = state.most_in_flight.entry(of).or_default();
        *most = (*most).max(count);
        Some(received)
    }

    /// Deletes a message that was handled.
    pub fn delete(&self, receipt: &str) {
        self.lock().messages.retain(|held| held.receipt != receipt);
    }

    /// How many messages are in the queue, given out or not.
    pub fn len(&self) -> usize {
        self.lock().messages.len()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many messages of one endpoint were in flight at once, at most.
    pub fn most_in_flight(&self, endpoint: &str) -> usize {
        self.lock().most_in_flight.get(endpoint).copied().unwrap_or_default()
    }

    /// Handles messages until nothing may be given out, as Lambda does.
    pub async fn run(&self, deliver: &Deliver, observer: &Arc<Observer>, lines: &Lines) -> Vec<Delivered> {
        let mut running = JoinSet::new();
        let mut done = Vec::new();
        loop {
            while running.len() < AT_ONCE
                && let Some(Received { receipt, message }) = self.receive()
            {
                let (queue, deliver, observer) = (self.clone(), deliver.clone(), Arc::clone(observer));
                let lines = lines.clone();
                running.spawn(async move {
                    let now = queue.clock.now();
                    let run = Box::pin(async {
                        deliver.deliver(&message, &receipt, &Deadline::until(0, now)).await
                    });
                    let (delivered, said) = observer.run("local", now, run).await;
                    lines.keep(said);
                    match delivered {
                        Ok(Delivered::Postponed) => Some(Delivered::Postponed),
                        Ok(delivered) => {
                            queue.delete(&receipt);
                            Some(delivered)
                        }
                        Err(error) => {
                            tracing::error!("failed: {error}");
                            None
                        }
                    }
                });
            }
            match running.join_next().await {
                Some(ended) => done.extend(ended.ok().flatten()),
                None => return done,
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OtherQueue for LocalQueue {
    fn send(&self, messages: Vec<DueDelivery>) -> Queued<'_> {
        let now = self.clock.now();
        let mut state = self.lock();
        state.sent.retain(|_, at| now.duration_since(*at) < DEDUPLICATED);
        for message in messages {
            if state.sent.insert(message.deduplication(), now).is_none() {
                state.number += 1;
                let receipt = format!("receipt-{}", state.number);
                state.messages.push(Held { receipt, group: message.group(), message, hidden_until: None });
            }
        }
        Box::pin(std::future::ready(Ok(())))
    }

    fn postpone(&self, receipt: String, wait: Duration) -> Queued<'_> {
        let until = self.clock.now() + SignedDuration::try_from(wait).unwrap_or(VISIBILITY_TIMEOUT);
        let mut state = self.lock();
        if let Some(held) = state.messages.iter_mut().find(|held| held.receipt == receipt) {
            held.hidden_until = Some(until);
        }
        Box::pin(std::future::ready(Ok(())))
    }
}
