//! Token answers in quarantine: shown, and decided about. The sweep carries a decision out; this command needs neither
//! the keyring nor the way to Salesforce, and can show nothing secret.

use jiff::Timestamp;
use serde_json::{Value, json};
use store::{Decision, Fallback, Kept, Origin, Quarantined};

use crate::report::{CommandError, Report};

/// Maximum number of items that are read at once.
const BATCH: i32 = 100;

/// All that is in quarantine.
pub async fn list(fallback: &Fallback, now: Timestamp) -> Result<Report, CommandError> {
    let all = read(fallback).await?;
    let lines: Vec<String> = all.iter().map(|one| line(one, now)).collect();
    let text = if lines.is_empty() { "Nothing is in quarantine.".to_owned() } else { lines.join("\n") };
    let json = json!({ "quarantined": all.iter().map(view).collect::<Vec<_>>() });
    Ok(Report { wrong: !all.is_empty(), ..Report::good(text, json) })
}

/// One answer, with the check that it fails.
pub async fn show(fallback: &Fallback, id: &str) -> Result<Report, CommandError> {
    let one = find(fallback, id).await?;
    let mut lines = vec![format!(
        "connection   {}\nproduct      {}\napp          {}\nanswer to    {}\nfrom         {}\nstatus       {}\n\
         received     {}\nreason       {}\n             {}",
        one.connection,
        one.product,
        one.app,
        one.origin.as_str(),
        one.login_host,
        one.status,
        one.quarantined_at,
        one.reason,
        one.detail,
    )];
    if let Some(import) = &one.import {
        lines.push(format!("customer     {}\nuser         {}", import.customer.id, import.user));
    }
    if let Some(exchange) = &one.exchange {
        lines.push(format!("attempt      {}", exchange.attempt));
    }
    if let Some(told) = &one.instance_url {
        lines.push(format!("org's API    {told} (as an operator said)"));
    }
    if let Some(decision) = one.decision {
        lines.push(format!("decided      {}: the next run of the sweep carries it out", word(decision)));
    }
    if let Some(outcome) = &one.outcome {
        lines.push(format!("not done     {outcome}"));
    }
    Ok(Report::good(lines.join("\n"), view(&one)))
}

/// Writes what the operator has decided.
pub async fn decide(
    fallback: &Fallback,
    id: &str,
    decision: Decision,
    instance_url: Option<&str>,
    dry_run: bool,
) -> Result<Report, CommandError> {
    let mut one = find(fallback, id).await?;
    // The sweep looks whether it is one of Salesforce's hosts.
    one.instance_url = instance_url.map(ToOwned::to_owned).or(one.instance_url);
    if !dry_run && !fallback.decide(&one, Some(decision), None).await? {
        return Err(format!("{id} is no longer in quarantine").into());
    }
    let then = match decision {
        Decision::Release if one.origin == Origin::Exchange => {
            "repeats every check; if it passes, the connection is pending, and its user opens the link again"
        }
        Decision::Release => "repeats every check and stores the answer if it passes",
        Decision::Discard => "revokes what the answer holds and forgets it",
    };
    let would = if dry_run { "would be decided" } else { "decided" };
    let text = format!(
        "{would}: {} {id}. The sweep {then}, within five minutes. See: latchkey quarantine show {id}",
        word(decision)
    );
    Ok(Report::good(text, json!({ "connection": id, "decision": decision, "dry_run": dry_run })))
}

async fn read(fallback: &Fallback) -> Result<Vec<Quarantined>, CommandError> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = fallback.all(BATCH, after).await?;
        // The sweep raises an alarm for an item that cannot be read; it hides no other.
        all.extend(page.items.into_iter().filter_map(|kept| match kept {
            Ok(Kept::Quarantined(quarantined)) => Some(*quarantined),
            Ok(Kept::Waiting(_)) | Err(_) => None,
        }));
        after = page.next;
        if after.is_none() {
            all.sort_by_key(|one| one.quarantined_at);
            return Ok(all);
        }
    }
}

async fn find(fallback: &Fallback, id: &str) -> Result<Quarantined, CommandError> {
    let found = read(fallback).await?.into_iter().find(|one| one.connection.as_str() == id);
    found.ok_or_else(|| format!("nothing of {id} is in quarantine: latchkey quarantine list").into())
}

fn word(decision: Decision) -> &'static str {
    match decision {
        Decision::Release => "release",
        Decision::Discard => "discard",
    }
}

fn line(one: &Quarantined, now: Timestamp) -> String {
    let hours = now.duration_since(one.quarantined_at).as_hours();
    let decided = match (one.decision, &one.outcome) {
        (Some(decision), _) => format!(", {} decided", word(decision)),
        (None, Some(_)) => ", release failed".to_owned(),
        (None, None) => String::new(),
    };
    let (connection, product, app) = (&one.connection, &one.product, &one.app);
    format!("{connection}  {product}/{app}  {}, {hours} h ago: {}{decided}", one.origin.as_str(), one.detail)
}

fn view(one: &Quarantined) -> Value {
    json!({
        "connection": one.connection,
        "product": one.product,
        "app": one.app,
        "origin": one.origin,
        "login_host": one.login_host,
        "status": one.status,
        "received_at": one.quarantined_at,
        "reason": one.reason,
        "detail": one.detail,
        "decision": one.decision,
        "outcome": one.outcome,
    })
}
