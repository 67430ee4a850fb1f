//! A connection that its product deletes while its refresh token is under way: whatever becomes of that answer, the
//! connection never works again.

use std::time::Duration;

use protocol::{
    Effect, Fate, Kind, Rig, Script,
    ether::{Calm, Fates},
    rig::FALLBACK,
    run,
};
use serde_json::json;
use tokio::time::sleep;

const MINUTE: Duration = Duration::from_mins(1);

/// A refresh takes five seconds, and meets this.
struct Slow(Effect);

impl Fates for Slow {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        let calm = Calm.fate(number, kind);
        match kind {
            Kind::Refresh => Fate { there: Duration::from_secs(5), effect: self.0, ..calm },
            _ => calm,
        }
    }
}

const fn answer(status: u16, body: &'static str, processed: bool) -> Effect {
    Effect::Scripted(Script { status, headers: &[], body, processed })
}

const GATEWAY: &str = "<html>gateway</html>";
const DOUBTFUL: &str = r#"{"access_token":"00D000000000001!AQEAQ","refresh_token":"5Aep861Doubtful"}"#;
const BUSY: &str =
    r#"{"error":"invalid_grant","error_description":"token request is already being processed"}"#;

#[test]
fn connection_deleted_during_a_refresh_stays_deleted() {
    for effect in [
        Effect::Silent,
        Effect::AnswerLost,
        answer(502, GATEWAY, false),
        answer(504, GATEWAY, true),
        answer(200, DOUBTFUL, false),
        answer(400, BUSY, false),
        Effect::Doubtful,
        Effect::DiesBefore,
        Effect::DiesAfter,
    ] {
        run(async move {
            let mut rig = Rig::new(true).await;
            let (holder, process) = (rig.process(), rig.process());
            sleep(16 * MINUTE).await;
            rig.ether.set(Slow(effect));
            let request = rig.call(None);
            let asking = tokio::spawn(async move { holder.answer(request).await });
            sleep(Duration::from_secs(1)).await;
            let deleted = process.answer(rig.deletion()).await;
            assert_eq!((deleted.status, &deleted.body["state"]), (202, &json!("revoking")), "{deleted:?}");
            let asked = asking.await.expect("it ends");
            assert_ne!(asked.status, 200, "{effect:?}: {}", asked.body);
            let item = rig.item();
            assert_eq!(
                (&item["state"]["S"], &item["revision_event"]["S"]),
                (&json!("revoking"), &json!("connection.deleted")),
                "{effect:?}"
            );

            rig.ether.set(Calm);
            sleep(MINUTE).await;
            assert_eq!(process.answer(rig.call(None)).await.status, 404, "{effect:?}");
            process.sweep().await;
            assert_eq!(process.answer(rig.deletion()).await.status, 404, "{effect:?}: it is gone");
            let sent = rig.ether.sent().len();
            sleep(20 * MINUTE).await;
            process.sweep().await;
            assert_eq!(rig.ether.sent().len(), sent, "{effect:?}: nothing refreshes it again");

            // Only an answer that nobody got leaves a grant that nobody can revoke.
            let lives = rig.world.live_grants().len();
            match effect {
                Effect::AnswerLost | Effect::DiesAfter | Effect::Scripted(Script { processed: true, .. }) => {
                    assert!(lives <= 1, "{effect:?}");
                }
                Effect::Doubtful => {
                    assert_eq!((lives, rig.ether.items(FALLBACK).len()), (1, 1), "it is not dropped unseen");
                    rig.decide("discard");
                    process.sweep().await;
                    assert_eq!((rig.world.live_grants().len(), rig.ether.items(FALLBACK).len()), (0, 0));
                }
                _ => assert_eq!(lives, 0, "{effect:?}: the grant is revoked"),
            }
        });
    }
}
