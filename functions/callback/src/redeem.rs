//! `POST /v1/connect-sessions/{id}/redeem`: the product brings the receipt and the user of its own login
//! session in that browser. Only together do they make the connection active, so neither a link sent to a
//! victim nor a stolen receipt attaches an org.

use diagnosis::evidence;
use domain::{
    App, Connection, ConnectionState, SessionId, SessionState, Stage, Surface,
    product::Sharing,
    secret::Receipt,
    session::{Previous, Redemption},
};
use grants::replace::{retire, take_over};
use grants::revoke::revoke_and_delete;
use grants::{
    record_failure::{FailureSubject, Observation, diagnose},
    replace::{IfHeld, MAX_TAKEOVERS, ReplaceOutcome, Replacement, TakeoverError, Target},
};
use http::StatusCode;
use jiff::Timestamp;
use platform::log::{about_connection, internal};
use serde::{Deserialize, Serialize};
use store::{Bringing, ConnectionRecord, Reconnect, Redeemed, Repeat, StoreError, Unique};
use telemetry::{Fact, Outcome, about, ended};
use web::{
    Problem, Request, RequestError, Response, api_auth, request, respond,
    views::{ConnectionView, IdentityView},
};

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
    /// The new grant did not take the old one's place, or nobody knows: the receipt can be brought again.
    #[error(transparent)]
    Takeover(#[from] TakeoverError),
}

/// A connection that was authorized anew.
#[derive(Debug, Serialize)]
struct Reconnected<'a> {
    #[serde(flatten)]
    connection: ConnectionView<'a>,
    reconnected: ReconnectedView<'a>,
}

#[derive(Debug, Serialize)]
struct ReconnectedView<'a> {
    /// Whether it is another org's or user's than before: the user has confirmed it.
    identity_changed: bool,
    previous: PreviousView<'a>,
}

#[derive(Debug, Serialize)]
struct PreviousView<'a> {
    app: &'a str,
    #[serde(flatten)]
    identity: IdentityView<'a>,
}

impl From<Problem> for Unredeemed {
    fn from(problem: Problem) -> Self {
        Self::Refused(Box::new(problem))
    }
}

impl From<RequestError> for Unredeemed {
    fn from(refused: RequestError) -> Self {
        Problem::bad_request(refused.to_string()).into()
    }
}

impl From<Unredeemed> for Response {
    fn from(unredeemed: Unredeemed) -> Self {
        match unredeemed {
            Unredeemed::Refused(problem) => (*problem).into(),
            Unredeemed::Store(_) | Unredeemed::Takeover(_) => {
                Problem::internal(&internal(&unredeemed)).into()
            }
        }
    }
}

impl<'a> Reconnected<'a> {
    fn of(after: &'a Connection, previous: &'a Previous) -> Self {
        Self {
            connection: ConnectionView::from(after),
            reconnected: ReconnectedView {
                identity_changed: !previous.identity.same_as(&after.identity),
                previous: PreviousView {
                    app: previous.app.as_str(),
                    identity: IdentityView::from(&previous.identity),
                },
            },
        }
    }
}

/// The answer for a connection that is new.
fn connected(record: ConnectionRecord) -> Response {
    let connection = Connection { state: ConnectionState::Active, ..record.connection };
    about_connection(&connection);
    ended(Outcome::Connected);
    respond::json(StatusCode::OK, &ConnectionView::from(&connection))
}

fn used() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "receipt-used",
        "This receipt was redeemed before",
        "A receipt counts once. GET the connect session: it names the connection.",
    )
}

impl Callback {
    pub(crate) async fn redeem(
        &self,
        request: &Request,
        id: &str,
        now: Timestamp,
    ) -> Result<Response, Unredeemed> {
        let caller = api_auth::caller(&self.platform.products, request, now)
            .await?
            .ok_or_else(|| Problem::unauthorized(request))?;
        let session: SessionId = id.parse().map_err(|_| Problem::not_found("connect session"))?;
        about(Fact::Session, session.as_str());
        let call: Call = request::json(request)?;
        let receipt = Receipt::new(call.receipt);
        let record = match receipt.connection() {
            Some(id) => self.platform.store.connection(&id).await?,
            None => None,
        };
        let record = record.filter(|record| record.connection.product == caller.product.id);
        let app = record.as_ref().and_then(|record| caller.product.app(&record.connection.app));
        let redemption = Redemption {
            session,
            product: caller.product.id.clone(),
            receipt,
            user: call.user,
            keep_alive: now + app.map(App::keep_alive).unwrap_or_default(),
        };
        match record {
            Some(new) if matches!(new.reconnect, Some(Reconnect::New { .. })) => {
                Box::pin(self.redeem_reconnect(&redemption, &new, now)).await
            }
            Some(new) if matches!(new.connection.state, ConnectionState::Pending { .. }) && !new.another => {
                Box::pin(self.redeem_once(&redemption, new, app, now)).await
            }
            record => self.redeem_connection(&redemption, record, now).await,
        }
    }

    /// The receipt of a grant that belongs to the connection of the same Salesforce user, if there is one, and becomes
    /// a connection of its own if not. Which of the two is decided by the transaction that redeems it.
    async fn redeem_once(
        &self,
        redemption: &Redemption,
        new: ConnectionRecord,
        app: Option<&App>,
        now: Timestamp,
    ) -> Result<Response, Unredeemed> {
        let store = &self.platform.store;
        let sharing = app.map_or(Sharing::default(), |app| app.connections);
        let mut unique = Unique::of(&new.connection, sharing);
        let mut standing = match app {
            Some(app) => store.standing(&new, app).await?,
            None => None,
        };
        for _ in 0..MAX_TAKEOVERS {
            let other = if let Some(standing) = standing.take() {
                let Connection { id, identity, .. } = &standing.connection;
                let target = Target { id, whose: identity, held: IfHeld::Stop };
                let bringing = Bringing::Redemption(redemption);
                match take_over(&self.platform, &self.cipher, &new, target, bringing, now).await? {
                    ReplaceOutcome::Yes(taken) => return self.renewed(*taken, now).await,
                    ReplaceOutcome::Refused(why) => {
                        return self.unredeemed(why, redemption, Some(&new), now).await;
                    }
                    ReplaceOutcome::Held(other) => other,
                    ReplaceOutcome::Overtaken => continue,
                }
            } else {
                match store.redeem(redemption, Some(&unique), now).await? {
                    Redeemed::Yes => return Ok(connected(new)),
                    Redeemed::Held(other) => other,
                    why => return self.unredeemed(why, redemption, Some(&new), now).await,
                }
            };
            let holder = store.connection(&other).await?;
            standing = holder.filter(|holder| holder.is_standing_for(&new.connection, sharing));
            if standing.is_none() {
                unique = unique.replacing(other);
            }
        }
        Err(TakeoverError::Busy(new.connection.id).into())
    }

    /// The receipt of one more connection, or one that cannot be redeemed.
    async fn redeem_connection(
        &self,
        redemption: &Redemption,
        record: Option<ConnectionRecord>,
        now: Timestamp,
    ) -> Result<Response, Unredeemed> {
        match (self.platform.store.redeem(redemption, None, now).await?, record) {
            (Redeemed::Yes, Some(record)) => Ok(connected(record)),
            (Redeemed::Yes, None) => Err(Problem::not_found("connection").into()),
            (why, record) => self.unredeemed(why, redemption, record.as_ref(), now).await,
        }
    }

    /// The receipt of a grant that takes an old one's place.
    async fn redeem_reconnect(
        &self,
        redemption: &Redemption,
        new: &ConnectionRecord,
        now: Timestamp,
    ) -> Result<Response, Unredeemed> {
        let Some(Reconnect::New { of, whose }) = &new.reconnect else {
            return self.overtaken(redemption, new, now).await;
        };
        let target = Target { id: of, whose, held: IfHeld::GoWithout };
        let bringing = Bringing::Redemption(redemption);
        match take_over(&self.platform, &self.cipher, new, target, bringing, now).await? {
            ReplaceOutcome::Yes(taken) => self.renewed(*taken, now).await,
            ReplaceOutcome::Refused(why) => self.unredeemed(why, redemption, Some(new), now).await,
            ReplaceOutcome::Overtaken | ReplaceOutcome::Held(_) => self.overtaken(redemption, new, now).await,
        }
    }

    /// The answer for a connection that has a new grant. The old one is revoked first.
    async fn renewed(&self, taken: Replacement, now: Timestamp) -> Result<Response, Unredeemed> {
        retire(&self.platform, &self.cipher, &taken, now).await;
        // Read again: the new grant may not have outlived the old one.
        let stands = self.platform.store.connection(&taken.after.id).await?;
        let after = stands.map_or(taken.after, |record| record.connection);
        about_connection(&after);
        ended(Outcome::Connected);
        let Connection { app, identity, .. } = taken.before;
        Ok(respond::json(StatusCode::OK, &Reconnected::of(&after, &Previous { app, identity })))
    }

    /// The answer of a redemption once more: the product may have lost the first one.
    async fn repeated(&self, repeat: Repeat) -> Result<Response, Unredeemed> {
        let record = self.platform.store.connection(&repeat.connection).await?;
        let Some(connection) = record.map(|record| record.connection) else { return Err(used().into()) };
        about_connection(&connection);
        ended(Outcome::Connected);
        Ok(match &repeat.previous {
            Some(previous) => respond::json(StatusCode::OK, &Reconnected::of(&connection, previous)),
            None => respond::json(StatusCode::OK, &ConnectionView::from(&connection)),
        })
    }

    /// The connection went another way while the user was at Salesforce. Whoever brings receipt and user is told
    /// so; anybody else what they would be told anyway.
    async fn overtaken(
        &self,
        redemption: &Redemption,
        new: &ConnectionRecord,
        now: Timestamp,
    ) -> Result<Response, Unredeemed> {
        let session = self.platform.store.session(&redemption.session).await?;
        let session = session.filter(|session| {
            session.product == redemption.product
                && matches!(&session.state, SessionState::Returned { receipt, .. }
                    if receipt.matches(&redemption.receipt.hash()))
        });
        match session {
            // The same receipt may have been redeemed by another request at the same moment; that request's takeover is
            // then the change that was found. The store tells, and redeems no grant of a reconnect in this way.
            None => {
                let why = self.platform.store.redeem(redemption, None, now).await?;
                self.unredeemed(why, redemption, Some(new), now).await
            }
            Some(session) if session.user != redemption.user => {
                self.unredeemed(Redeemed::OtherUser, redemption, Some(new), now).await
            }
            Some(_) => {
                let overtaken = Problem::new(
                    StatusCode::CONFLICT,
                    "reconnect-overtaken",
                    "The connection was changed or deleted meanwhile",
                    "The new grant was revoked. See how the connection stands, and let the user connect again.",
                );
                self.refuse(redemption, new, "reconnect_overtaken", overtaken, now).await
            }
        }
    }

    /// The answer for a receipt that was not redeemed.
    async fn unredeemed(
        &self,
        why: Redeemed,
        redemption: &Redemption,
        record: Option<&ConnectionRecord>,
        now: Timestamp,
    ) -> Result<Response, Unredeemed> {
        match (why, record) {
            (Redeemed::Again(repeat), _) => self.repeated(*repeat).await,
            (Redeemed::Before, _) => Err(used().into()),
            (Redeemed::OtherUser, record) => {
                let refused = Problem::new(
                    StatusCode::CONFLICT,
                    "other-user",
                    "This connection was made for another user",
                    "The receipt belongs to a connect session of another user, so the grant was revoked. If both are the \
                     same person, send the same user id here and when creating the session.",
                );
                match record {
                    Some(record) => self.refuse(redemption, record, "receipt_refused", refused, now).await,
                    None => Err(refused.into()),
                }
            }
            (Redeemed::Yes | Redeemed::Held(_) | Redeemed::NotThisReceipt, _) => Err(Problem::new(
                StatusCode::CONFLICT,
                "receipt-refused",
                "This is not an open receipt of this session",
                "It is unknown, too old, or another session's. Let the user connect again.",
            )
            .into()),
        }
    }

    /// The receipt is right, and must not be redeemed: it was brought by another user (a link sent to a victim, or
    /// a stolen receipt), or its connection went another way. The try is on record, the receipt is worth nothing any
    /// more, and the grant is revoked: now, or by the sweep if Salesforce cannot be reached.
    async fn refuse(
        &self,
        redemption: &Redemption,
        record: &ConnectionRecord,
        code: &'static str,
        refused: Problem,
        now: Timestamp,
    ) -> Result<Response, Unredeemed> {
        let store = &self.platform.store;
        let Connection { product, app, .. } = &record.connection;
        let found = self.platform.products.with_app(product, app, now).await?;
        let (_, app) = found.ok_or_else(|| Problem::not_found("app"))?;
        let evidence = evidence::our_own(Surface::Callback, code, None);
        let met =
            Observation::new(FailureSubject::Connection(&record.connection), &app, Stage::Callback, evidence);
        let (mut failure, _) = diagnose(met, now);
        failure.session = Some(redemption.session.clone());
        // Only the request whose transaction took the grant may revoke it: the rightful user may have been first.
        if store.refuse_redemption(redemption, &failure, now).await? {
            if let Err(error) = revoke_and_delete(&self.platform, &self.cipher, record, now).await {
                internal(&error);
            }
        } else if let Some(session) = store.session(&redemption.session).await?
            && matches!(session.state, SessionState::Connected { .. })
        {
            return Err(used().into());
        }
        Err(refused.with("reference", failure.id.reference()).into())
    }
}
