//! The deployment itself: whether what it rests on is there and set as the template sets it.

use aws_sdk_dynamodb::{
    Client,
    types::{ContinuousBackupsStatus, PointInTimeRecoveryStatus, TimeToLiveStatus},
};
use domain::Product;
use jiff::Timestamp;
use salesforce::Http;
use serde::Serialize;
use serde_json::json;
use store::{Store, TokenCipher};

use crate::{
    app::secret_advice,
    apply,
    aws_error::{self, explain},
    deployment::{Deployment, SecretsManager, aws, missing},
    egress::{self, Egress, Told},
    read_products,
    report::{CommandError, Report, error_text},
    scan::Scan,
};

/// One thing looked at.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) what: String,
    pub(crate) good: bool,
    pub(crate) why: String,
}

/// Looks at everything, and says all that it finds. What cannot be looked at is a finding too, and hides no other.
pub async fn run(
    deployment: &Deployment,
    products: &std::path::Path,
    egress: &Egress,
    http: &Http,
    now: Timestamp,
) -> Result<Report, CommandError> {
    let mut findings = Vec::new();
    match deployment.store() {
        Ok(store) => {
            tables(deployment, &store, &mut findings).await;
            secrets(deployment, &store, products, &mut findings).await;
        }
        Err(error) => failed(&mut findings, "the settings", &error),
    }
    match deployment.public_url() {
        Ok(url) => findings.push(door(&url.at("/healthz"), http).await),
        Err(error) => failed(&mut findings, "the API", &error),
    }
    findings.extend(egress.declared());
    let seen = match (deployment.sweep(), aws()) {
        (Ok(Some(sweep)), Ok(aws)) => egress::observe(&sweep, egress, &aws, &Http::to_aws(), now).await,
        (Ok(None), _) if egress.is_empty() => Told::default(),
        (Ok(None), _) => {
            let error = missing("--sweep", "SWEEP_FUNCTION", "SweepFunction");
            failed(&mut findings, "egress as seen", &error);
            Told::default()
        }
        // The settings have been named above where it is AWS's that are missing.
        (Ok(Some(_)), Err(error)) | (Err(error), _) => {
            failed(&mut findings, "egress as seen", &error);
            Told::default()
        }
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

/// Something that could not be looked at.
fn failed(findings: &mut Vec<Finding>, what: impl Into<String>, error: &CommandError) {
    note(findings, what, false, "", &error_text(error));
}

fn note(findings: &mut Vec<Finding>, what: impl Into<String>, good: bool, right: &str, wrong: &str) {
    findings.push(Finding { what: what.into(), good, why: if good { right } else { wrong }.to_owned() });
}

async fn tables(deployment: &Deployment, store: &Store, findings: &mut Vec<Finding>) {
    let client = store.client();
    for (name, setting) in
        [(deployment.table(), "the table"), (deployment.fallback_table(), "the fallback table")]
    {
        match name {
            Ok(name) => table(client, name, findings).await,
            Err(error) => failed(findings, setting, &error),
        }
    }
    if let Ok(table) = deployment.table() {
        match client.describe_time_to_live().table_name(table).send().await {
            Ok(told) => {
                let on = told.time_to_live_description.is_some_and(|told| {
                    told.time_to_live_status == Some(TimeToLiveStatus::Enabled)
                        && told.attribute_name.as_deref() == Some("ttl")
                });
                let wrong = "off, or not by ttl: what is over is never deleted";
                note(findings, "time to live", on, "on, by ttl", wrong);
            }
            Err(error) => note(findings, "time to live", false, "", &explain(&error)),
        }
    }
    if let Ok(fallback) = deployment.fallback_table() {
        match waiting(client, fallback).await {
            Ok(waiting) => {
                let why =
                    format!("{waiting} answers wait: the table did not take them. Look at the sweep's log");
                note(findings, "the fallback", waiting == 0, "empty", &why);
            }
            Err(error) => failed(findings, "the fallback", &error),
        }
    }
}

async fn table(client: &Client, name: &str, findings: &mut Vec<Finding>) {
    let protected = match client.describe_table().table_name(name).send().await {
        Ok(told) => told.table.is_some_and(|table| table.deletion_protection_enabled == Some(true)),
        Err(error) => return note(findings, format!("table {name}"), false, "", &explain(&error)),
    };
    let (right, wrong) = ("there, protected from deletion", "its deletion protection is off");
    note(findings, format!("table {name}"), protected, right, wrong);
    let what = format!("backups of {name}");
    match client.describe_continuous_backups().table_name(name).send().await {
        Ok(told) => {
            let recovery = told.continuous_backups_description.is_some_and(|told| {
                told.continuous_backups_status == ContinuousBackupsStatus::Enabled
                    && told
                        .point_in_time_recovery_description
                        .and_then(|told| told.point_in_time_recovery_status)
                        == Some(PointInTimeRecoveryStatus::Enabled)
            });
            note(findings, what, recovery, "point-in-time recovery is on", "point-in-time recovery is off");
        }
        Err(error) => note(findings, what, false, "", &explain(&error)),
    }
}

/// How many answers wait in the fallback.
async fn waiting(client: &Client, fallback: &str) -> Result<usize, CommandError> {
    let (mut waiting, mut scan) = (0, Scan::new(client, fallback, ""));
    while let Some(items) = scan.next().await? {
        waiting += items.len();
    }
    Ok(waiting)
}

async fn secrets(
    deployment: &Deployment,
    store: &Store,
    folder: &std::path::Path,
    findings: &mut Vec<Finding>,
) {
    let held = match SecretsManager::from_env() {
        Ok(manager) => manager.secrets(),
        Err(error) => return failed(findings, "Secrets Manager", &error),
    };
    match deployment.keyring() {
        Ok(keyring) => match TokenCipher::new(held.clone(), keyring).ready().await {
            Ok(()) => note(findings, "the keyring", true, "it seals", ""),
            Err(error) => note(findings, "the keyring", false, "", &aws_error::told(&error)),
        },
        Err(error) => failed(findings, "the keyring", &error),
    }
    let products = match read_products(folder) {
        Ok(products) => products,
        Err(error) => return failed(findings, "product files", &error.into()),
    };
    match apply::without_file(store, &products).await {
        Ok(stray) => {
            for product in stray {
                let why = "it has no file, and its API keys work: latchkey apply --prune ends them";
                note(findings, format!("product {}", product.id), false, "", why);
            }
        }
        Err(error) => failed(findings, "products without a file", &error),
    }
    for product in products {
        stored(store, &product, findings).await;
        for app in &product.apps {
            let what = format!("secret of {}/{}", product.id, app.id);
            match held.consumer(&app.secret).await {
                Ok(_) => note(findings, what, true, "there; latchkey app check asks Salesforce", ""),
                Err(error) => {
                    note(findings, what, false, "", &secret_advice(&error, &product.id, &app.id));
                }
            }
        }
    }
}

/// Whether the table has a product as its file says.
async fn stored(store: &Store, product: &Product, findings: &mut Vec<Finding>) {
    let what = format!("product {}", product.id);
    let stored = match store.product(&product.id).await {
        Ok(stored) => stored,
        Err(error) => return failed(findings, what, &error.into()),
    };
    if stored.as_ref().is_some_and(|stored| !stored.redeem) {
        let why = "redeeming can't be switched off any more, so its connections wait for a receipt to be redeemed \
                   (docs/api.md): change its backend, then latchkey apply";
        note(findings, format!("{what} with redeem = false"), false, "", why);
    }
    let same = stored.map(Product::as_configured).as_ref() == Some(product);
    note(findings, what, same, "as its file says", "not as its file says: latchkey apply");
}

/// Through the public name, as browsers and Salesforce come.
async fn door(address: &str, http: &Http) -> Finding {
    let answer = match http::Request::get(address).body(Vec::new()) {
        Ok(request) => http.send(request).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let why = match &answer {
        Ok(answer) => format!("{address} answers {}", answer.status().as_u16()),
        Err(error) => format!("{address}: {error}"),
    };
    let good = answer.is_ok_and(|answer| answer.status() == http::StatusCode::OK);
    Finding { what: "the API".into(), good, why }
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
            let door = door(&address, &http).await;
            assert!(door.good == good && door.why == format!("{address} answers {status}"), "{door:?}");
        }
        drop(host);
        assert!(!door(&address, &http).await.good);
    }
}
