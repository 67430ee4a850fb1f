//! The signing secrets of webhook endpoints: made here, shown once, and rotated without a gap.

use domain::{EndpointId, ProductId, WebhookEndpoint};
use serde::Deserialize;
use serde_json::{Value, json};
use store::Store;
use webhooks::SigningSecret;

use crate::{
    apply,
    deployment::SecretsManager,
    report::{CommandError, Report},
};

/// Bytes of a secret that is made here.
const SECRET_BYTES: usize = 32;

/// A step of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotationStep {
    /// Make the next secret: both sign.
    Stage,
    /// Drop the secret before it.
    Finish,
    /// Drop the next secret.
    BackOut,
}

#[derive(Debug, Deserialize)]
struct Stored {
    current: String,
    next: Option<String>,
}

/// The endpoint as it is stored.
pub async fn endpoint(
    store: &Store,
    product: &ProductId,
    endpoint: &EndpointId,
) -> Result<WebhookEndpoint, CommandError> {
    let stored = apply::stored(store, product).await?;
    let found = stored.endpoint(endpoint).cloned();
    Ok(found.ok_or_else(|| format!("{product} has no endpoint {endpoint}: latchkey apply"))?)
}

/// Makes the first secret of an endpoint.
pub async fn create(
    endpoint: &WebhookEndpoint,
    secrets: &SecretsManager,
    dry_run: bool,
) -> Result<Report, CommandError> {
    let name = &endpoint.secret;
    if secrets.read(name).await?.is_some() {
        return Err(format!(
            "{name} is there already. Change it without a gap: latchkey webhook rotate-secret stage"
        )
        .into());
    }
    if dry_run {
        return Ok(Report::good(
            format!("{name} would be made: a dry run"),
            json!({ "secret": name, "stored": false }),
        ));
    }
    let made = make();
    secrets.write(name, &json!({ "current": made }).to_string(), true).await?;
    Ok(shown(name, &made, "Your backend verifies with it"))
}

/// One step of a rotation.
pub async fn rotate(
    endpoint: &WebhookEndpoint,
    step: RotationStep,
    secrets: &SecretsManager,
    dry_run: bool,
) -> Result<Report, CommandError> {
    let name = &endpoint.secret;
    let text = secrets.read(name).await?;
    let text = text.ok_or_else(|| format!("there is no secret {name}: latchkey webhook create-secret"))?;
    let stored: Stored = serde_json::from_str(&text)
        .map_err(|_| format!("secret {name} has the wrong form: expected {{\"current\":\"whsec_…\"}}"))?;
    let write = async |value: Value| -> Result<(), CommandError> {
        if dry_run { Ok(()) } else { secrets.write(name, &value.to_string(), false).await }
    };
    let done = |what: &str| {
        let text = if dry_run { format!("{what}: not written, a dry run") } else { what.to_owned() };
        Report::good(text, json!({ "secret": name, "written": !dry_run }))
    };
    match (step, stored.next) {
        (RotationStep::Stage, Some(_)) => {
            Err("a next secret signs already: latchkey webhook rotate-secret finish, or back-out".into())
        }
        (RotationStep::Stage, None) if dry_run => Ok(done("A next secret would be made")),
        (RotationStep::Stage, None) => {
            let made = make();
            write(json!({ "current": stored.current, "next": made })).await?;
            Ok(shown(
                name,
                &made,
                "Both secrets sign within a minute. Put this one into your backend, then finish",
            ))
        }
        (RotationStep::Finish, Some(next)) => {
            write(json!({ "current": next })).await?;
            Ok(done("The next secret is the only one. The one before stops signing within a minute"))
        }
        (RotationStep::BackOut, Some(_)) => {
            write(json!({ "current": stored.current })).await?;
            Ok(done("The next secret is dropped; the current one signs"))
        }
        (RotationStep::Finish, None) => {
            Err("there is no next secret: latchkey webhook rotate-secret stage".into())
        }
        (RotationStep::BackOut, None) => Ok(done("There is no next secret")),
    }
}

fn make() -> String {
    SigningSecret::encode(&domain::secret::random::<SECRET_BYTES>())
}

/// A secret that is shown once.
fn shown(name: &str, made: &str, what: &str) -> Report {
    let text = format!("{made}\n\n{name} is stored. {what}. The secret is not shown again.");
    Report::good(text, json!({ "secret": name, "stored": true, "value": made }))
}
