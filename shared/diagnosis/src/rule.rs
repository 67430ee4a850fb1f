//! Evidence rules: what must have been seen, and what is known, for a cause to be thought of.

use super::words::Word;
use super::{Confidence, Context};
use domain::{AppKind, Environment, Evidence, Stage, Surface};

/// One rule of the catalogue. Every condition that is given must hold; within a list, one of its entries.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Where its cause stands in the catalogue.
    pub(crate) cause: usize,
    /// How sure the cause is when the rule fits.
    pub(crate) confidence: Confidence,
    /// Why, in words that a person may read.
    pub(crate) because: &'static str,
    /// Error codes in normal form.
    pub(crate) codes: &'static [&'static str],
    /// Phrases of the description.
    pub(crate) says: &'static [Phrase],
    /// Phrases that rule it out.
    pub(crate) unless: &'static [Phrase],
    /// Where it was seen.
    pub(crate) surfaces: &'static [Surface],
    /// Where on the way.
    pub(crate) stages: &'static [Stage],
    /// Ranges of HTTP status, both ends included.
    pub(crate) statuses: &'static [(u16, u16)],
    /// The app's kind.
    pub(crate) app: Option<AppKind>,
    /// The kind of login host.
    pub(crate) environment: Option<Environment>,
    /// Whether this app was connected from this org before.
    pub(crate) connected_before: Option<bool>,
    /// Fits only where neither code nor description was seen, or a person described the page in words that nobody
    /// understands.
    pub(crate) silent: bool,
}

/// Words in a row.
pub(crate) type Phrase = &'static [Part];

/// A piece of a phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// This word.
    Word(&'static str),
    /// A word that starts so.
    Prefix(&'static str),
    /// Up to [`GAP`] other words.
    Gap,
}

/// How many words `…` may stand for.
const GAP: usize = 5;

/// Evidence and context, prepared for the rules.
pub(crate) struct Seen<'a> {
    /// In normal form, the one that counts first.
    pub(crate) codes: Vec<String>,
    pub(crate) words: Vec<Word>,
    /// The words of a second error: see [`super::ASIDE`].
    pub(crate) aside: Vec<Word>,
    /// Whether the place alone is known: see [`Rule::silent`].
    pub(crate) is_silent: bool,
    pub(crate) evidence: &'a Evidence,
    pub(crate) context: Context,
}

/// How well a rule fits; the greater is the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fit {
    pub(crate) confidence: Confidence,
    pub(crate) basis: Basis,
    /// How much the rule asked for: a rule that asks for more knows more.
    weight: usize,
    /// How many words of the description it knew.
    words: usize,
    /// Whether it rests on a second error of the text.
    pub(crate) aside: bool,
}

impl Fit {
    fn key(&self) -> (Confidence, bool, usize, usize) {
        (self.confidence, self.basis != Basis::Code, self.weight, self.words)
    }
}

impl Ord for Fit {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Fit {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// What a rule rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Basis {
    /// A code alone: `invalid_grant` and its like are given for anything.
    Code,
    /// The circumstances, or the status.
    Other,
    /// What was said.
    Text,
}

impl Rule {
    /// How well it fits, if it does.
    pub(crate) fn fit(&self, seen: &Seen) -> Option<Fit> {
        let known = |asked: bool, holds: bool| !asked || holds;
        let status = seen.evidence.http_status;
        let code = seen.codes.iter().position(|code| self.codes.contains(&code.as_str()));
        let fits = known(!self.codes.is_empty(), code.is_some())
            && known(!self.surfaces.is_empty(), self.surfaces.contains(&seen.evidence.surface))
            && known(!self.stages.is_empty(), self.stages.contains(&seen.context.stage))
            && known(
                !self.statuses.is_empty(),
                status.is_some_and(|status| {
                    self.statuses.iter().any(|(low, high)| (*low..=*high).contains(&status))
                }),
            )
            && known(self.app.is_some(), self.app == Some(seen.context.app_kind))
            && known(self.environment.is_some(), self.environment == seen.context.environment)
            && known(self.connected_before.is_some(), self.connected_before == seen.context.connected_before)
            && known(self.silent, seen.is_silent);
        let ruled_out = |words: &[Word]| self.unless.iter().any(|phrase| find(phrase, words).is_some());
        if !fits || ruled_out(&seen.words) || ruled_out(&seen.aside) {
            return None;
        }
        let said = |words: &[Word]| {
            let fitting = self.says.iter().filter(|phrase| find(phrase, words).is_some());
            fitting.map(|phrase| literal_words(phrase)).max().unwrap_or(0)
        };
        let first = said(&seen.words);
        let said_aside = first == 0 && !self.says.is_empty();
        let words = if said_aside { said(&seen.aside) } else { first };
        if said_aside && words == 0 {
            return None;
        }
        // What a second error says was so at another time, or is said in passing.
        let aside = said_aside || code.is_some_and(|place| place > 0);
        let confidence = if aside { self.confidence.min(Confidence::Likely) } else { self.confidence };
        let basis = if said_aside {
            Basis::Code
        } else if !self.says.is_empty() {
            Basis::Text
        } else if !self.codes.is_empty() && !self.knows_circumstances() {
            Basis::Code
        } else {
            Basis::Other
        };
        Some(Fit { confidence, basis, weight: self.weight() - usize::from(aside), words, aside })
    }

    /// Whether it asks for more than a code, a text and a stage.
    fn knows_circumstances(&self) -> bool {
        !self.statuses.is_empty()
            || !self.surfaces.is_empty()
            || self.app.is_some()
            || self.environment.is_some()
            || self.connected_before.is_some()
    }

    fn weight(&self) -> usize {
        let asked = |asked: bool, weight: usize| if asked { weight } else { 0 };
        asked(!self.codes.is_empty(), 8)
            + asked(!self.says.is_empty(), 8)
            + asked(!self.surfaces.is_empty(), 2)
            + asked(!self.stages.is_empty(), 2)
            // Above all else: a 5xx may carry `invalid_grant`, and then it means nothing.
            + asked(!self.statuses.is_empty(), 32)
            + asked(self.app.is_some(), 1)
            + asked(self.environment.is_some(), 1)
            + asked(self.connected_before.is_some(), 1)
            + asked(self.silent, 2)
    }
}

/// How many words a phrase names.
pub(crate) fn literal_words(phrase: &[Part]) -> usize {
    phrase.iter().filter(|part| **part != Part::Gap).count()
}

/// Where a phrase first stands in a text: the first word and the one past its last.
pub(crate) fn find(phrase: &[Part], words: &[Word]) -> Option<(usize, usize)> {
    (0..words.len()).find_map(|start| ends(phrase, words, start).map(|end| (start, end)))
}

fn ends(phrase: &[Part], words: &[Word], at: usize) -> Option<usize> {
    let Some((part, rest)) = phrase.split_first() else { return Some(at) };
    let word = words.get(at).map(|word| word.text.as_str());
    match part {
        Part::Gap => (at..=at + GAP).take_while(|at| *at < words.len()).find_map(|at| ends(rest, words, at)),
        Part::Word(wanted) => word.filter(|word| word == wanted).and_then(|_| ends(rest, words, at + 1)),
        Part::Prefix(wanted) => {
            word.filter(|word| word.starts_with(wanted)).and_then(|_| ends(rest, words, at + 1))
        }
    }
}
