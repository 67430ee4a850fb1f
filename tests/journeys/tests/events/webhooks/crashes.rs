//! Seeded schedules: endpoints that fail, messages that come twice, two functions with one message, a table that refuses
//! writes or loses answers, functions that die between the answer and the write. Every event is accepted at every endpoint, with one id, and none is invented.
//! `SEED=<n> cargo nextest run --locked -p journeys -E 'test(crashes)' --no-capture` replays one, and `SCHEDULES=<n>` runs more.

use std::{collections::BTreeSet, sync::Arc};

use deliver::{Deliver, Delivered};
use jiff::SignedDuration;
use journeys::Story;
use local::stack::TABLE;
use notify::{Batch, Notify, WebhookQueue};
use platform::Deadline;
use serde_json::json;
use store::DeliveryState;
use world::dynamodb::{Fault, Which};

use super::{
    event_bus::all_records,
    scene::{Behavior, Endpoint, days_pass, event, happens, queue, state, with_endpoints},
};

/// A message that is handled by a function that dies afterwards: it is neither deleted nor postponed.
async fn die_after_sending(story: &Story, deliver: &Deliver) {
    let Some(received) = story.stack.queue().receive() else { return };
    let time = Deadline::until(0, story.stack.clock.now());
    story.stack.dynamodb.inject(Fault::unreachable().on(Which::Writes).every_try());
    let _ = deliver.deliver(&received.message, &received.receipt, &time).await;
    story.stack.dynamodb.mend();
}

async fn run(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let story = Story::begin().await;
    let endpoints = [Endpoint::start("one").await, Endpoint::start("two").await];
    let all: Vec<&Endpoint> = endpoints.iter().collect();
    with_endpoints(&story, &all).await;
    let mut events = BTreeSet::new();
    for number in 0..12 {
        events.insert(happens(&story, number, &all).await);
        for endpoint in &endpoints {
            endpoint.behaves(Behavior::Answer(
                *random.choice([200, 204, 302, 404, 429, 500, 503].iter()).expect("one"),
            ));
        }
        match random.u8(0..8) {
            0 => die_after_sending(&story, &story.stack.cold_deliver()).await,
            1 => {
                let code = "ProvisionedThroughputExceededException";
                story.stack.dynamodb.refuse_next(random.usize(1..4), Which::Writes, code);
                story.stack.deliver().await;
                story.stack.dynamodb.mend();
            }
            2 => {
                story.stack.dynamodb.answer_lost_next(1, Which::Writes);
                story.stack.deliver().await;
                story.stack.dynamodb.mend();
            }
            3 => {
                // Queued a second time, as a repeated or split batch of the stream does it.
                let id = events.iter().next().expect("an event").clone();
                queue(&story, &id, &all).await;
                story.stack.deliver().await;
            }
            4 => {
                // A delivery by another process at the same time: the message was given out twice.
                if let Some(received) = story.stack.queue().receive() {
                    let time = Deadline::until(0, story.stack.clock.now());
                    let (one, two) = (story.stack.cold_deliver(), story.stack.cold_deliver());
                    let handle = |deliver: Deliver| {
                        let received = &received;
                        async move { deliver.deliver(&received.message, &received.receipt, &time).await.ok() }
                    };
                    tokio::join!(handle(one), handle(two));
                }
                story.stack.deliver().await;
            }
            5 => {
                story.stack.sweep().await;
                story.stack.deliver().await;
            }
            _ => {
                story.stack.deliver().await;
            }
        }
        story.stack.clock.pass(SignedDuration::from_secs(random.i64(0..900)));
    }
    for endpoint in &endpoints {
        endpoint.behaves(Behavior::Answer(200));
    }
    days_pass(&story, SignedDuration::from_hours(18), SignedDuration::from_hours(2)).await;
    for endpoint in &endpoints {
        let accepted: BTreeSet<String> = endpoint.got().into_iter().map(|got| got.id).collect();
        let expected: BTreeSet<String> = events.iter().map(|id| id.as_str().to_owned()).collect();
        assert_eq!(accepted, expected, "seed {seed}, {}", endpoint.id);
        for id in &events {
            assert_eq!(state(&story, id, endpoint).await, DeliveryState::Delivered, "seed {seed}, {id}");
        }
        assert!(endpoint.most_at_once() <= 2, "seed {seed}");
    }
    assert!(story.stack.queue().is_empty(), "seed {seed}");
}

#[tokio::test]
async fn every_event_arrives_whatever_crashes() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SCHEDULES").unwrap_or(3),
    };
    for seed in seeds {
        Box::pin(run(seed)).await;
    }
}

#[tokio::test]
async fn delivery_that_was_not_recorded_is_repeated_with_its_id() {
    let story = Story::begin().await;
    let backend = Endpoint::start("backend").await;
    with_endpoints(&story, &[&backend]).await;
    let id = happens(&story, 1, &[&backend]).await;
    die_after_sending(&story, &story.stack.cold_deliver()).await;
    assert_eq!(backend.got().len(), 1);
    assert_eq!(story.stack.deliver().await, [], "the message is hidden");
    story.stack.clock.pass(SignedDuration::from_secs(61));
    story.stack.deliver().await;
    let got = backend.got();
    assert_eq!(got.len(), 2, "accepted, not recorded, and sent again");
    assert!(got.iter().all(|got| got.id == id.as_str()));
    assert_eq!(state(&story, &id, &backend).await, DeliveryState::Delivered);
}

#[tokio::test]
async fn lost_message_is_queued_again_by_the_sweep() {
    let story = Story::begin().await;
    let backend = Endpoint::start("backend").await;
    with_endpoints(&story, &[&backend]).await;
    backend.behaves(Behavior::Answer(503));
    let id = happens(&story, 1, &[&backend]).await;
    assert_eq!(story.stack.deliver().await, [Delivered::Postponed]);
    story.stack.clock.pass(SignedDuration::from_secs(6));
    let received = story.stack.queue().receive().expect("the message comes again");
    story.stack.queue().delete(&received.receipt);
    backend.behaves(Behavior::Answer(200));
    assert_eq!(story.stack.sweep().await.queued, 1);
    story.stack.deliver().await;
    assert_eq!(state(&story, &id, &backend).await, DeliveryState::Delivered);
}

/// A rollback to a version that cannot read a product file stops the stream of no other product, and costs no event.
#[tokio::test]
async fn unreadable_product_delays_its_own_webhooks_alone() {
    let story = Story::begin().await;
    let backend = Endpoint::start("backend").await;
    with_endpoints(&story, &[&backend]).await;
    let product = story.stack.dynamodb.item(TABLE, "PRODUCT#fernway", "PRODUCT").expect("the product");
    let mut later = product.clone();
    later["v"] = json!({ "N": "99" });
    story.stack.dynamodb.seed(TABLE, std::iter::once(later));
    let (_, place) = all_records(&story, None);
    let event = event(1, story.stack.clock.now());
    story.stack.store.put_event(&event, story.stack.clock.now()).await.expect("recorded");
    let (records, _) = all_records(&story, place.as_deref());
    let platform = story.stack.platform();
    let queue = WebhookQueue::new(platform.products.clone(), platform.deliveries().expect("a queue").clone());
    let notify = Notify::new(platform.store, platform.settings.public_url).with_outbox(Arc::new(queue));
    let done = notify.run(Batch { records: records.clone() }, story.stack.clock.now()).await;
    assert_eq!((done.passed_on, done.failed.len()), (1, 0), "nothing behind it waits: {done:?}");
    assert!(story.stack.queue().is_empty());
    assert_eq!(story.stack.sweep().await.unreadable, 1, "that is what the alarm counts");

    story.stack.dynamodb.seed(TABLE, std::iter::once(product));
    story.pass(SignedDuration::from_hours(7));
    assert_eq!(story.stack.sweep().await.queued, 1);
    story.stack.deliver().await;
    assert_eq!(state(&story, &event.id, &backend).await, DeliveryState::Delivered);
    story.pass(SignedDuration::from_mins(11));
    assert_eq!(story.stack.sweep().await.queued, 0, "once");
    assert_eq!(backend.got().len(), 1);
}

/// No change of the table brings an event of a time again, such as a warning that a grant expires.
#[tokio::test]
async fn event_of_a_time_that_the_stream_lost_is_queued_by_the_sweep() {
    let story = Story::begin().await;
    let backend = Endpoint::start("backend").await;
    with_endpoints(&story, &[&backend]).await;
    let recorded = async |number: usize| {
        let now = story.stack.clock.now();
        let event = event(number, now);
        let queue_at = Some(now + SignedDuration::from_mins(10));
        story.stack.store.put_event_to_queue(&event, queue_at, now).await.expect("recorded");
        event.id
    };
    let later = SignedDuration::from_mins(11);
    let told = recorded(1).await;
    story.stack.notify().await;
    story.stack.deliver().await;
    assert_eq!(state(&story, &told, &backend).await, DeliveryState::Delivered);
    story.pass(later);
    assert_eq!(story.stack.sweep().await.queued, 0, "the stream brought it");

    let lost = recorded(2).await;
    story.stack.stream().loses_everything().await;
    story.pass(later);
    assert_eq!(story.stack.sweep().await.queued, 1);
    story.stack.deliver().await;
    assert_eq!(state(&story, &lost, &backend).await, DeliveryState::Delivered);

    with_endpoints(&story, &[]).await;
    let unwanted = recorded(3).await;
    story.pass(later);
    assert_eq!(story.stack.sweep().await.queued, 0);
    for id in [told, lost, unwanted] {
        let item = story.stack.dynamodb.item(TABLE, &format!("EVENT#{id}"), "EVENT").expect("the event");
        assert!(
            item["due_at"].is_null() && item["unqueued"].is_null(),
            "the sweep looks at it no more: {item:#}"
        );
    }
    assert_eq!(backend.got().len(), 2);
}

/// The queue is behind: its messages wait, and are not multiplied.
#[tokio::test]
async fn waiting_delivery_is_not_queued_in_each_run() {
    let story = Story::begin().await;
    let backend = Endpoint::start("backend").await;
    with_endpoints(&story, &[&backend]).await;
    backend.behaves(Behavior::Answer(503));
    let id = happens(&story, 1, &[&backend]).await;
    story.stack.deliver().await;
    story.pass(SignedDuration::from_secs(6));
    assert_eq!(story.stack.deliver().await, [Delivered::Failed]);
    story.pass(SignedDuration::from_mins(1));
    let mut queued = 0;
    for _ in 0..12 {
        story.pass(SignedDuration::from_secs(301));
        queued += story.stack.sweep().await.queued;
    }
    assert!((2..=7).contains(&queued), "{queued} messages in an hour: one in ten minutes");
    backend.behaves(Behavior::Answer(204));
    story.stack.deliver().await;
    assert_eq!(state(&story, &id, &backend).await, DeliveryState::Delivered);
    assert_eq!(backend.got().len(), 3, "every other message is ignored");
    assert!(story.stack.queue().is_empty());
}
