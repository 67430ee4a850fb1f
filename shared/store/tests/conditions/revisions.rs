//! Revisions: one for each change that a product is told of, in the write that makes the change.

use domain::{
    ConnectionState, EventType, Evidence, Failure, FailureId, Provenance, Stage as FailureStage, Surface,
};
use jiff::SignedDuration;
use store::{ConnectionRecord, Revision, SaveOutcome, leases::LEASE};

use crate::Stage;

/// The number and the event of the stored revision.
async fn revision(stage: &Stage, of: &ConnectionRecord) -> (u64, Option<EventType>) {
    let Revision { number, event, .. } = stage.read(of).await.revision;
    (number, event)
}

/// Salesforce refused the connection's refresh token.
pub(crate) fn refusal(stage: &Stage, record: &ConnectionRecord) -> Failure {
    let connection = &record.connection;
    Failure {
        id: FailureId::mint(stage.now),
        at: stage.now,
        sent_at: None,
        product: connection.product.clone(),
        app: connection.app.clone(),
        customer: connection.customer.clone(),
        session: None,
        connection: Some(connection.id.clone()),
        org: None,
        login_host: None,
        environment: None,
        connected_before: None,
        stage: FailureStage::Refresh,
        evidence: Evidence {
            surface: Surface::TokenEndpoint,
            provenance: Provenance::Observed,
            code: Some("invalid_grant".into()),
            description: None,
            http_status: Some(400),
            host: None,
        },
        cause: "token_revoked".into(),
        incident: None,
        confidence: None,
        resolved: None,
        refines: None,
    }
}

#[tokio::test]
async fn refresh_of_a_working_connection_makes_no_event() {
    let stage = Stage::start().await;
    let record = stage.connection().await;
    let lease = stage.lease(&record, stage.now).await.expect("the lease");
    let renewed = stage.renewed(&record, "access-2", Some("refresh-2")).await;
    stage.store.save_renewed(&lease, &renewed).await.expect("the table answers");
    assert_eq!(revision(&stage, &record).await, (0, None));
}

#[tokio::test]
async fn trouble_is_told_once_and_so_is_its_end() {
    let stage = Stage::start().await;
    let record = stage.connection().await;
    let lease = stage.lease(&record, stage.now).await.expect("the lease");
    stage.store.begin_refresh(&lease, &stage.cipher, stage.now).await.expect("the table answers");
    stage.store.abandon(&lease).await.expect("the table answers");
    assert_eq!(revision(&stage, &record).await, (1, Some(EventType::ConnectionRefreshFailing)));

    // Its holder's answer comes after all: the lease was taken while the connection worked.
    let renewed = stage.renewed(&record, "access-2", Some("refresh-2")).await;
    let saved = stage.store.save_renewed(&lease, &renewed).await.expect("the table answers");
    assert!(matches!(saved, SaveOutcome::Yes(_)), "{saved:?}");
    assert_eq!(revision(&stage, &record).await, (2, Some(EventType::ConnectionRecovered)));

    let read = stage.read(&record).await;
    let lease = stage.lease(&read, stage.now + LEASE).await.expect("the lease");
    let renewed = stage.renewed(&record, "access-3", Some("refresh-3")).await;
    stage.store.save_renewed(&lease, &renewed).await.expect("the table answers");
    assert_eq!(revision(&stage, &record).await.0, 2, "it worked before");
}

#[tokio::test]
async fn connection_that_stops_while_failing_says_so() {
    let stage = Stage::start().await;
    let record = stage.connection().await;
    let failure = refusal(&stage, &record);
    let blocked = ConnectionState::Blocked { since: failure.at, failure: failure.id.clone() };
    assert!(stage.store.stop_connection(&record, &blocked, &failure).await.expect("the table answers"));
    assert_eq!(revision(&stage, &record).await, (1, Some(EventType::ConnectionBlocked)));

    let later = stage.now + SignedDuration::from_hours(1);
    let ended = Failure { id: FailureId::mint(later), at: later, ..failure };
    let state = ConnectionState::NeedsReauth { since: later, failure: ended.id.clone() };
    let read = stage.read(&record).await;
    assert!(stage.store.stop_connection(&read, &state, &ended).await.expect("the table answers"));
    assert_eq!(revision(&stage, &record).await, (2, Some(EventType::ConnectionReauthorizationNeeded)));
    assert_eq!(stage.read(&record).await.revision.at, Some(later));
}
