//! What may never happen (design: *Never*, and the refresh protocol), checked against what was seen.

use domain::secret::Fingerprint;
use jiff::SignedDuration;

use crate::{Answer, Rig, ether::Sent};

/// How long after a sending that was not answered its recovery may come at the earliest. It is counted from *began*,
/// which may be written three seconds before the sending.
const RECOVERY_AFTER: SignedDuration = SignedDuration::from_secs(90 - 3);

/// How long nothing is sent for a connection after a refusal, at the least.
const BACKOFF: SignedDuration = SignedDuration::from_secs(5);

/// What a schedule came to, once everything has settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// There is a token, and Salesforce takes it.
    Token,
    /// The grant is lost: its last answer died with its process, or never reached one.
    AnswerLost,
    /// The last answer fails a check and is in quarantine: an operator decides.
    Quarantined,
    /// The user connected anew, and Salesforce ended the new grant with the old one, as it was told to.
    EndedByRevoke,
}

/// How many answers of Salesforce's there were, and what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Refresh tokens sent.
    pub sent: usize,
    /// Answered with new tokens, which reached a process that lived on.
    pub answered: usize,
    /// Not answered, or answered to nobody that lived on.
    pub unheard: usize,
    /// Refused, or never arrived: nothing was spent.
    pub refused: usize,
    /// Sent again by the one recovery.
    pub recovered: usize,
    /// Old grants that live on after a reconnect: their last refresh token died with its process.
    pub left: usize,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.answered += other.answered;
        self.unheard += other.unheard;
        self.refused += other.refused;
        self.recovered += other.recovered;
        self.left += other.left;
    }
}

/// A caller's answer holds what is durable: never a token whose refresh token could still be lost.
pub fn answer_is_durable(rig: &Rig, answer: &Answer) -> Result<(), String> {
    let Some(token) = answer.token() else { return Ok(()) };
    let is_it = |sent: &Sent| sent.granted.as_ref().is_some_and(|granted| granted.access == token);
    if rig.ether.sent().iter().any(|sent| sent.doubtful && is_it(sent)) {
        return Err(format!("{} was returned unseen: its answer fails a check", token.as_str()));
    }
    if !rig.world.read(|state| state.handed_out.iter().any(|(_, given)| fingerprint(given) == token)) {
        return Err(format!("{} was returned and is none of Salesforce's", token.as_str()));
    }
    let sent = rig.ether.sent();
    let granted =
        sent.iter().find_map(|sent| sent.granted.as_ref().filter(|granted| granted.access == token));
    let Some(refresh) = granted.and_then(|granted| granted.refresh.as_ref()) else { return Ok(()) };
    let chain = rig.chain();
    let place = |token: &str| chain.iter().position(|known| known.as_str() == token);
    let held = rig.item()["refresh_fingerprint"]["S"].as_str().and_then(place);
    let waiting = rig.waiting();
    let waiting = waiting.as_ref().and_then(waiting_refresh).and_then(|token| place(&token));
    if held.max(waiting) >= place(refresh.as_str()) {
        Ok(())
    } else {
        Err(format!("{} was handed out before its refresh token was durable", token.as_str()))
    }
}

fn waiting_refresh(item: &serde_json::Value) -> Option<String> {
    let pair = &item["renewed"]["M"]["refresh_token"]["L"];
    Some(pair[1]["S"].as_str()?.to_owned())
}

/// Everything that may never happen, and what the schedule came to. `last`: the answer to the last caller, after
/// everything was mended and time has passed.
pub fn check(rig: &Rig, last: &Answer) -> Result<(End, Tally), String> {
    let (sent, chain) = (rig.ether.sent(), rig.chain());
    let mut tally = Tally { sent: sent.len(), ..Tally::default() };
    let place = |token: &str| chain.iter().position(|known| known.as_str() == token);

    for (number, one) in sent.iter().enumerate() {
        if one.met_itself {
            return Err(format!("sending {number} met another of the same refresh token at Salesforce"));
        }
        let ended = one.ended.ok_or_else(|| format!("sending {number} never ended"))?;
        if one.cut_off {
            return Err(format!("sending {number} was still under way when its own function timed out"));
        }
        match &one.granted {
            Some(_) if one.heard() => tally.answered += 1,
            _ if one.refused => tally.refused += 1,
            _ => tally.unheard += 1,
        }
        // A later use of the same token: after a refusal; without rotation, after an answer; else as the one
        // recovery of a sending whose answer reached nobody that lived to keep it.
        let mut unheard = u32::from(!one.refused && !one.heard());
        for (later, other) in sent.iter().enumerate().skip(number + 1).filter(|(_, s)| s.token == one.token) {
            if other.at < ended {
                return Err(format!("sendings {number} and {later} of one refresh token overlap"));
            }
            if one.refused {
                // The clocks of two processes may differ in opposite directions.
                if one.told && other.at + rig.max_skew * 2 < ended + BACKOFF {
                    return Err(format!(
                        "sending {later} follows {number}, which was refused, without a backoff"
                    ));
                }
                continue;
            }
            if one.heard() {
                if one.granted.as_ref().is_some_and(|granted| granted.refresh.is_some()) {
                    return Err(format!(
                        "sending {later} repeats {number}, whose answer was a new refresh token"
                    ));
                }
                continue;
            }
            if other.at + rig.max_skew * 2 < one.at + RECOVERY_AFTER {
                return Err(format!("sending {later} recovers {number} too early"));
            }
            tally.recovered += 1;
            unheard += u32::from(!other.refused && !other.heard());
            // A second recovery is sent only where Salesforce has said that nothing spent the token.
            let spent =
                sent[..later].iter().any(|before| before.token == one.token && before.granted.is_some());
            if unheard > 2 && spent {
                return Err(format!("sending {later} is a second recovery of {number}"));
            }
        }
    }

    let mut newest = None;
    for (at, token) in rig.ether.stored() {
        let here = place(&token).ok_or_else(|| format!("{token} is none of Salesforce's"))?;
        if newest.is_some_and(|newest| here < newest) {
            return Err(format!("{at}: an older refresh token was written over a newer one"));
        }
        newest = Some(here);
    }

    // What reached a process that lived on is in the table: it, or its successor.
    for one in sent.iter().filter(|one| one.delivered) {
        let Some(refresh) = one.granted.as_ref().and_then(|granted| granted.refresh.as_ref()) else {
            continue;
        };
        if place(refresh.as_str()) > newest && !one.orphaned {
            return Err("an answer that reached a living process was not kept".into());
        }
    }
    for one in sent.iter().filter(|one| one.doubtful) {
        doubtful_is_kept(rig, one)?;
    }
    tally.left = rig.world.live_grants().len().saturating_sub(1);
    if tally.left > tally.unheard {
        return Err("an old grant whose refresh token somebody held was not revoked".into());
    }
    Ok((end(rig, last)?, tally))
}

/// An answer that fails a check is neither used nor dropped unseen, and its refresh token is not sent again.
fn doubtful_is_kept(rig: &Rig, one: &Sent) -> Result<(), String> {
    if one.kept {
        return Err("an answer that fails a check was used unseen".into());
    }
    if one.orphaned {
        return Ok(());
    }
    if !is_quarantined(rig.waiting_after(one.token.as_str()).as_ref()) {
        return Err("an answer that fails a check was dropped unseen".into());
    }
    let again = rig.ether.sent().iter().any(|other| other.token == one.token && other.at > one.at);
    if again { Err("a refresh token was sent again whose answer is in quarantine".into()) } else { Ok(()) }
}

fn is_quarantined(kept: Option<&serde_json::Value>) -> bool {
    kept.is_some_and(|kept| kept.get("quarantined_at").is_some())
}

fn end(rig: &Rig, last: &Answer) -> Result<End, String> {
    match (last.status, last.problem()) {
        (409 | 503, "vendor-incident" | "token-not-ready") if is_quarantined(rig.waiting().as_ref()) => {
            Ok(End::Quarantined)
        }
        (200, _) => {
            let token = last.token().ok_or("an answer without a fingerprint")?;
            let live = rig.world.read(|state| {
                let mut tokens = state.access_tokens.iter();
                tokens.any(|(access, _)| fingerprint(access) == token)
            });
            if live && !rig.world.live_grants().is_empty() {
                Ok(End::Token)
            } else {
                Err("the last token is none that Salesforce takes".into())
            }
        }
        (409, "reauthorization-needed")
            if rig.world.live_grants().is_empty() && rig.world.read(|state| state.revoking_ends_all) =>
        {
            Ok(End::EndedByRevoke)
        }
        (409, "reauthorization-needed") if last.body["cause"] == "answer_lost" => ended_as_lost(rig),
        _ => Err(format!("the last caller got {} {}", last.status, last.body)),
    }
}

/// A connection ends only if Salesforce carried a refresh out whose answer never came.
fn ended_as_lost(rig: &Rig) -> Result<End, String> {
    let is_lost = |sent: &Sent| sent.granted.is_some() && !sent.heard() && (sent.orphaned || !sent.doubtful);
    if rig.ether.sent().iter().any(is_lost) {
        Ok(End::AnswerLost)
    } else {
        Err("the connection ended because of an outage".into())
    }
}

fn fingerprint(token: &str) -> Fingerprint {
    domain::secret::AccessToken::new(token).fingerprint()
}
