//! Formats names, times, counts and shares for the operators' page.

use domain::{Environment, Failure, Product, tally::Step};
use jiff::{Timestamp, tz::TimeZone};
use pages::{
    Names, fill,
    ops::{WORDS, say},
};

/// The neutral name of a cause. A cause that left the catalogue keeps its id.
pub(crate) fn label(cause: &str) -> &str {
    diagnosis::cause(cause).map_or(cause, |found| found.label)
}

/// What the user of this failure reads on the help page.
pub(crate) fn told_to_user(failure: &Failure, product: &Product) -> Option<String> {
    let found = diagnosis::cause(&failure.cause)?;
    let names = Names::of(&product.brand).customer(&failure.customer);
    let names = match product.apps.iter().find(|known| known.id == failure.app) {
        Some(app) => names.app(app, failure.environment),
        None => names,
    };
    Some(fill(found.title, &names))
}

pub(crate) fn app_name<'a>(id: &'a str, product: &'a Product) -> &'a str {
    let app = product.apps.iter().find(|app| app.id.as_str() == id);
    app.map_or(id, |app| app.label())
}

pub(crate) fn customer(failure: &Failure) -> String {
    failure.customer.name.clone().unwrap_or_else(|| failure.customer.id.clone())
}

pub(crate) fn step_name(step: Step) -> &'static str {
    match step {
        Step::Created => WORDS.created,
        Step::Opened => WORDS.opened,
        Step::Redirected => WORDS.redirected,
        Step::Returned => WORDS.returned,
        Step::Connected => WORDS.connected,
        Step::Failed => WORDS.failed,
        Step::Lost => WORDS.lost,
    }
}

/// `None`: the environment is unknown or not chosen yet.
pub(crate) fn environment_name(environment: Option<Environment>) -> &'static str {
    match environment {
        Some(Environment::Production) => WORDS.production,
        Some(Environment::Sandbox) => WORDS.sandbox,
        Some(Environment::MyDomain) => WORDS.my_domain,
        None => WORDS.no_environment,
    }
}

/// Parses a failure's reference into its two halves. Dashes, blanks and case do not matter, and O, I and L stand for the
/// digits that look like them. `None`: the text is not a reference.
pub(crate) fn parse_reference(text: &str) -> Option<[String; 2]> {
    let bare: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
    let bare = bare.to_ascii_uppercase();
    let digits = if bare.len() == 10 { bare.strip_prefix("LK")? } else { &bare };
    let digits = digits.replace('O', "0").replace(['I', 'L'], "1");
    (digits.len() == 8).then(|| [digits[..4].to_owned(), digits[4..].to_owned()])
}

pub(crate) fn percent(part: i64, all: i64) -> i64 {
    if all <= 0 { 0 } else { (part * 200 + all).div_euclid(all * 2) }
}

/// How a count differs from the time before; a dash if nothing at all was counted then.
pub(crate) fn trend(count: i64, before: i64, has_before: bool) -> String {
    match count - before {
        _ if !has_before => "–".into(),
        0 => "±0".into(),
        _ if before == 0 => WORDS.new.into(),
        more @ 1.. => format!("+{more}"),
        fewer => format!("−{}", -fewer),
    }
}

pub(crate) fn minutes(minutes: i64) -> String {
    let (text, count) = match minutes {
        ..=1 => (WORDS.minute, 1),
        2..90 => (WORDS.minutes, minutes),
        90..2160 => (WORDS.hours, (minutes + 30) / 60),
        _ => (WORDS.days, (minutes + 720) / 1440),
    };
    say(text, &[("count", &count)])
}

/// Formats a count; as "100 or more" if the list was cut.
pub(crate) fn failures(count: usize, is_capped: bool) -> String {
    match count {
        1 => WORDS.one_failure.to_owned(),
        count if is_capped => say(WORDS.most_failures, &[("count", &count)]),
        count => say(WORDS.many_failures, &[("count", &count)]),
    }
}

pub(crate) fn customers(count: usize) -> String {
    let text = if count == 1 { WORDS.one_customer } else { WORDS.many_customers };
    say(text, &[("count", &count)])
}

pub(crate) fn clock_time(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%-d %b %H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_is_parsed_in_any_spelling() {
        for text in ["LK-7H3K-90ZM", " lk 7h3k 90zm ", "7H3K-9OZM", "LK7H3K90ZM", "lk-7h3k-9ozm"] {
            assert_eq!(parse_reference(text), Some(["7H3K".into(), "90ZM".into()]), "{text}");
        }
        assert_eq!(parse_reference("LK-L1I0-0000"), Some(["1110".into(), "0000".into()]));
        for text in ["", "LK-7H3K", "XX-7H3K-9QZM", "LK-7H3K-9QZM-1", "ü"] {
            assert_eq!(parse_reference(text), None, "{text}");
        }
    }

    #[test]
    fn shares_trends_and_times_are_rounded() {
        assert_eq!(
            [(0, 0), (1, 3), (2, 3), (1, 200), (5, 5)].map(|(part, all)| percent(part, all)),
            [0, 33, 67, 1, 100]
        );
        assert_eq!(
            [(3, 0), (5, 5), (7, 5), (2, 5)].map(|(now, before)| trend(now, before, true)),
            ["new", "±0", "+2", "−3"]
        );
        assert_eq!(trend(3, 0, false), "–", "there is nothing to compare with");
        let times = [0, 1, 89, 91, 2159, 2160].map(minutes);
        assert_eq!(times, ["a minute", "a minute", "89 min", "2 h", "36 h", "2 days"]);
    }
}
