//! Tokens that were reported as rejected: a report counts for the stored token alone, and one test a minute is made.

use store::SaveOutcome;

use crate::{Stage, minutes};

#[tokio::test]
async fn report_counts_for_the_token_that_is_stored() {
    let stage = Stage::start().await;
    let before = stage.connection().await;
    let lease = stage.lease(&before, stage.now).await.expect("the lease");
    stage.store.begin_refresh(&lease, &stage.cipher, stage.now).await.expect("the table answers");
    let renewed = stage.renewed(&before, "access-2", Some("refresh-2")).await;
    let saved = stage.store.save_renewed(&lease, &renewed).await.expect("the table answers");
    assert!(matches!(saved, SaveOutcome::Yes(_)));
    // A caller that read the connection before the refresh reports the token that it got then.
    stage.store.mark_rejected(&before, stage.now).await.expect("the table answers");
    assert_eq!(stage.read(&before).await.rejected, None);
}

#[tokio::test]
async fn reported_token_is_tested_once_a_minute() {
    let stage = Stage::start().await;
    let record = stage.connection().await;
    let begin =
        async |at| stage.store.begin_test(&record, stage.now + minutes(at)).await.expect("it answers");
    assert!(!begin(0).await, "nobody has reported it");
    stage.store.mark_rejected(&record, stage.now).await.expect("the table answers");
    assert!(begin(0).await);
    assert!(!begin(0).await, "another caller tests it");
    assert!(begin(1).await, "a minute later it may be tested again");
    assert!(begin(-60).await, "a time to come was written by a wrong clock");
}

#[tokio::test]
async fn token_that_passed_its_test_is_reported_again_after_a_minute() {
    let stage = Stage::start().await;
    let record = stage.connection().await;
    let works = async || stage.read(&record).await.rejected.expect("it was reported").works;
    let report = async |at| {
        stage.store.mark_rejected(&record, stage.now + minutes(at)).await.expect("the table answers");
    };
    report(0).await;
    assert!(stage.store.begin_test(&record, stage.now).await.expect("the table answers"));
    stage.store.end_test(&record, true).await.expect("the table answers");
    assert!(works().await);
    report(0).await;
    assert!(works().await, "it was tested a moment ago");
    report(2).await;
    assert!(!works().await);
}

#[tokio::test]
async fn release_returns_what_was_reported_meanwhile() {
    let stage = Stage::start().await;
    let record = stage.connection().await;
    let lease = stage.lease(&record, stage.now).await.expect("the lease");
    stage.store.mark_rejected(&stage.read(&record).await, stage.now).await.expect("the table answers");
    let left = stage.store.release(&lease, None).await.expect("the table answers").expect("it was ours");
    assert!(left.rejected.is_some_and(|rejected| !rejected.works));
    // Whoever has the lease by now keeps it.
    let read = stage.read(&record).await;
    stage.lease(&read, stage.now).await.expect("the lease");
    let theirs = stage.store.release(&lease, None).await.expect("the table answers").expect("it is there");
    assert!(theirs.is_leased(stage.now));
    assert!(stage.read(&record).await.is_leased(stage.now));
}
