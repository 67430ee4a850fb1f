//! From which addresses Salesforce is called: those that the stack declares, those that are seen from outside, and
//! those that the app at Salesforce allows.

use std::{
    collections::{BTreeSet, HashSet},
    net::IpAddr,
};

use jiff::Timestamp;
use platform::Aws;
use salesforce::{
    Http,
    egress::{Question, Seen},
};
use tokio::task::JoinSet;

use crate::{
    doctor::Finding,
    lambda::{FunctionArn, Unanswered},
};

/// More addresses than this a Salesforce app's allowlist does not take (fact base, partner rules).
const MAX_ALLOWED: usize = 256;

/// How many of the function may run at once (infra/template.yaml); of two, Lambda may put each into another zone.
const AT_ONCE: usize = 2;

/// What is compared with what is seen.
#[derive(Debug, Default)]
pub struct Egress {
    /// The deployment's addresses: the stack's output EgressAddresses.
    pub addresses: Vec<IpAddr>,
    /// The addresses that the app at Salesforce allows its refresh tokens to be used from.
    pub allowed: Vec<IpAddr>,
}

/// What the function told of where it is seen.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// The addresses.
    pub(crate) seen: BTreeSet<IpAddr>,
    /// Why an address is not known.
    unseen: BTreeSet<String>,
}

/// Asks the function that stands where Salesforce is called from, once for each address that there may be.
pub(crate) async fn observe(
    function: &FunctionArn,
    egress: &Egress,
    aws: &Aws,
    http: &Http,
    now: Timestamp,
) -> Told {
    let mut asked = JoinSet::new();
    for _ in 0..egress.addresses.len().clamp(1, AT_ONCE) {
        let (function, aws, http) = (function.clone(), aws.clone(), http.clone());
        asked.spawn(async move {
            let question = serde_json::to_vec(&Question::Egress).expect("a question is JSON");
            function.ask(question, &aws, &http, now).await
        });
    }
    let mut told = Told::default();
    let mut busy = None;
    for answer in asked.join_all().await {
        match answer.map(|answer| serde_json::from_slice(&answer)) {
            Ok(Ok(Seen::Address(address))) => told.seen.extend([address]),
            Ok(Ok(Seen::Unseen(why))) => told.unseen.extend([why]),
            Ok(Err(_)) => {
                told.unseen.extend(["it answered something else: is it older than this command?".to_owned()]);
            }
            Err(why @ Unanswered::Busy) => busy = Some(why.to_string()),
            Err(why) => told.unseen.extend([why.to_string()]),
        }
    }
    // One that was busy hides nothing where another has told.
    if told.seen.is_empty() && told.unseen.is_empty() {
        told.unseen.extend(busy);
    }
    told
}

impl Egress {
    /// Whether there is anything to compare.
    pub(crate) fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.allowed.is_empty()
    }

    /// Whether the allowlist has what the stack declares.
    pub(crate) fn declared(&self) -> Option<Finding> {
        if self.allowed.is_empty() {
            return None;
        }
        let allowed: HashSet<&IpAddr> = self.allowed.iter().collect();
        let outside: Vec<String> = self
            .addresses
            .iter()
            .filter(|address| !allowed.contains(address))
            .map(IpAddr::to_string)
            .collect();
        let (good, why) = if allowed.len() > MAX_ALLOWED {
            (false, format!("{} addresses are allowed; Salesforce takes {MAX_ALLOWED}", allowed.len()))
        } else if self.addresses.is_empty() {
            (false, "Salesforce is called from any of AWS's addresses: deploy with FixedEgress".to_owned())
        } else if outside.is_empty() {
            (true, "every address of ours is allowed".to_owned())
        } else {
            (false, format!("{} not on the allowlist: refreshes from there are refused", outside.join(", ")))
        };
        Some(Finding { what: "egress".into(), good, why })
    }

    /// Whether what was seen is as declared, and allowed.
    pub(crate) fn seen(&self, told: &Told) -> Vec<Finding> {
        let unseen = told.unseen.iter().map(|why| (false, format!("not known. {why}")));
        let seen = told.seen.iter().map(|address| self.judge(address, told.seen.len()));
        let finding = |(good, why)| Finding { what: "egress as seen".into(), good, why };
        unseen.chain(seen).map(finding).collect()
    }

    fn judge(&self, address: &IpAddr, seen: usize) -> (bool, String) {
        let outside = |list: &[IpAddr]| !list.is_empty() && !list.contains(address);
        let all = self.addresses.len();
        if outside(&self.addresses) {
            let refused = if outside(&self.allowed) {
                "; it is not on the allowlist, so refreshes are refused"
            } else {
                ""
            };
            let why = "is none of the stack's EgressAddresses: the network is not as the template makes it";
            (false, format!("{address} {why}{refused}"))
        } else if outside(&self.allowed) {
            let why = "is not on the allowlist: refreshes from there are refused until the app at Salesforce has it";
            (false, format!("{address} {why}"))
        } else if self.addresses.is_empty() {
            (true, format!("{address} today, one of AWS's: only FixedEgress keeps an address"))
        } else if seen < all {
            let why = "Lambda chooses the zone, so ask again in a while for the other";
            (true, format!("{address}, {seen} of {all} addresses; {why}"))
        } else {
            (true, format!("{address}, as it should be"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: FromIterator<IpAddr>>(all: &[&str]) -> T {
        all.iter().map(|one| one.parse().unwrap()).collect()
    }

    fn egress(addresses: &[&str], allowed: &[&str]) -> Egress {
        Egress { addresses: read(addresses), allowed: read(allowed) }
    }

    #[test]
    fn an_address_that_the_allowlist_lacks_is_named() {
        let of = |addresses: &[&str], allowed: &[&str]| egress(addresses, allowed).declared();
        assert!(of(&["192.0.2.1"], &[]).is_none(), "no allowlist, nothing to hold");
        assert!(of(&["192.0.2.1"], &["192.0.2.1", "192.0.2.2"]).unwrap().good);
        let missing = of(&["192.0.2.1", "192.0.2.9"], &["192.0.2.1"]).unwrap();
        assert!(!missing.good && missing.why.starts_with("192.0.2.9 "), "{}", missing.why);
        assert!(!of(&[], &["192.0.2.1"]).unwrap().good, "any address is none of the list's");
    }

    #[test]
    fn what_is_seen_is_declared_and_allowed_or_named() {
        let (one, two) = (&["192.0.2.1"][..], &["192.0.2.1", "192.0.2.2"][..]);
        for (addresses, allowed, seen, good, says) in [
            (one, one, one, true, "as it should be"),
            (one, &[], one, true, "as it should be"),
            (two, two, two, true, "as it should be"),
            (two, two, one, true, "1 of 2 addresses"),
            (&[], &[], one, true, "one of AWS's"),
            (one, two, &["192.0.2.2"], false, "none of the stack's EgressAddresses: "),
            (one, one, &["192.0.2.2"], false, "not on the allowlist, so refreshes are refused"),
            (two, one, &["192.0.2.2"], false, "until the app at Salesforce has it"),
            (&[], one, &["192.0.2.2"], false, "until the app at Salesforce has it"),
        ] {
            let told = Told { seen: read(seen), unseen: BTreeSet::new() };
            let findings = egress(addresses, allowed).seen(&told);
            assert_eq!(findings.len(), seen.len());
            for (finding, address) in findings.iter().zip(seen) {
                assert!(finding.good == good && finding.why.contains(says), "{finding:?}");
                assert!(finding.why.starts_with(address), "{finding:?}");
            }
        }
    }

    #[test]
    fn a_zone_that_gets_nowhere_is_told_beside_one_that_does() {
        let told = Told { seen: read(&["192.0.2.1"]), unseen: ["no whole answer in time".into()].into() };
        let findings = egress(&["192.0.2.1", "192.0.2.2"], &[]).seen(&told);
        assert_eq!(findings.iter().map(|finding| finding.good).collect::<Vec<_>>(), [false, true]);
        assert!(findings[0].why.contains("no whole answer in time"), "{findings:?}");
    }
}
