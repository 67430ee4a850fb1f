//! Guides: the error pages' steps as standing documentation, for the customer's admin before the first connect,
//! and for the product's own engineers. They tell nothing of any customer.

use std::mem;

use askama::Template;
use diagnosis::guide::{self, Audience};
use domain::{App, AppId, AppKind, Product, ProductId, product::AppOwner};

use crate::{
    fill::{Markup, Names, fill, fill_with, rich, web},
    layout::{Page, Shell, has_contact, mailto},
    playbook::{Reader, ReadyBranch, ReadyStep, Setup, checks_in_product},
    words::Guide,
};

const WORDS: Guide = Guide::ENGLISH;

/// `GET /guides/{product}/{app}` and `GET /guides/{product}/{app}/vendor`.
#[derive(Debug, Clone, Copy, Template)]
#[template(path = "guide.html")]
pub struct GuidePage<'a> {
    /// Of the response's `style-src` and `script-src`.
    pub nonce: &'a str,
    /// Whose guide it is; its other apps are named, to be told apart.
    pub product: &'a Product,
    /// The app that it is about.
    pub app: &'a App,
    /// For whom.
    pub audience: Audience,
    /// Our callback URL, which the app has to list.
    pub callback: &'a str,
    /// This page's own address, whole: it is mailed and printed.
    pub address: &'a str,
}

/// A part of the guide, made ready for this app.
struct Part {
    id: &'static str,
    title: String,
    text: Vec<ReadyStep>,
    copy: Option<String>,
    terms: Vec<(Markup, Markup)>,
    steps: Vec<ReadyStep>,
    branches: Vec<ReadyBranch>,
    check: Vec<ReadyStep>,
    articles: &'static [(&'static str, &'static str)],
}

/// Another page of ours: what it is called, and its path.
struct Elsewhere {
    label: String,
    path: String,
}

/// A package's install link.
struct Install {
    note: &'static str,
    url: String,
}

/// How many steps two lists have in common from their beginning.
fn same(some: &[ReadyStep], others: &[ReadyStep]) -> usize {
    some.iter().zip(others).take_while(|(one, other)| one.text == other.text).count()
}

/// Whether a step leads to a page of Setup: the admin's My Domain makes it a link.
fn has_setup(parts: &[Part]) -> bool {
    let mut steps = parts.iter().flat_map(|part| {
        let branches = part.branches.iter().flat_map(|branch| &branch.steps);
        part.steps.iter().chain(branches).chain(&part.check)
    });
    steps.any(|step| step.setup.is_some())
}

/// The admin's section on connecting.
const CONNECT: &str = "connect";

/// Whether there is a guide on packaging an app: its vendor packages an external client app.
pub fn has_packaging(app: &App) -> bool {
    app.kind == AppKind::ExternalClientApp && app.about.owner == AppOwner::Vendor
}

/// Where an app's guide stands.
pub fn path(product: &ProductId, app: &AppId, audience: Audience) -> String {
    let tail = match audience {
        Audience::Admin => "",
        Audience::Vendor => "/vendor",
        Audience::Packaging => "/packaging",
    };
    format!("/guides/{product}/{app}{tail}")
}

impl Page for GuidePage<'_> {
    fn title(&self) -> String {
        fill(self.guide().title, &self.names())
    }
}

impl GuidePage<'_> {
    fn shell(&self) -> Shell<'_> {
        Shell { nonce: self.nonce, brand: Some(&self.product.brand) }
    }

    fn guide(&self) -> &'static guide::Guide {
        self.audience.guide()
    }

    /// No org is known: both environments' package links stand here.
    fn names(&self) -> Names<'_> {
        Names::of(&self.product.brand).app(self.app, None)
    }

    fn say(&self, text: &str) -> Markup {
        rich(text, &self.names())
    }

    fn is_admins(&self) -> bool {
        self.audience == Audience::Admin
    }

    fn whose(&self) -> &'static str {
        if self.is_admins() { WORDS.admin } else { WORDS.vendor }
    }

    fn connect_title(&self) -> String {
        fill(WORDS.connect_at, &self.names())
    }

    fn lead(&self) -> Markup {
        let own = self.guide().lead_of_owner.filter(|_| self.app.about.owner == AppOwner::Customer);
        self.say(own.unwrap_or(self.guide().lead))
    }

    /// What is ticked off is kept by the guide's own path.
    fn ticks(&self) -> String {
        path(&self.product.id, &self.app.id, self.audience)
    }

    fn parts(&self) -> Vec<Part> {
        let sections = self.guide().sections.iter();
        let mut parts: Vec<Part> = sections
            .filter(|section| section.only.is_none_or(|kind| kind == self.app.kind))
            .filter(|section| section.owner.is_none_or(|owner| owner == self.app.about.owner))
            .filter_map(|section| self.part(section))
            .collect();
        for at in 0..parts.len() {
            let mut steps = mem::take(&mut parts[at].steps);
            self.refer(&mut steps, &parts[..at]);
            parts[at].steps = steps;
            let mut branches = mem::take(&mut parts[at].branches);
            for branch in &mut branches {
                self.refer(&mut branch.steps, &parts[..=at]);
            }
            parts[at].branches = branches;
        }
        parts
    }

    /// Several steps in a row that stand on the page already are a link to where they do.
    fn refer(&self, steps: &mut Vec<ReadyStep>, told: &[Part]) {
        let mut at = 0;
        while at < steps.len() {
            let places =
                (0..told.len()).flat_map(|part| (0..told[part].steps.len()).map(move |first| (part, first)));
            let longest = places
                .map(|(part, first)| (same(&steps[at..], &told[part].steps[first..]), part, first))
                .max_by_key(|(length, ..)| *length);
            if let Some((length @ 2.., part, first)) = longest {
                let [first, last] = [first + 1, first + length].map(|number| number.to_string());
                let place = [("first", &*first), ("last", &*last), ("part", &*told[part].title)];
                let text = fill_with(WORDS.again, &self.names(), &place);
                let text = Markup::anchor(&format!("{}.{first}", part + 1), &text);
                steps.splice(at..at + length, [ReadyStep { text, setup: None }]);
            }
            at += 1;
        }
    }

    /// A part whose steps are all for other apps is left out.
    fn part(&self, section: &guide::Section) -> Option<Part> {
        let names = self.names();
        let reader = Reader { names: &names, kind: self.app.kind, setup_origin: None };
        let steps = reader.steps(section.steps);
        let scopes = self.app.scopes.join(" ");
        let to_copy = [("callback", self.callback), ("scopes", &scopes)];
        (section.steps.is_empty() || !steps.is_empty()).then(|| Part {
            id: section.id,
            title: fill(section.title, &names),
            text: reader.steps(section.text),
            copy: section.copy.map(|text| fill_with(text, &names, &to_copy)),
            terms: section.terms.iter().map(|(term, means)| (self.say(term), self.say(means))).collect(),
            steps,
            branches: section.branches.iter().filter_map(|branch| reader.branch(branch)).collect(),
            check: self.checks(section, &reader),
            articles: section.articles,
        })
    }

    /// How to see that it worked: where people connect, in the product first.
    fn checks(&self, section: &guide::Section, reader: &Reader<'_>) -> Vec<ReadyStep> {
        let is_connect = self.is_admins() && section.id == CONNECT;
        let own = is_connect.then(|| checks_in_product(self.app, reader.names));
        own.into_iter().flatten().chain(reader.steps(section.check)).collect()
    }

    /// The guide on packaging, for who packages an external client app.
    fn packaging(&self) -> Option<Elsewhere> {
        let is_for = self.audience == Audience::Vendor && has_packaging(self.app);
        is_for.then(|| Elsewhere {
            label: fill(WORDS.to_packaging, &self.names()),
            path: path(&self.product.id, &self.app.id, Audience::Packaging),
        })
    }

    fn kind(&self) -> &'static str {
        match self.app.kind {
            AppKind::ConnectedApp => WORDS.connected_app,
            AppKind::ExternalClientApp => WORDS.external_client_app,
        }
    }

    fn installs(&self) -> Vec<Install> {
        let packages = &self.app.packages;
        [(WORDS.production, &packages.production), (WORDS.sandbox, &packages.sandbox)]
            .into_iter()
            .filter_map(|(note, url)| Some(Install { note, url: url.as_ref()?.as_str().to_owned() }))
            .filter(|install| web(&install.url))
            .collect()
    }

    /// The product's other apps, each with a guide of its own.
    fn other_apps(&self) -> Vec<Elsewhere> {
        let others = self.product.apps.iter().filter(|app| app.id != self.app.id);
        others
            .map(|app| Elsewhere {
                label: app.label().to_owned(),
                path: path(&self.product.id, &app.id, self.audience),
            })
            .collect()
    }

    /// The same app's guide for the other readers.
    fn counterpart(&self) -> Elsewhere {
        let (label, audience) = match self.audience {
            Audience::Admin | Audience::Packaging => (WORDS.to_vendor, Audience::Vendor),
            Audience::Vendor => (WORDS.to_admin, Audience::Admin),
        };
        Elsewhere { label: fill(label, &self.names()), path: path(&self.product.id, &self.app.id, audience) }
    }

    /// The message with which a user sends an admin here.
    fn message(&self) -> String {
        let text = match self.app.about.owner {
            AppOwner::Vendor => WORDS.message,
            AppOwner::Customer => WORDS.message_owner,
        };
        fill_with(text, &self.names(), &[("address", self.address)])
    }

    fn message_mail(&self) -> String {
        mailto(&fill(WORDS.message_subject, &self.names()), &self.message())
    }

    /// What the tick box of a step is called.
    fn step_done(&self, step: &impl std::fmt::Display) -> String {
        fill_with(WORDS.step_done, &self.names(), &[("step", &step.to_string())])
    }

    fn contact(&self) -> Markup {
        let known = has_contact(&self.product.brand.support);
        self.say(if known { WORDS.support } else { WORDS.no_support })
    }
}
