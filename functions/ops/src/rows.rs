//! What the latest failures say: whose they are, who has to act, what is the product's own to mend.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    App, Failure, Product, Provenance,
    diagnosis::{self, Cause},
    guide::Audience,
    incident::Scope,
};
use jiff::Timestamp;
use pages::{
    Names, fill,
    ops::{Incident, Latest, Needy as InNeed, WORDS, say},
};
use store::{needy::Needy, waves::Wave};

use crate::{
    spread::whole_day_or_since,
    view::Asked,
    words::{self, clock_time, customer, environment_name, title, whose_move},
};

/// What is wrong on the product's own side: of these failures, what no customer can mend.
pub(crate) fn incidents(unresolved: &[Failure], product: &Product) -> Vec<Incident> {
    let mut met: BTreeMap<(&str, &str), Vec<&Failure>> = BTreeMap::new();
    for failure in unresolved {
        met.entry((&failure.cause, failure.app.as_str())).or_default().push(failure);
    }
    met.into_iter()
        .filter_map(|((cause, app), failures)| {
            let app = product.apps.iter().find(|known| known.id.as_str() == app)?;
            Some(incident(diagnosis::cause(cause)?, app, &failures, product))
        })
        .collect()
}

fn incident(cause: &Cause, app: &App, failures: &[&Failure], product: &Product) -> Incident {
    let names = Names::of(&product.brand).app(app, None);
    let customers: BTreeSet<&str> = failures.iter().map(|failure| failure.customer.id.as_str()).collect();
    let first = failures.iter().map(|failure| failure.at).min();
    let fix = cause.vendor.as_ref().map(|playbook| {
        let steps = playbook.steps.iter().filter(|step| step.only.is_none_or(|kind| kind == app.kind));
        std::iter::once(playbook.goal)
            .chain(steps.map(|step| step.text))
            .map(|text| fill(text, &names))
            .collect()
    });
    Incident {
        title: fill(cause.title, &names),
        facts: say(
            WORDS.incident_facts,
            &[
                ("failures", &words::failures(failures.len())),
                ("customers", &words::customers(customers.len())),
                ("app", &app.label()),
                ("at", &first.map(clock_time).unwrap_or_default()),
            ],
        ),
        fix: fix.unwrap_or_default(),
        guide: Some(pages::guide::path(&product.id, &app.id, Audience::Vendor)),
    }
}

/// Many connections that stopped alike: one incident, whoever has to act.
pub(crate) fn wave_of(wave: &Wave, product: &Product) -> Option<Incident> {
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
    let playbook = cause.vendor.as_ref().or(cause.admin.as_ref());
    let fix = playbook.map(|playbook| {
        let steps = playbook.steps.iter().map(|step| step.text);
        std::iter::once(playbook.goal).chain(steps).map(|text| fill(text, &names)).collect()
    });
    Some(Incident {
        title: say(WORDS.wave_title, &[("title", &fill(cause.title, &names))]),
        facts: say(
            WORDS.wave_facts,
            &[("over", &over), ("at", &clock_time(wave.incident.since)), ("move", &whose_move(cause.actor))],
        ),
        fix: fix.unwrap_or_default(),
        guide: app.map(|app| pages::guide::path(&product.id, &app.id, Audience::Vendor)),
    })
}

/// How far back what was observed goes: a day, or where there is too much of it, less.
pub(crate) fn lately(observed: &[Failure], now: Timestamp) -> String {
    match whole_day_or_since(observed, now) {
        Some(first) => say(WORDS.spread_latest, &[("count", &observed.len()), ("at", &clock_time(first))]),
        None => WORDS.spread.to_owned(),
    }
}

/// A connection that waits for somebody, and why, if that is still known.
pub(crate) fn in_need_of(needy: &Needy, why: Option<&Failure>, product: &Product, asked: &Asked) -> InNeed {
    let actor = why.and_then(|why| diagnosis::cause(&why.cause)).map(|cause| cause.actor);
    let title = |why: &Failure| title(&why.cause, why.app.as_str(), product, Some(why));
    InNeed {
        customer: needy.customer.name.clone().unwrap_or_else(|| needy.customer.id.clone()),
        title: why.map(title).unwrap_or_default(),
        actor: actor.map_or("", whose_move),
        since: say(WORDS.since, &[("at", &clock_time(needy.since))]),
        reference: needy.failure.reference(),
        href: asked.reference(&needy.failure),
    }
}

pub(crate) fn latest_row(failure: &Failure, product: &Product, asked: &Asked) -> Latest {
    let (stage, reported) = (failure.stage.word(), failure.evidence.provenance == Provenance::Reported);
    Latest {
        at: clock_time(failure.at),
        reference: failure.id.reference(),
        href: asked.reference(&failure.id),
        title: title(&failure.cause, failure.app.as_str(), product, Some(failure)),
        customer: customer(failure),
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
