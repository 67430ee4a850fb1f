//! The history of one failure, looked up by its reference.

use diagnosis::guide::Audience;
use domain::{Failure, Product, Provenance, Stage};
use pages::ops::{Link, Timeline, WORDS, say};

use crate::{
    acts::next_action,
    format::{app_name, clock_time, customer, environment_name, label, minutes, told_to_user},
    query::DashboardQuery,
};

/// What happened: sent, answered, classified, advised, resolved.
pub(crate) fn timeline(failure: &Failure, product: &Product, selected: &DashboardQuery) -> Timeline {
    let cause = diagnosis::cause(&failure.cause);
    let mut steps = Vec::new();
    if let Some(sent) = failure.sent_at {
        let host = failure.login_host.as_deref().unwrap_or("Salesforce");
        steps.push((clock_time(sent), WORDS.step_sent, say(WORDS.sent_to, &[("host", &host)])));
    }
    let (evidence, at) = (&failure.evidence, clock_time(failure.at));
    let said = match (&evidence.code, &evidence.description) {
        (Some(code), Some(description)) => format!("{code}: {description}"),
        (Some(said), None) | (None, Some(said)) => said.clone(),
        (None, None) => WORDS.said_nothing.to_owned(),
    };
    let answered = match (failure.stage, evidence.provenance) {
        (Stage::Lost, _) => (WORDS.step_lost, WORDS.never_back.to_owned()),
        (_, Provenance::Reported) => (WORDS.step_reported, say(WORDS.told_us, &[("said", &said)])),
        (_, Provenance::Observed) => (WORDS.step_answered, said),
    };
    steps.push((at.clone(), answered.0, answered.1));
    let sure = failure.confidence.map_or(WORDS.is_named, |confidence| match confidence {
        domain::Confidence::Sure => WORDS.is_sure,
        domain::Confidence::Likely => WORDS.is_likely,
        domain::Confidence::Possible => WORDS.is_guess,
    });
    steps.push((at.clone(), WORDS.step_classified, say(sure, &[("cause", &failure.cause)])));
    let app = product.app(&failure.app);
    let advised = cause.map_or(WORDS.advised_little, |cause| next_action(cause, app));
    steps.push((at, WORDS.step_advised, say(WORDS.advised, &[("move", &advised)])));
    match &failure.resolved {
        Some(resolved) => {
            let how = if resolved.session.is_some() { WORDS.by_connecting } else { WORDS.by_refresh };
            let took = minutes((resolved.at.duration_since(failure.at).as_secs() + 30) / 60);
            steps.push((clock_time(resolved.at), WORDS.step_resolved, say(how, &[("took", &took)])));
        }
        None => steps.push((String::new(), WORDS.step_open, WORDS.not_since.into())),
    }
    let mut facts = vec![
        (WORDS.customer, customer(failure)),
        (WORDS.fact_app, app_name(failure.app.as_str(), product).to_owned()),
        (WORDS.stage, failure.stage.word().to_owned()),
        (WORDS.fact_surface, evidence.surface.word().replace('_', " ")),
    ];
    let more = [
        (WORDS.fact_user_reads, told_to_user(failure, product)),
        (WORDS.fact_environment, failure.environment.map(|kind| environment_name(Some(kind)).to_owned())),
        (WORDS.fact_org, failure.org.as_ref().map(ToString::to_string)),
        (WORDS.fact_status, evidence.http_status.map(|status| status.to_string())),
        (WORDS.fact_session, failure.session.as_ref().map(ToString::to_string)),
        (WORDS.fact_connection, failure.connection.as_ref().map(ToString::to_string)),
    ];
    facts.extend(more.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))));
    Timeline {
        reference: failure.id.reference(),
        title: label(&failure.cause).to_owned(),
        steps,
        facts,
        customer: selected.customer(&failure.customer),
        cause: selected.failures_href(Some(&failure.cause)),
        help: format!("/help/{}", failure.id),
        guides: [(Audience::Vendor, WORDS.guide), (Audience::Admin, WORDS.admin_guide)]
            .map(|(audience, text)| Link {
                href: pages::guide::path(&product.id, &failure.app, audience),
                text: text.to_owned(),
            })
            .into(),
    }
}
