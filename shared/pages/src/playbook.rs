//! The catalogue's steps, made ready for one app in one org: what is not for this kind of app or needs a package
//! that there is none of is left out, names are filled in, Setup's pages become links.

use diagnosis::{Branch, Playbook, Step};
use domain::{App, AppKind};

use crate::fill::{Markup, Names, rich, rich_with};

/// For whom the steps are made ready.
pub(crate) struct Reader<'a> {
    pub(crate) names: &'a Names<'a>,
    pub(crate) kind: AppKind,
    /// The org's own origin, where it is known: `https://acme.my.salesforce.com`.
    pub(crate) setup_origin: Option<&'a str>,
}

pub(crate) struct ReadyStep {
    pub(crate) text: Markup,
    /// The page of Setup where it is done.
    pub(crate) setup: Option<Setup>,
}

/// A page of Setup.
pub(crate) enum Setup {
    /// Its address in the org.
    Link(String),
    /// Its path, where the org is not known: a link once the reader has typed the My Domain.
    Path(&'static str),
}

pub(crate) struct ReadyBranch {
    pub(crate) question: Markup,
    pub(crate) steps: Vec<ReadyStep>,
}

pub(crate) struct ReadyPlaybook {
    pub(crate) goal: Markup,
    pub(crate) steps: Vec<ReadyStep>,
    pub(crate) branches: Vec<ReadyBranch>,
    pub(crate) check: Vec<ReadyStep>,
}

/// How to see in the product that an app works, as the product says it.
pub(crate) fn checks_in_product(app: &App, names: &Names<'_>) -> impl Iterator<Item = ReadyStep> {
    app.about
        .check
        .iter()
        .map(|check| ReadyStep { text: rich_with("{check}", names, &[("check", check)]), setup: None })
}

impl ReadyPlaybook {
    /// With how to check it in the product.
    pub(crate) fn with_checks(mut self, app: &App, names: &Names<'_>) -> Self {
        self.check.extend(checks_in_product(app, names));
        self
    }

    /// Whether a step leads to a page of Setup.
    pub(crate) fn has_setup(&self) -> bool {
        let branches = self.branches.iter().flat_map(|branch| &branch.steps);
        self.steps.iter().chain(branches).chain(&self.check).any(|step| step.setup.is_some())
    }
}

impl Reader<'_> {
    pub(crate) fn steps(&self, steps: &[Step]) -> Vec<ReadyStep> {
        steps
            .iter()
            .filter(|step| step.only.is_none_or(|kind| kind == self.kind))
            .filter(|step| !step.needs_package || self.names.has_package())
            .filter(|step| self.names.can_fill(step.text))
            .map(|step| ReadyStep { text: rich(step.text, self.names), setup: self.setup(step.setup) })
            .collect()
    }

    pub(crate) fn playbook(&self, playbook: &Playbook) -> ReadyPlaybook {
        ReadyPlaybook {
            goal: rich(playbook.goal, self.names),
            steps: self.steps(playbook.steps),
            branches: playbook.branches.iter().filter_map(|branch| self.branch(branch)).collect(),
            check: self.steps(playbook.check),
        }
    }

    /// A branch of which no step is left is no way out.
    pub(crate) fn branch(&self, branch: &Branch) -> Option<ReadyBranch> {
        let steps = self.steps(branch.steps);
        (!steps.is_empty()).then(|| ReadyBranch { question: rich(branch.question, self.names), steps })
    }

    fn setup(&self, path: Option<&'static str>) -> Option<Setup> {
        let path = path.filter(|path| path.starts_with('/'))?;
        Some(match self.setup_origin {
            Some(origin) => Setup::Link(format!("{}{path}", origin.trim_end_matches('/'))),
            None => Setup::Path(path),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Step = Step { text: "Open **Setup**.", setup: None, only: None, needs_package: false };

    #[test]
    fn a_step_for_the_other_kind_of_app_or_for_a_package_that_there_is_none_of_is_left_out() {
        let names = Names::unknown();
        let reader = Reader { names: &names, kind: AppKind::ConnectedApp, setup_origin: None };
        let others =
            [Step { only: Some(AppKind::ExternalClientApp), ..PLAIN }, Step { needs_package: true, ..PLAIN }];
        assert_eq!(reader.steps(&others).len(), 0);
        assert_eq!(reader.steps(&[PLAIN, Step { only: Some(AppKind::ConnectedApp), ..PLAIN }]).len(), 2);
    }

    #[test]
    fn a_branch_without_a_step_is_left_out() {
        let names = Names::unknown();
        let reader = Reader { names: &names, kind: AppKind::ConnectedApp, setup_origin: None };
        assert!(
            reader
                .branch(&Branch { question: "?", steps: &[Step { needs_package: true, ..PLAIN }] })
                .is_none()
        );
        assert!(reader.branch(&Branch { question: "?", steps: &[PLAIN] }).is_some());
    }

    #[test]
    fn setup_is_linked_where_the_org_is_known() {
        let names = Names::unknown();
        let link = |setup_origin, setup| {
            let reader = Reader { names: &names, kind: AppKind::ConnectedApp, setup_origin };
            match reader.steps(&[Step { setup, ..PLAIN }]).remove(0).setup {
                Some(Setup::Link(address)) => Some(address),
                Some(Setup::Path(path)) => Some(path.to_owned()),
                None => None,
            }
        };
        let (origin, path) = (Some("https://acme.my.salesforce.com"), Some("/lightning/setup/Users/home"));
        let whole = "https://acme.my.salesforce.com/lightning/setup/Users/home".to_owned();
        assert_eq!(link(origin, path), Some(whole.clone()));
        assert_eq!(link(Some("https://acme.my.salesforce.com/"), path), Some(whole));
        assert_eq!(link(None, path).as_deref(), path, "a link once the reader types the My Domain");
        assert_eq!(link(origin, None), None);
        assert_eq!(link(origin, Some(".evil.example/")), None);
    }
}
