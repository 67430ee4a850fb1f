//! Which failures stand open, and which success ends them.

use domain::{AppId, ProductId, tally::RefreshOutcome};
use jiff::Timestamp;
use store::{
    Store, StoreError, keys,
    open::{Open, Party, Success},
};

use crate::{
    count::refreshed,
    event::{Change, Image},
};

/// Notes a failure that is new, or a success and what it ends: how many failures that was. Doing it twice does no harm.
pub(crate) async fn settle(store: &Store, change: &Change, at: Timestamp) -> Result<usize, StoreError> {
    let (Some(new), old) = (change.new.as_ref().map(Image), change.old.as_ref().map(Image)) else {
        return Ok(0);
    };
    let pk = change.pk();
    if pk.starts_with("FAILURE#") && old.is_none() {
        if let Some((whose, open)) = Whose::of(new).zip(open(pk, new)) {
            store.note_open(whose.party(), &open).await?;
        }
        return Ok(0);
    }
    let success = match pk.split('#').next() {
        Some("SESSION") => connected(pk, old, new),
        Some("CONNECTION") if !new.has("reconnect") => works(pk, old, new, at),
        _ => None,
    };
    match Whose::of(new).zip(success) {
        Some((whose, success)) => store.note_success(whose.party(), &success).await,
        None => Ok(0),
    }
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
fn connected(pk: &str, old: Option<Image<'_>>, new: Image<'_>) -> Option<Success> {
    let is = |image: Image<'_>| image.text("state") == Some("connected");
    let at = new.time("connected_at")?;
    (is(new) && !old.is_some_and(is)).then(|| Success::Connected {
        at,
        session: keys::session_of(pk),
        connection: new.read("connection"),
    })
}

/// A connection that was imported, or refreshed.
fn works(pk: &str, old: Option<Image<'_>>, new: Image<'_>, at: Timestamp) -> Option<Success> {
    let connection = keys::connection_of(pk)?;
    match old {
        None if new.text("state") == Some("active") && !new.has("session") => {
            let at = new.time("created_at")?;
            Some(Success::Connected { at, session: None, connection: Some(connection) })
        }
        None => None,
        Some(old) => match refreshed(old, new)? {
            RefreshOutcome::Refreshed => Some(Success::Refreshed { at, connection }),
            _ => None,
        },
    }
}
