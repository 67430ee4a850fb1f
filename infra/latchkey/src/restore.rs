//! A backup brought back. It holds refresh tokens that were spent since, and sending a spent one can end its grant: so
//! refreshing is off for each connection from the write that brings it. It stands as one whose refresh was never answered:
//! its access token is served while it works, nobody sends in the ordinary way, and its refresh token is sent once, by the
//! recovery of `shared/grants`, after which it is active or needs its user to connect again.
//!
//! An answer that waited in the fallback when the backup was made is laid on its connection in the same write, unless the
//! live fallback has it: then the sweep stores it. The live fallback is not written: what the sweep finds there it stores as
//! good, and an answer of the backup's may be spent too.
//!
//! What the live table has is newer, and stays. What was withdrawn stays withdrawn: only what lasts is brought.

use std::collections::{BTreeMap, HashMap, HashSet};

use aws_sdk_dynamodb::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    types::AttributeValue,
};
use domain::EventType;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use store::{RefreshedTokens, SendWrite as _, Waiting};

use crate::{
    aws_error::explain,
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
    /// The restored copy of the fallback and the live one, if there is a copy.
    pub fallback: Option<(&'a str, &'a str)>,
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
    /// What passes, what may have been withdrawn since, and what the stream makes anew.
    Left,
    /// The live table has it.
    Kept,
    /// Left, since this command does not know what it is.
    Unfamiliar,
}

impl Fate {
    fn word(self) -> &'static str {
        match self {
            Self::Brought => "brought",
            Self::Unknown => "refresh_unknown",
            Self::Left => "left",
            Self::Kept => "kept",
            Self::Unfamiliar => "unfamiliar, left",
        }
    }
}

/// The kinds of items that last, by how their partition keys begin.
const BROUGHT: [&str; 5] = ["CONNECTION", "FAILURE", "HISTORY", "IMPORT", "UNIQUE"];

/// The kinds that do not, with the reason in `docs/deploy.md`.
const LEFT: [&str; 17] = [
    "ATTEMPT",
    "ENDPOINT",
    "EVENT",
    "NEEDY",
    "OPEN",
    "OPSLINK",
    "OPSSESSION",
    "PRODUCT",
    "PRODUCTS",
    "HEALTH",
    "REPORT",
    "RETIRED",
    "SESSION",
    "STRAY",
    "TALLIED",
    "TALLY",
    "WAVE",
];

/// What an answer in the fallback is counted as.
const ANSWER: &str = "FALLBACK";

/// Brings back what the live table does not have. Run again, it goes on.
pub async fn run(
    client: &Client,
    restore: &Restore<'_>,
    now: impl Fn() -> Timestamp,
    dry_run: bool,
) -> Result<Report, CommandError> {
    if restore.from == restore.into {
        return Err("--from is the live table: restore the backup into a table of its own first".into());
    }
    let live = Live { client, table: restore.into };
    let mut answers = Answers::default();
    if let Some((from, into)) = restore.fallback {
        answers.waiting = waiting(client, from).await?;
        answers.live = waiting(client, into).await?.into_keys().collect();
        if !dry_run {
            bring_quarantine(client, from, into).await?;
        }
    }
    let mut fates: BTreeMap<(String, Fate), u64> = BTreeMap::new();
    let (mut marked, mut missing) = (0, Vec::new());
    let mut scan = Scan::new(client, restore.from, "");
    while let Some(items) = scan.next().await? {
        for item in items {
            let kind = kind(&item);
            let fate = fate(&kind, &item);
            if kind == "PRODUCT" && !live.has(&item).await? {
                missing.push(text(&item, "pk").trim_start_matches("PRODUCT#").to_owned());
            }
            let is_new = match fate {
                Fate::Unknown => {
                    let wait = i64::from(marked / restore.per_minute.max(1)) * 60;
                    let (answer, at) = (answers.take_for(&item), now());
                    let due = at + SignedDuration::from_secs(wait);
                    let unanswered = Unanswered::new(&item, answer.as_ref(), at, due);
                    let restored = with_new_revision(unanswered.on(item.clone()), at);
                    let is_new = dry_run || live.put_if_absent(restored).await?;
                    let laid = answer.is_some() && (is_new || live.lay_on(&item, &unanswered).await?);
                    if answer.is_some() {
                        let fate = if laid { Fate::Brought } else { Fate::Left };
                        *fates.entry((ANSWER.into(), fate)).or_default() += 1;
                    }
                    marked += u32::from(is_new || laid);
                    is_new
                }
                Fate::Brought => dry_run || live.put_if_absent(with_new_revision(item, now())).await?,
                Fate::Left | Fate::Kept | Fate::Unfamiliar => true,
            };
            *fates.entry((kind, if is_new { fate } else { Fate::Kept })).or_default() += 1;
        }
        progress(&format!("{marked} connections to be recovered"), false);
    }
    if !answers.waiting.is_empty() {
        *fates.entry((ANSWER.into(), Fate::Left)).or_default() += answers.waiting.len() as u64;
    }
    Ok(told(&fates, &missing, marked.div_ceil(restore.per_minute.max(1)), marked, dry_run))
}

fn told(
    fates: &BTreeMap<(String, Fate), u64>,
    missing: &[String],
    minutes: u32,
    marked: u32,
    dry_run: bool,
) -> Report {
    let mut lines: Vec<String> =
        fates.iter().map(|((kind, fate), count)| format!("{count:>8}  {:<16} {kind}", fate.word())).collect();
    let counts: Vec<_> = fates
        .iter()
        .map(|((kind, fate), count)| json!({ "kind": kind, "fate": fate.word(), "count": count }))
        .collect();
    lines.push(if dry_run {
        "Nothing was written: a dry run. (What the live table has is not counted.)".to_owned()
    } else {
        format!("The sweep takes up {marked} connections over the next {minutes} minutes.")
    });
    if !missing.is_empty() {
        lines.push(format!(
            "The live table has no product {}: nothing of it works until its file is applied (latchkey apply).",
            missing.join(", ")
        ));
    }
    Report {
        text: lines.join("\n"),
        wrong: !missing.is_empty() || fates.keys().any(|(_, fate)| *fate == Fate::Unfamiliar),
        json: json!({ "written": !dry_run, "items": counts, "products_missing": missing }),
    }
}

fn text<'a>(item: &'a Item, name: &str) -> &'a str {
    item.get(name).and_then(|value| value.as_s().ok()).map_or("", String::as_str)
}

fn kind(item: &Item) -> String {
    text(item, "pk").split('#').next().unwrap_or_default().to_owned()
}

fn fate(kind: &str, item: &Item) -> Fate {
    match (kind, text(item, "state")) {
        ("CONNECTION", "active" | "blocked" | "refresh_unknown") if item.contains_key("refresh_token") => {
            Fate::Unknown
        }
        _ if BROUGHT.contains(&kind) => Fate::Brought,
        _ if LEFT.contains(&kind) => Fate::Left,
        _ => Fate::Unfamiliar,
    }
}

/// What a connection says as `shared/store/src/leases.rs` leaves a refresh that was begun and never answered, its
/// recovery still to come.
struct Unanswered {
    set: Vec<(&'static str, AttributeValue)>,
    gone: Vec<&'static str>,
}

impl Unanswered {
    /// `began_at` is now, so that no recovery is sent for [`store::leases::RECOVERY_AFTER`] from here.
    fn new(item: &Item, answer: Option<&RefreshedTokens>, now: Timestamp, due: Timestamp) -> Self {
        let millis = |at: Timestamp| AttributeValue::N(at.as_millisecond().to_string());
        let mut set = answer.map(RefreshedTokens::attributes).unwrap_or_default();
        set.retain(|(name, _)| *name != "due_at");
        set.extend([
            ("state", AttributeValue::S("refresh_unknown".into())),
            ("since", millis(now)),
            ("began_at", millis(now)),
            ("due_shard", AttributeValue::S(store::keys::due_shard(text(item, "id")))),
            ("due_at", millis(due)),
        ]);
        set.extend(item.get("epoch").map(|epoch| ("began_epoch", epoch.clone())));
        let mut gone = vec!["lease_until", "lease_holder", "paused_until", "paused_for", "failure"];
        // What refused a refresh before the backup, or since, need not refuse it now.
        gone.extend(["not_before", "refusals", "unexplained_since", "retry_cause", "retry_failure"]);
        if answer.is_some() {
            // A recovery that was under way was one of the token before. Without an answer its mark stays: there is no
            // second.
            gone.push("recovered_at");
        }
        Self { set, gone }
    }

    fn on(&self, mut item: Item) -> Item {
        item.retain(|name, _| !self.gone.contains(&name.as_str()));
        item.extend(self.set.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        item
    }
}

/// Raises the revision of a connection, so that its product gets `connection.state_changed` with a sequence above all that
/// it has seen. With the backup's own revision, a consumer would drop every later event of the connection. The new one is
/// the seconds since 1970: it is higher after an earlier restore too, since no connection changes once a second for years.
/// Other items, staged grants and connections that no product was told of stay as they are.
fn with_new_revision(mut item: Item, now: Timestamp) -> Item {
    let number = item.get("revision").and_then(|number| number.as_n().ok()?.parse::<u64>().ok());
    if let Some(number) = number
        && kind(&item) == "CONNECTION"
        && !item.contains_key("reconnect")
    {
        let seconds = u64::try_from(now.as_second()).unwrap_or_default();
        let (number, at) = (seconds.max(number + 1), now.as_millisecond());
        item.insert("revision".into(), AttributeValue::N(number.to_string()));
        item.insert("revised_at".into(), AttributeValue::N(at.to_string()));
        let event = EventType::ConnectionStateChanged.as_str();
        item.insert("revision_event".into(), AttributeValue::S(event.into()));
    }
    item
}

/// An answer's keys: its connection, and the refresh token that was answered.
type Answered = (String, String);

/// What waits in a fallback.
async fn waiting(client: &Client, table: &str) -> Result<HashMap<Answered, Waiting>, CommandError> {
    let mut all = HashMap::new();
    let mut scan = Scan::new(client, table, "");
    while let Some(items) = scan.next().await? {
        for item in items {
            // What is in quarantine is no answer to lay on anything: an operator decides about it.
            if item.contains_key("quarantined_at") {
                continue;
            }
            let key = (text(&item, "pk").to_owned(), text(&item, "sk").to_owned());
            all.insert(key, serde_dynamo::from_item(item)?);
        }
    }
    Ok(all)
}

/// Brings back what is in quarantine in the copy, and not in the live fallback.
async fn bring_quarantine(client: &Client, from: &str, into: &str) -> Result<(), CommandError> {
    let live = Live { client, table: into };
    let mut scan = Scan::new(client, from, "");
    while let Some(items) = scan.next().await? {
        for item in items.into_iter().filter(|item| item.contains_key("quarantined_at")) {
            live.put_if_absent(item).await?;
        }
    }
    Ok(())
}

/// What waits in the fallback's copy, and which of it waits in the live one too.
#[derive(Default)]
struct Answers {
    waiting: HashMap<Answered, Waiting>,
    live: HashSet<Answered>,
}

impl Answers {
    /// The answer to the refresh token that the item holds, if it is newer than what the item has. Any other is of a
    /// connection that has moved on: laid on it, it would bring a spent token back.
    fn take_for(&mut self, item: &Item) -> Option<RefreshedTokens> {
        let key = (text(item, "pk").to_owned(), format!("AFTER#{}", text(item, "refresh_fingerprint")));
        let issued_at: i64 = item.get("issued_at")?.as_n().ok()?.parse().ok()?;
        let waiting = self.waiting.get(&key)?;
        let is_newer = issued_at < waiting.renewed.issued_at.as_millisecond();
        // Laid here as well, what the live fallback has would soon be superseded there, and revoked.
        if waiting.superseded || !is_newer || self.live.contains(&key) {
            return None;
        }
        self.waiting.remove(&key).map(|waiting| waiting.renewed)
    }
}

/// The live table.
struct Live<'a> {
    client: &'a Client,
    table: &'a str,
}

impl Live<'_> {
    fn failed<E>(&self, error: &SdkError<E>) -> CommandError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        format!("table {}: {}", self.table, explain(error)).into()
    }

    async fn has(&self, item: &Item) -> Result<bool, CommandError> {
        let get = self.client.get_item().table_name(self.table).set_key(Some(key(item)));
        Ok(get.send().await.map_err(|error| self.failed(&error))?.item.is_some())
    }

    /// Whether it was written.
    async fn put_if_absent(&self, item: Item) -> Result<bool, CommandError> {
        let put = self.client.put_item().table_name(self.table).set_item(Some(item));
        self.written(put.condition_expression("attribute_not_exists(pk)").send_write().await)
    }

    /// Whether a write's condition held.
    fn written<T, E>(&self, sent: Result<T, SdkError<E>>) -> Result<bool, CommandError>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        match sent {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(false),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Lays an answer on the live connection, where that still waits for it: the fallback alone was lost.
    async fn lay_on(&self, copy: &Item, unanswered: &Unanswered) -> Result<bool, CommandError> {
        let sets: Vec<String> = unanswered.set.iter().map(|(name, _)| format!("#{name} = :{name}")).collect();
        let mut update = self
            .client
            .update_item()
            .table_name(self.table)
            .set_key(Some(key(copy)))
            .update_expression(format!("SET {}", sets.join(", ")))
            .condition_expression(
                "#state = :state AND refresh_fingerprint = :sent AND attribute_not_exists(recovered_at)",
            )
            .expression_attribute_values(
                ":sent",
                AttributeValue::S(text(copy, "refresh_fingerprint").into()),
            );
        for (name, value) in &unanswered.set {
            update = update
                .expression_attribute_names(format!("#{name}"), *name)
                .expression_attribute_values(format!(":{name}"), value.clone());
        }
        self.written(update.send_write().await)
    }
}

fn key(item: &Item) -> Item {
    ["pk", "sk"].map(|name| (name.to_owned(), AttributeValue::S(text(item, name).into()))).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_every_kind_that_the_table_has_it_is_decided_and_documented_what_becomes_of_it() {
        let readme = include_str!("../../../shared/store/README.md");
        let kinds: Vec<&str> = readme
            .lines()
            .filter_map(|line| line.strip_prefix("| ")?.split(" | `").nth(1)?.split('#').next())
            .filter(|kind| kind.bytes().all(|byte| byte.is_ascii_uppercase()))
            .collect();
        assert!(kinds.len() > 12, "{kinds:?}");
        let documented = include_str!("../../../docs/deploy.md");
        for kind in kinds {
            assert_ne!(fate(kind, &Item::new()), Fate::Unfamiliar, "{kind}");
        }
        for kind in BROUGHT.iter().chain(&LEFT) {
            assert!(documented.contains(&format!("`{kind}`")), "{kind}");
        }
    }
}
