//! Product files: one TOML file a product. Everything that is wrong with a file is said at once, each with
//! file, line and field.

use std::path::Path;

use domain::{
    App, AppId, AppKind, Brand, Environment, Product, ProductId,
    product::{ApiKeyDigest, Packages, Sharing, Support},
    secret::Hash,
};
use serde::Deserialize;
use toml::Spanned;
use url::Url;

use self::{
    about::AboutTable,
    addresses::{PRODUCTION, SANDBOXES},
    error::FieldError,
};
pub use self::{
    error::FileErrors,
    folder::{check_products, read_products},
};

mod about;
mod addresses;
mod error;
mod folder;
mod secret_value;
mod sense;
mod types;
mod webhooks;

/// Maximum bytes of an API key's id.
const MAX_KEY_ID: usize = 40;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProductFile {
    id: ProductId,
    redeem: Option<Spanned<bool>>,
    return_addresses: Spanned<Vec<Spanned<String>>>,
    brand: BrandTable,
    #[serde(default)]
    api_keys: Vec<ApiKeyTable>,
    apps: Spanned<Vec<Spanned<AppTable>>>,
    #[serde(default)]
    webhooks: Vec<Spanned<webhooks::WebhookTable>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BrandTable {
    name: Spanned<String>,
    logo: Option<Spanned<String>>,
    colour: Option<Spanned<String>>,
    #[serde(default = "workspace")]
    customer_word: Spanned<String>,
    support: Spanned<SupportTable>,
    publisher: Option<Spanned<String>>,
    #[serde(default)]
    security: SupportTable,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SupportTable {
    email: Option<Spanned<String>>,
    url: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ApiKeyTable {
    id: Spanned<String>,
    hash: Spanned<Hash>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AppTable {
    id: AppId,
    kind: AppKind,
    consumer_key: Spanned<String>,
    secret: Spanned<String>,
    scopes: Spanned<Vec<String>>,
    names: Spanned<Vec<String>>,
    #[serde(default)]
    packages: PackagesTable,
    #[serde(default = "everywhere")]
    login_hosts: Spanned<Vec<Environment>>,
    #[serde(default = "shortest_session")]
    access_token_minutes: Spanned<u32>,
    #[serde(default)]
    introspect: bool,
    #[serde(default = "partner_rule")]
    refresh_token_idle_days: Spanned<u32>,
    #[serde(default)]
    connections: Sharing,
    #[serde(default)]
    about: AboutTable,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PackagesTable {
    production: Option<Spanned<String>>,
    sandbox: Option<Spanned<String>>,
}

fn workspace() -> Spanned<String> {
    Spanned::new(0..0, "workspace".into())
}

fn everywhere() -> Spanned<Vec<Environment>> {
    Spanned::new(0..0, vec![Environment::Production, Environment::Sandbox, Environment::MyDomain])
}

/// 15 minutes: the shortest session time-out that an org can set.
fn shortest_session() -> Spanned<u32> {
    Spanned::new(0..0, 15)
}

/// 30 days: the idle limit under Salesforce's partner rules.
fn partner_rule() -> Spanned<u32> {
    Spanned::new(0..0, 30)
}

/// Reads one product file.
pub fn read_product(file: &Path, text: &str) -> Result<Product, FileErrors> {
    check_product(file, text).map(|(product, _)| product)
}

/// Reads one product file: the product, and warnings. Where something is wrong, the warnings are among the errors.
fn check_product(file: &Path, text: &str) -> Result<(Product, FileErrors), FileErrors> {
    let errors = |errors| FileErrors::of(file, errors);
    let (table, mut wrong_types) = types::read(text);
    wrong_types.sort_by_key(|error| error.line);
    let Some(table) = table else { return Err(errors(wrong_types)) };
    let mut check = Check { text, errors: Vec::new(), warnings: Vec::new() };
    let product = check.product(table);
    let size = serde_json::to_string(&product).map_or(0, |item| item.len());
    if size > sense::MAX_ITEM {
        let (size, most) = (size / 1024, sense::MAX_ITEM / 1024);
        let what = format!(
            "the product is stored as one item of at most {most} kB, and this is one of {size} kB: make several products of it"
        );
        check.errors.push(FieldError { line: 0, field: "apps".to_owned(), what });
    }
    check.errors.extend(wrong_types);
    if check.errors.is_empty() {
        return Ok((product, errors(check.warnings)));
    }
    check.errors.extend(check.warnings);
    check.errors.sort_by_key(|error| error.line);
    Err(errors(check.errors))
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1
}

/// Reads on after an error, so that a file's errors are all said at once.
struct Check<'a> {
    text: &'a str,
    errors: Vec<FieldError>,
    /// What may be right all the same.
    warnings: Vec<FieldError>,
}

impl Check<'_> {
    fn wrong<T>(&mut self, field: impl Into<String>, at: &Spanned<T>, what: impl Into<String>) {
        let line = line_of(self.text, at.span().start);
        self.errors.push(FieldError { line, field: field.into(), what: what.into() });
    }

    fn product(&mut self, file: ProductFile) -> Product {
        if file.return_addresses.get_ref().is_empty() {
            self.wrong("return_addresses", &file.return_addresses, "at least one address is needed");
        }
        let mut return_addresses: Vec<Url> = Vec::new();
        for address in file.return_addresses.get_ref() {
            match self.return_address(address) {
                Some(url) if return_addresses.contains(&url) => {
                    self.wrong("return_addresses", address, "this address is listed twice");
                }
                found => return_addresses.extend(found),
            }
        }
        if file.apps.get_ref().is_empty() {
            self.wrong("apps", &file.apps, "at least one app is needed");
        }
        let mut apps: Vec<App> = Vec::new();
        for (index, app) in file.apps.into_inner().into_iter().enumerate() {
            if apps.iter().any(|other| other.id == app.get_ref().id) {
                self.wrong(format!("apps[{index}].id"), &app, "another app of this product has this id");
            }
            let key = &app.get_ref().consumer_key;
            if let Some(other) = apps.iter().find(|other| other.consumer_key == *key.get_ref()) {
                let what =
                    format!("app {} has this consumer key: each app is registered on its own", other.id);
                self.wrong(format!("apps[{index}].consumer_key"), key, what);
            }
            apps.push(self.app(index, app.into_inner()));
        }
        let mut api_keys: Vec<ApiKeyDigest> = Vec::new();
        for (index, key) in file.api_keys.into_iter().enumerate() {
            let id = key.id.get_ref();
            if id.is_empty() || id.contains('_') || api_keys.iter().any(|other| other.id == *id) {
                let what = "a key's id is unique in its product, not empty, and has no underscore";
                self.wrong(format!("api_keys[{index}].id"), &key.id, what);
            } else {
                self.text_of(&format!("api_keys[{index}].id"), &key.id, MAX_KEY_ID, sense::token);
            }
            if Hash::parse(key.hash.get_ref().as_str()).is_none() {
                let what = "not the digest of a key: make one with `latchkey key create`, and keep the key itself out of files";
                self.wrong(format!("api_keys[{index}].hash"), &key.hash, what);
            }
            api_keys.push(ApiKeyDigest { id: key.id.into_inner(), hash: key.hash.into_inner() });
        }
        if let Some(redeem) = &file.redeem {
            let what = "redeeming can't be switched off any more: without a receipt, a link sent to a victim attaches the \
                        victim's org. Delete this line, and redeem the receipt that comes with the browser (docs/api.md)";
            self.wrong("redeem", redeem, what);
        }
        let webhooks = self.webhooks(file.webhooks);
        let brand = self.brand(file.brand);
        Product { brand, id: file.id, return_addresses, api_keys, apps, webhooks, redeem: true }
    }

    fn brand(&mut self, brand: BrandTable) -> Brand {
        self.text_of("brand.name", &brand.name, 60, sense::name);
        self.text_of("brand.customer_word", &brand.customer_word, 30, sense::name);
        if let Some(colour) = &brand.colour {
            let hex = colour.get_ref().strip_prefix('#').unwrap_or_default();
            if hex.len() != 6 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
                self.wrong("brand.colour", colour, "a colour is written #rrggbb");
            }
        }
        let support = brand.support.get_ref();
        if support.email.is_none() && support.url.is_none() {
            self.wrong(
                "brand.support",
                &brand.support,
                "an email or a url is needed: people must reach somebody",
            );
        }
        if let Some(publisher) = &brand.publisher {
            self.text_of("brand.publisher", publisher, 100, sense::name);
        }
        Brand {
            name: brand.name.into_inner(),
            logo: brand.logo.and_then(|logo| self.https("brand.logo", &logo)),
            colour: brand.colour.map(Spanned::into_inner),
            customer_word: brand.customer_word.into_inner(),
            support: self.contact("brand.support", brand.support.into_inner()),
            publisher: brand.publisher.map(Spanned::into_inner),
            security: self.contact("brand.security", brand.security),
        }
    }

    fn contact(&mut self, field: &str, contact: SupportTable) -> Support {
        if let Some(email) = &contact.email
            && let Some(what) = sense::email(email.get_ref())
        {
            self.wrong(format!("{field}.email"), email, what);
        }
        Support {
            url: contact.url.and_then(|url| self.https(&format!("{field}.url"), &url)),
            email: contact.email.map(Spanned::into_inner),
        }
    }

    fn app(&mut self, index: usize, app: AppTable) -> App {
        let field = |name: &str| format!("apps[{index}].{name}");
        self.text_of(&field("consumer_key"), &app.consumer_key, 300, |key| {
            sense::token(key).or_else(|| sense::consumer_key(key))
        });
        self.text_of(&field("secret"), &app.secret, 500, |name| {
            sense::token(name).or_else(|| sense::secret_name(name))
        });
        if !app.scopes.get_ref().iter().any(|scope| {
            matches!(scope.as_str(), "refresh_token" | "offline_access") || types::is_placeholder(scope)
        }) {
            let what =
                "refresh_token (or offline_access) is needed: without it every connection ends within hours";
            self.wrong(field("scopes"), &app.scopes, what);
        }
        for scope in app.scopes.get_ref().iter().filter(|scope| !types::is_placeholder(scope)) {
            if let Some(what) = sense::scope(scope) {
                self.wrong(field("scopes"), &app.scopes, what);
            } else if let Some(what) = sense::unknown_scope(scope) {
                let line = line_of(self.text, app.scopes.span().start);
                self.warnings.push(FieldError { line, field: field("scopes"), what });
            }
        }
        if app.names.get_ref().is_empty() || app.names.get_ref().iter().any(|name| name.trim().is_empty()) {
            let what = "the name by which an admin finds the app in Setup is needed";
            self.wrong(field("names"), &app.names, what);
        }
        for what in app.names.get_ref().iter().filter_map(|name| sense::name(name)) {
            self.wrong(field("names"), &app.names, what);
        }
        for (list, name) in [(&app.scopes, "scopes"), (&app.names, "names")] {
            if let Some(twice) = sense::listed_twice(list.get_ref()) {
                self.wrong(field(name), list, format!("{twice:?} is listed twice"));
            }
        }
        let minutes = *app.access_token_minutes.get_ref();
        if !(15..=24 * 60).contains(&minutes) {
            let what = "15 to 1440 minutes: no org has a shorter session time-out";
            self.wrong(field("access_token_minutes"), &app.access_token_minutes, what);
        }
        let idle_days = *app.refresh_token_idle_days.get_ref();
        if !(1..=365).contains(&idle_days) {
            self.wrong(field("refresh_token_idle_days"), &app.refresh_token_idle_days, "1 to 365 days");
        }
        if app.login_hosts.get_ref().is_empty() {
            let what = "an empty list lets nobody sign in: name a place, or leave the field out to allow all";
            self.wrong(field("login_hosts"), &app.login_hosts, what);
        }
        let mut login_hosts: Vec<Environment> = Vec::new();
        for place in app.login_hosts.into_inner() {
            if !login_hosts.contains(&place) {
                login_hosts.push(place);
            }
        }
        App {
            packages: Packages {
                production: self.package(&field("packages.production"), app.packages.production, SANDBOXES),
                sandbox: self.package(&field("packages.sandbox"), app.packages.sandbox, PRODUCTION),
            },
            id: app.id,
            kind: app.kind,
            consumer_key: app.consumer_key.into_inner(),
            secret: app.secret.into_inner(),
            scopes: app.scopes.into_inner(),
            names: app.names.into_inner(),
            login_hosts,
            access_token_minutes: minutes,
            introspect: app.introspect,
            refresh_token_idle_days: idle_days,
            connections: app.connections,
            about: self.about(&field("about"), app.about),
            former_consumer_keys: Vec::new(),
        }
    }

    fn text_of(
        &mut self,
        field: &str,
        text: &Spanned<String>,
        most: usize,
        what_is_wrong: impl Fn(&str) -> Option<String>,
    ) {
        if text.get_ref().trim().is_empty() || text.get_ref().len() > most {
            self.wrong(field, text, format!("1 to {most} bytes are needed"));
        } else if let Some(what) = what_is_wrong(text.get_ref()) {
            self.wrong(field, text, what);
        }
    }
}

#[cfg(test)]
mod tests;
