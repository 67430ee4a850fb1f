//! Evidence → ranked causes.

use super::catalogue::{CAUSES, RULES, telling};
use super::rule::{Fit, Seen};
use super::words::{normal, words};
use super::{Candidate, Confidence, Context, Diagnosis};
use crate::Evidence;

/// How many readings are worth showing.
const RANKED: usize = 6;

/// The likeliest cause first. Where one is sure, mere possibilities are left out; where no rule fits, the
/// cause is `unknown`.
pub(super) fn diagnose(evidence: &Evidence, context: &Context) -> Diagnosis {
    let seen = Seen::new(evidence, context);
    let mut fits: Vec<Option<(Fit, &'static str)>> = vec![None; CAUSES.len()];
    for rule in &RULES {
        if let Some(fit) = rule.fit(&seen)
            && fits[rule.cause].is_none_or(|(best, _)| fit > best)
        {
            fits[rule.cause] = Some((fit, rule.because));
        }
    }

    let mut ranked: Vec<(Fit, Candidate)> = CAUSES
        .iter()
        .zip(fits)
        .filter_map(|(cause, fit)| {
            let (fit, reason) = fit?;
            Some((fit, Candidate { cause, confidence: fit.confidence, reason }))
        })
        .collect();
    ranked.sort_by_key(|(fit, _)| std::cmp::Reverse(*fit));
    if ranked.first().is_some_and(|(fit, _)| fit.confidence == Confidence::Sure) {
        ranked.retain(|(fit, _)| fit.confidence > Confidence::Possible);
    }
    ranked.truncate(RANKED);

    let mut ranked: Vec<Candidate> = ranked.into_iter().map(|(_, candidate)| candidate).collect();
    if ranked.is_empty() {
        ranked.extend(super::cause("unknown").map(|cause| Candidate {
            cause,
            confidence: Confidence::Possible,
            reason: "Nothing that is known of Salesforce explains what was seen.",
        }));
    }
    Diagnosis { ranked }
}

impl<'a> Seen<'a> {
    fn new(evidence: &'a Evidence, context: &'a Context) -> Self {
        let code = evidence.code.as_deref().unwrap_or_default().trim();
        let description = evidence.description.as_deref().unwrap_or_default();
        // Some callers put both into one field: `OAUTH_APP_BLOCKED : this app is blocked by admin`.
        let end = code.find(|c: char| !(c.is_alphanumeric() || "_-.".contains(c))).unwrap_or(code.len());
        let text = if end == code.len() { description.to_owned() } else { format!("{code} {description}") };
        let known = Some(normal(&code[..end])).filter(|code| telling(code).is_some());
        // A code that no rule knows may be a slip of the hand, or stand beside one that is known.
        let code = known
            .or_else(|| super::paste::code_in(&format!("{code} {description}")))
            .or_else(|| Some(normal(&code[..end])).filter(|code| !code.is_empty()));
        Self { code, words: words(&text), evidence, context }
    }
}
