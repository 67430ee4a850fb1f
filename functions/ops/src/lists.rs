//! The lists on the operators' page: incidents, connections that wait for somebody, the latest failures.

use std::collections::{BTreeMap, BTreeSet};

use diagnosis::{Actor, Cause, Playbook, Step, guide::Audience};
use domain::{App, AppKind, Failure, Product, Provenance, incident::Scope};
use jiff::Timestamp;
use pages::{
    Markup, Names,
    ops::{Incident, Latest, Link, Needy as InNeed, WORDS, say},
    rich,
};
use store::{action_required::Needy, waves::Wave};

use crate::{
    acts::next_action,
    format::{clock_time, customers, environment_name, failures, label},
    outages::{is_capped, partial_day_since},
    query::DashboardQuery,
};

/// Incidents that the product must fix, one for each cause and app of these failures.
pub(crate) fn incidents(
    unresolved: &[Failure],
    product: &Product,
    selected: &DashboardQuery,
) -> Vec<Incident> {
    let mut by_cause: BTreeMap<(&str, &str), Vec<&Failure>> = BTreeMap::new();
    for failure in unresolved {
        by_cause.entry((&failure.cause, failure.app.as_str())).or_default().push(failure);
    }
    by_cause
        .into_iter()
        .filter_map(|((cause, app), failures)| {
            let app = product.apps.iter().find(|known| known.id.as_str() == app)?;
            Some(incident(diagnosis::cause(cause)?, app, &failures, product, selected))
        })
        .collect()
}

fn incident(
    cause: &Cause,
    app: &App,
    of_cause: &[&Failure],
    product: &Product,
    selected: &DashboardQuery,
) -> Incident {
    let names = Names::of(&product.brand).app(app, None);
    let their_customers: BTreeSet<&str> =
        of_cause.iter().map(|failure| failure.customer.id.as_str()).collect();
    let first = of_cause.iter().map(|failure| failure.at).min();
    Incident {
        title: cause.label.to_owned(),
        href: selected.failures_href(Some(cause.id)),
        facts: say(
            WORDS.incident_facts,
            &[
                ("failures", &failures(of_cause.len(), is_capped(of_cause.len()))),
                ("customers", &customers(their_customers.len())),
                ("app", &app.label()),
                ("at", &first.map(clock_time).unwrap_or_default()),
            ],
        ),
        goal: cause.vendor.as_ref().map(|playbook| rich(playbook.goal, &names)),
        fix: cause.vendor.as_ref().map(|playbook| fix(playbook, Some(app.kind), &names)).unwrap_or_default(),
        guide: Some(pages::guide::path(&product.id, &app.id, Audience::Vendor)),
    }
}

/// The steps of a playbook for this kind of app, and what to do when one does not go as it should.
fn fix(playbook: &Playbook, kind: Option<AppKind>, names: &Names<'_>) -> Vec<Markup> {
    let is_for = |step: &&Step| step.only.is_none_or(|only| kind.is_none_or(|kind| kind == only));
    let steps = playbook.steps.iter().filter(is_for).map(|step| rich(step.text, names));
    let branches = playbook.branches.iter().map(|branch| {
        let steps = branch.steps.iter().filter(is_for).map(|step| step.text);
        let text: Vec<&str> = std::iter::once(branch.question).chain(steps).collect();
        rich(&text.join(" "), names)
    });
    steps.chain(branches).collect()
}

/// The incident of a wave: many connections that stopped for the same cause. `None`: the cause is no longer in the
/// catalogue.
pub(crate) fn wave_incident(wave: &Wave, product: &Product, selected: &DashboardQuery) -> Option<Incident> {
    let cause = diagnosis::cause(&wave.cause)?;
    let app = product.apps.iter().find(|app| app.id.as_str() == wave.over);
    let names = Names::of(&product.brand);
    let names = match app {
        Some(app) => names.app(app, None),
        None => names,
    };
    let over = match (wave.incident.scope, app) {
        (Scope::App, Some(app)) => {
            say(WORDS.wave_over_app, &[("count", &wave.stopped), ("app", &app.label())])
        }
        (Scope::App, None) => say(WORDS.wave_over_orgs, &[("count", &wave.stopped)]),
        (Scope::Org, _) => say(WORDS.wave_over_org, &[("count", &wave.stopped), ("org", &wave.over)]),
    };
    let owner = app.map(|app| app.about.owner).unwrap_or_default();
    let vendors = cause.vendor.as_ref().filter(|_| cause.actor_of(owner) == Actor::Vendor);
    let playbook = vendors.or_else(|| cause.admin_of(owner)).or(cause.vendor.as_ref());
    Some(Incident {
        title: say(WORDS.wave_title, &[("title", &cause.label)]),
        href: selected.failures_href(Some(cause.id)),
        facts: say(
            WORDS.wave_facts,
            &[("over", &over), ("at", &clock_time(wave.incident.since)), ("move", &next_action(cause, app))],
        ),
        goal: playbook.map(|playbook| rich(playbook.goal, &names)),
        fix: playbook.map(|playbook| fix(playbook, app.map(|app| app.kind), &names)).unwrap_or_default(),
        guide: app.map(|app| pages::guide::path(&product.id, &app.id, Audience::Vendor)),
    })
}

/// The time that the observed failures cover: a day, or less if there were too many to read.
pub(crate) fn observed_period(observed: &[Failure], now: Timestamp) -> String {
    match partial_day_since(observed, now) {
        Some(first) => say(WORDS.spread_latest, &[("count", &observed.len()), ("at", &clock_time(first))]),
        None => WORDS.spread.to_owned(),
    }
}

/// A connection that waits for somebody. `failure` is `None` if it is no longer stored.
pub(crate) fn action_required_row(
    needy: &Needy,
    failure: Option<&Failure>,
    product: &Product,
    selected: &DashboardQuery,
) -> InNeed {
    let acts = failure
        .and_then(|failure| Some(next_action(diagnosis::cause(&failure.cause)?, product.app(&failure.app))));
    InNeed {
        customer: selected.customer(&needy.customer),
        title: failure.map(|failure| format!("{}.", label(&failure.cause))).unwrap_or_default(),
        actor: acts.unwrap_or_default(),
        since: say(WORDS.since, &[("at", &clock_time(needy.since))]),
        reference: needy.failure.reference(),
        href: selected.reference(&needy.failure),
    }
}

pub(crate) fn failure_row(failure: &Failure, selected: &DashboardQuery) -> Latest {
    let (stage, reported) = (failure.stage.word(), failure.evidence.provenance == Provenance::Reported);
    Latest {
        at: clock_time(failure.at),
        reference: failure.id.reference(),
        href: selected.reference(&failure.id),
        cause: Link {
            href: selected.failures_href(Some(&failure.cause)),
            text: label(&failure.cause).to_owned(),
        },
        customer: selected.customer(&failure.customer),
        place: match &failure.org {
            Some(org) => format!("{}, {org}", environment_name(failure.environment)),
            None => environment_name(failure.environment).to_owned(),
        },
        stage: if reported { say(WORDS.stage_reported, &[("stage", &stage)]) } else { stage.to_owned() },
        state: match &failure.resolved {
            Some(resolved) => say(WORDS.resolved, &[("at", &clock_time(resolved.at))]),
            None => WORDS.open.to_owned(),
        },
    }
}
