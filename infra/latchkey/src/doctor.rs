//! The deployment itself: whether what it rests on is there and set as the template sets it.

use std::{collections::BTreeSet, net::IpAddr};

use aws_sdk_dynamodb::types::{ContinuousBackupsStatus, PointInTimeRecoveryStatus, TimeToLiveStatus};
use salesforce::Http;
use serde::Serialize;
use serde_json::json;
use store::Vault;

use crate::{
    deployment::{Deployment, SecretsManager},
    read_products,
    report::{CommandError, Report},
    scan::Scan,
};

/// More addresses than this a Salesforce app's allowlist does not take (fact base, partner rules).
const MAX_ALLOWED: usize = 256;

/// One thing looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    good: bool,
    why: String,
}

/// What is compared with the allowlist.
#[derive(Debug, Default)]
pub struct Egress {
    /// The deployment's addresses: the stack's output EgressAddresses.
    pub addresses: Vec<IpAddr>,
    /// The addresses that the app at Salesforce allows its refresh tokens to be used from.
    pub allowed: Vec<IpAddr>,
}

/// Looks at everything, and says all that it finds.
pub async fn run(
    deployment: &Deployment,
    products: &std::path::Path,
    egress: &Egress,
    http: &Http,
) -> Result<Report, CommandError> {
    let mut findings = Vec::new();
    tables(deployment, &mut findings).await?;
    secrets(deployment, products, &mut findings).await?;
    door(deployment, http, &mut findings).await?;
    addresses(egress, &mut findings);
    let line = |found: &Finding| {
        format!("{} {}: {}", if found.good { "good " } else { "WRONG" }, found.what, found.why)
    };
    Ok(Report {
        text: findings.iter().map(line).collect::<Vec<_>>().join("\n"),
        wrong: findings.iter().any(|found| !found.good),
        json: json!({ "findings": findings }),
    })
}

fn note(findings: &mut Vec<Finding>, what: impl Into<String>, good: bool, right: &str, wrong: &str) {
    findings.push(Finding { what: what.into(), good, why: if good { right } else { wrong }.to_owned() });
}

async fn tables(deployment: &Deployment, findings: &mut Vec<Finding>) -> Result<(), CommandError> {
    let store = deployment.store()?;
    let client = store.client();
    for name in [deployment.table()?, deployment.fallback_table()?] {
        let table = match client.describe_table().table_name(name).send().await {
            Ok(told) => told.table,
            Err(error) => {
                let why = format!("{}", aws_sdk_dynamodb::error::DisplayErrorContext(error));
                note(findings, format!("table {name}"), false, "", &why);
                continue;
            }
        };
        let protected = table.is_some_and(|table| table.deletion_protection_enabled == Some(true));
        note(
            findings,
            format!("table {name}"),
            protected,
            "there, protected from deletion",
            "its deletion protection is off",
        );
        let backups = client.describe_continuous_backups().table_name(name).send().await.ok();
        let recovery = backups.and_then(|told| told.continuous_backups_description).is_some_and(|told| {
            told.continuous_backups_status == ContinuousBackupsStatus::Enabled
                && told.point_in_time_recovery_description.and_then(|told| told.point_in_time_recovery_status)
                    == Some(PointInTimeRecoveryStatus::Enabled)
        });
        note(
            findings,
            format!("backups of {name}"),
            recovery,
            "point-in-time recovery is on",
            "point-in-time recovery is off",
        );
    }
    let ttl = client.describe_time_to_live().table_name(deployment.table()?).send().await.ok();
    let ttl = ttl.and_then(|told| told.time_to_live_description).is_some_and(|told| {
        told.time_to_live_status == Some(TimeToLiveStatus::Enabled)
            && told.attribute_name.as_deref() == Some("ttl")
    });
    note(findings, "time to live", ttl, "on, by ttl", "off, or not by ttl: what is over is never deleted");
    let mut waiting = 0;
    let mut scan = Scan::new(client, deployment.fallback_table()?, "");
    while let Some(items) = scan.next().await? {
        waiting += items.len();
    }
    let why = format!("{waiting} answers wait: the table did not take them. Look at the sweep's log");
    note(findings, "the fallback", waiting == 0, "empty", &why);
    Ok(())
}

async fn secrets(
    deployment: &Deployment,
    folder: &std::path::Path,
    findings: &mut Vec<Finding>,
) -> Result<(), CommandError> {
    let held = SecretsManager::from_env()?.secrets();
    let keyring = deployment.keyring()?;
    match Vault::new(held.clone(), keyring).ready().await {
        Ok(()) => note(findings, "the keyring", true, "it seals", ""),
        Err(error) => note(findings, "the keyring", false, "", &error.to_string()),
    }
    let store = deployment.store()?;
    for product in read_products(folder)? {
        let stored = store.product(&product.id).await?;
        let same = stored.as_ref() == Some(&product);
        note(
            findings,
            format!("product {}", product.id),
            same,
            "as its file says",
            "not as its file says: latchkey apply",
        );
        for app in &product.apps {
            let what = format!("secret of {}/{}", product.id, app.id);
            match held.consumer(&app.secret).await {
                Ok(_) => note(findings, what, true, "there; latchkey app check asks Salesforce", ""),
                Err(error) => note(findings, what, false, "", &error.to_string()),
            }
        }
    }
    Ok(())
}

/// Through the public name, as browsers and Salesforce come.
async fn door(deployment: &Deployment, http: &Http, findings: &mut Vec<Finding>) -> Result<(), CommandError> {
    let address = deployment.public_url()?.at("/healthz");
    let answer = http.send(http::Request::get(&address).body(Vec::new())?).await;
    let why = match &answer {
        Ok(answer) => format!("{address} answers {}", answer.status().as_u16()),
        Err(error) => format!("{address}: {error}"),
    };
    let good = answer.is_ok_and(|answer| answer.status() == http::StatusCode::OK);
    note(findings, "the door", good, &why, &why);
    Ok(())
}

fn addresses(egress: &Egress, findings: &mut Vec<Finding>) {
    if egress.allowed.is_empty() {
        return;
    }
    let allowed: BTreeSet<&IpAddr> = egress.allowed.iter().collect();
    let outside: Vec<String> =
        egress.addresses.iter().filter(|address| !allowed.contains(address)).map(IpAddr::to_string).collect();
    let (good, why) = if allowed.len() > MAX_ALLOWED {
        (false, format!("{} addresses are allowed; Salesforce takes {MAX_ALLOWED}", allowed.len()))
    } else if egress.addresses.is_empty() {
        (false, "Salesforce is called from any of AWS's addresses: deploy with FixedEgress".to_owned())
    } else if outside.is_empty() {
        (true, "every address of ours is allowed".to_owned())
    } else {
        (false, format!("{} not on the allowlist: refreshes from there are refused", outside.join(", ")))
    };
    findings.push(Finding { what: "egress".into(), good, why });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(addresses: &[&str], allowed: &[&str]) -> Vec<Finding> {
        let read = |all: &[&str]| all.iter().map(|one| one.parse().unwrap()).collect();
        let mut findings = Vec::new();
        super::addresses(&Egress { addresses: read(addresses), allowed: read(allowed) }, &mut findings);
        findings
    }

    #[test]
    fn an_address_that_the_allowlist_lacks_is_named() {
        assert!(of(&["192.0.2.1"], &[]).is_empty(), "no allowlist, nothing to hold");
        assert!(of(&["192.0.2.1"], &["192.0.2.1", "192.0.2.2"])[0].good);
        let missing = of(&["192.0.2.1", "192.0.2.9"], &["192.0.2.1"]);
        assert!(!missing[0].good && missing[0].why.starts_with("192.0.2.9 "), "{}", missing[0].why);
        assert!(!of(&[], &["192.0.2.1"])[0].good, "any address is none of the list's");
    }
}
