//! A plausible month in the table: sessions of the example products' customers, failures, outages and fixes, refreshes. What
//! happens is drawn from a seed; what is written is written by the store's own operations, diagnosed by the real diagnosis,
//! and counted by the real `tally` from the table's stream, while the clock goes through the month.

use diagnosis::evidence;
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

use diagnosis::read_paste;
use domain::{
    App, Attempt, ConnectSession, Connection, ConnectionId, ConnectionState, Customer, Environment, Evidence,
    ExpiryBasis, HostChoice, Identity, Product, SalesforceUserId, Scopes, SessionState, Stage, Surface,
    secret::{AccessToken, BrowserSecret, ConnectKey, Hash, Receipt, RefreshToken, State},
    session::{BoundBrowser, Redemption},
};
use fastrand::Rng;
use grants::record_failure::{FailureSubject, Observation, diagnose};
use jiff::{SignedDuration, Timestamp};
use platform::Platform;
use store::{
    ConnectionRecord, Field, LeaseOutcome, NewConnection, Owner, RefreshedTokens, SaveOutcome, TokenCipher,
    Tokens, Unique,
};

use crate::{Stack, stack::StartError};

/// How long it goes on.
pub const DAYS: i32 = 30;

/// What the month holds.
#[derive(Debug, Clone, Copy)]
pub struct Month {
    /// How many sessions.
    pub sessions: usize,
    /// What everything is drawn from.
    pub seed: u64,
}

impl Default for Month {
    fn default() -> Self {
        Self { sessions: 10_000, seed: 7 }
    }
}

/// One trip of one user.
#[derive(Debug, Clone)]
struct Trip {
    product: usize,
    app: usize,
    customer: usize,
    environment: Environment,
    key: ConnectKey,
    /// Whether something was put right before.
    is_retry: bool,
}

#[derive(Debug, Clone)]
enum Event {
    Create(Trip),
    Open(Trip),
    Depart(Trip),
    Answer(Trip, Box<Attempt>),
    Report(Trip),
    Lose(Trip),
    Refresh(usize, ConnectionId),
}

/// When, in which order, what.
type Queue = BinaryHeap<Reverse<(Timestamp, usize)>>;

/// The month while it goes on.
struct Replay<'a> {
    stack: &'a Stack,
    platform: Platform,
    cipher: TokenCipher,
    rng: Rng,
    begin: Timestamp,
    queue: Queue,
    events: HashMap<usize, Event>,
    next: usize,
    /// Whether a customer has connected an app before.
    connected: HashMap<(usize, usize, usize), bool>,
}

const FIRST: [&str; 20] = [
    "Alder",
    "Basalt",
    "Cobalt",
    "Delta",
    "Ember",
    "Fathom",
    "Granite",
    "Harbor",
    "Indigo",
    "Juniper",
    "Keystone",
    "Lumen",
    "Meridian",
    "Northwind",
    "Orchard",
    "Pinnacle",
    "Quarry",
    "Ridge",
    "Summit",
    "Tundra",
];
const SECOND: [&str; 12] = [
    "Logistics",
    "Health",
    "Foods",
    "Systems",
    "Partners",
    "Energy",
    "Bank",
    "Media",
    "Motors",
    "Labs",
    "Retail",
    "Steel",
];

/// The customer whose admin changes a policy on the 26th day.
const CHANGED: usize = 33;

/// One of so many products: each has about half as many sessions as the one before, as an estate has large and small ones.
fn drawn(rng: &mut Rng, products: usize) -> usize {
    (0..products - 1).find(|_| rng.u32(0..100) >= 35).unwrap_or(products - 1)
}

fn customer(number: usize) -> Customer {
    let (first, second) = (FIRST[number % FIRST.len()], SECOND[(number / FIRST.len()) % SECOND.len()]);
    Customer { id: format!("c-{number:04}"), name: Some(format!("{first} {second}")) }
}

/// Replays a month that ends at the stack's time now. It must stand a month before.
pub async fn replay(stack: &Stack, month: Month) -> Result<usize, StartError> {
    let platform = stack.platform();
    let mut replay = Replay {
        cipher: platform.token_cipher()?,
        platform,
        stack,
        rng: Rng::with_seed(month.seed),
        begin: stack.clock.now(),
        queue: Queue::new(),
        events: HashMap::new(),
        next: 0,
        connected: HashMap::new(),
    };
    replay.plan(month.sessions);
    let end = replay.begin + SignedDuration::from_hours(24 * i64::from(DAYS));
    let (mut done, mut tallied) = (0, replay.begin);
    while let Some(Reverse((at, number))) = replay.queue.pop() {
        if at >= end {
            break;
        }
        let Some(event) = replay.events.remove(&number) else { continue };
        // The clock may run meanwhile: it never goes back.
        stack.clock.pass(at.duration_since(stack.clock.now()).max(SignedDuration::ZERO));
        done += usize::from(matches!(event, Event::Create(_)));
        replay.happen(event, at).await?;
        if at > tallied + SignedDuration::from_mins(20) {
            stack.tally().await;
            tallied = at;
        }
    }
    stack.clock.pass(end.duration_since(stack.clock.now()).max(SignedDuration::ZERO));
    stack.tally().await;
    Ok(done)
}

impl Replay<'_> {
    fn at(&mut self, at: Timestamp, event: Event) {
        self.queue.push(Reverse((at, self.next)));
        self.events.insert(self.next, event);
        self.next += 1;
    }

    fn minutes(&mut self, from: i64, to: i64) -> SignedDuration {
        SignedDuration::from_secs(self.rng.i64(from * 60..to * 60))
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.u32(0..100) < percent
    }

    fn day(&self, at: Timestamp) -> i64 {
        at.duration_since(self.begin).as_hours() / 24
    }

    /// First tries, by day and hour as people work; a part is left for those who try again.
    fn plan(&mut self, sessions: usize) {
        let first = sessions * 83 / 100;
        while self.next < first {
            let second = self.rng.i64(0..i64::from(DAYS) * 86_400);
            let at = self.begin + SignedDuration::from_secs(second);
            let local = at.to_zoned(jiff::tz::TimeZone::UTC);
            let busy = match local.hour() {
                8..=11 => 100,
                13..=17 => 85,
                6 | 7 | 12 | 18..=20 => 40,
                _ => 8,
            };
            let weekend = local.weekday().to_monday_zero_offset() >= 5;
            if !self.chance(if weekend { busy / 5 } else { busy }) {
                continue;
            }
            let product = drawn(&mut self.rng, self.stack.products.len());
            let app = self.rng.usize(0..self.stack.products[product].apps.len());
            let environment = match self.rng.u32(0..100) {
                0..68 => Environment::Production,
                68..88 => Environment::Sandbox,
                _ => Environment::MyDomain,
            };
            let customer = self.rng.usize(0..220);
            let trip = Trip { product, app, customer, environment, key: ConnectKey::mint(), is_retry: false };
            self.at(at, Event::Create(trip));
        }
    }

    fn parties(&self, trip: &Trip) -> (&Product, &App) {
        let product = &self.stack.products[trip.product];
        (product, &product.apps[trip.app])
    }

    async fn happen(&mut self, event: Event, at: Timestamp) -> Result<(), StartError> {
        match event {
            Event::Create(trip) => self.create(trip, at).await,
            Event::Open(trip) => {
                self.platform.store.open_session(&trip.key.session(), at).await?;
                if self.chance(94) {
                    let then = at + SignedDuration::from_secs(self.rng.i64(8..240));
                    self.at(then, Event::Depart(trip));
                }
                Ok(())
            }
            Event::Depart(trip) => self.depart(trip, at).await,
            Event::Answer(trip, attempt) => self.answer(trip, &attempt, at).await,
            Event::Report(trip) => self.report(trip, at).await,
            Event::Lose(trip) => self.lose(trip, at).await,
            Event::Refresh(product, id) => self.refresh(product, &id, at).await,
        }
    }

    async fn create(&mut self, trip: Trip, at: Timestamp) -> Result<(), StartError> {
        let (product, app) = self.parties(&trip);
        let session = ConnectSession {
            id: trip.key.session(),
            product: product.id.clone(),
            app: app.id.clone(),
            customer: customer(trip.customer),
            user: format!("u-{}", trip.customer),
            reconnects: None,
            another: false,
            known_host: None,
            scopes: None,
            host: HostChoice::Open,
            environment: None,
            return_to: product.return_addresses[0].clone(),
            state: SessionState::Created,
            created_at: at,
            expires_at: at + SignedDuration::from_hours(24),
            attempts: 0,
            last_failure: None,
            change: None,
            browser: None,
            open_attempts: Vec::new(),
            user_name: None,
        };
        self.platform.store.create_session(&session, &Hash::of("a call")).await?;
        if self.chance(95) {
            let then = at + SignedDuration::from_secs(self.rng.i64(1..400));
            self.at(then, Event::Open(trip));
        }
        Ok(())
    }

    async fn depart(&mut self, trip: Trip, at: Timestamp) -> Result<(), StartError> {
        let (product, app) = self.parties(&trip);
        let attempt = Attempt {
            id: State::mint().attempt(),
            session: trip.key.session(),
            product: product.id.clone(),
            app: app.id.clone(),
            customer: customer(trip.customer),
            user: format!("u-{}", trip.customer),
            reconnects: None,
            another: false,
            scopes: None,
            login_host: match trip.environment {
                Environment::Production => "https://login.salesforce.com".into(),
                Environment::Sandbox => "https://test.salesforce.com".into(),
                Environment::MyDomain => format!("https://c{}.my.salesforce.com", trip.customer),
            },
            environment: trip.environment,
            return_to: product.return_addresses[0].clone(),
            browser: BrowserSecret::mint().hash(),
            began_at: at,
            expires_at: at + SignedDuration::from_mins(30),
            claimed_at: None,
        };
        let (is_ours, is_new) = (app.kind == domain::AppKind::ConnectedApp, self.is_new(&trip));
        self.platform.store.begin_attempt(&attempt).await?;
        // A connected app that is not installed: Salesforce stops on its own page, and the callback hears nothing.
        if is_ours && is_new && !trip.is_retry && self.chance(26) {
            if self.chance(62) {
                let then = at + self.minutes(1, 12);
                self.at(then, Event::Report(trip));
            } else {
                self.at(at + SignedDuration::from_mins(31), Event::Lose(trip));
            }
        } else if self.chance(4) {
            self.at(at + SignedDuration::from_mins(31), Event::Lose(trip));
        } else {
            let then = at + SignedDuration::from_secs(self.rng.i64(15..200));
            self.at(then, Event::Answer(trip, Box::new(attempt)));
        }
        Ok(())
    }

    fn is_new(&self, trip: &Trip) -> bool {
        !self.connected.contains_key(&(trip.product, trip.app, trip.customer))
    }

    /// What Salesforce answers, if it is not a grant.
    fn refusal(&mut self, trip: &Trip, at: Timestamp) -> Option<(Stage, Evidence)> {
        let hours = at.duration_since(self.begin).as_hours();
        let token = |code, description, status| {
            Some((Stage::Exchange, evidence::token_endpoint(Some(code), Some(description), Some(status))))
        };
        let callback =
            |code, description| Some((Stage::Callback, evidence::callback(code, Some(description))));
        // The tenth day: Salesforce is away for three hours. The eighteenth: our own secret is wrong for seven.
        if (9 * 24 + 9..9 * 24 + 12).contains(&hours) && self.chance(85) {
            return token("unknown_error", "retry your request", 503);
        }
        if (17 * 24 + 8..17 * 24 + 15).contains(&hours) && (trip.product, trip.app) == (0, 0) {
            return token("invalid_client", "invalid client credentials", 400);
        }
        if trip.is_retry && !self.chance(12) {
            return None;
        }
        let roll = self.rng.u32(0..1000);
        match roll {
            0..38 => callback("access_denied", "end-user denied authorization"),
            38..60 if self.is_new(trip) => callback("invalid_grant", "user hasn't approved this consumer"),
            60..78 => callback("OAUTH_APP_BLOCKED", "this app is blocked by admin"),
            78..88 => token("invalid_grant", "ip restricted", 400),
            88..94 => callback("OAUTH_APP_ACCESS_DENIED", "user is not admin approved to access this app"),
            94..97 => callback("temporarily_unavailable", "too many logins"),
            97..99 => callback("E-4711", "nobody has seen this before"),
            _ => None,
        }
    }

    async fn answer(&mut self, trip: Trip, attempt: &Attempt, at: Timestamp) -> Result<(), StartError> {
        if let Some((stage, evidence)) = self.refusal(&trip, at) {
            let app = self.parties(&trip).1.clone();
            let (failure, _) =
                diagnose(Observation::new(FailureSubject::Attempt(attempt), &app, stage, evidence), at);
            self.platform.store.fail_session(attempt, &failure).await?;
            let again = match failure.cause.as_str() {
                "user_denied" => self.minutes(1, 30),
                "salesforce_unavailable" => self.minutes(20, 240),
                "client_credentials_invalid" => self.minutes(180, 900),
                _ => self.minutes(30, 3 * 1440),
            };
            self.try_again(&trip, at + again, 72);
            return Ok(());
        }
        let (product, app) = self.parties(&trip);
        let (product, app) = (product.clone(), app.clone());
        let (access, refresh) = (AccessToken::new(secret()), RefreshToken::new(secret()));
        let tokens = Tokens { access: &access, refresh: Some(&refresh), issued_at: at };
        let connection = Connection {
            id: ConnectionId::mint(at),
            product: product.id.clone(),
            app: app.id.clone(),
            customer: customer(trip.customer),
            user: format!("u-{}", trip.customer),
            session: Some(trip.key.session()),
            identity: Identity {
                org: format!("00D0000000{:05}", trip.customer).parse()?,
                user: format!("0050000000{:05}", trip.customer).parse::<SalesforceUserId>()?,
                username: None,
            },
            login_host: attempt.login_host.clone(),
            environment: trip.environment,
            instance_url: format!("https://c{}.my.salesforce.com", trip.customer),
            scopes: Scopes::parse("api refresh_token"),
            state: ConnectionState::Pending { redeem_by: at + SignedDuration::from_mins(10) },
            created_at: at,
        };
        let record = ConnectionRecord::seal(&self.cipher, connection, tokens, &app).await?;
        let id = record.connection.id.clone();
        let (browser, attempt_id) = (BrowserSecret::mint(), State::mint().attempt());
        let receipt = Receipt::of(&id, &browser, &attempt_id);
        let (session, redeem_by) = (trip.key.session(), at + SignedDuration::from_mins(10));
        let new = NewConnection {
            record: &record,
            session: &session,
            browser: &BoundBrowser { attempt: attempt_id, secret: browser.hash() },
            receipt: (receipt.hash(), redeem_by),
            due: redeem_by,
        };
        self.platform.store.save_connection(&new).await?;
        if self.chance(99) {
            let redemption = Redemption {
                session,
                product: product.id.clone(),
                receipt,
                user: format!("u-{}", trip.customer),
                keep_alive: at + SignedDuration::from_hours(360),
            };
            let unique = Unique::of(&record.connection, app.connections);
            self.platform.store.redeem(&redemption, Some(&unique), at).await?;
            self.connected.insert((trip.product, trip.app, trip.customer), true);
            if self.chance(25) {
                let then = at + self.minutes(20, 2000);
                self.at(then, Event::Refresh(trip.product, id));
            }
        }
        Ok(())
    }

    fn try_again(&mut self, trip: &Trip, at: Timestamp, percent: u32) {
        if self.chance(percent) {
            let key = ConnectKey::mint();
            self.at(at, Event::Create(Trip { key, is_retry: true, ..trip.clone() }));
        }
    }

    /// The user goes back and pastes the address of Salesforce's own page.
    async fn report(&mut self, trip: Trip, at: Timestamp) -> Result<(), StartError> {
        let pasted = "https://acme.my.salesforce.com/setup/secur/RemoteAccessErrorPage.apexp?error=invalid_client\
                      &error_description=app+must+be+installed+into+org";
        let evidence = read_paste(pasted).ok_or("the address is read")?;
        let session = self.platform.store.session(&trip.key.session()).await?.ok_or("a session")?;
        let app = self.parties(&trip).1.clone();
        let met = Observation::new(FailureSubject::Session(&session), &app, Stage::Authorize, evidence);
        let (failure, _) = diagnose(met, at);
        self.platform.store.report_failure(&session.id, &failure).await?;
        // Most admins take an afternoon; some take days.
        let again = if self.chance(60) { self.minutes(15, 300) } else { self.minutes(300, 5 * 1440) };
        self.try_again(&trip, at + again, 78);
        Ok(())
    }

    async fn lose(&mut self, trip: Trip, at: Timestamp) -> Result<(), StartError> {
        let session = self.platform.store.session(&trip.key.session()).await?.ok_or("a session")?;
        let app = self.parties(&trip).1.clone();
        let nothing = evidence::observed(Surface::Unknown, None, None, None);
        let before = Some(!self.is_new(&trip));
        let met =
            Observation::new(FailureSubject::Session(&session), &app, Stage::Lost, nothing).in_an_org(before);
        let (failure, _) = diagnose(met, at);
        self.platform.store.lose_session(&session.id, Some(&failure), at).await?;
        let again = self.minutes(60, 4 * 1440);
        self.try_again(&trip, at + again, 45);
        Ok(())
    }

    /// A refresh, with the protocol's own writes and without a Salesforce.
    async fn refresh(&mut self, product: usize, id: &ConnectionId, at: Timestamp) -> Result<(), StartError> {
        let store = self.platform.store.clone();
        let Some(record) = store.connection(id).await? else { return Ok(()) };
        let app = self.stack.products[product].app(&record.connection.app).ok_or("an app")?.clone();
        let LeaseOutcome::Yes(lease) = store.lease(&record, false, at).await? else { return Ok(()) };
        store.begin_refresh(&lease, &self.cipher, at).await?;
        let again = at + self.minutes(300, 4 * 1440);
        let day = self.day(at);
        let changed = day >= 26 && customer(CHANGED) == record.connection.customer;
        let from_wrong_address = at >= self.begin + SignedDuration::from_hours(24 * 30 - 5) && product == 0;
        let refused = match self.rng.u32(0..1000) {
            _ if changed => Some(("invalid_grant", "ip restricted")),
            _ if from_wrong_address => Some(("invalid_grant", "ip restricted by app developer")),
            0..14 => Some(("invalid_grant", "expired access/refresh token")),
            14..17 => Some(("invalid_grant", "ip restricted")),
            17..40 => Some(("unknown_error", "retry your request")),
            _ => None,
        };
        if let Some((code, description)) = refused {
            let evidence = evidence::token_endpoint(Some(code), Some(description), Some(400));
            let met = Observation::new(
                FailureSubject::Connection(&record.connection),
                &app,
                Stage::Refresh,
                evidence,
            );
            let (failure, diagnosis) = diagnose(met, at);
            let (since, failed) = (at, failure.id.clone());
            match diagnosis.cause().actor {
                diagnosis::Actor::EndUser => {
                    let state = ConnectionState::NeedsReauth { since, failure: failed };
                    store.stop_connection(lease.record(), &state, &failure).await?;
                }
                diagnosis::Actor::Admin => {
                    let state = ConnectionState::Blocked { since, failure: failed };
                    store.stop_connection(lease.record(), &state, &failure).await?;
                    self.at(again, Event::Refresh(product, id.clone()));
                }
                _ => {
                    store.release(&lease, None).await?;
                    store.record_failure(&failure).await?;
                    self.at(at + SignedDuration::from_mins(45), Event::Refresh(product, id.clone()));
                }
            }
            return Ok(());
        }
        let access = AccessToken::new(secret());
        let owner = Owner { product: &record.connection.product, connection: id };
        let renewed = RefreshedTokens {
            access_token: self.cipher.seal(owner, Field::AccessToken, access.expose()).await?,
            access_fingerprint: access.fingerprint(),
            refresh_token: None,
            instance_url: record.connection.instance_url.clone(),
            login_host: None,
            scopes: None,
            issued_at: at,
            fetched_at: Some(at),
            expires_at: at + app.access_token_life(),
            expiry_basis: ExpiryBasis::AppPolicy,
            learnt: None,
            rejections: 0,
            unasked: false,
            due: at + SignedDuration::from_hours(360),
        };
        if let SaveOutcome::Yes(_) = store.save_renewed(&lease, &renewed).await? {
            self.at(again, Event::Refresh(product, id.clone()));
        }
        Ok(())
    }
}

fn secret() -> String {
    domain::id::base32(&domain::secret::random::<20>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_product_has_its_share_the_first_the_largest() {
        let mut rng = Rng::with_seed(Month::default().seed);
        for products in 1..=5 {
            let mut shares = vec![0; products];
            for _ in 0..Month::default().sessions {
                shares[drawn(&mut rng, products)] += 1;
            }
            assert!(shares.iter().all(|share| *share > 100), "{shares:?}");
            assert!(shares[0] >= 6_000, "{shares:?}");
        }
    }
}
