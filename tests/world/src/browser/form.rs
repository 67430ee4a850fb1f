//! Links, buttons and fields: found by the words that a person sees, submitted as HTML says
//! (HTML Standard, "Constructing the entry list").

use std::collections::BTreeMap;

use scraper::{ElementRef, Html};

use super::encoded;
use super::page::{collapse, selector, visible};
use super::policy::ReferrerPolicy;

/// What a person changed in a control, which is known by its place among the page's controls.
#[derive(Debug, Clone)]
pub(super) enum Edit {
    Text(String),
    Checked(bool),
    /// The value of a `<select>`.
    Selected(String),
}

pub(super) type Edits = BTreeMap<usize, Edit>;

/// What a click does.
pub(super) enum Act {
    /// A place in the page itself.
    Stay,
    Follow {
        href: String,
        policy: Option<ReferrerPolicy>,
    },
    Get {
        action: String,
        fields: String,
    },
    Post {
        action: String,
        fields: String,
    },
}

/// The link or button of that text, and what clicking it does.
pub(super) fn click(html: &Html, edits: &Edits, text: &str, beside: Option<&str>) -> Act {
    let css = "a[href], button, input[type=submit], input[type=button], input[type=image], summary";
    let mut found: Vec<(Vec<String>, ElementRef<'_>)> =
        html.select(&selector(css)).map(|element| (names_of_clickable(element), element)).collect();
    if let Some(beside) = beside {
        found.retain(|(names, _)| names.iter().any(|name| name == text));
        found.sort_by_cached_key(|(_, element)| surroundings(*element, beside));
        found.truncate(1);
        found.retain(|(_, element)| surroundings(*element, beside) < usize::MAX);
    }
    let element = pick(found, text, "link or button");
    assert!(!disabled(element), "{text:?} is disabled");
    match element.value().name() {
        "a" => {
            let href = element.attr("href").unwrap_or_default().trim();
            if href.starts_with('#') {
                return Act::Stay;
            }
            let no_referrer =
                element.attr("rel").unwrap_or_default().split(' ').any(|rel| rel == "noreferrer");
            let policy = element.attr("referrerpolicy").and_then(ReferrerPolicy::parse);
            Act::Follow {
                href: href.to_owned(),
                policy: if no_referrer { Some(ReferrerPolicy::NoReferrer) } else { policy },
            }
        }
        "summary" => Act::Stay,
        _ => submit(html, edits, element, text),
    }
}

/// The place of the text field of that label or name.
pub(super) fn text_field(html: &Html, field: &str) -> usize {
    let typed = |element: ElementRef<'_>| {
        !matches!(
            kind(element),
            "checkbox" | "radio" | "submit" | "button" | "image" | "reset" | "file" | "hidden" | "select"
        )
    };
    let (place, element) = named(html, field, "text field", typed);
    assert!(
        !disabled(element) && element.attr("readonly").is_none(),
        "the field {field:?} cannot be typed into"
    );
    place
}

/// What the field of that label or name holds.
pub(super) fn value(html: &Html, edits: &Edits, field: &str) -> String {
    let (place, element) =
        named(html, field, "field", |element| !matches!(kind(element), "submit" | "button"));
    held(element, edits.get(&place)).unwrap_or_default()
}

/// The edits that choosing, or clearing, the radio button, check box or option of that label or value makes.
pub(super) fn choice(html: &Html, choice: &str, on: bool) -> Vec<(usize, Edit)> {
    let mut found = Vec::new();
    for (place, control) in controls(html) {
        match kind(control) {
            "radio" | "checkbox" => {
                let mut names = labels(html, control);
                names.extend(control.attr("value").map(ToOwned::to_owned));
                found.push((names, (place, control, None)));
            }
            "select" => found.extend(control.select(&selector("option")).map(|option| {
                let value = option_value(option);
                (vec![visible(option), value.clone()], (place, control, Some(value)))
            })),
            _ => {}
        }
    }
    let (place, control, option) = pick(found, choice, "choice");
    assert!(!disabled(control), "{choice:?} is disabled");
    if let Some(option) = option {
        assert!(on, "{choice:?} is an option: choose another instead");
        return vec![(place, Edit::Selected(option))];
    }
    if kind(control) == "checkbox" {
        return vec![(place, Edit::Checked(on))];
    }
    assert!(on, "{choice:?} is a radio button: choose another instead");
    let group = controls(html).into_iter().filter(|(_, other)| {
        kind(*other) == "radio"
            && other.attr("name") == control.attr("name")
            && owner(html, *other) == owner(html, control)
    });
    group.map(|(other, _)| (other, Edit::Checked(other == place))).collect()
}

/// The submission of the button's form.
fn submit(html: &Html, edits: &Edits, button: ElementRef<'_>, text: &str) -> Act {
    let does = button.attr("type").unwrap_or("submit");
    let form = owner(html, button).filter(|_| matches!(does, "submit" | "image"));
    let form = form.unwrap_or_else(|| {
        panic!("the button {text:?} submits nothing: it needs a script, and none runs here")
    });
    let attribute =
        |on_button: &str, on_form: &str| button.attr(on_button).or(form.attr(on_form)).unwrap_or_default();
    let enctype = attribute("formenctype", "enctype");
    assert!(
        enctype.is_empty() || enctype == "application/x-www-form-urlencoded",
        "{enctype} forms are not sent"
    );
    let checks = form.attr("novalidate").is_none() && button.attr("formnovalidate").is_none();

    let mut fields: Vec<(String, String)> = Vec::new();
    let own: Vec<_> =
        controls(html).into_iter().filter(|(_, control)| owner(html, *control) == Some(form)).collect();
    let checked_radio = |name: Option<&str>| {
        own.iter().any(|(place, other)| {
            kind(*other) == "radio" && other.attr("name") == name && checked(*other, edits.get(place))
        })
    };
    for (place, control) in own.iter().copied().filter(|(_, control)| !disabled(*control)) {
        let is_button = matches!(kind(control), "submit" | "button" | "image" | "reset");
        if is_button && control != button {
            continue;
        }
        let value = held(control, edits.get(&place));
        let missing = match kind(control) {
            "radio" => !checked_radio(control.attr("name")),
            _ => value.as_deref().unwrap_or_default().is_empty(),
        };
        let required = checks && !is_button && control.attr("required").is_some();
        assert!(!(required && missing), "the browser asks to fill in {:?} first", labels(html, control));
        let name = control.attr("name").filter(|name| !name.is_empty());
        fields.extend(name.zip(value).map(|(name, value)| (name.to_owned(), with_crlf(&value))));
    }
    let fields = encoded(fields.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let action = attribute("formaction", "action").to_owned();
    if attribute("formmethod", "method").eq_ignore_ascii_case("post") {
        Act::Post { action, fields }
    } else {
        Act::Get { action, fields }
    }
}

/// Every field and button, with its place.
fn controls(html: &Html) -> Vec<(usize, ElementRef<'_>)> {
    html.select(&selector("input, select, textarea, button")).enumerate().collect()
}

/// `text` and the like for an input, else the element's name.
fn kind(control: ElementRef<'_>) -> &str {
    match control.value().name() {
        "input" => control.attr("type").unwrap_or("text"),
        name => name,
    }
}

/// What a control would submit; `None` for what is not chosen.
fn held(control: ElementRef<'_>, edit: Option<&Edit>) -> Option<String> {
    match (kind(control), edit) {
        (_, Some(Edit::Text(text) | Edit::Selected(text))) => Some(text.clone()),
        ("radio" | "checkbox", edit) => {
            checked(control, edit).then(|| control.attr("value").unwrap_or("on").to_owned())
        }
        ("select", _) => {
            let option = selector("option");
            let options = || control.select(&option);
            let selected = options().filter(|option| option.attr("selected").is_some()).last();
            selected.or_else(|| options().find(|option| option.attr("disabled").is_none())).map(option_value)
        }
        ("textarea", _) => Some(control.text().collect()),
        _ => Some(control.attr("value").unwrap_or_default().to_owned()),
    }
}

fn checked(control: ElementRef<'_>, edit: Option<&Edit>) -> bool {
    match edit {
        Some(Edit::Checked(on)) => *on,
        _ => control.attr("checked").is_some(),
    }
}

fn option_value(option: ElementRef<'_>) -> String {
    option.attr("value").map_or_else(|| visible(option), ToOwned::to_owned)
}

/// Its own `disabled`, or that of a fieldset around it.
fn disabled(control: ElementRef<'_>) -> bool {
    let fieldset =
        |around: &ElementRef<'_>| around.value().name() == "fieldset" && around.attr("disabled").is_some();
    control.attr("disabled").is_some() || around(control).any(|element| fieldset(&element))
}

/// The form that a control belongs to: by its `form` attribute, else the one around it.
fn owner<'a>(html: &'a Html, control: ElementRef<'a>) -> Option<ElementRef<'a>> {
    match control.attr("form") {
        Some(id) => html.select(&selector("form")).find(|form| form.attr("id") == Some(id)),
        None => around(control).find(|element| element.value().name() == "form"),
    }
}

fn around(element: ElementRef<'_>) -> impl Iterator<Item = ElementRef<'_>> {
    element.ancestors().filter_map(ElementRef::wrap)
}

/// The labels that name a control to a person.
fn labels(html: &Html, control: ElementRef<'_>) -> Vec<String> {
    let mut names: Vec<String> = control.attr("aria-label").map(collapse).into_iter().collect();
    names.extend(around(control).find(|element| element.value().name() == "label").map(visible));
    if let Some(id) = control.attr("id") {
        names.extend(
            html.select(&selector("label")).filter(|label| label.attr("for") == Some(id)).map(visible),
        );
    }
    names
}

/// The control of that label, `name` or `id` among those that qualify.
fn named<'a>(
    html: &'a Html,
    field: &str,
    what: &str,
    qualifies: impl Fn(ElementRef<'a>) -> bool,
) -> (usize, ElementRef<'a>) {
    let fields =
        controls(html).into_iter().filter(|(_, control)| qualifies(*control)).map(|(place, control)| {
            let mut names = labels(html, control);
            names.extend(
                ["name", "id"]
                    .into_iter()
                    .filter_map(|attribute| control.attr(attribute))
                    .map(ToOwned::to_owned),
            );
            (names, (place, control))
        });
    pick(fields.collect(), field, what)
}

fn names_of_clickable(element: ElementRef<'_>) -> Vec<String> {
    let mut names: Vec<String> = ["aria-label", "value", "alt"]
        .into_iter()
        .filter(|name| *name == "aria-label" || element.value().name() == "input")
        .filter_map(|name| element.attr(name))
        .map(collapse)
        .collect();
    names.push(visible(element));
    names.retain(|name| !name.is_empty());
    names
}

/// How much text the smallest surroundings of an element have that hold `beside`.
fn surroundings(element: ElementRef<'_>, beside: &str) -> usize {
    around(element).map(visible).find(|text| text.contains(beside)).map_or(usize::MAX, |text| text.len())
}

/// The one candidate that is called `wanted`, or else the one whose name holds it.
fn pick<T>(candidates: Vec<(Vec<String>, T)>, wanted: &str, what: &str) -> T {
    let known: Vec<String> = candidates.iter().filter_map(|(names, _)| names.first().cloned()).collect();
    let is_called = |(names, _): &(Vec<String>, T)| names.iter().any(|name| name == wanted);
    let holds = |(names, _): &(Vec<String>, T)| names.iter().any(|name| name.contains(wanted));
    let (exact, others): (Vec<_>, Vec<_>) = candidates.into_iter().partition(is_called);
    let mut found = if exact.is_empty() { others.into_iter().filter(holds).collect() } else { exact };
    match found.len() {
        0 => panic!("no {what} {wanted:?} here; there is {known:?}"),
        1 => found.remove(0).1,
        several => panic!("{several} times {what} {wanted:?} here: {known:?}"),
    }
}

/// Line ends as forms submit them.
fn with_crlf(value: &str) -> String {
    value.replace("\r\n", "\n").replace('\n', "\r\n")
}
