//! An app at Salesforce: checked without a user, its consumer secret set and rotated. A secret comes in by standard
//! input: what stands in a command's arguments is in the shell's history and in every process list.

use std::io::Read;

use domain::{App, AppId, ProductId, secret::ConsumerSecret};
use serde_json::{Value, json};
use store::{SecretError, Store, secrets::ConsumerSecrets};

use crate::{
    apply, aws_error,
    deployment::SecretsManager,
    probe::{Finding, Probe, Verdict},
    report::{CommandError, Report},
};

/// Where a rotation stands and what may happen next.
#[derive(Debug)]
pub enum Rotation {
    /// Both secrets asked for at Salesforce; nothing changed.
    Status,
    /// This one put beside the current one: functions try both.
    Stage(ConsumerSecret),
    /// The next one becomes the current one, if Salesforce takes it.
    Finish,
    /// The next one is dropped; after a finish, the one before is the current one again, if Salesforce takes it.
    BackOut,
}

/// An app and its secret's name.
#[derive(Debug)]
pub struct Subject {
    product: ProductId,
    app: App,
}

impl Subject {
    /// The app as it is stored.
    pub async fn of(store: &Store, product: &ProductId, app: &AppId) -> Result<Self, CommandError> {
        let stored = apply::stored(store, product).await?;
        let found = stored.app(app).cloned();
        let app = found.ok_or_else(|| format!("{product} has no app {app}"))?;
        Ok(Self { product: product.clone(), app })
    }

    fn json(&self, mut rest: Value) -> Value {
        let mut all = json!({ "product": self.product, "app": self.app.id });
        for (name, value) in rest.as_object_mut().into_iter().flatten() {
            all[name.as_str()] = value.take();
        }
        all
    }
}

/// Asks Salesforce whether what is configured is right.
pub async fn check(
    subject: &Subject,
    probe: &Probe,
    secrets: &SecretsManager,
    callback: &str,
) -> Result<Report, CommandError> {
    let app = &subject.app;
    let mut found = Vec::new();
    let held = match secrets.secrets().consumer(&app.secret).await {
        Ok(held) => labelled(held),
        Err(error) => {
            found.push(Finding {
                setting: "secret",
                host: "Secrets Manager".into(),
                verdict: Verdict::Wrong,
                why: secret_advice(&error, &subject.product, &app.id),
            });
            Vec::new()
        }
    };
    found.extend(probe.app(app, callback, &held).await);
    Ok(told(subject, &found))
}

/// Why a consumer secret could not be read, and what to do. Only one that is not there, or of the wrong form, is to be
/// stored.
pub(crate) fn secret_advice(error: &SecretError, product: &ProductId, app: &AppId) -> String {
    match error {
        SecretError::Malformed { .. } => {
            format!("{error}. Store it again: latchkey app set-secret {product} {app} --replace")
        }
        SecretError::Unreadable { name, .. } if aws_error::is_missing(error) => {
            format!("there is no secret {name}. Store it: latchkey app set-secret {product} {app}")
        }
        _ => aws_error::told(error),
    }
}

/// Stores the app's first consumer secret, or replaces it outright, which [`rotate`] does without a gap.
pub async fn set_secret(
    subject: &Subject,
    given: &ConsumerSecret,
    secrets: &SecretsManager,
    replace: bool,
    dry_run: bool,
) -> Result<Report, CommandError> {
    let name = &subject.app.secret;
    let is_new = secrets.read(name).await?.is_none();
    if !is_new && !replace {
        return Err(format!(
            "{name} is there already. To change it without a gap: latchkey app rotate-secret stage {} {}; to replace it \
             outright: --replace",
            subject.product, subject.app.id
        )
        .into());
    }
    if !dry_run {
        secrets.write(name, &json!({ "current": given.expose() }).to_string(), is_new).await?;
    }
    let done = if dry_run { "would be stored; nothing was written: a dry run" } else { "is stored" };
    Ok(Report::good(format!("{name} {done}"), subject.json(json!({ "secret": name, "stored": !dry_run }))))
}

/// One step of a rotation. At every step the functions have a secret that works: they try both while both stand, and
/// what is dropped is dropped only once Salesforce takes the other.
pub async fn rotate(
    subject: &Subject,
    step: Rotation,
    probe: &Probe,
    secrets: &SecretsManager,
    dry_run: bool,
) -> Result<Report, CommandError> {
    let (name, app) = (&subject.app.secret, &subject.app);
    let ConsumerSecrets { current, next, previous } = secrets.secrets().consumer(name).await?;
    let write = async |stored: Value| -> Result<(), CommandError> {
        if dry_run { Ok(()) } else { secrets.write(name, &stored.to_string(), false).await }
    };
    let done = |step: &str, what: &str| {
        let text = if dry_run { format!("{what}: not written, a dry run") } else { what.to_owned() };
        Report::good(text, subject.json(json!({ "step": step, "written": !dry_run })))
    };
    let nothing = |what: &str| Report::good(what, subject.json(json!({ "step": "none" })));
    let current = current.expose();
    match (step, next, previous) {
        (Rotation::Status, next, _) => {
            let mut found = Vec::new();
            let held = ConsumerSecrets { current: ConsumerSecret::new(current), next, previous: None };
            for (setting, secret) in labelled(held) {
                found.extend(probe.secret_everywhere(app, setting, &secret).await);
            }
            Ok(told(subject, &found))
        }
        (Rotation::Stage(given), ..) if given.expose() == current => {
            Err("that is the current secret".into())
        }
        (Rotation::Stage(given), Some(next), _) if given.expose() == next.expose() => {
            Ok(nothing("That secret stands beside the current one already."))
        }
        // Salesforce may have switched to the one that stands: written over, it would be lost.
        (Rotation::Stage(_), Some(_), _) => Err("another next secret stands beside the current one. Where Salesforce has \
             it: latchkey app rotate-secret finish; where not: latchkey app rotate-secret back-out; then stage"
            .into()),
        (Rotation::Stage(given), None, _) => {
            write(json!({ "current": current, "next": given.expose() })).await?;
            Ok(done(
                "staged",
                "The next secret stands beside the current one; functions try both. Apply it at Salesforce, then: \
                 latchkey app rotate-secret finish",
            ))
        }
        (Rotation::BackOut, Some(_), _) => {
            // Whoever backs out after Salesforce has switched would leave the functions without a secret that works.
            taken(probe, app, "secret", &ConsumerSecret::new(current)).await.map_err(|untaken| {
                let way = if untaken.verdict == Verdict::Wrong { ": the way is on, with finish" } else { "" };
                format!("the next secret stays, since the current one is not taken by {}{way}", untaken.told())
            })?;
            write(json!({ "current": current })).await?;
            Ok(done("backed_out", "The next secret is dropped; the current one stays."))
        }
        (Rotation::BackOut, None, Some(previous)) => {
            taken(probe, app, "previous_secret", &previous).await.map_err(|untaken| {
                format!("the current secret stays, since the previous one is not taken by {}", untaken.told())
            })?;
            write(json!({ "current": previous.expose(), "previous": current })).await?;
            Ok(done("backed_out", "Salesforce takes the previous secret: it is the current one again."))
        }
        (Rotation::BackOut, None, None) => Ok(nothing("There is no next secret, and no previous one.")),
        (Rotation::Finish, None, _) => {
            Err("there is no next secret: latchkey app rotate-secret stage".into())
        }
        (Rotation::Finish, Some(next), _) => {
            taken(probe, app, "next_secret", &next).await.map_err(|untaken| {
                format!("the next secret stays beside the current one, since it is not taken by {}", untaken.told())
            })?;
            write(json!({ "current": next.expose(), "previous": current })).await?;
            Ok(done("finished", "Salesforce takes the next secret: it is the current one now. Back-out is open until the next stage."))
        }
    }
}

/// Whether Salesforce takes a secret at every host that can be asked, and there is one.
async fn taken(
    probe: &Probe,
    app: &App,
    setting: &'static str,
    secret: &ConsumerSecret,
) -> Result<(), Finding> {
    let found = probe.secret_everywhere(app, setting, secret).await;
    found.into_iter().find(|finding| finding.verdict != Verdict::Right).map_or(Ok(()), Err)
}

fn labelled(held: ConsumerSecrets) -> Vec<(&'static str, ConsumerSecret)> {
    let next = held.next.map(|next| ("next_secret", next));
    std::iter::once(("secret", held.current)).chain(next).collect()
}

fn told(subject: &Subject, found: &[Finding]) -> Report {
    let mark = |verdict| match verdict {
        Verdict::Right => "right",
        Verdict::Wrong => "WRONG",
        Verdict::Lax => "lax",
        Verdict::Unknown => "unknown",
    };
    let line = |finding: &Finding| {
        format!("{:<8} {:<13} {}: {}", mark(finding.verdict), finding.setting, finding.host, finding.why)
    };
    Report {
        text: found.iter().map(line).collect::<Vec<_>>().join("\n"),
        wrong: found.iter().any(|finding| finding.verdict != Verdict::Right),
        json: subject.json(json!({ "findings": found })),
    }
}

/// A consumer secret, from standard input.
pub fn from_stdin() -> Result<ConsumerSecret, CommandError> {
    let mut text = String::new();
    std::io::stdin().take(4096).read_to_string(&mut text)?;
    let text = text.trim();
    if text.is_empty() || text.contains(char::is_whitespace) {
        return Err("the consumer secret comes by standard input, one word: pbpaste | latchkey app …".into());
    }
    Ok(ConsumerSecret::new(text))
}
