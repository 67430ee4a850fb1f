//! A backup brought back. It holds refresh tokens that were spent since, and sending a spent one can end its grant: so
//! no connection is refreshed in the ordinary way after it. Each stands as one whose refresh was never answered: its
//! access token is served while it works, then its refresh token is sent once, by the recovery of `shared/refresh`,
//! after which it is either active or asks to be authorized anew. What the live table has is newer, and stays.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::{
    Client, error::DisplayErrorContext, operation::put_item::PutItemError, types::AttributeValue,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::{
    report::{CommandError, Report},
    scan::{Item, Scan, progress},
};

/// What is restored, and where to.
#[derive(Debug)]
pub struct Restore<'a> {
    /// The restored copy of the table.
    pub from: &'a str,
    /// The live table.
    pub into: &'a str,
    /// The restored copy of the fallback, if there is one.
    pub fallback_from: Option<&'a str>,
    /// The live fallback.
    pub fallback_into: Option<&'a str>,
    /// How many connections the sweep takes up a minute: Salesforce counts logins.
    pub per_minute: u32,
}

/// What becomes of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    /// Written as it is.
    Brought,
    /// Written as a connection whose last answer is not known.
    Unknown,
    /// Passing by nature: sessions out at Salesforce, attempts, counters.
    Left,
    /// The live table has it.
    Kept,
}

impl Fate {
    fn word(self) -> &'static str {
        match self {
            Self::Brought => "brought",
            Self::Unknown => "refresh_unknown",
            Self::Left => "left",
            Self::Kept => "kept",
        }
    }
}

/// Brings back what the live table does not have. Run again, it goes on.
pub async fn run(
    client: &Client,
    restore: &Restore<'_>,
    now: Timestamp,
    dry_run: bool,
) -> Result<Report, CommandError> {
    if restore.from == restore.into {
        return Err("--from is the live table: restore the backup into a table of its own first".into());
    }
    // The fallback first: what waits in it is newer than what the table's copy holds, and a recovery looks there.
    if let (Some(from), Some(into)) = (restore.fallback_from, restore.fallback_into) {
        let mut scan = Scan::new(client, from, "");
        while let Some(items) = scan.next().await? {
            for item in items.into_iter().filter(|_| !dry_run) {
                put_if_absent(client, into, item).await?;
            }
        }
    }
    let mut fates: BTreeMap<(String, Fate), u64> = BTreeMap::new();
    let mut marked = 0;
    let mut scan = Scan::new(client, restore.from, "");
    while let Some(items) = scan.next().await? {
        for mut item in items {
            let kind = kind(&item);
            let mut fate = fate(&kind, &item);
            if fate == Fate::Unknown {
                let wait = i64::from(marked / restore.per_minute.max(1)) * 60;
                stand_unanswered(&mut item, now, now + SignedDuration::from_secs(wait));
            }
            if fate != Fate::Left && !dry_run && !put_if_absent(client, restore.into, item).await? {
                fate = Fate::Kept;
            }
            marked += u32::from(fate == Fate::Unknown);
            *fates.entry((kind, fate)).or_default() += 1;
        }
        progress(&format!("{marked} connections to be recovered"), false);
    }
    let lines: Vec<String> =
        fates.iter().map(|((kind, fate), count)| format!("{count:>8}  {:<16} {kind}", fate.word())).collect();
    let counts: Vec<_> = fates
        .iter()
        .map(|((kind, fate), count)| json!({ "kind": kind, "fate": fate.word(), "count": count }))
        .collect();
    let minutes = marked.div_ceil(restore.per_minute.max(1));
    let end = if dry_run {
        "Nothing was written: a dry run. (What the live table has is not counted.)".to_owned()
    } else {
        format!("The sweep takes up {marked} connections over the next {minutes} minutes.")
    };
    Ok(Report::good(format!("{}\n{end}", lines.join("\n")), json!({ "written": !dry_run, "items": counts })))
}

fn kind(item: &Item) -> String {
    let pk = item.get("pk").and_then(|pk| pk.as_s().ok()).map_or("", String::as_str);
    pk.split('#').next().unwrap_or_default().to_owned()
}

fn fate(kind: &str, item: &Item) -> Fate {
    let state = item.get("state").and_then(|state| state.as_s().ok()).map_or("", String::as_str);
    match (kind, state) {
        ("CONNECTION", "active" | "blocked" | "refresh_unknown") if item.contains_key("refresh_token") => {
            Fate::Unknown
        }
        ("ATTEMPT" | "SESSION" | "REPORT" | "STRAY", _) => Fate::Left,
        _ => Fate::Brought,
    }
}

/// As `shared/store/src/leases.rs` leaves a refresh that was begun and never answered, its recovery still to come.
fn stand_unanswered(item: &mut Item, now: Timestamp, due: Timestamp) {
    let millis = |at: Timestamp| AttributeValue::N(at.as_millisecond().to_string());
    for gone in ["lease_until", "lease_holder", "recovered_at", "paused_until", "paused_for", "failure"] {
        item.remove(gone);
    }
    let id = item.get("id").and_then(|id| id.as_s().ok()).cloned().unwrap_or_default();
    item.insert("state".into(), AttributeValue::S("refresh_unknown".into()));
    item.insert("since".into(), millis(now));
    item.insert("began_at".into(), millis(now));
    if let Some(epoch) = item.get("epoch").cloned() {
        item.insert("began_epoch".into(), epoch);
    }
    item.insert("due_shard".into(), AttributeValue::S(store::keys::due_shard(&id)));
    item.insert("due_at".into(), millis(due));
}

/// Whether it was written.
async fn put_if_absent(client: &Client, table: &str, item: Item) -> Result<bool, CommandError> {
    let put = client
        .put_item()
        .table_name(table)
        .set_item(Some(item))
        .condition_expression("attribute_not_exists(pk)")
        .send()
        .await;
    match put {
        Ok(_) => Ok(true),
        Err(error)
            if error.as_service_error().is_some_and(PutItemError::is_conditional_check_failed_exception) =>
        {
            Ok(false)
        }
        Err(error) => Err(format!("table {table}: {}", DisplayErrorContext(error)).into()),
    }
}
