//! Whether anything may be sent for an app and to a host now, and what an answer tells of both.
//!
//! This is bookkeeping: where it cannot be read or written, a refresh goes on without it.

use diagnosis::evidence;
use domain::{Environment, Evidence, SaturatingTime as _, Surface, secret::Fingerprint};
use jiff::{SignedDuration, Timestamp};
use platform::{Platform, log::internal};
use store::{
    AppAt, ConnectionRecord, Health, StoreError,
    health::{AppHealth, HostHealth, MAX_UNTRUSTED, Stop},
};
use telemetry::{Metric, add};

use crate::refresh::{Ask, Refresher};

/// How long after a harmless request was answered a token endpoint is taken to work again.
const REACHABLE_FOR: SignedDuration = SignedDuration::from_mins(10);

/// How long ago a host may have answered; after that it is asked again before a recovery.
const HEARD_FOR: SignedDuration = SignedDuration::from_mins(20);

/// How long a caller is told to wait while a host does not answer.
const SILENT_WAIT: u32 = 60;

/// Why nothing is sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// Salesforce refuses the app itself. Ask again after so many seconds.
    App(u32),
    /// Salesforce's answers for the app cannot be trusted. Ask again after so many seconds.
    Untrusted(u32),
    /// The login host is down. Ask again after so many seconds.
    Host(u32),
}

/// What an answer of the token endpoint tells.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Told<'a> {
    /// It gave tokens, with this refresh token if it was rotated.
    Granted(Option<&'a Fingerprint>),
    /// It gave tokens that can be trusted; whether it rotates refresh tokens does not show.
    Accepted,
    /// It refused, for a reason of its own.
    Refused,
    /// It refused the app itself.
    AppRefused,
    /// It gave tokens, or something in their place, that fail this check.
    Untrusted(&'static str),
    /// The host is down.
    Down,
    /// No answer came that says what became of the request, and the host may be down.
    Unanswered,
    /// The same, but something answered: the host is not down.
    Lost,
    /// Nothing that counts.
    Nothing,
}

/// The stop of an app, of the kind that it is.
fn held_for(app: &AppHealth, seconds: u32) -> Held {
    if app.is_untrusted() { Held::Untrusted(seconds) } else { Held::App(seconds) }
}

pub(crate) fn app_at<'a>(record: &'a ConnectionRecord, ask: Ask<'a>) -> AppAt<'a> {
    AppAt { product: &record.connection.product, app: &ask.app.id, consumer_key: &ask.app.consumer_key }
}

/// The org, the same for both forms of its id.
fn org(record: &ConnectionRecord) -> &str {
    let org = record.connection.identity.org.as_str();
    org.get(..15).unwrap_or(org)
}

/// A request to the token endpoint, as stops and bookkeeping know it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sending<'a> {
    /// Its app.
    pub(crate) app: AppAt<'a>,
    /// The origin of the login host.
    pub(crate) host: &'a str,
    /// Whether that host serves many orgs.
    pub(crate) is_generic: bool,
    /// The org; the login host where the org is not known yet.
    pub(crate) org: &'a str,
    /// Who sees whether the host is down: the org; the customer where the org is not known yet.
    pub(crate) witness: &'a str,
}

fn sending<'a>(record: &'a ConnectionRecord, ask: Ask<'a>) -> Sending<'a> {
    Sending {
        app: app_at(record, ask),
        host: &record.connection.login_host,
        is_generic: record.connection.environment != Environment::MyDomain,
        org: org(record),
        witness: org(record),
    }
}

/// Whether no stop forbids a request now. A stop that is over is not reserved: whoever sends asks [`may_send`].
pub(crate) fn heed_stops(sending: Sending<'_>, health: &Health, now: Timestamp) -> Result<(), Held> {
    match (host_stop(sending, health, now), health.app.stop(sending.org, now)) {
        (Some(Stop::Until(until)), _) => Err(Held::Host(seconds(until, now))),
        (_, Some(Stop::Until(until))) => Err(held_for(&health.app, seconds(until, now))),
        _ => Ok(()),
    }
}

/// The stop of a host that serves many orgs.
fn host_stop(sending: Sending<'_>, health: &Health, now: Timestamp) -> Option<Stop> {
    health.host.stop(now).filter(|_| sending.is_generic)
}

/// Whether a request may be sent. Of those that meet a stop that is over, one may: it tries. So this comes right before
/// the request: what reserves the try and does not send holds all others back.
pub(crate) async fn may_send(
    platform: &Platform,
    sending: Sending<'_>,
    health: &Health,
    now: Timestamp,
) -> Result<(), Held> {
    heed_stops(sending, health, now)?;
    let (store, host) = (&platform.store, sending.host);
    if let Some(Stop::Probe(seen)) = health.app.stop(sending.org, now)
        && !reserved(store.probe_app(sending.app, &health.app, seen, now).await)
    {
        return Err(held_for(&health.app, SILENT_WAIT));
    }
    match host_stop(sending, health, now) {
        Some(Stop::Probe(seen)) if !reserved(store.probe_host(host, seen, now).await) => Err(Held::Host(10)),
        _ => Ok(()),
    }
}

/// Keeps what an answer tells. In good times that is what is known already, and nothing is written.
pub(crate) async fn learn(
    platform: &Platform,
    sending: Sending<'_>,
    health: &Health,
    told: Told<'_>,
    now: Timestamp,
) {
    if let Err(error) = try_to_learn(platform, sending, health, told, now).await {
        internal(&error);
    }
}

async fn try_to_learn(
    platform: &Platform,
    sending: Sending<'_>,
    health: &Health,
    told: Told<'_>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (store, Sending { app, host, .. }) = (&platform.store, sending);
    match told {
        Told::Unanswered | Told::Lost => store.note_unanswered(host, now).await?,
        Told::Down | Told::Untrusted(_) | Told::Nothing => {}
        Told::Granted(_) | Told::Accepted | Told::Refused | Told::AppRefused => {
            if health.host.is_silent(now) || health.host.not_before.is_some() {
                store.note_answered(host, &health.host, now).await?;
            }
        }
    }
    match told {
        Told::Unanswered | Told::Down if sending.is_generic => {
            store.note_down(host, app.product, sending.witness, now).await
        }
        Told::Unanswered | Told::Lost | Told::Down | Told::Refused | Told::Nothing => Ok(()),
        Told::AppRefused => {
            store.note_app_refused(app, sending.org, &health.app, now).await?;
            Ok(())
        }
        Told::Untrusted(check) => {
            if store.note_untrusted(app, check, now).await? {
                report_untrusted(app, check);
            }
            Ok(())
        }
        Told::Granted(_) | Told::Accepted => {
            if health.app.untrusted > 0 || health.app.stop(sending.org, now).is_some() {
                store.note_app_works(app).await?;
            }
            let Told::Granted(rotated) = told else { return Ok(()) };
            let rotates = rotated.is_some();
            match health.app.rotates {
                Some(true) => Ok(()),
                Some(false) if !rotates => Ok(()),
                _ => store.note_rotation(app, rotates).await,
            }
        }
    }
}

/// Nothing is sent for an app whose answers cannot be trusted: the operators are told, each time that it is tried.
fn report_untrusted(app: AppAt<'_>, check: &str) {
    add(Metric::UntrustedApps, 1.0);
    tracing::error!(
        product = %app.product,
        app = %app.app,
        "stopped: {MAX_UNTRUSTED} answers in a row for app {} cannot be trusted; one request tries in 15 minutes \
         (the last one: {check})",
        app.app
    );
}

/// What was seen of an app that nothing is sent for; `None`: the host is down, which says nothing of the app.
pub(crate) fn evidence_of(held: Held, app: &AppHealth) -> Option<Evidence> {
    match held {
        Held::Host(_) => None,
        Held::App(_) => Some(evidence::token_endpoint(Some("invalid_client"), None, None)),
        Held::Untrusted(_) => {
            let seen = app.untrusted_as.as_deref();
            let code = evidence::OUR_OWN.into_iter().find(|code| Some(*code) == seen);
            let why = "several answers in a row could not be trusted; nothing is sent for the app";
            Some(evidence::our_own(Surface::TokenEndpoint, code.unwrap_or("unexpected_answer"), Some(why)))
        }
    }
}

/// Whole seconds until then, at least one.
pub(crate) fn seconds(until: Timestamp, now: Timestamp) -> u32 {
    u32::try_from(until.duration_since(now).as_secs()).unwrap_or(0).saturating_add(1)
}

impl Refresher {
    /// What is known of the connection's app and host.
    pub(crate) async fn health(&self, record: &ConnectionRecord, ask: Ask<'_>) -> Health {
        let read = self.platform.store.health(app_at(record, ask), &record.connection.login_host).await;
        read.unwrap_or_else(|error| {
            internal(&error);
            Health::default()
        })
    }

    /// Whether a refresh may be sent. Of those that meet a stop that is over, one may: it tries.
    pub(crate) async fn may_send(
        &self,
        record: &ConnectionRecord,
        ask: Ask<'_>,
        health: &Health,
    ) -> Result<(), Held> {
        may_send(&self.platform, sending(record, ask), health, ask.time.now()).await
    }

    /// The same, and reserves nothing.
    pub(crate) fn heed_stops(record: &ConnectionRecord, ask: Ask<'_>, health: &Health) -> Result<(), Held> {
        heed_stops(sending(record, ask), health, ask.time.now())
    }

    /// Keeps that a refresh got no answer: its holder may be dead, and has not said so.
    pub(crate) async fn note_unanswered(&self, record: &ConnectionRecord, now: Timestamp) {
        if let Err(error) = self.platform.store.note_unanswered(&record.connection.login_host, now).await {
            internal(&error);
        }
    }

    /// Keeps what an answer tells. In good times that is what is known already, and nothing is written.
    pub(crate) async fn learn(
        &self,
        record: &ConnectionRecord,
        ask: Ask<'_>,
        health: &Health,
        told: Told<'_>,
    ) {
        learn(&self.platform, sending(record, ask), health, told, ask.time.now()).await;
    }

    /// Whether the host of an unanswered refresh is known to answer again, so that the recovery may be sent: another
    /// connection got an answer of its token endpoint, or ten minutes ago it answered a harmless request; and it answered
    /// within the last twenty minutes. If not, in how many seconds to ask again.
    pub(crate) async fn host_answers(
        &self,
        login_host: &str,
        health: &HostHealth,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<(), u32> {
        let answered = health.answered_after(since, now).is_some();
        let reachable = health.reachable_at.filter(|at| since <= *at && *at <= now);
        if let Some(until) = reachable.map(|at| at.later_by(REACHABLE_FOR)).filter(|until| now < *until)
            && !answered
        {
            return Err(seconds(until, now));
        }
        let known = answered || reachable.is_some();
        if known && health.answered_within(HEARD_FOR, now) {
            return Ok(());
        }
        if !health.may_be_asked(now) {
            return Err(SILENT_WAIT);
        }
        match self.ask_host(login_host, since, now).await {
            // What was known is old; that the host has answered now confirms it.
            Ok(true) if known => Ok(()),
            Ok(true) => Err(seconds(now + REACHABLE_FOR, now)),
            Ok(false) => Err(SILENT_WAIT),
            Err(error) => {
                internal(&error);
                Err(SILENT_WAIT)
            }
        }
    }

    /// Sends a host a harmless request, at most one a minute, and keeps that it was answered after `since`.
    async fn ask_host(&self, host: &str, since: Timestamp, now: Timestamp) -> Result<bool, StoreError> {
        let store = &self.platform.store;
        let Ok(admitted) = self.platform.salesforce.hosts().readmit(host) else { return Ok(false) };
        if !store.begin_question(host, now).await? {
            return Ok(false);
        }
        let answers = self.platform.salesforce.is_reachable(&admitted).await;
        if answers {
            store.note_reachable(host, since, now).await?;
        }
        Ok(answers)
    }
}

pub(crate) fn reserved(asked: Result<bool, StoreError>) -> bool {
    asked.unwrap_or_else(|error| {
        internal(&error);
        true
    })
}
