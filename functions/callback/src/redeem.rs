//! `POST /v1/connect-sessions/{id}/redeem`: the product brings the receipt and the user of its own login
//! session in that browser. Only together do they make the connection active, so neither a link sent to a
//! victim nor a stolen receipt attaches an org.

use domain::{
    App, Connection, Evidence, Product, SessionId, Stage, Surface, secret::Receipt, session::Redemption,
};
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use service::{
    Problem, Refused, Request, Response,
    failures::{Met, Of, diagnose, internal},
    request, respond,
    views::ConnectionView,
};
use store::{Redeemed, StoreError};

use crate::Callback;

/// What the call takes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    receipt: String,
    user: String,
}

/// Why a receipt was not redeemed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unredeemed {
    /// The answer says why.
    #[error("refused")]
    Refused(Box<Problem>),
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Problem> for Unredeemed {
    fn from(problem: Problem) -> Self {
        Self::Refused(Box::new(problem))
    }
}

impl From<Refused> for Unredeemed {
    fn from(refused: Refused) -> Self {
        Problem::bad_request(refused.to_string()).into()
    }
}

impl From<Unredeemed> for Response {
    fn from(unredeemed: Unredeemed) -> Self {
        match unredeemed {
            Unredeemed::Refused(problem) => (*problem).into(),
            Unredeemed::Store(_) => Problem::internal(&internal(&unredeemed)).into(),
        }
    }
}

/// How long a new connection may lie unused. Which app it is of is known only once it is redeemed: the strictest
/// of the product's counts, and the sweep that comes early looks at the right one.
fn keep_alive(product: &Product) -> SignedDuration {
    product.apps.iter().map(App::keep_alive).min().unwrap_or_default()
}

impl Callback {
    pub(crate) async fn redeem(
        &self,
        request: &Request,
        id: &str,
        now: Timestamp,
    ) -> Result<Response, Unredeemed> {
        let caller = self.platform.products.caller(request, now).await?.ok_or_else(Problem::unauthorized)?;
        let session: SessionId = id.parse().map_err(|_| Problem::not_found("connect session"))?;
        let call: Call = request::json(request)?;
        let redemption = Redemption {
            session,
            product: caller.product.id.clone(),
            receipt: Receipt::new(call.receipt),
            user: call.user,
            keep_alive: now + keep_alive(&caller.product),
        };
        let store = &self.platform.store;
        match store.redeem(&redemption, now).await? {
            Redeemed::Yes => {
                let connection = match redemption.receipt.connection() {
                    Some(id) => store.connection(&id).await?,
                    None => None,
                };
                let record = connection.ok_or_else(|| Problem::not_found("connection"))?;
                Ok(respond::json(StatusCode::OK, &ConnectionView::from(&record.connection)))
            }
            Redeemed::Before => Err(Problem::new(
                StatusCode::CONFLICT,
                "receipt-used",
                "This receipt was redeemed before",
                "A receipt counts once. GET the connect session: it names the connection.",
            )
            .into()),
            Redeemed::NotThisReceipt => Err(Problem::new(
                StatusCode::CONFLICT,
                "receipt-refused",
                "This is not an open receipt of this session",
                "It is unknown, too old, or another session's. Let the user connect again.",
            )
            .into()),
            Redeemed::OtherUser => self.refuse(&redemption, now).await,
        }
    }

    /// The receipt is right and the user is not: a link sent to a victim, or a stolen receipt. The try is on
    /// record, the receipt is worth nothing any more, and the grant is revoked: now, or by the sweep if
    /// Salesforce cannot be reached.
    async fn refuse(&self, redemption: &Redemption, now: Timestamp) -> Result<Response, Unredeemed> {
        let store = &self.platform.store;
        let refused = Problem::new(
            StatusCode::CONFLICT,
            "other-user",
            "This connection was made for another user",
            "The receipt belongs to a connect session of another user, so the grant was revoked. If both are the same \
             person, send the same user id here and when creating the session.",
        );
        let Some(id) = redemption.receipt.connection() else { return Err(refused.into()) };
        let Some(record) = store.connection(&id).await? else { return Err(refused.into()) };
        let Connection { product, app, .. } = &record.connection;
        let found = self.platform.products.with_app(product, app, now).await?;
        let (_, app) = found.ok_or_else(|| Problem::not_found("app"))?;
        let evidence = Evidence::our_own(Surface::Callback, "receipt_refused", None);
        let met = Met::new(Of::Connection(&record.connection), &app, Stage::Callback, evidence);
        let (mut failure, _) = diagnose(met, now);
        failure.session = Some(redemption.session.clone());
        store.refuse_redemption(redemption, &failure, now).await?;
        if let Err(error) = self.platform.revoke_and_delete(&self.vault, &record).await {
            internal(&error);
        }
        Err(refused.with("reference", failure.id.reference()).into())
    }
}
