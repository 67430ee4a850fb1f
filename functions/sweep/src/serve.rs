//! The Lambda loop: a run when the schedule says, and what the operator's command asks.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use platform::{Deadline, clock::now};
use runtime::invocation_log::{Observer, print};
use salesforce::egress::{Egress, Question, Seen};
use serde::Serialize;

use crate::{Sweep, Swept};

/// What an invocation answers.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answer {
    Swept(Swept),
    Seen(Seen),
}

/// Answers until Lambda stops the sandbox. Whatever is no [`Question`] is the schedule's.
pub async fn serve(sweep: Sweep, egress: Egress) -> Result<(), Error> {
    let observer = &Observer::from_env("sweep")?;
    let (sweep, egress) = (&sweep, &egress);
    lambda_runtime::run(service_fn(|event: LambdaEvent<serde_json::Value>| async move {
        // Outside the observer: no run, and no call of Salesforce that an alarm may count.
        if let Ok(Question::Egress) = serde_json::from_value(event.payload) {
            return Ok(Answer::Seen(egress.observe().await));
        }
        let now = now();
        let run = Box::pin(sweep.run(Deadline::until(event.context.deadline, now)));
        let (swept, lines) = observer.run(&event.context.request_id, now, run).await;
        print(&lines);
        Ok::<_, Error>(Answer::Swept(swept?))
    }))
    .await
}
