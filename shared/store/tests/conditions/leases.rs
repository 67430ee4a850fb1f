//! Leases: one holder, one send, one recovery; an answer is kept unless something newer is stored.

use domain::{ConnectionState, EventType, FailureId};
use store::{Backoff, Kept, SaveOutcome, leases::LEASE};
use world::dynamodb::{Fault, Which};

use crate::{Stage, fingerprint};

#[tokio::test]
async fn lease_has_one_holder_until_it_ends() {
    let stage = Stage::start().await;
    let record = stage.connection().await;
    assert!(stage.lease(&record, stage.now).await.is_some());

    let read = stage.read(&record).await;
    let almost = stage.now + LEASE - jiff::SignedDuration::from_millis(1);
    assert!(stage.lease(&read, almost).await.is_none(), "somebody holds it");
    assert!(stage.lease(&read, stage.now + LEASE).await.is_some(), "it is over");
}

#[tokio::test]
async fn lease_of_an_outdated_record_is_refused() {
    // Without rotation the fingerprint stays, and only the epoch tells.
    let stage = Stage::start().await;
    let before = stage.connection().await;
    let lease = stage.lease(&before, stage.now).await.expect("the lease");
    stage.store.release(&lease, None).await.expect("the table answers");
    assert!(stage.lease(&before, stage.now).await.is_none(), "somebody had it since this was read");
    let read = stage.read(&before).await;
    assert!(stage.lease(&read, stage.now).await.is_some());
}

#[tokio::test]
async fn released_lease_begins_nothing() {
    let stage = Stage::start().await;
    let record = stage.connection().await;
    let lease = stage.lease(&record, stage.now).await.expect("the lease");
    stage.store.release(&lease, None).await.expect("the table answers");
    let begun = stage.store.begin_refresh(&lease, &stage.cipher, stage.now).await.expect("the table answers");
    assert!(begun.is_none(), "a write that arrives late gives no token");
    assert!(stage.read(&record).await.began_at.is_none());
}

#[tokio::test]
async fn begun_refresh_keeps_others_from_sending() {
    let stage = Stage::start().await;
    let record = stage.connection().await;
    let lease = stage.lease(&record, stage.now).await.expect("the lease");
    let begun = stage.store.begin_refresh(&lease, &stage.cipher, stage.now).await.expect("the table answers");
    assert!(begun.is_some());
    let read = stage.read(&record).await;
    assert!(stage.lease(&read, stage.now + LEASE + LEASE).await.is_none(), "nobody knows what became of it");
}

#[tokio::test]
async fn answer_that_comes_after_the_lease_is_kept() {
    let stage = Stage::start().await;
    let record = stage.connection().await;
    let lease = stage.lease(&record, stage.now).await.expect("the lease");
    stage.store.begin_refresh(&lease, &stage.cipher, stage.now).await.expect("the table answers");
    let read = stage.read(&record).await;
    stage.store.mark_refresh_unknown(&read, stage.now + LEASE).await.expect("the table answers");

    let renewed = stage.renewed(&record, "access-2", Some("refresh-2")).await;
    let saved = stage.store.save_renewed(&lease, &renewed).await.expect("the table answers");

    assert!(matches!(saved, SaveOutcome::Yes(_)), "{saved:?}");
    let now = stage.read(&record).await;
    assert_eq!(now.refresh_fingerprint, Some(fingerprint("refresh-2")));
    assert!(now.began_at.is_none() && now.lease_until.is_none());
}

#[tokio::test]
async fn answer_to_a_replaced_token_is_superseded() {
    let stage = Stage::start().await;
    let record = stage.connection().await;
    let lease = stage.lease(&record, stage.now).await.expect("the lease");
    let newer = stage.renewed(&record, "access-2", Some("refresh-2")).await;
    stage.store.save_renewed(&lease, &newer).await.expect("the table answers");
    let late = stage.renewed(&record, "access-3", Some("refresh-3")).await;
    let saved = stage.store.save_renewed(&lease, &late).await.expect("the table answers");
    assert!(matches!(saved, SaveOutcome::Superseded), "{saved:?}");
    assert_eq!(stage.read(&record).await.refresh_fingerprint, Some(fingerprint("refresh-2")));
    // The same answer once more, because its own acknowledgment was lost, is not superseded.
    let again = stage.store.save_renewed(&lease, &newer).await.expect("the table answers");
    assert!(matches!(again, SaveOutcome::Yes(_)), "revoking it would end the grant: {again:?}");
}

#[tokio::test]
async fn answer_without_scopes_or_refresh_token_keeps_the_stored_ones() {
    let stage = Stage::start().await;
    let record = stage.connection().await;
    let lease = stage.lease(&record, stage.now).await.expect("the lease");
    let renewed = stage.renewed(&record, "access-2", None).await;
    stage.store.save_renewed(&lease, &renewed).await.expect("the table answers");
    let now = stage.read(&record).await;
    assert_eq!(now.refresh_fingerprint, Some(fingerprint("refresh-1")));
    assert_eq!(now.connection.scopes, record.connection.scopes);
}

#[tokio::test]
async fn recovery_is_given_once_and_again_after_a_success() {
    let stage = Stage::start().await;
    let record = stage.connection().await;
    let mut answers = 1;
    for _ in 0..2 {
        let read = stage.read(&record).await;
        let lease = stage.lease(&read, stage.now).await.expect("the lease");
        stage.store.begin_refresh(&lease, &stage.cipher, stage.now).await.expect("the table answers");
        stage.store.abandon(&lease).await.expect("the table answers");
        let unknown = stage.read(&record).await;
        let recovery = stage.store.lease_recovery(&unknown, stage.now).await.expect("the table answers");
        let store::LeaseOutcome::Yes(recovery) = recovery else { panic!("the one recovery: {recovery:?}") };
        // Who has seen that one was sent asks Salesforce first: tests/protocol/tests/refresh/recovery.rs.
        let second =
            stage.store.lease_recovery(&unknown, stage.now + LEASE + LEASE).await.expect("an answer");
        assert!(matches!(second, store::LeaseOutcome::No(_)), "there is no second: {second:?}");
        answers += 1;
        let (access, refresh) = (format!("access-{answers}"), format!("refresh-{answers}"));
        let renewed = stage.renewed(&record, &access, Some(&refresh)).await;
        stage.store.save_renewed(&recovery, &renewed).await.expect("the table answers");
    }
    assert_eq!(stage.read(&record).await.refresh_fingerprint, Some(fingerprint("refresh-3")));
}

#[tokio::test]
async fn refused_recovery_is_given_back() {
    let stage = Stage::start().await;
    let record = stage.connection().await;
    let lease = stage.lease(&record, stage.now).await.expect("the lease");
    stage.store.begin_refresh(&lease, &stage.cipher, stage.now).await.expect("the table answers");
    stage.store.abandon(&lease).await.expect("the table answers");
    let unknown = stage.read(&record).await;
    let recovery = stage.store.lease_recovery(&unknown, stage.now).await.expect("the table answers");
    let store::LeaseOutcome::Yes(recovery) = recovery else { panic!("the one recovery: {recovery:?}") };
    stage.store.release_recovery(&recovery, None).await.expect("the table answers");
    let read = stage.read(&record).await;
    let again = stage.store.lease_recovery(&read, stage.now).await.expect("the table answers");
    assert!(matches!(again, store::LeaseOutcome::Yes(_)), "nothing was spent: {again:?}");
}

#[tokio::test]
async fn lease_whose_acknowledgment_was_lost_is_the_callers_own() {
    let stage = Stage::start().await;
    let record = stage.connection().await;
    stage.dynamo.inject(Fault::lose_answer().on(Which::Operation("UpdateItem")));
    // Retries are off here: the caller sees the loss, and the lease ends by itself.
    assert!(stage.store.lease(&record, false, stage.now).await.is_err());
    let read = stage.read(&record).await;
    assert!(stage.lease(&read, stage.now).await.is_none());
    assert!(stage.lease(&read, stage.now + LEASE).await.is_some());
}

#[tokio::test]
async fn fallback_restores_an_answer_unless_a_newer_one_is_stored() {
    let stage = Stage::start().await;
    let record = stage.connection().await;
    let lease = stage.lease(&record, stage.now).await.expect("the lease");
    let renewed = stage.renewed(&record, "access-2", Some("refresh-2")).await;
    stage.fallback.keep(&lease, &renewed).await.expect("the fallback answers");
    let kept = stage.fallback.kept(&record.connection.id, lease.sent()).await.expect("an answer");
    let Some(Kept::Waiting(waiting)) = kept else { panic!("the answer waits: {kept:?}") };
    assert!(!waiting.superseded);

    assert!(matches!(stage.store.restore(&waiting).await.expect("an answer"), SaveOutcome::Yes(_)));
    assert_eq!(stage.read(&record).await.refresh_fingerprint, Some(fingerprint("refresh-2")));
    stage.fallback.forget(&waiting).await.expect("the fallback answers");
    assert!(stage.fallback.kept(&record.connection.id, lease.sent()).await.expect("an answer").is_none());

    let read = stage.read(&record).await;
    let later = stage.lease(&read, stage.now + LEASE).await.expect("the lease");
    let newer = stage.renewed(&record, "access-3", Some("refresh-3")).await;
    stage.store.save_renewed(&later, &newer).await.expect("the table answers");
    assert!(matches!(stage.store.restore(&waiting).await.expect("an answer"), SaveOutcome::Superseded));
    assert_eq!(stage.read(&record).await.refresh_fingerprint, Some(fingerprint("refresh-3")));
}

/// A product deletes a connection while it is refreshed: what its holder writes afterwards brings nothing back.
#[tokio::test]
async fn deleted_connection_stays_deleted_whatever_its_holder_writes() {
    let stage = Stage::start().await;
    let record = stage.connection().await;
    let (product, id) = (&record.connection.product, &record.connection.id);
    let lease = stage.lease(&record, stage.now).await.expect("the lease");
    stage.store.begin_refresh(&lease, &stage.cipher, stage.now).await.expect("the table answers");
    assert!(stage.store.begin_revoking(product, id, stage.now).await.expect("the table answers"));

    let left = stage.store.abandon(&lease).await.expect("the table answers").expect("a connection");
    assert!(matches!(left.connection.state, ConnectionState::Revoking { .. }), "{left:?}");
    stage.store.mark_refresh_unknown(&left, stage.now + LEASE).await.expect("the table answers");
    let backoff = Backoff {
        failure: Some(FailureId::mint(stage.now)),
        ..Backoff::after(None, stage.now, (None, 1), 0.0)
    };
    stage.store.release(&lease, Some(&backoff)).await.expect("the table answers");
    stage.store.explain_backoff(&lease, &backoff, stage.now).await.expect("the table answers");
    let renewed = stage.renewed(&record, "access-2", Some("refresh-2")).await;
    let saved = stage.store.save_renewed(&lease, &renewed).await.expect("the table answers");
    assert!(matches!(saved, SaveOutcome::Superseded), "{saved:?}");

    let read = stage.read(&record).await;
    assert!(matches!(read.connection.state, ConnectionState::Revoking { .. }), "{read:?}");
    assert_eq!(read.revision.event, Some(EventType::ConnectionDeleted), "nothing is told after it");
}

#[tokio::test]
async fn refresh_of_a_deleted_connection_is_not_begun() {
    let stage = Stage::start().await;
    let record = stage.connection().await;
    let (product, id) = (&record.connection.product, &record.connection.id);
    let lease = stage.lease(&record, stage.now).await.expect("the lease");
    assert!(stage.store.begin_revoking(product, id, stage.now).await.expect("the table answers"));
    let begun = stage.store.begin_refresh(&lease, &stage.cipher, stage.now).await.expect("the table answers");
    assert!(begun.is_none(), "its token is about to be revoked");
}
