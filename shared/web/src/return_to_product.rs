//! The way back to the product, once a browser has returned from Salesforce.

use domain::{AttemptId, ConnectSession, ConnectionId, SessionId, SessionState, secret::Receipt};
use jiff::{SignedDuration, Timestamp};
use telemetry::{Fact, Outcome::Returned, about, ended};
use url::Url;

use crate::{Response, browser_binding::AttemptCookie, respond::redirect};

/// A browser's way back to the product.
#[derive(Debug, Clone, Copy)]
pub struct Back<'a> {
    /// The session.
    pub session: &'a SessionId,
    /// The attempt that returned.
    pub attempt: &'a AttemptId,
    /// The registered address.
    pub return_to: &'a Url,
}

impl<'a> Back<'a> {
    /// On to the product, with what its backend needs to redeem. The browser keeps its cookie for as long as it can get
    /// the receipt again.
    pub fn to_product(
        self,
        connection: &ConnectionId,
        receipt: &Receipt,
        cookie: &AttemptCookie,
        left: SignedDuration,
    ) -> Response {
        about(Fact::Session, self.session.as_str());
        about(Fact::Connection, connection.as_str());
        ended(Returned);
        let mut url = self.return_to.clone();
        url.query_pairs_mut()
            .append_pair("connect_session", self.session.as_str())
            .append_pair("receipt", receipt.expose());
        let mut response = redirect(url.as_str());
        cookie.keep(&mut response, self.attempt, left.as_secs().max(1));
        response
    }

    /// The same way as before, for the browser that has returned, until the receipt's deadline.
    pub fn again(
        session: &'a ConnectSession,
        attempt: &'a AttemptId,
        cookie: &AttemptCookie,
        now: Timestamp,
    ) -> Option<Response> {
        let SessionState::Returned { connection, receipt, redeem_by } = &session.state else { return None };
        let again = Receipt::of(connection, &cookie.secret, attempt);
        if *redeem_by <= now || !again.hash().matches(receipt) {
            return None;
        }
        let back = Self { session: &session.id, attempt, return_to: &session.return_to };
        Some(back.to_product(connection, &again, cookie, redeem_by.duration_since(now)))
    }
}
