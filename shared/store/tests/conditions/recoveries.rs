//! Refreshes and recoveries that nobody answered are marked once, and answers that waited replace nothing newer.

use domain::{ConnectionState, Failure};
use jiff::{SignedDuration, Timestamp};
use store::{
    ConnectionRecord, Kept, Lease, LeaseOutcome, RefreshedTokens, SaveOutcome, Waiting, leases::LEASE,
};

use crate::{Stage, minutes, revisions::refusal};

/// A refresh that was begun.
async fn begun(stage: &Stage, record: &ConnectionRecord) -> Lease {
    let lease = stage.lease(record, stage.now).await.expect("the lease");
    stage.store.begin_refresh(&lease, &stage.cipher, stage.now).await.expect("the table answers");
    lease
}

fn since(record: &ConnectionRecord) -> Option<Timestamp> {
    match record.connection.state {
        ConnectionState::RefreshUnknown { since } => Some(since),
        _ => None,
    }
}

/// The holder's clock may be wrong, so the time of the mark is that of whoever found the refresh unanswered.
#[tokio::test]
async fn unanswered_refresh_has_the_time_of_whoever_found_it() {
    let stage = Stage::start().await;
    let record = stage.connection().await;
    let lease = begun(&stage, &record).await;
    let read = stage.read(&record).await;
    let almost = stage.now + LEASE - SignedDuration::from_secs(1);
    stage.store.mark_refresh_unknown(&read, almost).await.expect("the table answers");
    assert_eq!(since(&stage.read(&record).await), None, "its holder may still answer");
    stage.store.mark_refresh_unknown(&read, stage.now + minutes(9)).await.expect("the table answers");
    let marked = stage.read(&record).await;
    assert_eq!((since(&marked), marked.began_at), (Some(stage.now + minutes(9)), Some(stage.now)));
    // The holder comes late, and moves nothing.
    stage.store.abandon(&lease).await.expect("the table answers");
    assert_eq!(since(&stage.read(&record).await), Some(stage.now + minutes(9)));
}

#[tokio::test]
async fn holder_that_gives_up_says_so_with_the_time_of_its_refresh() {
    let stage = Stage::start().await;
    let record = stage.connection().await;
    let lease = begun(&stage, &record).await;
    stage.store.abandon(&lease).await.expect("the table answers");
    let left = stage.read(&record).await;
    assert_eq!((since(&left), left.lease_until), (Some(stage.now), None));
}

#[tokio::test]
async fn unanswered_recovery_is_marked_once() {
    let stage = Stage::start().await;
    let record = stage.connection().await;
    let lease = begun(&stage, &record).await;
    stage.store.abandon(&lease).await.expect("the table answers");
    let unknown = stage.read(&record).await;
    let mark = async |record: &ConnectionRecord, after: SignedDuration| {
        stage.store.mark_recovery_unknown(record, stage.now + after).await.expect("the table answers")
    };
    assert!(!mark(&unknown, minutes(5)).await, "none was sent");
    let recovery = stage.store.lease_recovery(&unknown, stage.now).await.expect("the table answers");
    assert!(matches!(recovery, LeaseOutcome::Yes(_)), "{recovery:?}");
    let sent = stage.read(&record).await;
    assert!(!mark(&sent, LEASE - SignedDuration::from_secs(1)).await, "its holder may still answer");
    assert!(!mark(&unknown, minutes(5)).await, "it has changed since that was read");
    assert!(mark(&sent, minutes(5)).await);
    let marked = stage.read(&record).await;
    assert_eq!((since(&marked), marked.lease_until), (Some(stage.now + minutes(5)), None));
    assert_eq!(marked.recovered_at, Some(stage.now));
    assert!(!mark(&sent, minutes(6)).await, "another has found it");
}

/// What waits in the fallback for the refresh of that lease.
async fn waiting(stage: &Stage, lease: &Lease, renewed: &RefreshedTokens) -> Box<Waiting> {
    stage.fallback.keep(lease, renewed).await.expect("the fallback answers");
    let kept = stage.fallback.kept(&lease.record().connection.id, lease.sent()).await.expect("an answer");
    let Some(Kept::Waiting(waiting)) = kept else { panic!("the answer waits: {kept:?}") };
    waiting
}

/// Without rotation the refresh token does not tell which of two answers is newer.
#[tokio::test]
async fn answer_that_waited_replaces_no_newer_one_where_nothing_rotates() {
    let stage = Stage::start().await;
    let record = stage.connection().await;
    let lease = begun(&stage, &record).await;
    let at = |answer: RefreshedTokens, minute: i64| RefreshedTokens {
        issued_at: stage.now + minutes(minute),
        fetched_at: Some(stage.now + minutes(minute)),
        ..answer
    };
    let old = at(stage.renewed(&record, "access-2", None).await, 1);
    let newer = at(stage.renewed(&record, "access-3", None).await, 2);
    let waits = waiting(&stage, &lease, &old).await;
    stage.store.save_renewed(&lease, &newer).await.expect("the table answers");
    let restored = stage.store.restore(&waits).await.expect("the table answers");
    assert!(matches!(restored, SaveOutcome::Superseded), "{restored:?}");
    assert_eq!(stage.read(&record).await.access_fingerprint, newer.access_fingerprint);
    // The newest one is stored, and again if its own acknowledgment was lost.
    let newest = at(stage.renewed(&record, "access-4", None).await, 3);
    let waits = waiting(&stage, &lease, &newest).await;
    for _ in 0..2 {
        let restored = stage.store.restore(&waits).await.expect("the table answers");
        assert!(matches!(restored, SaveOutcome::Yes(_)), "{restored:?}");
    }
    assert_eq!(stage.read(&record).await.access_fingerprint, newest.access_fingerprint);
}

/// Salesforce has ended the grant since: its user is still needed. With rotation the answer proves that it lives.
#[tokio::test]
async fn answer_that_waited_revives_no_grant_that_ended_since() {
    for rotates in [false, true] {
        let stage = Stage::start().await;
        let record = stage.connection().await;
        let lease = begun(&stage, &record).await;
        let answer = stage.renewed(&record, "access-2", rotates.then_some("refresh-2")).await;
        let answer = RefreshedTokens { issued_at: stage.now + minutes(1), ..answer };
        let waits = waiting(&stage, &lease, &answer).await;
        let read = stage.read(&record).await;
        let at = stage.now + minutes(5);
        let failure = Failure { at, ..refusal(&stage, &read) };
        let ended = ConnectionState::NeedsReauth { since: at, failure: failure.id.clone() };
        assert!(stage.store.stop_connection(&read, &ended, &failure).await.expect("the table answers"));
        let restored = stage.store.restore(&waits).await.expect("the table answers");
        assert_eq!(matches!(restored, SaveOutcome::Yes(_)), rotates, "{restored:?}");
        let lives = matches!(stage.read(&record).await.connection.state, ConnectionState::Active);
        assert_eq!(lives, rotates);
    }
}
