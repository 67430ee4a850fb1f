//! Imports: the product's own copy of a refresh token is spent by the one request that proves it.

use jiff::SignedDuration;
use world::salesforce::Endpoint;

use crate::hostile::{
    STALE, TRIES, ask_until_it_works, assert_none_wrong, chosen, connection,
    fate::{Fate, is_slow, is_taken_as_unspent, of_import},
    granted, import, installed, most_uses, quarantined, works,
};

/// Longer than the longest `Retry-After` that is heeded: it holds all imports of the app at the host.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(25);

/// One import meets each fault of this outcome, and the product repeats the call once the server is healthy.
async fn imports_meet(expected: Fate) {
    let story = installed().await;
    let mut wrong = Vec::new();
    let chosen = chosen(|fault| of_import(fault) == expected && !is_slow(fault));
    for (customer, fault) in &chosen {
        // The fault before holds back other imports too.
        story.pass(LONGEST_WAIT);
        let token = granted(&story, customer);
        let kept_before = quarantined(&story);
        most_uses(&story);
        story.stack.salesforce.misbehave(Endpoint::Token, &fault.name, Some(1));
        let mut imported = import(&story, customer, &token).await;
        story.stack.salesforce.behave();
        for _ in 1..TRIES {
            if imported.status < 300 {
                break;
            }
            story.pass(if expected == Fate::Unspent { LONGEST_WAIT } else { STALE });
            imported = import(&story, customer, &token).await;
        }
        let uses = most_uses(&story);
        let kept = quarantined(&story) - kept_before;
        let works = imported.status < 300
            && works(&story, &ask_until_it_works(&story, imported.text("id")).await).await;
        if expected == Fate::Kept {
            // Answers that fail a check one after another would stop the app; others of it go on meanwhile.
            connection(&story, &format!("healthy-{customer}")).await;
        }
        let seen = (works, kept, uses);
        let is_as_expected = match expected {
            Fate::Used => seen == (true, 0, 1),
            // Several calls of the product, each of which was refused before anything was carried out.
            Fate::Unspent => matches!(seen, (true, 0, 1 | 2)),
            Fate::Lost if is_taken_as_unspent(fault) => matches!(seen, (false, 0, 1..=3)),
            Fate::Lost => matches!(seen, (false, 0, 1 | 2)),
            Fate::Kept => seen == (false, 1, 1),
        };
        // A connection whose new refresh token was lost works until its access token ends.
        let is_as_expected = is_as_expected || (expected == Fate::Lost && seen == (true, 0, 1));
        if !is_as_expected {
            let (kind, cause) = (imported.problem(), &imported.body["cause"]);
            let seen = format!("(works, kept, uses) = {seen:?}: {} {kind} {cause}", imported.status);
            wrong.push(format!("{}: expected {expected:?}, {seen}", fault.name));
        }
    }
    assert_none_wrong(chosen.len(), &wrong);
}

#[tokio::test]
async fn import_survives_a_page_or_error_in_place_of_the_answer() {
    imports_meet(Fate::Unspent).await;
}

#[tokio::test]
async fn import_answer_in_any_usable_form_is_used() {
    imports_meet(Fate::Used).await;
}

#[tokio::test]
async fn import_whose_answer_is_lost_is_sent_once_more() {
    imports_meet(Fate::Lost).await;
}

#[tokio::test]
async fn import_answer_that_fails_a_check_is_kept_and_the_token_not_sent_again() {
    imports_meet(Fate::Kept).await;
}
