//! The catalogue as Rust constants: `CAUSES`, `RULES` and `CODES`; and the guides, one constant an audience.

use std::{collections::BTreeSet, fmt::Write};

use super::check::range;
use super::format::{
    App, Branch, BranchEntry, Catalogue, Cause, Entry, Guide, Playbook, Rule, Section, Step,
};
use super::words::normal;

/// The generated file.
pub(crate) fn rust(catalogue: &Catalogue) -> String {
    let causes: Vec<String> =
        catalogue.causes.iter().map(|(id, cause)| cause_value(id, cause, catalogue)).collect();
    let rules: Vec<String> = catalogue
        .causes
        .values()
        .enumerate()
        .flat_map(|(at, cause)| cause.evidence.iter().map(move |rule| rule_value(at, rule)))
        .collect();
    let codes: BTreeSet<String> = catalogue
        .causes
        .values()
        .flat_map(|cause| &cause.evidence)
        .flat_map(|rule| rule.code.iter().map(|code| normal(code)))
        .collect();

    let mut out = String::new();
    let mut table = |name: &str, kind: &str, about: &str, values: &[String]| {
        let _ = write!(out, "/// {about}\npub(super) static {name}: [{kind}; {}] = [\n", values.len());
        for value in values {
            let _ = writeln!(out, "    {value},");
        }
        out.push_str("];\n\n");
    };
    table("CAUSES", "Cause", "Every cause, by id.", &causes);
    table("RULES", "Rule", "Every evidence rule.", &rules);
    let codes: Vec<String> = codes.iter().map(|code| format!("{code:?}")).collect();
    table("CODES", "&str", "Every error code that a rule knows, in normal form.", &codes);
    let ask_admin = catalogue
        .shared
        .steps
        .get("ask_admin")
        .map_or_else(|| "&[]".to_owned(), |entries| steps(entries, catalogue));
    let _ = writeln!(
        out,
        "/// What a user does where an admin acts.\npub(super) static ASK_ADMIN: &[Step] = {ask_admin};"
    );
    out
}

/// The generated file of the guides.
pub(crate) fn guides(catalogue: &Catalogue) -> String {
    let constant = |(audience, guide): (&String, &Guide)| {
        let sections = list(guide.sections.iter().map(|section| section_value(section, catalogue)));
        format!(
            "static {}: Guide = Guide {{ title: {:?}, lead: {:?}, lead_of_owner: {:?}, sections: {sections} }};\n",
            audience.to_uppercase(),
            guide.title,
            guide.lead,
            guide.lead_of_owner
        )
    };
    catalogue.guides.iter().map(constant).collect()
}

fn section_value(section: &Section, catalogue: &Catalogue) -> String {
    let articles = section.articles.iter().filter_map(|name| article_value(name, catalogue));
    let terms = section.terms.iter().map(|term| format!("({:?}, {:?})", term.term, term.means));
    format!(
        "Section {{ id: {:?}, title: {:?}, only: {}, owner: {}, text: {}, copy: {:?}, terms: {}, steps: {}, branches: {}, \
         check: {}, articles: {} }}",
        section.id,
        section.title,
        app(section.app),
        option(section.owner.map(|owner| format!("AppOwner::{owner:?}"))),
        steps(&section.text, catalogue),
        section.copy,
        list(terms),
        steps(&section.steps, catalogue),
        branches(&section.branches, catalogue),
        steps(&section.check, catalogue),
        list(articles),
    )
}

fn article_value(name: &str, catalogue: &Catalogue) -> Option<String> {
    catalogue.articles.get(name).map(|article| format!("({:?}, {:?})", article.name, article.address))
}

fn cause_value(id: &str, cause: &Cause, catalogue: &Catalogue) -> String {
    let article = cause.article.as_ref().and_then(|name| article_value(name, catalogue));
    format!(
        "Cause {{ id: {id:?}, label: {:?}, title: {:?}, why: {:?}, article: {}, actor: Actor::{:?}, end_user: {}, admin: {}, \
         vendor: {}, owner: {}, wait_minutes: {:?}, retry: {}, question: {:?} }}",
        cause.label,
        cause.title,
        cause.why,
        option(article),
        cause.actor,
        steps(&cause.end_user, catalogue),
        option(cause.admin.as_ref().map(|playbook| playbook_value(playbook, catalogue))),
        option(cause.vendor.as_ref().map(|playbook| playbook_value(playbook, catalogue))),
        option(cause.owner.as_ref().map(|playbook| playbook_value(playbook, catalogue))),
        cause.wait_minutes,
        cause.retry,
        cause.question,
    )
}

fn playbook_value(playbook: &Playbook, catalogue: &Catalogue) -> String {
    format!(
        "Playbook {{ goal: {:?}, steps: {}, branches: {}, check: {} }}",
        playbook.goal,
        steps(&playbook.steps, catalogue),
        branches(&playbook.branches, catalogue),
        steps(&playbook.check, catalogue)
    )
}

fn branches(entries: &[BranchEntry], catalogue: &Catalogue) -> String {
    list(entries.iter().filter_map(|entry| match entry {
        BranchEntry::Name(name) => {
            catalogue.shared.branches.get(name).map(|branch| branch_value(branch, catalogue))
        }
        BranchEntry::Branch(branch) => Some(branch_value(branch, catalogue)),
    }))
}

fn branch_value(branch: &Branch, catalogue: &Catalogue) -> String {
    format!("Branch {{ question: {:?}, steps: {} }}", branch.question, steps(&branch.steps, catalogue))
}

fn steps(entries: &[Entry], catalogue: &Catalogue) -> String {
    let mut flat = Vec::new();
    flatten(entries, catalogue, &mut flat);
    list(flat.into_iter())
}

fn flatten(entries: &[Entry], catalogue: &Catalogue, flat: &mut Vec<String>) {
    for entry in entries {
        match entry {
            Entry::Text(text) => {
                let step = Step { text: text.clone(), setup: None, source: None, app: None, package: false };
                flat.push(step_value(&step));
            }
            Entry::Step(step) => flat.push(step_value(step)),
            Entry::Use(named) => {
                if let Some(steps) = catalogue.shared.steps.get(&named.group) {
                    flatten(steps, catalogue, flat);
                }
            }
        }
    }
}

fn step_value(step: &Step) -> String {
    format!(
        "Step {{ text: {:?}, setup: {:?}, only: {}, needs_package: {} }}",
        step.text,
        step.setup,
        app(step.app),
        step.package || step.text.contains("{package_link}")
    )
}

fn rule_value(cause: usize, rule: &Rule) -> String {
    let strings = |texts: &[String]| list(texts.iter().map(|text| format!("{:?}", normal(text))));
    let phrases = |texts: &[String]| list(texts.iter().map(|text| phrase(text)));
    format!(
        "Rule {{ cause: {cause}, confidence: Confidence::{:?}, because: {:?}, codes: {}, says: {}, unless: {}, \
         surfaces: {}, stages: {}, statuses: {}, app: {}, environment: {}, connected_before: {:?}, silent: {} }}",
        rule.confidence,
        rule.because,
        strings(&rule.code),
        phrases(&rule.says),
        phrases(&rule.unless),
        list(rule.surface.iter().map(|surface| format!("Surface::{surface:?}"))),
        list(rule.stage.iter().map(|stage| format!("Stage::{stage:?}"))),
        list(rule.status.iter().filter_map(|status| range(status)).map(|range| format!("{range:?}"))),
        app(rule.app),
        option(rule.environment.map(|environment| format!("Environment::{environment:?}"))),
        rule.connected_before,
        rule.silent,
    )
}

fn phrase(text: &str) -> String {
    list(text.split_whitespace().map(|part| match part.strip_suffix('*') {
        _ if part == "…" => "Part::Gap".to_owned(),
        Some(start) => format!("Part::Prefix({:?})", normal(start)),
        None => format!("Part::Word({:?})", normal(part)),
    }))
}

fn app(app: Option<App>) -> String {
    option(app.map(|app| format!("AppKind::{app:?}")))
}

fn option(value: Option<String>) -> String {
    value.map_or_else(|| "None".to_owned(), |value| format!("Some({value})"))
}

fn list(values: impl Iterator<Item = String>) -> String {
    format!("&[{}]", values.collect::<Vec<_>>().join(", "))
}
