//! What is known of hosts.

use domain::{AppId, ProductId};
use jiff::{SignedDuration, Timestamp};
use store::{AppAt, health::AppHealth};

use crate::{Stage, minutes};

const HOST: &str = "https://login.salesforce.com";

async fn reachable_at(stage: &Stage) -> Option<Timestamp> {
    let (product, app): (ProductId, AppId) =
        ("fernway".parse().expect("an id"), "sync".parse().expect("an id"));
    let app = AppAt { product: &product, app: &app, consumer_key: "3MVG9.key" };
    stage.store.health(app, HOST).await.expect("the table answers").host.reachable_at
}

#[tokio::test]
async fn first_answer_after_an_unanswered_refresh_counts() {
    let stage = Stage::start().await;
    let at = |after: i64| stage.now + minutes(after);
    let note =
        async |since, now| stage.store.note_reachable(HOST, at(since), at(now)).await.expect("an answer");
    note(0, 1).await;
    assert_eq!(reachable_at(&stage).await, Some(at(1)));
    note(0, 5).await;
    assert_eq!(reachable_at(&stage).await, Some(at(1)), "the first one after that refresh");
    // An answer from before says nothing of a refresh that was not answered since.
    note(20, 21).await;
    assert_eq!(reachable_at(&stage).await, Some(at(21)));
    note(2, 4).await;
    assert_eq!(reachable_at(&stage).await, Some(at(4)), "a time to come was written by a wrong clock");
}

/// An app of Fernway's.
struct Named {
    product: ProductId,
    app: AppId,
}

impl Named {
    fn new() -> Self {
        Self { product: "fernway".parse().expect("an id"), app: "sync".parse().expect("an id") }
    }

    fn at(&self) -> AppAt<'_> {
        AppAt { product: &self.product, app: &self.app, consumer_key: "3MVG9.key" }
    }
}

async fn app(stage: &Stage, named: &Named) -> AppHealth {
    stage.store.health(named.at(), HOST).await.expect("the table answers").app
}

async fn refuse(stage: &Stage, named: &Named, org: &str) {
    let before = app(stage, named).await;
    stage.store.note_app_refused(named.at(), org, &before, stage.now).await.expect("the table answers");
}

#[tokio::test]
async fn app_is_stopped_everywhere_by_two_orgs_or_two_hosts_and_not_by_one_of_each() {
    for (seen, everywhere) in [
        (&["00D1", "00D2"][..], true),
        (&["https://one.my.salesforce.com", "https://two.my.salesforce.com"], true),
        (&["00D1", "https://one.my.salesforce.com"], false),
        (&["00D1", "00D1"], false),
        (&["00D1", "https://one.my.salesforce.com", "00D2"], true),
    ] {
        let (stage, named) = (Stage::start().await, Named::new());
        for org in seen {
            refuse(&stage, &named, org).await;
        }
        let health = app(&stage, &named).await;
        assert_eq!(health.stop("00D9", stage.now).is_some(), everywhere, "{seen:?}");
        assert!(health.stop(seen[0], stage.now).is_some(), "{seen:?}");
        // What is stored stays small.
        for org in 10..20 {
            refuse(&stage, &named, &format!("00D{org}")).await;
        }
        assert!(app(&stage, &named).await.orgs.len() <= 4, "{seen:?}");
        stage.store.note_app_works(named.at()).await.expect("the table answers");
        assert_eq!(app(&stage, &named).await, AppHealth::default());
    }
}

#[tokio::test]
async fn app_that_rotated_once_is_taken_to_rotate_for_good() {
    let (stage, named) = (Stage::start().await, Named::new());
    let note = async |rotates| stage.store.note_rotation(named.at(), rotates).await.expect("it answers");
    note(false).await;
    assert_eq!(app(&stage, &named).await.rotates, Some(false));
    note(true).await;
    note(false).await;
    assert_eq!(app(&stage, &named).await.rotates, Some(true), "a lost answer may have taken a token with it");
}

#[tokio::test]
async fn fifth_untrusted_answer_stops_an_app_and_one_refresh_tries() {
    let (stage, named) = (Stage::start().await, Named::new());
    for number in 1..=5 {
        let noted = stage.store.note_untrusted(named.at(), "signature_mismatch", stage.now).await;
        assert_eq!(noted.expect("the table answers"), number == 5, "{number}");
    }
    let health = app(&stage, &named).await;
    assert_eq!(health.untrusted_as.as_deref(), Some("signature_mismatch"));
    let until = health.not_before.expect("it is stopped");
    let probe =
        async |seen| stage.store.probe_app(named.at(), &health, seen, until).await.expect("it answers");
    assert!(probe(until).await);
    assert!(!probe(until).await, "another tries");
}

#[tokio::test]
async fn host_is_asked_once_a_minute() {
    let stage = Stage::start().await;
    let begin =
        async |at| stage.store.begin_question(HOST, stage.now + minutes(at)).await.expect("it answers");
    assert!(begin(0).await);
    assert!(!begin(0).await, "another asks");
    assert!(begin(1).await);
    assert!(begin(-60).await, "a time to come was written by a wrong clock");
}

#[tokio::test]
async fn host_waits_once_five_orgs_of_two_products_see_it_down_within_a_minute() {
    let down = async |seen: &[(&str, &str, i64)]| {
        let (stage, named) = (Stage::start().await, Named::new());
        for (product, org, second) in seen {
            let (product, at) = (product.parse().expect("an id"), SignedDuration::from_secs(*second));
            stage.store.note_down(HOST, &product, org, stage.now + at).await.expect("the table answers");
        }
        let host = stage.store.health(named.at(), HOST).await.expect("the table answers").host;
        host.not_before.is_some()
    };
    let five = [("fernway", "1", 0), ("fernway", "2", 9), ("other", "3", 9), ("other", "4", 9)];
    assert!(down(&[&five[..], &[("other", "5", 59)]].concat()).await);
    assert!(!down(&five).await, "four orgs");
    assert!(!down(&[&five[..], &[("other", "4", 9)]].concat()).await, "four orgs, one of them twice");
    assert!(!down(&[&five[..], &[("other", "5", 61)]].concat()).await, "not within a minute");
    let one_product: Vec<_> =
        (0..9).map(|org| ("fernway", ["1", "2", "3", "4", "5", "6"][org % 6], 1)).collect();
    assert!(!down(&one_product).await, "one product's may be its own doing");
}
