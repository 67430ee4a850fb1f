//! Names, times and shares, in the words of the page.

use domain::{
    Failure, Product,
    diagnosis::{self, Actor},
    tally::Step,
};
use jiff::{Timestamp, tz::TimeZone};
use pages::{Names, fill};

/// What a cause is, in the words of this product and app.
pub(crate) fn title(cause: &str, app: &str, product: &Product, failure: Option<&Failure>) -> String {
    let Some(found) = diagnosis::cause(cause) else { return cause.to_owned() };
    let names = Names::of(&product.brand);
    let names = match product.apps.iter().find(|known| known.id.as_str() == app) {
        Some(app) => names.app(app, failure.and_then(|failure| failure.environment)),
        None => names,
    };
    match failure {
        Some(failure) => fill(found.title, &names.customer(&failure.customer)),
        None => fill(found.title, &names),
    }
}

pub(crate) fn app_name(failure: &Failure, product: &Product) -> String {
    product.app(&failure.app).map_or_else(|| failure.app.to_string(), |app| app.label().to_owned())
}

pub(crate) fn customer(failure: &Failure) -> String {
    failure.customer.name.clone().unwrap_or_else(|| failure.customer.id.clone())
}

pub(crate) fn step_name(step: Step) -> &'static str {
    match step {
        Step::Created => "Created",
        Step::Opened => "Page opened",
        Step::Redirected => "Sent to Salesforce",
        Step::Returned => "Came back with a grant",
        Step::Connected => "Connected",
        Step::Failed => "Failed",
        Step::Lost => "Lost",
    }
}

pub(crate) fn whose(actor: Actor) -> &'static str {
    match actor {
        Actor::EndUser => "the user",
        Actor::Admin => "their admin",
        Actor::Vendor => "you",
        Actor::Wait => "nobody: it passes",
    }
}

pub(crate) fn whose_move(actor: Actor) -> &'static str {
    match actor {
        Actor::EndUser => "The user has to act.",
        Actor::Admin => "Their Salesforce admin has to act.",
        Actor::Vendor => "Yours to mend.",
        Actor::Wait => "It passes by itself.",
    }
}

pub(crate) fn percent(part: i64, all: i64) -> i64 {
    if all <= 0 { 0 } else { (part * 200 + all).div_euclid(all * 2) }
}

pub(crate) fn trend(count: i64, before: i64) -> String {
    match count - before {
        _ if before == 0 => "new".into(),
        0 => "±0".into(),
        more @ 1.. => format!("+{more}"),
        fewer => format!("−{}", -fewer),
    }
}

pub(crate) fn minutes(minutes: i64) -> String {
    match minutes {
        ..=1 => "a minute".into(),
        2..90 => format!("{minutes} min"),
        90..2160 => format!("{} h", (minutes + 30) / 60),
        _ => format!("{} days", (minutes + 720) / 1440),
    }
}

pub(crate) fn clock_time(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%-d %b %H:%M").to_string()
}
