//! What the latest failures say: whose they are, who has to act, what is the product's own to mend.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    App, Failure, Product, Provenance,
    diagnosis::{self, Actor, Cause},
    guide::Audience,
    incident::Scope,
};
use jiff::Timestamp;
use pages::{
    Names, fill,
    ops::{Incident, Latest, Needy, Spread},
};
use store::waves::Wave;

use crate::{
    view::{Asked, DAY, MANY},
    words::{app_name, clock_time, customer, title, whose_move},
};

pub(crate) fn incident(cause: &Cause, app: &App, failures: &[&Failure], product: &Product) -> Incident {
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
        facts: format!(
            "{} failures of {} customers with the app “{}” since {}. It is yours to mend: no customer can.",
            failures.len(),
            customers.len(),
            app.label(),
            first.map(clock_time).unwrap_or_default()
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
        (Scope::App, Some(app)) => format!("{} orgs of the app “{}”", wave.stopped, app.label()),
        (Scope::App, None) => format!("{} orgs", wave.stopped),
        (Scope::Org, _) => format!("{} connections of the org {}", wave.stopped, wave.over),
    };
    let playbook = cause.vendor.as_ref().or(cause.admin.as_ref());
    let fix = playbook.map(|playbook| {
        let steps = playbook.steps.iter().map(|step| step.text);
        std::iter::once(playbook.goal).chain(steps).map(|text| fill(text, &names)).collect()
    });
    Some(Incident {
        title: format!("A wave: {}", fill(cause.title, &names)),
        facts: format!(
            "{over} have stopped within an hour, since {}. One reason, not so many. {}",
            clock_time(wave.incident.since),
            whose_move(cause.actor)
        ),
        fix: fix.unwrap_or_default(),
        guide: app.map(|app| pages::guide::path(&product.id, &app.id, Audience::Vendor)),
    })
}

/// How often a cause was met, and the last failure of each customer who met it.
type Met<'a> = (usize, BTreeMap<&'a str, &'a Failure>);

/// Whether a cause is one customer's or many's, in the last day.
pub(crate) fn spread(latest: &[Failure], product: &Product, now: Timestamp) -> Vec<Spread> {
    let mut met: BTreeMap<(&str, &str), Met<'_>> = BTreeMap::new();
    for failure in latest.iter().filter(|failure| failure.at >= now - DAY) {
        let of = met.entry((&failure.cause, failure.app.as_str())).or_default();
        of.0 += 1;
        of.1.insert(&failure.customer.id, failure);
    }
    let mut rows: Vec<Spread> = met
        .into_iter()
        .map(|((cause, _), (failures, customers))| {
            let Some(one) = customers.values().next() else { unreachable!("each has a failure") };
            let acts = diagnosis::cause(cause).map(|cause| cause.actor);
            let is_wide = customers.len() >= MANY;
            let reading = match (is_wide, acts) {
                (true, Some(Actor::Vendor)) => "Yours to mend.".to_owned(),
                (true, _) => "Many at once: look at the app and at Salesforce’s status before you write to each of them.".into(),
                (false, Some(Actor::Vendor)) => "Yours to mend, and others will meet it.".into(),
                (false, Some(actor)) => format!("{}: their own setting. {}", names_of(&customers), whose_move(actor)),
                (false, None) => names_of(&customers),
            };
            Spread {
                title: title(cause, one.app.as_str(), product, None),
                app: app_name(one, product),
                customers: customers.len(),
                failures,
                reading,
                is_wide,
            }
        })
        .collect();
    rows.sort_by_key(|row| std::cmp::Reverse((row.customers, row.failures)));
    rows.truncate(8);
    rows
}

pub(crate) fn names_of(customers: &BTreeMap<&str, &Failure>) -> String {
    let names: Vec<String> = customers.values().map(|failure| customer(failure)).collect();
    names.join(", ")
}

pub(crate) fn in_need_of(failure: &Failure, product: &Product, asked: &Asked) -> Needy {
    let actor = diagnosis::cause(&failure.cause).map(|cause| cause.actor);
    Needy {
        customer: customer(failure),
        app: app_name(failure, product),
        title: title(&failure.cause, failure.app.as_str(), product, Some(failure)),
        actor: actor.map_or("", whose_move),
        since: clock_time(failure.at),
        reference: failure.id.reference(),
        href: asked.reference(failure),
    }
}

pub(crate) fn latest_row(failure: &Failure, product: &Product, asked: &Asked) -> Latest {
    let reported = failure.evidence.provenance == Provenance::Reported;
    Latest {
        at: clock_time(failure.at),
        reference: failure.id.reference(),
        href: asked.reference(failure),
        title: title(&failure.cause, failure.app.as_str(), product, Some(failure)),
        customer: customer(failure),
        stage: format!("{}{}", failure.stage.word(), if reported { ", reported" } else { "" }),
        state: match &failure.resolved {
            Some(resolved) => format!("resolved {}", clock_time(resolved.at)),
            None => "open".into(),
        },
    }
}
