//! Events: recorded once for each id, and read in the order in which they were recorded.

use domain::{ConnectionId, Customer, Event, EventId, EventType, event::EventData};
use jiff::{SignedDuration, Timestamp};
use store::{
    EventQuery, FeedPlace, Recorded,
    events::{EVENT_KEPT, HORIZON},
};

use crate::{Stage, minutes};

fn event(kind: EventType, subject: &str, at: Timestamp) -> Event {
    Event {
        id: EventId::of(kind, subject, ""),
        kind,
        product: "fernway".parse().expect("an id"),
        at,
        sequence: Some(3),
        data: EventData {
            customer: Some(Customer { id: subject.into(), name: None }),
            connection: Some(ConnectionId::mint(at)),
            cause: Some("app_not_installed".into()),
            ..EventData::default()
        },
    }
}

/// Everything that a product can read, page by page.
async fn feed(stage: &Stage, query: &EventQuery, now: Timestamp) -> (Vec<Event>, FeedPlace) {
    let (mut query, mut found) = (query.clone(), Vec::new());
    loop {
        let page = stage.store.events(&"fernway".parse().expect("an id"), &query, now).await.expect("a page");
        found.extend(page.events);
        if !page.has_more {
            return (found, page.next);
        }
        query.after = Some(page.next);
    }
}

#[tokio::test]
async fn event_is_recorded_once_and_keeps_its_place() {
    let stage = Stage::start().await;
    let event = event(EventType::SessionLost, "c-1", stage.now);
    assert_eq!(stage.store.put_event(&event, stage.now).await.expect("recorded"), Recorded::New);
    let other = Event { at: stage.now + minutes(1), ..event.clone() };
    let again = stage.store.put_event(&other, stage.now + minutes(1)).await.expect("the table answers");
    assert_eq!(again, Recorded::Before);

    assert_eq!(stage.store.get_event(&event.id, stage.now).await.expect("read"), Some(event.clone()));
    let (events, place) =
        feed(&stage, &EventQuery { limit: 1, ..EventQuery::default() }, stage.now + minutes(9)).await;
    assert_eq!(events, std::slice::from_ref(&event));
    assert!(place.at().expect("a time") < stage.now + SignedDuration::from_secs(5), "{place:?}");
    let gone = stage.now + EVENT_KEPT + minutes(1);
    assert_eq!(stage.store.get_event(&event.id, gone).await.expect("read"), None, "TTL is late by days");
}

#[tokio::test]
async fn page_ends_before_what_may_still_be_added() {
    let stage = Stage::start().await;
    let first = event(EventType::SessionLost, "c-1", stage.now);
    stage.store.put_event(&first, stage.now).await.expect("recorded");
    let all = EventQuery { limit: 10, ..EventQuery::default() };
    let (early, place) = feed(&stage, &all, stage.now + HORIZON - SignedDuration::from_secs(1)).await;
    assert_eq!(early, [], "another event may still get a place before it");

    // A shard that is late is recorded late, whenever its changes happened.
    let later = stage.now + minutes(10);
    let late = event(EventType::SessionFailed, "c-2", stage.now - minutes(10));
    stage.store.put_event(&late, later).await.expect("recorded");
    let from_there = EventQuery { after: Some(place), ..all };
    let (events, place) = feed(&stage, &from_there, later + minutes(1)).await;
    assert_eq!(events, [first, late]);
    let rest = EventQuery { after: Some(place.clone()), limit: 10, ..EventQuery::default() };
    assert_eq!(feed(&stage, &rest, later + minutes(2)).await, (Vec::new(), place), "a place is kept");
}

#[tokio::test]
async fn filters_leave_out_what_does_not_match() {
    let stage = Stage::start().await;
    let mut all = Vec::new();
    for number in 0..230_i64 {
        let kind = if number % 100 == 7 { EventType::SessionLost } else { EventType::SessionFailed };
        let event = event(kind, &format!("c-{number}"), stage.now);
        stage.store.put_event(&event, stage.now + SignedDuration::from_secs(number)).await.expect("recorded");
        all.push(event);
    }
    let now = stage.now + minutes(20);
    let of = |query: EventQuery| EventQuery { limit: 3, ..query };
    let lost = of(EventQuery { types: vec![EventType::SessionLost], ..EventQuery::default() });
    assert_eq!(feed(&stage, &lost, now).await.0, [&all[7], &all[107], &all[207]].map(Clone::clone));
    let customer = of(EventQuery { customer: Some("c-200".into()), ..EventQuery::default() });
    assert_eq!(feed(&stage, &customer, now).await.0, [all[200].clone()]);
    let connection = of(EventQuery { connection: all[9].data.connection.clone(), ..EventQuery::default() });
    assert_eq!(feed(&stage, &connection, now).await.0, [all[9].clone()]);
    assert_eq!(feed(&stage, &of(EventQuery::default()), now).await.0, all);
}
