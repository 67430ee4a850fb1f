//! Which failures stand open, and which success ends them; which connections wait for somebody.

use domain::{AppId, ConnectionId, Customer, ProductId, tally::RefreshOutcome};
use jiff::Timestamp;
use store::{
    Store, StoreError,
    action_required::Needy,
    keys,
    unresolved_failures::{Open, Party, Success},
};

use runtime::records::{Change, Image};

use crate::count::refreshed;

/// Notes a failure that is new, a connection that stops, or a success and what it ends: how many failures that was.
/// Doing it twice does no harm.
pub(crate) async fn resolve(store: &Store, change: &Change, at: Timestamp) -> Result<usize, StoreError> {
    let (pk, new, old) = (change.pk(), change.new.as_ref().map(Image), change.old.as_ref().map(Image));
    if pk.starts_with("CONNECTION#") {
        settle_need(store, old.and_then(|old| need(pk, old)), new.and_then(|new| need(pk, new)), at).await?;
    }
    let Some(new) = new else { return Ok(0) };
    if pk.starts_with("FAILURE#") && old.is_none() {
        if let Some((whose, open)) = Whose::of(new).zip(open(pk, new)) {
            store.note_open(whose.party(), &open).await?;
        }
        return Ok(0);
    }
    let ended = match pk.split('#').next() {
        Some("SESSION") => connected(pk, old, new),
        Some("CONNECTION") if !new.has("reconnect") => works(pk, old, new, at),
        _ => None,
    };
    match Whose::of(new).zip(ended) {
        Some((whose, Ended::Well(success))) => store.note_success(whose.party(), &success).await,
        Some((whose, Ended::WithoutToken(connection))) => {
            store.note_unrefreshed(whose.party(), &connection, at).await?;
            Ok(0)
        }
        None => Ok(0),
    }
}

enum Ended {
    Well(Success),
    /// A refresh brought none.
    WithoutToken(ConnectionId),
}

/// What was waited for is not waited for any more, and the other way round.
async fn settle_need(
    store: &Store,
    before: Option<(ProductId, Needy)>,
    now: Option<(ProductId, Needy)>,
    at: Timestamp,
) -> Result<(), StoreError> {
    let named = |of: &(ProductId, Needy)| (of.0.clone(), of.1.connection.clone(), of.1.since);
    if before.as_ref().map(named) == now.as_ref().map(named) {
        return Ok(());
    }
    if let Some((product, needy)) = before {
        store.end_need(&product, &needy.connection, needy.since, at).await?;
    }
    match now {
        Some((product, needy)) => store.note_needy(&product, &needy).await,
        None => Ok(()),
    }
}

/// Whether a connection waits for somebody. What stands beside one while it is authorized anew is none of its own.
fn need(pk: &str, connection: Image<'_>) -> Option<(ProductId, Needy)> {
    let stopped = matches!(connection.text("state")?, "needs_reauth" | "blocked");
    if !stopped || connection.has("reconnect") {
        return None;
    }
    let customer = connection.map("customer")?;
    let needy = Needy {
        connection: keys::connection_of(pk)?,
        app: connection.read("app")?,
        environment: connection.read("environment")?,
        customer: Customer {
            id: customer.text("id")?.to_owned(),
            name: customer.text("name").map(str::to_owned),
        },
        since: connection.time("since")?,
        failure: connection.read("failure")?,
    };
    Some((connection.read("product")?, needy))
}

struct Whose(ProductId, AppId, String);

impl Whose {
    fn of(image: Image<'_>) -> Option<Self> {
        let customer = image.map("customer")?.text("id")?;
        Some(Self(image.read("product")?, image.read("app")?, customer.to_owned()))
    }

    fn party(&self) -> Party<'_> {
        Party { product: &self.0, app: &self.1, customer: &self.2 }
    }
}

fn open(pk: &str, failure: Image<'_>) -> Option<Open> {
    Some(Open {
        id: keys::failure_of(pk)?,
        at: failure.read("at")?,
        cause: failure.text("cause")?.to_owned(),
        stage: failure.read("stage")?,
        connection: failure.read("connection"),
    })
}

/// A session that has just connected.
fn connected(pk: &str, old: Option<Image<'_>>, new: Image<'_>) -> Option<Ended> {
    let is = |image: Image<'_>| image.text("state") == Some("connected");
    let at = new.time("connected_at")?;
    let success =
        || Success::Connected { at, session: keys::session_of(pk), connection: new.read("connection") };
    (is(new) && !old.is_some_and(is)).then(success).map(Ended::Well)
}

/// A connection that was imported, or of which a refresh ended.
fn works(pk: &str, old: Option<Image<'_>>, new: Image<'_>, at: Timestamp) -> Option<Ended> {
    let connection = keys::connection_of(pk)?;
    match old {
        None if new.text("state") == Some("active") && !new.has("session") => {
            let at = new.time("created_at")?;
            Some(Ended::Well(Success::Connected { at, session: None, connection: Some(connection) }))
        }
        None => None,
        Some(old) => Some(match refreshed(old, new)? {
            RefreshOutcome::Refreshed => Ended::Well(Success::Refreshed { at, connection }),
            _ => Ended::WithoutToken(connection),
        }),
    }
}
