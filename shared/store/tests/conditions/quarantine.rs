//! Quarantine: a decision and a delay are for the answer that was read, and nothing brings a forgotten one back.

use domain::ConnectionId;
use jiff::SignedDuration;
use store::{Decision, Field, Kept, Origin, Owner, Quarantined};

use crate::{Stage, fingerprint, minutes};

/// An answer to a refresh that fails a check, in quarantine.
async fn kept(stage: &Stage) -> Quarantined {
    let connection = ConnectionId::mint(stage.now);
    let product: domain::ProductId = "fernway".parse().expect("an id");
    let owner = Owner { product: &product, connection: &connection };
    let answer = stage.cipher.seal(owner, Field::Answer, "{}").await.expect("sealed");
    let quarantined = Quarantined {
        answer,
        product: product.clone(),
        app: "sync".parse().expect("an id"),
        connection,
        origin: Origin::Refresh,
        login_host: "https://login.salesforce.com".into(),
        sent: fingerprint("refresh-1"),
        reason: "signature_mismatch".into(),
        detail: "its signature does not match".into(),
        status: 200,
        quarantined_at: stage.now,
        import: None,
        exchange: None,
        instance_url: None,
        decision: None,
        outcome: None,
        not_before: None,
    };
    stage.fallback.quarantine(&quarantined).await.expect("the fallback answers");
    quarantined
}

async fn read(stage: &Stage, of: &Quarantined) -> Option<Quarantined> {
    match stage.fallback.kept(&of.connection, &of.sent).await.expect("the fallback answers")? {
        Kept::Quarantined(quarantined) => Some(*quarantined),
        Kept::Waiting(_) => panic!("it fails a check"),
    }
}

#[tokio::test]
async fn decision_is_kept_and_ends_the_delay() {
    let stage = Stage::start().await;
    let answer = kept(&stage).await;
    stage.fallback.put_off_quarantined(&answer, stage.now + minutes(15)).await.expect("it answers");
    let later = read(&stage, &answer).await.expect("it is kept");
    assert!(!Kept::Quarantined(Box::new(later.clone())).is_due(stage.now));
    let decided = stage.fallback.decide(&later, Some(Decision::Release), None).await.expect("it answers");
    assert!(decided);
    let decided = read(&stage, &answer).await.expect("it is kept");
    assert_eq!((decided.decision, decided.not_before), (Some(Decision::Release), None));
}

#[tokio::test]
async fn forgotten_answer_is_not_brought_back() {
    let stage = Stage::start().await;
    let answer = kept(&stage).await;
    stage.fallback.forget_quarantined(&answer).await.expect("the fallback answers");
    assert!(read(&stage, &answer).await.is_none());
    assert!(!stage.fallback.decide(&answer, Some(Decision::Discard), None).await.expect("it answers"));
    stage.fallback.put_off_quarantined(&answer, stage.now + minutes(15)).await.expect("it answers");
    assert!(read(&stage, &answer).await.is_none());
}

/// The recovery of the same refresh token may bring another answer; what was decided or done about the first is not for it.
#[tokio::test]
async fn newer_answer_is_neither_decided_on_nor_forgotten_with_an_older_one() {
    let stage = Stage::start().await;
    let older = kept(&stage).await;
    let newer = Quarantined { quarantined_at: stage.now + minutes(3), ..older.clone() };
    stage.fallback.quarantine(&newer).await.expect("the fallback answers");
    assert!(!stage.fallback.decide(&older, Some(Decision::Discard), None).await.expect("it answers"));
    stage.fallback.put_off_quarantined(&older, stage.now + minutes(15)).await.expect("it answers");
    stage.fallback.forget_quarantined(&older).await.expect("the fallback answers");
    let left = read(&stage, &newer).await.expect("it is kept");
    assert_eq!((left.quarantined_at, left.decision, left.not_before), (newer.quarantined_at, None, None));
}

#[tokio::test]
async fn exchanges_answer_is_kept_for_a_day_and_a_refreshs_for_good() {
    let stage = Stage::start().await;
    let refresh = kept(&stage).await;
    let exchange = Quarantined { origin: Origin::Exchange, ..refresh.clone() };
    let day = SignedDuration::from_hours(24);
    assert!(
        !exchange.is_over(stage.now + day - minutes(11)) && exchange.is_over(stage.now + day - minutes(10))
    );
    assert!(!refresh.is_over(stage.now + day * 365));
}
