//! What is refused: each fault is a line that names the file and the field.

use std::collections::BTreeSet;

use super::format::{
    Actor, Branch, BranchEntry, Catalogue, Cause, Confidence, Entry, Guide, Playbook, Rule, Section, Step,
};
use super::words::normal;

/// The placeholders that pages fill in.
const PLACEHOLDERS: [&str; 9] =
    ["app", "product", "customer", "support", "package_link", "addresses", "policy", "connect_at", "keys_at"];

/// Those that a text to copy may hold besides.
const TO_COPY: [&str; 2] = ["callback", "scopes"];

/// For whom there is a guide.
pub(crate) const AUDIENCES: [&str; 3] = ["admin", "packaging", "vendor"];

/// Maximum characters of a label.
const MAX_LABEL: usize = 44;

/// Groups may use groups, this deep.
const DEPTH: usize = 4;

/// Every fault of the catalogue.
pub(crate) fn faults(catalogue: &Catalogue) -> Vec<String> {
    let mut check = Check { catalogue, used: BTreeSet::new(), faults: Vec::new() };
    if !catalogue.causes.contains_key("unknown") {
        check.faults.push("catalogue/causes/unknown.toml: what no rule knows needs this cause".to_owned());
    }
    for (id, cause) in &catalogue.causes {
        check.cause(id, cause);
    }
    for audience in AUDIENCES {
        match catalogue.guides.get(audience) {
            Some(guide) => check.guide(audience, guide),
            None => check.faults.push(format!("catalogue/guides/{audience}.toml: this guide is needed")),
        }
    }
    for audience in catalogue.guides.keys().filter(|name| !AUDIENCES.contains(&name.as_str())) {
        check.faults.push(format!("catalogue/guides/{audience}.toml: no page shows this guide"));
    }
    check.rules();
    check.unused();
    check.faults
}

struct Check<'a> {
    catalogue: &'a Catalogue,
    used: BTreeSet<String>,
    faults: Vec<String>,
}

impl<'a> Check<'a> {
    /// `file` is a path in the catalogue, without `.toml`.
    fn fault(&mut self, file: &str, field: &str, what: &str) {
        self.faults.push(format!("catalogue/{file}.toml: {field}: {what}"));
    }

    fn cause(&mut self, id: &str, cause: &'a Cause) {
        let file = &format!("causes/{id}");
        if normal(id).replace(' ', "_") != id {
            self.fault(file, "file name", "an id is lower-case words joined by underscores");
        }
        self.label(file, &cause.label);
        self.text(file, "title", &cause.title);
        self.text(file, "why", &cause.why);
        if let Some(question) = &cause.question {
            self.text(file, "question", question);
        }
        if let Some(article) = &cause.article {
            self.article(file, "article", article);
        }
        if cause.end_user.is_empty() {
            self.fault(file, "end_user", "every cause tells the end user what to do");
        }
        match cause.actor {
            Actor::Admin if cause.admin.is_none() => {
                self.fault(file, "admin", "the admin acts, and has no playbook");
            }
            Actor::Vendor if cause.vendor.is_none() => {
                self.fault(file, "vendor", "the vendor acts, and has no playbook");
            }
            Actor::Wait if cause.wait_minutes.is_none() => {
                self.fault(file, "wait_minutes", "waiting is the answer, and it does not say how long");
            }
            _ => {}
        }
        if cause.owner.is_some() && cause.actor != Actor::Vendor {
            self.fault(
                file,
                "owner",
                "only what the vendor fixes has a playbook for another owner of the app",
            );
        }
        self.entries(file, "end_user", &cause.end_user, DEPTH);
        for (field, playbook) in [("admin", &cause.admin), ("vendor", &cause.vendor), ("owner", &cause.owner)]
        {
            if let Some(playbook) = playbook {
                self.playbook(file, field, playbook);
            }
        }
        if cause.evidence.is_empty() && id != "unknown" {
            self.fault(file, "evidence", "no rule leads to this cause");
        }
    }

    /// A label names the cause for operators: no sentence, nobody addressed, no name to fill in, and none like another.
    fn label(&mut self, file: &str, label: &str) {
        let addresses =
            |word: &str| matches!(word.to_ascii_lowercase().as_str(), "you" | "your" | "we" | "our" | "us");
        let twins = self.catalogue.causes.values().filter(|cause| cause.label == label).count();
        if label.is_empty() || label.chars().count() > MAX_LABEL || label.ends_with('.') {
            self.fault(file, "label", "a label has 1 to 44 characters and no period at its end");
        } else if label.contains(['{', '*']) || label.split(' ').any(addresses) {
            self.fault(file, "label", "a label is neutral: no placeholder, and nobody addressed");
        } else if twins > 1 {
            self.fault(file, "label", "another cause has the same label");
        }
    }

    fn guide(&mut self, audience: &str, guide: &'a Guide) {
        let file = &format!("guides/{audience}");
        self.text(file, "title", &guide.title);
        self.text(file, "lead", &guide.lead);
        if let Some(lead) = &guide.lead_of_owner {
            self.text(file, "lead_of_owner", lead);
        }
        let mut ids = BTreeSet::new();
        for section in &guide.sections {
            if !ids.insert(&section.id) || normal(&section.id).replace(' ', "-") != section.id {
                let what = format!("`{}` is not lower-case words joined by hyphens, each once", section.id);
                self.fault(file, "sections.id", &what);
            }
            self.section(file, section);
        }
    }

    fn section(&mut self, file: &str, section: &'a Section) {
        let field = |field: &str| format!("{}.{field}", section.id);
        self.text(file, &field("title"), &section.title);
        if let Some(copy) = &section.copy {
            let bare =
                TO_COPY.iter().fold(copy.clone(), |text, name| text.replace(&format!("{{{name}}}"), "…"));
            self.text(file, &field("copy"), &bare);
        }
        for term in &section.terms {
            self.text(file, &field("terms"), &term.term);
            self.text(file, &field("terms"), &term.means);
        }
        for (name, entries) in [("text", &section.text), ("steps", &section.steps), ("check", &section.check)]
        {
            self.entries(file, &field(name), entries, DEPTH);
        }
        self.branches(file, &field("branches"), &section.branches);
        for article in &section.articles {
            self.article(file, &field("articles"), article);
        }
        let says = [&section.text, &section.steps, &section.check].iter().any(|part| !part.is_empty())
            || section.copy.is_some()
            || !section.terms.is_empty()
            || !section.branches.is_empty();
        if !says {
            self.fault(file, &section.id, "a section says something");
        }
    }

    fn article(&mut self, file: &str, field: &str, name: &str) {
        self.used.insert(format!("articles.{name}"));
        if !self.catalogue.articles.contains_key(name) {
            self.fault(file, field, &format!("`{name}` is not in articles.toml"));
        }
    }

    fn playbook(&mut self, file: &str, field: &str, playbook: &'a Playbook) {
        self.text(file, &format!("{field}.goal"), &playbook.goal);
        if playbook.steps.is_empty() {
            self.fault(file, &format!("{field}.steps"), "a playbook has steps");
        }
        self.entries(file, &format!("{field}.steps"), &playbook.steps, DEPTH);
        self.entries(file, &format!("{field}.check"), &playbook.check, DEPTH);
        self.branches(file, &format!("{field}.branches"), &playbook.branches);
    }

    fn branches(&mut self, file: &str, field: &str, branches: &'a [BranchEntry]) {
        for entry in branches {
            match entry {
                BranchEntry::Branch(branch) => self.branch(file, field, branch),
                BranchEntry::Name(name) => {
                    self.used.insert(format!("branches.{name}"));
                    match self.catalogue.shared.branches.get(name) {
                        Some(branch) => self.branch(file, &format!("{field}: {name}"), branch),
                        None => self.fault(file, field, &format!("`{name}` is not in playbooks.toml")),
                    }
                }
            }
        }
    }

    fn branch(&mut self, file: &str, field: &str, branch: &'a Branch) {
        self.text(file, &format!("{field}.question"), &branch.question);
        if !branch.question.ends_with('?') {
            self.fault(file, &format!("{field}.question"), "a branch begins with a question");
        }
        self.entries(file, &format!("{field}.steps"), &branch.steps, DEPTH);
    }

    fn entries(&mut self, file: &str, field: &str, entries: &'a [Entry], depth: usize) {
        for entry in entries {
            match entry {
                Entry::Text(text) => self.text(file, field, text),
                Entry::Step(step) => self.step(file, field, step),
                Entry::Use(_) if depth == 0 => self.fault(file, field, "groups use each other in a circle"),
                Entry::Use(named) => {
                    self.used.insert(format!("steps.{}", named.group));
                    match self.catalogue.shared.steps.get(&named.group) {
                        Some(steps) => {
                            self.entries(file, &format!("{field}: {}", named.group), steps, depth - 1);
                        }
                        None => {
                            self.fault(file, field, &format!("`{}` is not in playbooks.toml", named.group));
                        }
                    }
                }
            }
        }
    }

    fn step(&mut self, file: &str, field: &str, step: &Step) {
        self.text(file, field, &step.text);
        match (&step.setup, &step.source) {
            (Some(path), _) if !path.starts_with('/') => {
                self.fault(file, field, &format!("the Setup path `{path}` starts with /"));
            }
            (Some(path), None) => {
                self.fault(file, field, &format!("the Setup path `{path}` needs its `source`"));
            }
            (None, Some(_)) => self.fault(file, field, "a `source` without the Setup path that it backs"),
            _ => {}
        }
    }

    fn text(&mut self, file: &str, field: &str, text: &str) {
        if text.trim().is_empty() || text.trim() != text {
            self.fault(file, field, "empty, or blank at an end");
        }
        if text.matches("**").count() % 2 == 1 {
            self.fault(file, field, &format!("`**` opens and does not close in `{text}`"));
        }
        for piece in text.split('{').skip(1) {
            let name = piece.split('}').next().unwrap_or_default();
            if !PLACEHOLDERS.contains(&name) {
                self.fault(file, field, &format!("`{{{name}}}` is not a placeholder"));
            }
        }
    }

    fn rules(&mut self) {
        let all: Vec<(&str, usize, &Rule)> = self
            .catalogue
            .causes
            .iter()
            .flat_map(|(id, cause)| {
                cause.evidence.iter().enumerate().map(move |(at, rule)| (id.as_str(), at + 1, rule))
            })
            .collect();
        for (place, (id, number, rule)) in all.iter().enumerate() {
            let file = &format!("causes/{id}");
            let field = format!("evidence {number}");
            for what in impossible(rule) {
                self.fault(file, &field, &what);
            }
            self.text(file, &format!("{field}.because"), &rule.because);
            for (other_id, other_number, other) in &all[..place] {
                let same = covers(rule, other) && covers(other, rule);
                // Several causes may be equally possible; of two that are likelier, one has to be the likelier.
                let undecided = rule.confidence == other.confidence && rule.confidence > Confidence::Possible;
                if same && (id == other_id || undecided) {
                    let what = format!(
                        "asks for the same as evidence {other_number} of {other_id}.toml: it can never decide"
                    );
                    self.fault(file, &field, &what);
                }
            }
            for (other_id, other_number, other) in &all {
                if id == other_id
                    && number != other_number
                    && covers(other, rule)
                    && other.confidence > rule.confidence
                {
                    let what = format!("evidence {other_number} covers it and is surer: it can never count");
                    self.fault(file, &field, &what);
                }
            }
        }
    }

    fn unused(&mut self) {
        // `write.rs` makes a constant of it.
        self.used.insert("steps.ask_admin".to_owned());
        let shared = &self.catalogue.shared;
        let names = (shared.steps.keys().map(|name| format!("steps.{name}")))
            .chain(shared.branches.keys().map(|name| format!("branches.{name}")))
            .chain(self.catalogue.articles.keys().map(|name| format!("articles.{name}")));
        for name in names {
            if !self.used.contains(&name) {
                let file = if name.starts_with("articles") { "articles" } else { "playbooks" };
                self.faults.push(format!("catalogue/{file}.toml: {name}: nothing uses it"));
            }
        }
    }
}

/// Why a rule can never fit, taken alone.
fn impossible(rule: &Rule) -> Vec<String> {
    let mut faults = Vec::new();
    let phrases = |field: &str, phrases: &[String], faults: &mut Vec<String>| {
        for phrase in phrases {
            let parts: Vec<&str> = phrase.split_whitespace().collect();
            let gap = |part: Option<&&str>| part.is_none_or(|part| *part == "…");
            if gap(parts.first()) || gap(parts.last()) {
                faults.push(format!("{field}: `{phrase}` starts and ends with a word"));
            }
            for part in parts.iter().filter(|part| **part != "…") {
                if normal(part).is_empty() || normal(part).contains(' ') {
                    faults.push(format!(
                        "{field}: `{part}` in `{phrase}` is not one word of letters and digits"
                    ));
                }
            }
        }
    };
    phrases("says", &rule.says, &mut faults);
    phrases("unless", &rule.unless, &mut faults);
    for code in &rule.code {
        if normal(code).is_empty() {
            faults.push(format!("code: `{code}` has no letter or digit"));
        }
    }
    for status in &rule.status {
        if range(status).is_none() {
            faults.push(format!("status: `{status}` is neither like 403 nor like 5xx"));
        }
    }
    if rule.silent && !(rule.code.is_empty() && rule.says.is_empty()) {
        faults.push("silent: nothing was seen, and yet a code or a phrase is asked for".to_owned());
    }
    if !rule.says.is_empty()
        && rule.says.iter().all(|says| {
            rule.unless
                .iter()
                .any(|unless| format!(" {} ", normal(says)).contains(&format!(" {} ", normal(unless))))
        })
    {
        faults.push("unless: rules out every phrase of `says`".to_owned());
    }
    let bare = rule.code.is_empty()
        && rule.says.is_empty()
        && rule.surface.is_empty()
        && rule.stage.is_empty()
        && rule.status.is_empty()
        && !rule.silent;
    if bare {
        faults.push("it asks for nothing that was seen, and would always fit".to_owned());
    }
    faults
}

/// Whether `wide` fits wherever `narrow` does, as far as the lists show.
fn covers(wide: &Rule, narrow: &Rule) -> bool {
    fn list<T: PartialEq>(wide: &[T], narrow: &[T]) -> bool {
        wide.is_empty() || (!narrow.is_empty() && narrow.iter().all(|entry| wide.contains(entry)))
    }
    fn one<T: PartialEq>(wide: Option<&T>, narrow: Option<&T>) -> bool {
        wide.is_none() || wide == narrow
    }
    let norm = |texts: &[String]| texts.iter().map(|text| normal(text)).collect::<Vec<_>>();
    list(&norm(&wide.code), &norm(&narrow.code))
        && list(&norm(&wide.says), &norm(&narrow.says))
        && wide.unless.iter().all(|phrase| narrow.unless.contains(phrase))
        && list(&wide.surface, &narrow.surface)
        && list(&wide.stage, &narrow.stage)
        && list(&wide.status, &narrow.status)
        && one(wide.app.as_ref(), narrow.app.as_ref())
        && one(wide.environment.as_ref(), narrow.environment.as_ref())
        && one(wide.connected_before.as_ref(), narrow.connected_before.as_ref())
        && (!wide.silent || narrow.silent)
}

/// The range that a status stands for: `403`, or `5xx`.
pub(crate) fn range(status: &str) -> Option<(u16, u16)> {
    match status.strip_suffix("xx") {
        Some(hundreds) => {
            hundreds.parse().ok().filter(|n| (1..=5).contains(n)).map(|n: u16| (n * 100, n * 100 + 99))
        }
        None => status.parse().ok().filter(|n| (100..600).contains(n)).map(|n| (n, n)),
    }
}
