//! Attempts and receipts: each used once, in time, by the right one.

use domain::{
    SessionId,
    secret::{Hash, Receipt},
    session::{BoundBrowser, Redemption},
};
use jiff::Timestamp;
use store::{Begun, Claim, Redeemed};

use crate::{Stage, minutes};

fn redemption(
    session: &SessionId,
    receipt: &Receipt,
    product: &str,
    user: &str,
    now: Timestamp,
) -> Redemption {
    Redemption {
        session: session.clone(),
        product: product.parse().expect("an id"),
        receipt: receipt.clone(),
        user: user.to_owned(),
        keep_alive: now + minutes(60),
    }
}

#[tokio::test]
async fn receipt_is_worth_nothing_after_its_deadline() {
    let stage = Stage::start().await;
    let redeem_by = stage.now + minutes(10);
    let (session, record, receipt) = stage.pending(redeem_by).await;
    let redemption = redemption(&session, &receipt, "fernway", "user_7", stage.now);
    // No sweep has been by: the deadline itself refuses.
    let late = stage.store.redeem(&redemption, None, redeem_by).await.expect("the table answers");
    assert!(matches!(late, Redeemed::NotThisReceipt), "{late:?}");
    assert_eq!(stage.read(&record).await.connection.state, record.connection.state, "still pending");

    let in_time = redeem_by - minutes(1);
    let redeemed = stage.store.redeem(&redemption, None, in_time).await.expect("the table answers");
    assert!(matches!(redeemed, Redeemed::Yes), "{redeemed:?}");
    let again = stage.store.redeem(&redemption, None, in_time).await.expect("the table answers");
    assert!(matches!(again, Redeemed::Again(_)), "{again:?}");
}

#[tokio::test]
async fn another_product_learns_nothing_from_a_receipt() {
    let stage = Stage::start().await;
    let (session, _, receipt) = stage.pending(stage.now + minutes(10)).await;
    for user in ["user_7", "somebody"] {
        let other = redemption(&session, &receipt, "harbor", user, stage.now);
        let refused = stage.store.redeem(&other, None, stage.now).await.expect("the table answers");
        assert!(matches!(refused, Redeemed::NotThisReceipt), "{user}: {refused:?}");
    }
    let stranger = redemption(&session, &receipt, "fernway", "somebody", stage.now);
    let refused = stage.store.redeem(&stranger, None, stage.now).await.expect("the table answers");
    assert!(matches!(refused, Redeemed::OtherUser), "{refused:?}");
}

#[tokio::test]
async fn only_the_browser_that_returned_withdraws_its_grant() {
    let stage = Stage::start().await;
    let (session, record, receipt) = stage.pending(stage.now + minutes(10)).await;
    let returned = stage.attempt(&session, "state").bound_browser();
    let newer = stage.attempt(&session, "newer");
    let withdraw = async |browser: &BoundBrowser| {
        let earlier = (&record.connection.id, browser);
        stage.store.withdraw(&newer, earlier, stage.now).await.expect("the table answers")
    };

    for other in [
        BoundBrowser { secret: Hash::of("another"), ..returned.clone() },
        BoundBrowser { attempt: newer.id.clone(), ..returned.clone() },
    ] {
        assert!(!withdraw(&other).await, "{other:?}");
    }
    assert_eq!(stage.read(&record).await.connection.state, record.connection.state, "still pending");

    assert!(withdraw(&returned).await);
    assert!(!withdraw(&returned).await, "once");
    let redemption = redemption(&session, &receipt, "fernway", "user_7", stage.now);
    let late = stage.store.redeem(&redemption, None, stage.now).await.expect("the table answers");
    assert!(matches!(late, Redeemed::NotThisReceipt), "{late:?}");
}

#[tokio::test]
async fn attempt_is_claimed_once_in_time_by_its_browser() {
    let stage = Stage::start().await;
    let session = stage.session().await;
    let attempt = stage.attempt(&session, "state-1");
    assert!(matches!(stage.store.begin_attempt(&attempt).await.expect("an answer"), Begun::Yes));
    let browser = Hash::of("browser");
    let claim =
        async |browser: &Hash, now| stage.store.claim(&attempt.id, browser, now).await.expect("an answer");

    assert!(matches!(claim(&Hash::of("another"), stage.now).await, Claim::OtherBrowser(_)));
    assert!(matches!(claim(&browser, attempt.expires_at).await, Claim::Expired(_)));
    assert!(matches!(claim(&browser, stage.now).await, Claim::Yours(_)));
    assert!(matches!(claim(&browser, stage.now).await, Claim::Used(_)));
}

#[tokio::test]
async fn session_allows_so_many_attempts_and_none_when_it_is_over() {
    let stage = Stage::start().await;
    let session = stage.session().await;
    let mut begun = 0;
    for number in 0..200 {
        let attempt = stage.attempt(&session, &format!("state-{number}"));
        match stage.store.begin_attempt(&attempt).await.expect("an answer") {
            Begun::Yes => begun += 1,
            Begun::No => break,
        }
    }
    assert!((5..200).contains(&begun), "attempts are bounded: {begun}");

    let session = stage.session().await;
    let mut late = stage.attempt(&session, "late");
    late.began_at = stage.now + minutes(60);
    assert!(matches!(stage.store.begin_attempt(&late).await.expect("an answer"), Begun::No));
}
