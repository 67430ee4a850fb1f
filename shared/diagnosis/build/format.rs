//! The catalogue's files as they stand: `catalogue/README.md` describes them.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Everything in `catalogue/`.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    /// By id, which is the file's name.
    pub(crate) causes: BTreeMap<String, Cause>,
    pub(crate) articles: BTreeMap<String, Article>,
    pub(crate) shared: Shared,
    /// By audience, which is the file's name.
    pub(crate) guides: BTreeMap<String, Guide>,
}

/// `playbooks.toml`: what several causes share.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shared {
    #[serde(default)]
    pub(crate) steps: BTreeMap<String, Vec<Entry>>,
    #[serde(default)]
    pub(crate) branches: BTreeMap<String, Branch>,
}

/// `causes/<id>.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cause {
    pub(crate) actor: Actor,
    pub(crate) label: String,
    pub(crate) title: String,
    pub(crate) why: String,
    pub(crate) article: Option<String>,
    pub(crate) wait_minutes: Option<u32>,
    #[serde(default)]
    pub(crate) retry: bool,
    pub(crate) question: Option<String>,
    pub(crate) end_user: Vec<Entry>,
    pub(crate) admin: Option<Playbook>,
    pub(crate) vendor: Option<Playbook>,
    pub(crate) owner: Option<Playbook>,
    #[serde(default)]
    pub(crate) evidence: Vec<Rule>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Actor {
    EndUser,
    Admin,
    Vendor,
    Wait,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Playbook {
    pub(crate) goal: String,
    pub(crate) steps: Vec<Entry>,
    #[serde(default)]
    pub(crate) branches: Vec<BranchEntry>,
    #[serde(default)]
    pub(crate) check: Vec<Entry>,
}

/// A step: its text alone, more about it, or the name of a group in `playbooks.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Entry {
    Text(String),
    Use(Use),
    Step(Step),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Use {
    #[serde(rename = "use")]
    pub(crate) group: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    pub(crate) text: String,
    pub(crate) setup: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) app: Option<App>,
    #[serde(default)]
    pub(crate) package: bool,
}

/// A branch, or the name of one in `playbooks.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum BranchEntry {
    Name(String),
    Branch(Branch),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Branch {
    pub(crate) question: String,
    pub(crate) steps: Vec<Entry>,
}

/// `guides/<audience>.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Guide {
    pub(crate) title: String,
    pub(crate) lead: String,
    pub(crate) lead_of_owner: Option<String>,
    pub(crate) sections: Vec<Section>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Section {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) app: Option<App>,
    pub(crate) owner: Option<Owner>,
    #[serde(default)]
    pub(crate) text: Vec<Entry>,
    pub(crate) copy: Option<String>,
    #[serde(default)]
    pub(crate) terms: Vec<Term>,
    #[serde(default)]
    pub(crate) steps: Vec<Entry>,
    #[serde(default)]
    pub(crate) branches: Vec<BranchEntry>,
    #[serde(default)]
    pub(crate) check: Vec<Entry>,
    #[serde(default)]
    pub(crate) articles: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Term {
    pub(crate) term: String,
    pub(crate) means: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Article {
    pub(crate) name: String,
    pub(crate) address: String,
}

/// An evidence rule.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    pub(crate) confidence: Confidence,
    pub(crate) because: String,
    #[serde(default)]
    pub(crate) code: Vec<String>,
    #[serde(default)]
    pub(crate) says: Vec<String>,
    #[serde(default)]
    pub(crate) unless: Vec<String>,
    #[serde(default)]
    pub(crate) surface: Vec<Surface>,
    #[serde(default)]
    pub(crate) stage: Vec<Stage>,
    #[serde(default)]
    pub(crate) status: Vec<String>,
    pub(crate) app: Option<App>,
    pub(crate) environment: Option<Environment>,
    pub(crate) connected_before: Option<bool>,
    #[serde(default)]
    pub(crate) silent: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Confidence {
    Possible,
    Likely,
    Sure,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum App {
    ConnectedApp,
    ExternalClientApp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Owner {
    Vendor,
    Customer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Environment {
    Production,
    Sandbox,
    MyDomain,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    Authorize,
    Lost,
    Callback,
    Exchange,
    Refresh,
    Api,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Surface {
    Callback,
    HostedPage,
    RawBody,
    OtherPage,
    TokenEndpoint,
    Api,
    LoginHistory,
    Unknown,
}

/// Reads the files, given as path and text. Every fault names its file, line and field.
pub(crate) fn read(files: &[(String, String)]) -> Result<Catalogue, Vec<String>> {
    let mut catalogue = Catalogue::default();
    let mut faults = Vec::new();
    for (path, text) in files {
        let mut parts = path.rsplit(['/', '\\']);
        let name = parts.next().unwrap_or(path).trim_end_matches(".toml");
        let read = match (parts.next(), name) {
            (Some("guides"), audience) => {
                parse(text).map(|guide| drop(catalogue.guides.insert(audience.to_owned(), guide)))
            }
            (_, "articles") => parse(text).map(|articles| catalogue.articles = articles),
            (_, "playbooks") => parse(text).map(|shared| catalogue.shared = shared),
            (_, id) => parse(text).and_then(|cause| match catalogue.causes.insert(id.to_owned(), cause) {
                None => Ok(()),
                Some(_) => Err(format!("the cause `{id}` stands in two files")),
            }),
        };
        if let Err(fault) = read {
            faults.push(format!("{path}: {fault}"));
        }
    }
    if faults.is_empty() { Ok(catalogue) } else { Err(faults) }
}

/// TOML's own account of a fault, on one line: where, the line itself, and what is wrong with it.
fn parse<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = text[..start].matches('\n').count() + 1;
        let stands = text.lines().nth(line - 1).unwrap_or_default().trim();
        format!("line {line}: {}: `{stands}`", error.message().replace('\n', " "))
    })
}
