//! What Salesforce said, where and when, and how we know.

use diagnosis::evidence::OUR_OWN;
use domain::{Provenance, Surface};
use jiff::Timestamp;

use super::{HelpPage, WORDS};

impl HelpPage<'_> {
    pub(super) fn surface(&self) -> &'static str {
        match self.evidence.surface {
            Surface::Callback => WORDS.surface_callback,
            Surface::HostedPage => WORDS.surface_hosted,
            Surface::RawBody => WORDS.surface_raw,
            Surface::OtherPage => WORDS.surface_other,
            Surface::TokenEndpoint => WORDS.surface_token,
            Surface::Api => WORDS.surface_api,
            Surface::LoginHistory => WORDS.surface_history,
            Surface::Unknown => WORDS.surface_unknown,
        }
    }

    pub(super) fn provenance(&self) -> &'static str {
        match (self.evidence.provenance, self.evidence.surface) {
            (Provenance::Observed, _) => WORDS.observed,
            // A product reports what its API calls met; people paste such answers too.
            (Provenance::Reported, Surface::Api) => WORDS.reported_api,
            (Provenance::Reported, _) => WORDS.reported,
        }
    }

    /// Whether the code is one of our own: Salesforce never said it, and it means nothing to a reader.
    pub(super) fn is_our_own(&self) -> bool {
        self.evidence.code.as_deref().is_some_and(|code| OUR_OWN.contains(&code))
    }

    /// Whether we know it from somebody's word alone.
    fn is_reported(&self) -> bool {
        self.evidence.provenance == Provenance::Reported
    }

    pub(super) fn said_title(&self) -> &'static str {
        if self.is_our_own() {
            WORDS.seen_title
        } else if self.is_reported() {
            WORDS.reported_title
        } else {
            WORDS.said_title
        }
    }

    /// What stands in the place of a code and a description where there is neither.
    pub(super) fn nothing_said(&self) -> &'static str {
        if self.is_reported() { WORDS.nothing_reported } else { WORDS.nothing_said }
    }

    pub(super) fn code(&self) -> Option<&str> {
        self.evidence.code.as_deref().filter(|_| !self.is_our_own())
    }

    pub(super) fn said_nothing(&self) -> bool {
        self.evidence.code.is_none() && self.evidence.description.is_none()
    }
}

/// A time as HTML has it: a fraction of a second has at most three digits there.
pub(super) fn machine_readable(at: &Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A time as people read it, to the minute, in UTC; the script turns it into the reader's own.
pub(super) fn readable(at: &Timestamp) -> String {
    at.strftime("%-d %B %Y, %H:%M UTC").to_string()
}
