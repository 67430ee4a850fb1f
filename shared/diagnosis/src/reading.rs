//! Evidence → ranked causes.

use super::catalogue::{CAUSES, RULES, telling};
use super::evidence::NOT_THEIRS;
use super::paste::{prose, says_anything};
use super::rule::{Basis, Fit, Seen};
use super::words::normal;
use super::{ASIDE, Candidate, Confidence, Context, Diagnosis};
use domain::{Evidence, Provenance, Surface};

/// How many readings are worth showing.
const RANKED: usize = 6;

/// The likeliest cause first. Where one is sure, mere possibilities are left out; where no rule fits, the
/// cause is `unknown`.
pub(super) fn diagnose(evidence: &Evidence, context: Context) -> Diagnosis {
    let seen = Seen::new(evidence, context);
    let mut fits: Vec<Option<(Fit, &'static str)>> = vec![None; CAUSES.len()];
    for rule in &RULES {
        if let Some(fit) = rule.fit(&seen)
            && fits[rule.cause].is_none_or(|(best, _)| fit > best)
        {
            fits[rule.cause] = Some((fit, rule.because));
        }
    }

    // A rule on the text outranks a rule on a code alone, unless that can mean nothing else.
    let said = fits
        .iter()
        .flatten()
        .filter(|(fit, _)| fit.basis == Basis::Text)
        .map(|(fit, _)| fit.confidence)
        .max();
    if let Some(said) = said {
        for (fit, _) in fits.iter_mut().flatten().filter(|(fit, _)| fit.basis == Basis::Code) {
            if fit.confidence < Confidence::Sure {
                fit.confidence = fit.confidence.min(said);
            }
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
    rank_second_error(&mut ranked);
    if ranked.first().is_some_and(|(fit, _)| fit.confidence == Confidence::Sure) {
        ranked.retain(|(fit, _)| fit.confidence > Confidence::Possible);
    }
    ranked.truncate(RANKED);

    let mut ranked: Vec<Candidate> = ranked.into_iter().map(|(_, candidate)| candidate).collect();
    if ranked.is_empty() {
        ranked.extend(super::cause(super::UNKNOWN).map(|cause| Candidate {
            cause,
            confidence: Confidence::Possible,
            reason: "Nothing that is known of Salesforce explains what was seen.",
        }));
    }
    Diagnosis { ranked }
}

/// A second error of the text comes before other readings of the first one that are no surer.
fn rank_second_error(ranked: &mut [(Fit, Candidate)]) {
    let Some(at) = ranked.iter().position(|(fit, _)| fit.aside).filter(|at| *at > 1) else { return };
    let confidence = ranked[at].0.confidence;
    let equals = ranked[1..at].iter().position(|(fit, _)| fit.confidence == confidence);
    if let Some(first) = equals {
        ranked[first + 1..=at].rotate_right(1);
    }
}

impl<'a> Seen<'a> {
    fn new(evidence: &'a Evidence, context: Context) -> Self {
        let code = evidence.code.as_deref().unwrap_or_default().trim();
        let description = evidence.description.as_deref().unwrap_or_default();
        // What an answer says that is not from whom it claims is on record, and decides nothing.
        let description = if code == NOT_THEIRS { "" } else { description };
        // Some callers put both into one field: `OAUTH_APP_BLOCKED : this app is blocked by admin`.
        let end = code.find(|c: char| !(c.is_alphanumeric() || "_-.".contains(c))).unwrap_or(code.len());
        let text = if end == code.len() { description.to_owned() } else { format!("{code} {description}") };
        let given = normal(&code[..end]);
        // A code that no rule knows may be a slip of the hand, or stand beside one that is known; and a person
        // may tell of more than one.
        let mut codes: Vec<String> = super::paste::codes_in(&format!("{code} {description}"));
        if telling(&given).is_some() {
            codes.retain(|code| *code != given);
            codes.insert(0, given);
        } else if codes.is_empty() && !given.is_empty() {
            codes.push(given);
        }
        let (text, aside) = text.split_once(ASIDE).unwrap_or((&text, ""));
        let words = prose(text);
        let place_is_known = evidence.surface != Surface::Unknown;
        let is_told = evidence.provenance == Provenance::Reported && place_is_known;
        let says_nothing = words.is_empty() || (is_told && !says_anything(&words));
        let is_silent = codes.is_empty() && says_nothing;
        Self { codes, words, aside: prose(aside), is_silent, evidence, context }
    }
}

#[cfg(test)]
mod tests {
    use super::super::evidence;
    use super::super::rule::{Part, Phrase, Rule};
    use super::*;
    use domain::{AppKind, Stage};

    /// A text that a phrase fits.
    fn said(phrase: Phrase) -> String {
        let words = phrase.iter().map(|part| match part {
            Part::Word(word) | Part::Prefix(word) => *word,
            Part::Gap => "then",
        });
        words.collect::<Vec<_>>().join(" ")
    }

    /// Just what a rule asks for, and nothing else.
    fn asked(rule: &Rule, phrase: Option<Phrase>) -> (Evidence, Context) {
        let mut evidence = evidence::observed(
            rule.surfaces.first().copied().unwrap_or(Surface::Unknown),
            rule.codes.first().copied().map(|code| code.replace(' ', "_")).as_deref(),
            phrase.map(said).as_deref(),
            rule.statuses.first().map(|(low, _)| *low),
        );
        evidence.host = None;
        let context = Context {
            stage: rule.stages.first().copied().unwrap_or(Stage::Callback),
            app_kind: rule.app.unwrap_or(AppKind::ConnectedApp),
            environment: rule.environment,
            connected_before: rule.connected_before,
        };
        (evidence, context)
    }

    #[test]
    fn every_rule_and_every_phrase_of_it_leads_to_its_cause() {
        for rule in &RULES {
            let phrases: Vec<_> =
                if rule.says.is_empty() { vec![None] } else { rule.says.iter().copied().map(Some).collect() };
            for phrase in phrases {
                let (evidence, context) = asked(rule, phrase);
                let id = CAUSES[rule.cause].id;
                let fit = rule.fit(&Seen::new(&evidence, context));
                assert!(fit.is_some(), "{id}: `{}` does not fit {evidence:?}", rule.because);

                let ranked = diagnose(&evidence, context).ranked;
                let ranks = ranked.iter().any(|candidate| candidate.cause.id == id);
                let surer =
                    ranked[0].confidence == Confidence::Sure && rule.confidence == Confidence::Possible;
                assert!(ranks || surer, "{id}: {evidence:?} leads elsewhere");
            }
        }
    }
}
