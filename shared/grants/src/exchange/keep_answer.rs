//! An answer that cannot become a connection now: sealed in the fallback table, or revoked.

use std::time::Duration;

use domain::secret::RawTokenAnswer;
use platform::log::internal;
use salesforce::{DoubtfulAnswer, Grant, LoginHost, http::ANSWER, token::NothingToRevoke};
use store::{Decision, ExchangedAs, Field, Origin, Owner, Quarantined, SecretError, StoreError};
use telemetry::{Metric, add};
use tokio::time::{sleep, timeout};

use super::{
    Exchanger,
    context::{FALLBACK, Trip},
};

/// Maximum number of tries to write an answer: if the fallback does not take it, there must be time left to revoke it.
const MAX_TRIES: u32 = 5;

/// Pause between two tries of a write.
const PAUSE: Duration = Duration::from_millis(200);

/// An answer could not be kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeepError {
    /// It could not be sealed.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The fallback did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An answer as it came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawAnswer<'a> {
    host: &'a LoginHost,
    raw: &'a RawTokenAnswer,
    status: u16,
}

/// Why an answer is kept, and what is to become of it.
#[derive(Debug)]
pub(crate) struct Reason {
    /// The catalogue's code.
    code: &'static str,
    detail: String,
    decision: Option<Decision>,
}

impl<'a> From<&'a Grant> for RawAnswer<'a> {
    fn from(grant: &'a Grant) -> Self {
        Self { host: &grant.host, raw: &grant.raw, status: 200 }
    }
}

impl<'a> From<&'a DoubtfulAnswer> for RawAnswer<'a> {
    fn from(doubtful: &'a DoubtfulAnswer) -> Self {
        Self { host: &doubtful.host, raw: &doubtful.raw, status: doubtful.status }
    }
}

impl Reason {
    /// It fails a check: an operator decides.
    pub(crate) fn doubt(doubtful: &DoubtfulAnswer) -> Self {
        Self { code: doubtful.distrust.code(), detail: doubtful.to_string(), decision: None }
    }

    /// The table did not take it: the sweep stores it.
    pub(crate) fn unstored() -> Self {
        let detail = "the table did not take the connection".to_owned();
        Self { code: "internal", detail, decision: Some(Decision::Release) }
    }

    /// Nobody will hold it, and Salesforce did not revoke it: the sweep sees to that.
    fn unrevoked() -> Self {
        let detail = "Salesforce did not revoke a grant that nobody holds".to_owned();
        Self { code: "internal", detail, decision: Some(Decision::Discard) }
    }
}

impl Exchanger {
    /// Seals an answer into the fallback, with the reason and what is to become of it.
    pub(crate) async fn keep_answer(
        &self,
        trip: &Trip<'_>,
        answer: RawAnswer<'_>,
        reason: Reason,
    ) -> Result<Quarantined, KeepError> {
        let attempt = trip.attempt;
        let owner = Owner { product: &attempt.product, connection: &trip.id };
        let receipt = trip.receipt();
        let quarantined = Quarantined {
            product: attempt.product.clone(),
            app: attempt.app.clone(),
            connection: trip.id.clone(),
            origin: Origin::Exchange,
            login_host: answer.host.origin().to_owned(),
            sent: trip.code.clone(),
            answer: self.cipher.seal(owner, Field::Answer, answer.raw.expose()).await?,
            reason: reason.code.to_owned(),
            detail: reason.detail,
            status: answer.status,
            quarantined_at: trip.time.now(),
            import: None,
            exchange: Some(ExchangedAs {
                attempt: attempt.id.clone(),
                receipt: receipt.hash(),
                nonce: trip.nonce.clone(),
                issuer: trip.issuer.map(ToOwned::to_owned),
            }),
            instance_url: None,
            decision: reason.decision,
            outcome: None,
            not_before: None,
        };
        add(Metric::QuarantinedAnswers, 1.0);
        let mut tries = 1;
        loop {
            let error = match timeout(FALLBACK, self.fallback.quarantine(&quarantined)).await {
                Ok(Ok(())) => return Ok(quarantined),
                Ok(Err(error)) => error,
                Err(_) => StoreError::timed_out("PutItem"),
            };
            if tries == MAX_TRIES || !trip.time.has(PAUSE + FALLBACK) {
                return Err(error.into());
            }
            internal(&error);
            tries += 1;
            sleep(PAUSE).await;
        }
    }

    /// Forgets an answer that was stored or revoked after a second look. A leftover does no harm: the sweep looks whether
    /// its grant was stored.
    pub(crate) async fn forget(&self, kept: Option<&Quarantined>) {
        let Some(kept) = kept else { return };
        match timeout(FALLBACK, self.fallback.forget_quarantined(kept)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => drop(internal(&error)),
            Err(late) => drop(internal(&late)),
        }
    }

    /// Revokes a grant that nobody will hold. If Salesforce does not do it now, the fallback keeps the answer until the
    /// sweep has had it revoked. `true`: it is revoked.
    pub(crate) async fn give_back<'a>(&self, trip: &Trip<'_>, answer: impl Into<RawAnswer<'a>>) -> bool {
        let answer = answer.into();
        let patience = trip.for_revoking().min(ANSWER);
        match timeout(patience, self.platform.salesforce.revoke_answer(answer.host, answer.raw)).await {
            Ok(Ok(true)) => return true,
            Ok(Ok(false)) => drop(internal(&NothingToRevoke)),
            Ok(Err(error)) => drop(internal(&error)),
            Err(late) => drop(internal(&late)),
        }
        if let Err(error) = self.keep_answer(trip, answer, Reason::unrevoked()).await {
            internal(&error);
        }
        false
    }
}
