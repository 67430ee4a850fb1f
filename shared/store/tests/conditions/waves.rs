//! Waves over more than one hour.

use domain::{
    ConnectionId, OrgId,
    incident::{LEAST, MOST, Over},
};
use jiff::Timestamp;
use store::waves::Part;

use crate::{Stage, minutes};

/// So many orgs stop at that time; what the last of them is part of.
async fn stops(stage: &Stage, number: usize, from: usize, now: Timestamp) -> Option<Part> {
    let mut part = None;
    let app = "sync".parse().expect("an id");
    for org in from..from + number {
        let org: OrgId = format!("00DgK{org:010}").parse().expect("an org");
        let connection = ConnectionId::mint(now);
        part = stage
            .store
            .count_stop(
                &"fernway".parse().expect("an id"),
                &Over::App(&app),
                "app_blocked",
                (&connection, &org),
                now,
            )
            .await
            .expect("the table answers");
    }
    part
}

#[tokio::test]
async fn wave_that_goes_on_is_the_same_incident_in_its_second_hour() {
    let stage = Stage::start().await;
    let begins = stops(&stage, LEAST, 0, stage.now).await.expect("a wave");
    assert!(begins.begins);
    let second = stops(&stage, LEAST, 100, stage.now + minutes(61)).await.expect("it goes on");
    assert_eq!((second.incident.id, second.begins), (begins.incident.id, false));
    let waves = stage.store.waves(&"fernway".parse().expect("an id"), stage.now + minutes(62)).await;
    let waves = waves.expect("the table answers");
    assert_eq!((waves.len(), waves[0].stopped), (1, LEAST), "counted anew: {waves:?}");
}

#[tokio::test]
async fn stops_of_two_calm_hours_are_no_wave() {
    let stage = Stage::start().await;
    assert!(stops(&stage, LEAST - 1, 0, stage.now).await.is_none());
    assert!(stops(&stage, LEAST - 1, 100, stage.now + minutes(61)).await.is_none(), "each hour by itself");
    // What is usual is known by now: as many again are none.
    assert!(stops(&stage, LEAST, 200, stage.now + minutes(122)).await.is_none());
}

#[tokio::test]
async fn wave_of_yesterday_is_not_shown_and_not_continued() {
    let stage = Stage::start().await;
    let before = stops(&stage, LEAST, 0, stage.now).await.expect("a wave");
    let now = stage.now + minutes(24 * 60);
    assert!(stage.store.waves(&"fernway".parse().expect("an id"), now).await.expect("an answer").is_empty());
    let after = stops(&stage, LEAST, 100, now).await.expect("a wave");
    assert!(after.begins && after.incident.id != before.incident.id);
}

#[tokio::test]
async fn wave_counts_up_to_its_bound() {
    let stage = Stage::start().await;
    let last = stops(&stage, MOST + 3, 0, stage.now).await.expect("a wave");
    assert!(!last.begins);
    let waves = stage.store.waves(&"fernway".parse().expect("an id"), stage.now).await.expect("an answer");
    assert_eq!(waves[0].stopped, MOST);
}
