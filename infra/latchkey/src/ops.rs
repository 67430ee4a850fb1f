//! `latchkey ops`: links to the operators' page and the sessions in it, for operators who may write the table.

use domain::{ProductId, secret::OpsKey};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use store::{
    Store, StoreError,
    operator_sessions::{MAX_OWNER, OpsScope, OpsSession},
};

use crate::{
    apply,
    report::{CommandError, Report},
};

/// How long a link waits for its one use.
const LINK_LIVES: SignedDuration = SignedDuration::from_mins(10);

/// Makes a link, for a product that there is; in a dry run, none.
pub async fn link(
    store: &Store,
    public_url: &str,
    product: Option<ProductId>,
    owner: &str,
    now: Timestamp,
    dry_run: bool,
) -> Result<Report, CommandError> {
    if !(1..=MAX_OWNER).contains(&owner.len()) || owner.chars().any(char::is_control) {
        return Err(format!("--owner must be 1 to {MAX_OWNER} bytes: who uses the link?").into());
    }
    if let Some(product) = &product {
        apply::stored(store, product).await?;
    }
    if dry_run {
        let whose =
            product.as_ref().map_or_else(|| "all products".to_owned(), |product| format!("{product} alone"));
        let text = format!("A link for {whose} would be made; nothing was written: a dry run");
        return Ok(Report::good(text, json!({ "product": product, "created": false })));
    }
    let url = ops_link(store, public_url, product.clone(), owner, now).await?;
    Ok(Report::good(&url, json!({ "url": url, "product": product, "owner": owner, "created": true })))
}

/// A one-time link to the operators' page at `public_url`, for one product or for all; it works for ten minutes.
/// `owner` is who uses it: the list of sessions names them.
pub async fn ops_link(
    store: &Store,
    public_url: &str,
    product: Option<ProductId>,
    owner: &str,
    now: Timestamp,
) -> Result<String, StoreError> {
    let link = OpsKey::mint();
    let scope = OpsScope { product, made_with: None, owner: owner.to_owned() };
    store.create_ops_link(&link.hash(), &scope, now + LINK_LIVES).await?;
    Ok(format!("{}/ops/sign-in/{}", public_url.trim_end_matches('/'), link.expose()))
}

/// How many characters of a session's digest name it.
const SHOWN_DIGITS: usize = 12;

/// The live sessions.
pub async fn list_sessions(store: &Store, now: Timestamp) -> Result<Report, CommandError> {
    let sessions = store.ops_sessions(now).await?;
    let line = |session: &OpsSession| {
        let OpsSession { scope, seen_at, until, .. } = session;
        let whose = scope.product.as_ref().map_or("all products", |product| product.as_str());
        format!("{}  {whose:<16} {:<24} last used {seen_at:.0}  ends {until:.0}", shown(session), scope.owner)
    };
    let text = match &sessions[..] {
        [] => "No session.".to_owned(),
        sessions => sessions.iter().map(line).collect::<Vec<_>>().join("\n"),
    };
    let rows: Vec<_> = sessions
        .iter()
        .map(|session| {
            json!({
                "id": shown(session), "product": session.scope.product, "owner": session.scope.owner,
                "last_used_at": format!("{:.3}", session.seen_at), "ends_at": format!("{:.3}", session.until),
            })
        })
        .collect();
    Ok(Report::good(text, json!({ "sessions": rows })))
}

/// Which sessions to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// One, by the id that the list shows.
    One(String),
    /// All of an owner.
    Of(String),
    /// All.
    All,
}

/// Ends sessions at once: the next request of their browsers is signed out.
pub async fn end_sessions(
    store: &Store,
    which: &Which,
    now: Timestamp,
    dry_run: bool,
) -> Result<Report, CommandError> {
    let mut sessions = store.ops_sessions(now).await?;
    sessions.retain(|session| match which {
        Which::One(id) => shown(session) == id,
        Which::Of(owner) => session.scope.owner == *owner,
        Which::All => true,
    });
    if let (Which::One(id), []) = (which, &sessions[..]) {
        return Err(format!("no session {id}: latchkey ops sessions list").into());
    }
    if !dry_run {
        for session in &sessions {
            store.end_ops_session(&session.digest).await?;
        }
    }
    let ids: Vec<&str> = sessions.iter().map(shown).collect();
    let done = if dry_run { "would end; nothing was written: a dry run" } else { "ended" };
    let text = format!("{} {done}", if ids.is_empty() { "no session".to_owned() } else { ids.join(", ") });
    Ok(Report::good(text, json!({ "sessions": ids, "ended": !dry_run })))
}

fn shown(session: &OpsSession) -> &str {
    session.digest.get(..SHOWN_DIGITS).unwrap_or(&session.digest)
}
