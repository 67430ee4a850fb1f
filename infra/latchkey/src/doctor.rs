//! The deployment itself: whether what it rests on is there and set as the template sets it.

use aws_sdk_dynamodb::types::{ContinuousBackupsStatus, PointInTimeRecoveryStatus, TimeToLiveStatus};
use jiff::Timestamp;
use salesforce::Http;
use serde::Serialize;
use serde_json::json;
use store::TokenCipher;

use crate::{
    apply,
    deployment::{Deployment, SecretsManager, aws, missing},
    egress::{self, Egress, Told},
    read_products,
    report::{CommandError, Report},
    scan::Scan,
};

/// One thing looked at.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) what: String,
    pub(crate) good: bool,
    pub(crate) why: String,
}

/// Looks at everything, and says all that it finds.
pub async fn run(
    deployment: &Deployment,
    products: &std::path::Path,
    egress: &Egress,
    http: &Http,
    now: Timestamp,
) -> Result<Report, CommandError> {
    let mut findings = Vec::new();
    tables(deployment, &mut findings).await?;
    secrets(deployment, products, &mut findings).await?;
    findings.push(door(&deployment.public_url()?.at("/healthz"), http).await?);
    findings.extend(egress.declared());
    let seen = match deployment.sweep()? {
        Some(sweep) => egress::observe(&sweep, egress, &aws()?, &Http::to_aws(), now).await,
        None if egress.is_empty() => Told::default(),
        None => return Err(missing("--sweep", "SWEEP_FUNCTION", "SweepFunction")),
    };
    findings.extend(egress.seen(&seen));
    let line = |found: &Finding| {
        format!("{} {}: {}", if found.good { "good " } else { "WRONG" }, found.what, found.why)
    };
    Ok(Report {
        text: findings.iter().map(line).collect::<Vec<_>>().join("\n"),
        wrong: findings.iter().any(|found| !found.good),
        json: json!({ "findings": findings, "egress_seen": seen.seen }),
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
    match TokenCipher::new(held.clone(), keyring).ready().await {
        Ok(()) => note(findings, "the keyring", true, "it seals", ""),
        Err(error) => note(findings, "the keyring", false, "", &error.to_string()),
    }
    let store = deployment.store()?;
    let products = read_products(folder)?;
    for stray in apply::without_file(&store, &products).await? {
        let why = "it has no file, and its API keys work: latchkey apply --prune ends them";
        note(findings, format!("product {}", stray.id), false, "", why);
    }
    for product in products {
        let stored = store.product(&product.id).await?;
        if stored.as_ref().is_some_and(|stored| !stored.redeem) {
            let why = "redeeming can't be switched off any more, so its connections wait for a receipt to be redeemed \
                       (docs/api.md): change its backend, then latchkey apply";
            note(findings, format!("product {} with redeem = false", product.id), false, "", why);
        }
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
async fn door(address: &str, http: &Http) -> Result<Finding, CommandError> {
    let answer = http.send(http::Request::get(address).body(Vec::new())?).await;
    let why = match &answer {
        Ok(answer) => format!("{address} answers {}", answer.status().as_u16()),
        Err(error) => format!("{address}: {error}"),
    };
    let good = answer.is_ok_and(|answer| answer.status() == http::StatusCode::OK);
    Ok(Finding { what: "the door".into(), good, why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_door_is_open_where_the_public_name_answers_for_its_health() {
        let (http, host) = (Http::on_this_machine(), world::echo::Echo::start().await);
        let address = format!("{}healthz", host.address());
        for (status, good) in [(200, true), (503, false), (302, false), (404, false)] {
            host.answers(status, "");
            let door = door(&address, &http).await.unwrap();
            assert!(door.good == good && door.why == format!("{address} answers {status}"), "{door:?}");
        }
        drop(host);
        assert!(!door(&address, &http).await.unwrap().good);
    }
}
