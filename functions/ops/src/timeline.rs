//! One failure, from beginning to end: what a reference leads to.

use domain::{Failure, Product, Provenance, Stage, diagnosis};
use pages::ops::Timeline;

use crate::words::{app_name, clock_time, customer, minutes, title, whose_move};

/// One failure, from beginning to end.
pub(crate) fn timeline(failure: &Failure, product: &Product) -> Timeline {
    let cause = diagnosis::cause(&failure.cause);
    let mut steps = Vec::new();
    if let Some(sent) = failure.sent_at {
        let host = failure.login_host.as_deref().unwrap_or("Salesforce");
        steps.push((clock_time(sent), "Sent", format!("to {host}.")));
    }
    let (evidence, at) = (&failure.evidence, clock_time(failure.at));
    let said = match (&evidence.code, &evidence.description) {
        (Some(code), Some(description)) => format!("{code}: {description}"),
        (Some(said), None) | (None, Some(said)) => said.clone(),
        (None, None) => "nothing.".to_owned(),
    };
    let answered = match (failure.stage, evidence.provenance) {
        (Stage::Lost, _) => ("Lost", "The browser never came back.".to_owned()),
        (_, Provenance::Reported) => ("Reported", format!("Somebody told us: {said}")),
        (_, Provenance::Observed) => ("Answered", said),
    };
    steps.push((at.clone(), answered.0, answered.1));
    let sure = failure.confidence.map_or("", |confidence| match confidence {
        diagnosis::Confidence::Sure => ", which is sure",
        diagnosis::Confidence::Likely => ", which is likely",
        diagnosis::Confidence::Possible => ", which is a guess",
    });
    steps.push((at.clone(), "Classified", format!("{}{sure}.", failure.cause)));
    let advised = cause.map_or("with what is known", |cause| whose_move(cause.actor));
    steps.push((at, "Advised", format!("A help page: {advised}")));
    match &failure.resolved {
        Some(resolved) => {
            let how =
                if resolved.session.is_some() { "The customer connected" } else { "A refresh succeeded" };
            let took = minutes((resolved.at.duration_since(failure.at)).as_secs() / 60);
            steps.push((clock_time(resolved.at), "Resolved", format!("{how}, {took} later.")));
        }
        None => steps.push((String::new(), "Open", "The customer has not succeeded since.".into())),
    }
    let mut facts = vec![
        ("Customer", customer(failure)),
        ("App", app_name(failure, product)),
        ("Stage", failure.stage.word().to_owned()),
        ("Seen at", evidence.surface.word().replace('_', " ")),
    ];
    let more = [
        ("Environment", failure.environment.map(|kind| kind.word().replace('_', " "))),
        ("Org", failure.org.as_ref().map(ToString::to_string)),
        ("HTTP status", evidence.http_status.map(|status| status.to_string())),
        ("Session", failure.session.as_ref().map(ToString::to_string)),
        ("Connection", failure.connection.as_ref().map(ToString::to_string)),
    ];
    facts.extend(more.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))));
    Timeline {
        reference: failure.id.reference(),
        title: title(&failure.cause, failure.app.as_str(), product, Some(failure)),
        steps,
        facts,
        help: format!("/help/{}", failure.id),
    }
}
