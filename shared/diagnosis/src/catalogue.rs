//! The catalogue as constants, written by `build.rs` from `catalogue/`.

use super::rule::{Part, Rule};
use super::{Actor, Branch, Cause, Confidence, Playbook, Step};
use domain::{AppKind, Environment, Stage, Surface};

include!(concat!(env!("OUT_DIR"), "/catalogue.rs"));

/// How telling a code is by itself: the most that a rule is sure of by the code alone. `None`: no rule
/// knows it.
pub(super) fn telling(code: &str) -> Option<Confidence> {
    CODES.binary_search(&code).ok()?;
    RULES
        .iter()
        .filter(|rule| rule.says.is_empty() && rule.codes.contains(&code))
        .map(|rule| rule.confidence)
        .max()
        .or(Some(Confidence::Possible))
}
