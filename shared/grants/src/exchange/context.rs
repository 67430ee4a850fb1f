//! One return from Salesforce: the attempt, its code, and how much time each part of the exchange has.
//!
//! Lambda stops the function after 28 s. A code is sent only with 22 s left; the answer is in the table or in the fallback
//! at most 20 s later. Every other request to Salesforce gets the time that is left.

use std::time::Duration;

use crate::verify::Wanted;
use domain::{
    App, Attempt, ConnectionId,
    secret::{AuthorizationCode, BrowserSecret, Fingerprint, Hash, Receipt},
    session::BoundBrowser,
};
use jiff::Timestamp;
use platform::Deadline;
use tokio::time::Instant;

/// Minimum time left for sending a code.
pub(crate) const SEND: Duration = Duration::from_secs(22);

/// How long after sending the table may be tried before the fallback is.
const TABLE: Duration = Duration::from_secs(17);

/// Minimum time that the table is tried, however late the answer came.
const ONE_WRITE: Duration = Duration::from_secs(1);

/// How long the fallback may take.
pub(crate) const FALLBACK: Duration = Duration::from_secs(3);

/// How long recording a failure may take.
const RECORD: Duration = Duration::from_secs(2);

/// A browser's return from Salesforce with a code.
#[derive(Debug)]
pub struct Trip<'a> {
    /// The attempt.
    pub attempt: &'a Attempt,
    /// Its app.
    pub app: &'a App,
    /// The secret of the browser that began the attempt.
    pub(crate) browser: &'a BrowserSecret,
    /// The digests of the secrets of all attempts that this browser has begun.
    held: &'a [Hash],
    /// Names what was sent, in quarantine.
    pub(crate) code: Fingerprint,
    /// The connection to come.
    pub id: ConnectionId,
    /// The digest of the attempt's nonce.
    pub(crate) nonce: Hash,
    /// Who the browser's answer says to have issued the code.
    pub(crate) issuer: Option<&'a str>,
    pub(crate) time: &'a Deadline,
    entered: Instant,
}

impl<'a> Trip<'a> {
    /// The exchange of this code, which the issuer is said to have given, in the browser that began the attempt, and
    /// holds the secrets of these attempts.
    pub fn new(
        (attempt, app): (&'a Attempt, &'a App),
        (browser, held): (&'a BrowserSecret, &'a [Hash]),
        (code, issuer): (&AuthorizationCode, Option<&'a str>),
        time: &'a Deadline,
    ) -> Self {
        Self {
            attempt,
            app,
            browser,
            held,
            code: code.fingerprint(),
            id: ConnectionId::mint(time.now()),
            nonce: Hash::of(&browser.nonce(&attempt.id)),
            issuer,
            time,
            entered: Instant::now(),
        }
    }

    /// The receipt of this return: the same browser may get it again, nobody else.
    pub fn receipt(&self) -> Receipt {
        Receipt::of(&self.id, self.browser, &self.attempt.id)
    }

    /// Whether this browser also went to Salesforce in the attempt that a session is bound to.
    pub(crate) fn is_in(&self, bound: &BoundBrowser) -> bool {
        self.held.iter().any(|held| held.matches(&bound.secret))
    }

    /// What the grant has to fit, received now.
    pub(crate) fn wanted(&self, received: Timestamp) -> Wanted<'_> {
        Wanted {
            app: self.app,
            login_host: &self.attempt.login_host,
            issuer: self.issuer,
            nonce: &self.nonce,
            received,
        }
    }

    /// What a request to Salesforce may take, so that this much is left after it.
    pub(crate) fn all_but(&self, reserve: Duration) -> Duration {
        self.time.left().saturating_sub(reserve)
    }

    /// What the token endpoint may take: then the answer is to be stored.
    pub(crate) fn for_exchange(&self) -> Duration {
        self.all_but(SEND.saturating_sub(salesforce::TOKEN_ENDPOINT_TIMEOUT))
    }

    /// What a second look at a kept answer may take: then it is to be stored.
    pub(crate) fn for_second_look(&self) -> Duration {
        self.all_but(ONE_WRITE + FALLBACK + RECORD)
    }

    /// What revoking may take: if it fails, the fallback keeps the answer for the sweep.
    pub(crate) fn for_revoking(&self) -> Duration {
        self.all_but(FALLBACK + RECORD)
    }

    /// Until when the table is tried.
    pub(crate) fn table_until(&self) -> Instant {
        let fallback = Instant::now() + self.all_but(FALLBACK);
        (self.entered + TABLE).min(fallback).max(Instant::now() + ONE_WRITE)
    }
}
