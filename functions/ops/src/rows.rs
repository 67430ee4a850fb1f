//! What the latest failures say: whose they are, who has to act, what is the product's own to mend.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
};

use domain::{
    App, Failure, Product, Provenance,
    diagnosis::{self, Actor, Cause},
    guide::Audience,
    incident::Scope,
};
use jiff::Timestamp;
use pages::{
    Names, fill,
    ops::{Incident, Latest, Needy as InNeed, Spread, WORDS, say},
};
use store::{needy::Needy, waves::Wave};

use crate::{
    view::{Asked, DAY, MANY, MOST_READ},
    words::{self, app_name, clock_time, customer, title, whose_move},
};

/// So many causes of the last day are told apart: the widest.
const MOST_SPREAD: usize = 8;

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

/// How often a cause was met, and the last failure of each customer who met it.
type Met<'a> = (usize, BTreeMap<&'a str, &'a Failure>);

/// How far back the latest failures go: a day, or where there are too many of them, less.
pub(crate) fn lately(latest: &[Failure], now: Timestamp) -> String {
    match latest.last() {
        Some(first) if latest.len() == usize::from(MOST_READ) && first.at > now - DAY => {
            say(WORDS.spread_latest, &[("count", &latest.len()), ("at", &clock_time(first.at))])
        }
        _ => WORDS.spread.to_owned(),
    }
}

/// Whether a cause is one customer's or many's, in the last day.
pub(crate) fn spread(latest: &[Failure], product: &Product, now: Timestamp) -> Vec<Spread> {
    let mut met: BTreeMap<(&str, &str), Met<'_>> = BTreeMap::new();
    for failure in latest.iter().filter(|failure| failure.at >= now - DAY) {
        let of = met.entry((&failure.cause, failure.app.as_str())).or_default();
        of.0 += 1;
        of.1.insert(&failure.customer.id, failure);
    }
    let mut rows: Vec<_> = met
        .into_iter()
        .map(|((cause, _), (failures, customers))| {
            let Some(one) = customers.values().next() else { unreachable!("each has a failure") };
            let acts = diagnosis::cause(cause).map(|cause| cause.actor);
            let is_wide = customers.len() >= MANY;
            let reading = match (is_wide, acts) {
                (true, Some(Actor::Vendor)) => WORDS.vendor_acts.to_owned(),
                (true, _) => WORDS.spread_wide.to_owned(),
                (false, Some(Actor::Vendor)) => WORDS.spread_vendors.to_owned(),
                (false, Some(actor)) => say(
                    WORDS.spread_own,
                    &[("customers", &names_of(&customers)), ("move", &whose_move(actor))],
                ),
                (false, None) => names_of(&customers),
            };
            let facts = [
                ("app", &app_name(one, product) as &dyn Display),
                ("failures", &words::failures(failures)),
                ("customers", &words::customers(customers.len())),
                ("reading", &reading),
            ];
            let row = Spread {
                title: title(cause, one.app.as_str(), product, None),
                facts: say(WORDS.spread_facts, &facts),
                is_wide,
            };
            (customers.len(), failures, row)
        })
        .collect();
    rows.sort_by_key(|(customers, failures, _)| Reverse((*customers, *failures)));
    rows.truncate(MOST_SPREAD);
    rows.into_iter().map(|(.., row)| row).collect()
}

pub(crate) fn names_of(customers: &BTreeMap<&str, &Failure>) -> String {
    let names: Vec<String> = customers.values().map(|failure| customer(failure)).collect();
    names.join(", ")
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
        href: asked.reference(&product.id, &needy.failure),
    }
}

pub(crate) fn latest_row(failure: &Failure, product: &Product, asked: &Asked) -> Latest {
    let (stage, reported) = (failure.stage.word(), failure.evidence.provenance == Provenance::Reported);
    Latest {
        at: clock_time(failure.at),
        reference: failure.id.reference(),
        href: asked.reference(&failure.product, &failure.id),
        title: title(&failure.cause, failure.app.as_str(), product, Some(failure)),
        customer: customer(failure),
        stage: if reported { say(WORDS.stage_reported, &[("stage", &stage)]) } else { stage.to_owned() },
        state: match &failure.resolved {
            Some(resolved) => say(WORDS.resolved, &[("at", &clock_time(resolved.at))]),
            None => WORDS.open.to_owned(),
        },
    }
}
