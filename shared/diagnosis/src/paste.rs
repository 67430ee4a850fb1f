//! The reader of pastes: what people copy from an address bar, a page, a mail, a log or a ticket → evidence.
//!
//! | module | does |
//! | --- | --- |
//! | [`decode`] | undoes what mail programs, browsers and logs did to the text |
//! | [`forms`], [`tables`], [`blocks`], [`pairs`], [`commands`] | take out secrets that the structure of a text shows |
//! | [`passwords`], [`secrets`] | take out secrets that prose or a field names, and what looks like one |
//! | [`names`] | tells which names mean a secret |
//! | [`value`] | finds where a secret's value ends |
//! | [`codes`] | finds Salesforce's error codes |
//! | [`fields`] | reads `error=…`, `"error": "…"` and their kin |
//! | [`address`] | finds the My Domain, and which of Salesforce's pages it was |
//!
//! Secrets are removed before each decoding and before anything else looks.
//!
//! Every pass goes over the text once, so reading is linear in it.

mod address;
mod blocks;
mod codes;
mod commands;
mod cuts;
mod decode;
mod fields;
mod forms;
mod labels;
mod linking;
mod names;
mod pairs;
mod passwords;
mod secrets;
mod status;
mod tables;
mod value;

use crate::evidence;
use std::collections::HashSet;

use super::ASIDE;
use super::Confidence;
use super::catalogue::{RULES, telling};
use super::rule::{Part, Phrase, Rule, find, literal_words};
use super::words::{Word, normal, words};
use codes::Found;
use domain::{Evidence, Provenance, Surface};

/// The most bytes of a pasted text that are kept.
const KEPT: usize = 8 * 1024;

/// The most bytes that are looked at once secrets are out: the beginning and the end of it.
const READ: usize = 64 * 1024;

/// See [`super::redact`].
pub(super) fn redact(text: &str) -> String {
    let clean = clean(text);
    // Encoding must not hide a secret; a text that hides none is kept as it is written.
    if !clean.is_cut && clean.text == decode::decode(text).text { without_secrets(text) } else { clean.text }
}

/// A text that is decoded and has no secret any more.
fn clean(text: &str) -> decode::Decoded {
    let decoded = decode::decode_and_remove(text, |text| {
        secrets::remove_named(&passwords::remove(&without_structured(text)))
    });
    // What only looks like a secret shows once everything is decoded.
    decode::Decoded { text: secrets::remove(&decoded.text), ..decoded }
}

/// The text, its broken lines joined, without secrets. `clean` is the text itself without secrets.
fn clean_joined(text: &str, clean_text: &str) -> String {
    let joined = decode::join_lines(text);
    if joined.trim_end() == text.trim_end() { clean_text.to_owned() } else { clean(&joined).text }
}

fn without_secrets(text: &str) -> String {
    secrets::remove(&passwords::remove(&without_structured(text)))
}

/// A text without the secrets that only its structure shows.
fn without_structured(text: &str) -> String {
    commands::remove(&pairs::remove(&blocks::remove(&tables::remove(&forms::remove(text)))))
}

/// See [`super::scrub`].
pub(super) fn scrub(pasted: &str) -> String {
    let cut = |mut text: String| {
        text.truncate(text.floor_char_boundary(KEPT));
        text
    };
    // An error code that was cut in two is none any more, and goes as a secret goes.
    cut(without_secrets(&cut(clean(pasted).text)))
}

/// See [`super::read_paste`].
pub(super) fn read(pasted: &str) -> Option<Evidence> {
    // A mail program may have broken the address over lines, or a line may end where an address does: both
    // readings are tried, and the one that understands more is taken.
    let as_it_stands = clean(pasted).text;
    let joined = clean_joined(pasted, &as_it_stands);
    let joined = clean_joined(&joined, &joined);
    // Most pastes have nothing to join, but for a blank at their end, and then the two are one.
    let joined = (joined.trim_end() != as_it_stands.trim_end()).then(|| Reading::of(&joined));
    let as_it_stands = Reading::of(&as_it_stands);
    let better = joined.filter(|joined| joined.understood > as_it_stands.understood);
    better.unwrap_or(as_it_stands).evidence()
}

/// The error codes that a text names, in normal form, the most telling first.
pub(super) fn codes_in(text: &str) -> Vec<String> {
    let words = words(text);
    let mut codes: Vec<String> = codes::find(text, &words).into_iter().map(|found| found.normal).collect();
    for found in codes::all(text, &words) {
        if !codes.contains(&found.normal) {
            codes.push(found.normal);
        }
    }
    codes
}

/// One reading of a pasted text.
struct Reading {
    code: Option<String>,
    description: Option<String>,
    surface: Surface,
    host: Option<String>,
    /// How much was made out: the sureness of the code, of the phrase, and whether both stood in fields.
    understood: (Option<Confidence>, Option<Confidence>, usize),
}

impl Reading {
    /// Reads a text that has no secret any more.
    fn of(clean: &str) -> Self {
        let text = without_apology(&window(clean));
        let text = text.as_str();
        let words = words(text);
        let fields = fields::read(text);
        let found = codes::find(text, &words);
        let words = codes::prose(text, words);
        let phrase = telling_phrase(&words);

        let field = fields.error.as_deref().map(|error| (error, telling(&normal(error))));
        let (code, code_known) = match (field, found) {
            // The bare page text says less than a code in the address beside it.
            (Some((error, Some(known))), Some(Found { known: other, .. })) if known >= other => {
                (Some(error.to_owned()), Some(known))
            }
            (_, Some(found)) => (Some(found.as_written), Some(found.known)),
            (Some((error, known)), None) => (Some(error.to_owned()), known),
            (None, None) => (None, None),
        };
        let description = fields
            .description(&words_of_phrases)
            .filter(|_| code.is_some())
            .or_else(|| phrase.map(|(_, start, end)| excerpt(text, &words, start, end)))
            .map(|description| without_code(&description, code.as_deref().unwrap_or_default()));
        // A page that is known by its address says more than a code that is not.
        let page = address::page(text).filter(|page| code.is_none() || words_of_phrases(page) > 0);
        let description = match page {
            Some(page) if code_known.is_none() => {
                Some([page, description.unwrap_or_default()].join(" ").trim().to_owned())
            }
            _ => description,
        };
        // A sure code and a sentence that belongs to another cause are two errors, and the code is the first.
        let description = description.filter(|said| {
            code_known < Some(Confidence::Sure) || !is_of_another_cause(code.as_deref(), said)
        });
        let description = match second_error(text, &words, code.as_deref(), description.as_deref()) {
            Some(second) => {
                Some(format!("{} {ASIDE}{second}", description.unwrap_or_default()).trim_start().to_owned())
            }
            None => description,
        };
        Self {
            surface: address::surface(text, code.as_deref(), &fields),
            host: address::my_domain(text),
            understood: (
                code_known,
                phrase.map(|(confidence, ..)| confidence),
                usize::from(fields.error.is_some()) + usize::from(description.is_some()),
            ),
            code,
            description,
        }
    }

    fn evidence(self) -> Option<Evidence> {
        if self.code.is_none() && self.description.is_none() {
            return None;
        }
        let mut evidence =
            evidence::observed(self.surface, self.code.as_deref(), self.description.as_deref(), None);
        evidence.provenance = Provenance::Reported;
        evidence.host = self.host;
        Some(evidence)
    }
}

/// The sentences that stand on Salesforce's error page whatever went wrong. Beside a code they are no evidence.
const APOLOGIES: [Phrase; 3] = [
    &[
        Part::Word("cant"),
        Part::Word("authorize"),
        Part::Word("you"),
        Part::Word("because"),
        Part::Word("of"),
        Part::Word("an"),
        Part::Word("oauth"),
        Part::Word("error"),
    ],
    &[
        Part::Word("cannot"),
        Part::Word("authorize"),
        Part::Word("you"),
        Part::Word("because"),
        Part::Word("of"),
        Part::Word("an"),
        Part::Word("oauth"),
        Part::Word("error"),
    ],
    &[
        Part::Word("unexpected"),
        Part::Word("error"),
        Part::Word("has"),
        Part::Word("occured"),
        Part::Word("during"),
        Part::Word("authentication"),
    ],
];

/// The text without the error page's apology, if it names a code that says more than the page does.
fn without_apology(text: &str) -> String {
    const BARE_PAGE: &str = "oauth approval error generic";
    let words = words(text);
    if codes::all(text, &words).iter().all(|found| found.normal == BARE_PAGE) {
        return text.to_owned();
    }
    let mut ranges: Vec<_> = APOLOGIES
        .iter()
        .filter_map(|apology| find(apology, &words))
        .map(|(first, end)| words[first].start..words[end - 1].end)
        .collect();
    ranges.sort_by_key(|range| std::cmp::Reverse(range.start));
    let mut text = text.to_owned();
    for range in ranges {
        text.replace_range(range, "\n");
    }
    text
}

/// A second error of the text, where another cause explains it: a code, or a sentence. The diagnosis ranks it
/// after the first one.
fn second_error(text: &str, words: &[Word], code: Option<&str>, description: Option<&str>) -> Option<String> {
    let first_code = normal(code.unwrap_or_default());
    let first_words = prose(description.unwrap_or_default());
    if code.is_none() && first_words.is_empty() {
        return None;
    }
    let explains = |rule: &Rule| {
        rule.codes.contains(&first_code.as_str())
            || rule.says.iter().any(|phrase| find(phrase, &first_words).is_some())
    };
    let explained: HashSet<usize> =
        RULES.iter().filter(|rule| explains(rule)).map(|rule| rule.cause).collect();
    let is_another = |rule: &Rule| rule.confidence > Confidence::Possible && !explained.contains(&rule.cause);
    let code = codes::all(text, &super::words::words(text)).into_iter().find(|found| {
        RULES.iter().any(|rule| rule.codes.contains(&found.normal.as_str()) && is_another(rule))
    });
    let sentence =
        telling_phrase_of(words, is_another).map(|(_, start, end)| excerpt(text, words, start, end));
    match (code, sentence) {
        (Some(code), Some(sentence)) if sentence.contains(&code.as_written) => Some(sentence),
        (Some(code), Some(sentence)) => Some(format!("{} {sentence}", code.as_written)),
        (Some(code), None) => Some(code.as_written),
        (None, sentence) => sentence,
    }
}

/// Whether the catalogue knows what a description says, and explains it by other causes than the code.
fn is_of_another_cause(code: Option<&str>, description: &str) -> bool {
    let code = normal(code.unwrap_or_default());
    let words = prose(description);
    let says = |rule: &Rule| rule.says.iter().any(|phrase| find(phrase, &words).is_some());
    let explained: HashSet<usize> = RULES.iter().filter(|rule| says(rule)).map(|rule| rule.cause).collect();
    !explained.is_empty()
        && !RULES.iter().any(|rule| rule.codes.contains(&code.as_str()) && explained.contains(&rule.cause))
}

/// The words of a text that are prose, and none of a code's.
pub(super) fn prose(text: &str) -> Vec<Word> {
    codes::prose(text, words(text))
}

/// Whether the catalogue knows any phrase of these words.
pub(super) fn says_anything(words: &[Word]) -> bool {
    telling_phrase(words).is_some()
}

/// The phrase that says most, and which words it is.
fn telling_phrase(words: &[Word]) -> Option<(Confidence, usize, usize)> {
    telling_phrase_of(words, |_| true)
}

/// The phrase that says most of the rules that count.
fn telling_phrase_of(words: &[Word], counts: impl Fn(&Rule) -> bool) -> Option<(Confidence, usize, usize)> {
    let present: HashSet<&str> = words.iter().map(|word| word.text.as_str()).collect();
    let stands = |phrase: Phrase| {
        let may = phrase.iter().all(|part| match part {
            Part::Word(word) => present.contains(word),
            Part::Prefix(_) | Part::Gap => true,
        });
        if may { find(phrase, words) } else { None }
    };
    RULES
        .iter()
        .filter(|rule| counts(rule))
        .filter(|rule| !rule.unless.iter().any(|phrase| stands(phrase).is_some()))
        .flat_map(|rule| rule.says.iter().map(move |phrase| (rule.confidence, *phrase)))
        .filter_map(|(confidence, phrase)| {
            let (start, end) = stands(phrase)?;
            Some(((confidence, literal_words(phrase)), (confidence, start, end)))
        })
        .max_by_key(|(telling, _)| *telling)
        .map(|(_, phrase)| phrase)
}

/// How many words of a text the catalogue's longest fitting phrase knows.
fn words_of_phrases(text: &str) -> usize {
    telling_phrase(&prose(text)).map_or(0, |(_, start, end)| end - start)
}

/// The sentence around some words, at most 150 bytes further to either side.
fn excerpt(text: &str, words: &[Word], start: usize, end: usize) -> String {
    const AROUND: usize = 150;
    let ends_sentence = |c: char| matches!(c, '\n' | '"' | '{' | '}' | '<' | '>' | '&');
    let (Some(first), Some(last)) = (words.get(start), words.get(end.saturating_sub(1))) else {
        return String::new();
    };
    let before = &text[text.ceil_char_boundary(first.start.saturating_sub(AROUND))..first.start];
    let before = before.rfind(ends_sentence).map_or(before, |at| &before[at + 1..]);
    let before = before.rfind(". ").map_or(before, |at| &before[at + 2..]);
    let after = &text[last.end..text.floor_char_boundary(last.end + AROUND)];
    let after = after.find(ends_sentence).map_or(after, |at| &after[..at]);
    let after = after.find(". ").map_or(after, |at| &after[..=at]);
    let sentence = format!("{before}{}{after}", &text[first.start..last.end]);
    sentence.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A description that repeats its code at the beginning, without it.
fn without_code(description: &str, code: &str) -> String {
    let rest = description.strip_prefix(code).unwrap_or(description);
    let rest =
        if rest.len() < description.len() { rest.trim_start_matches([' ', ':', '-', '–']) } else { rest };
    if rest.is_empty() { description.to_owned() } else { rest.to_owned() }
}

/// The beginning and the end of a long text: what went wrong stands in one of them.
fn window(text: &str) -> String {
    if text.len() <= READ {
        return text.to_owned();
    }
    let head = text.floor_char_boundary(READ / 2);
    let tail = text.ceil_char_boundary(text.len() - READ / 2);
    format!("{}\n{}", &text[..head], &text[tail..])
}
