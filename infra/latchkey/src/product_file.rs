//! Product files: one TOML file a product. Everything that is wrong with a file is said at once, each with
//! file, line and field.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use domain::{
    App, AppId, AppKind, Brand, Environment, Product, ProductId,
    product::{ApiKeyDigest, Packages, Support},
    secret::Hash,
};
use salesforce::Hosts;
use serde::Deserialize;
use toml::Spanned;
use url::Url;

/// What is wrong with a product file.
#[derive(Debug, thiserror::Error)]
pub struct FileErrors {
    file: PathBuf,
    errors: Vec<FieldError>,
}

#[derive(Debug)]
struct FieldError {
    /// Counted from 1; 0 where the whole file is meant.
    line: usize,
    field: String,
    what: String,
}

impl fmt::Display for FileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, FieldError { line, field, what }) in self.errors.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{}:{line}: ", self.file.display())?;
            if !field.is_empty() {
                write!(f, "{field}: ")?;
            }
            f.write_str(what)?;
        }
        Ok(())
    }
}

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
}

#[derive(Debug, Deserialize)]
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
    login_hosts: Vec<Environment>,
    #[serde(default = "shortest_session")]
    access_token_minutes: Spanned<u32>,
    #[serde(default)]
    introspect: bool,
    #[serde(default = "partner_rule")]
    refresh_token_idle_days: Spanned<u32>,
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

fn everywhere() -> Vec<Environment> {
    vec![Environment::Production, Environment::Sandbox, Environment::MyDomain]
}

/// 15 minutes: the shortest session time-out that an org can set.
fn shortest_session() -> Spanned<u32> {
    Spanned::new(0..0, 15)
}

/// 30 days: the idle limit under Salesforce's partner rules.
fn partner_rule() -> Spanned<u32> {
    Spanned::new(0..0, 30)
}

/// Reads every `*.toml` of a folder, in the order of their names. Two files with one product are an error.
pub fn read_products(folder: &Path) -> Result<Vec<Product>, FileErrors> {
    let whole = |file: &Path, what: String| FileErrors {
        file: file.to_owned(),
        errors: vec![FieldError { line: 0, field: String::new(), what }],
    };
    let entries =
        std::fs::read_dir(folder).map_err(|error| whole(folder, format!("cannot be read: {error}")))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    let mut products: Vec<Product> = Vec::new();
    for file in &files {
        let text =
            std::fs::read_to_string(file).map_err(|error| whole(file, format!("cannot be read: {error}")))?;
        let product = read_product(file, &text)?;
        if products.iter().any(|other| other.id == product.id) {
            return Err(whole(
                file,
                format!("product {} stands in another file of this folder too", product.id),
            ));
        }
        products.push(product);
    }
    if products.is_empty() {
        return Err(whole(folder, "no product file (*.toml) is here".into()));
    }
    Ok(products)
}

/// Reads one product file.
pub fn read_product(file: &Path, text: &str) -> Result<Product, FileErrors> {
    let errors = |errors| FileErrors { file: file.to_owned(), errors };
    let deserializer =
        toml::Deserializer::parse(text).map_err(|error| errors(vec![of_toml(text, "", &error)]))?;
    let table: ProductFile = serde_path_to_error::deserialize(deserializer).map_err(|error| {
        // The span's carrier stands in the path; the field's own name is what a person knows.
        let field = error.path().to_string().replace(".$__serde_spanned_private_value", "");
        errors(vec![of_toml(text, if field == "." { "" } else { &field }, error.inner())])
    })?;
    let mut check = Check { text, errors: Vec::new() };
    let product = check.product(table);
    check.errors.sort_by_key(|error| error.line);
    if check.errors.is_empty() { Ok(product) } else { Err(errors(check.errors)) }
}

fn of_toml(text: &str, field: &str, error: &toml::de::Error) -> FieldError {
    let line = error.span().map_or(0, |span| line_of(text, span.start));
    FieldError { line, field: field.to_owned(), what: error.message().to_owned() }
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1
}

/// Reads on after an error, so that a file's errors are all said at once.
struct Check<'a> {
    text: &'a str,
    errors: Vec<FieldError>,
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
        let return_addresses = file
            .return_addresses
            .into_inner()
            .iter()
            .filter_map(|address| self.return_address(address))
            .collect();
        if file.apps.get_ref().is_empty() {
            self.wrong("apps", &file.apps, "at least one app is needed");
        }
        let mut apps: Vec<App> = Vec::new();
        for (index, app) in file.apps.into_inner().into_iter().enumerate() {
            if apps.iter().any(|other| other.id == app.get_ref().id) {
                self.wrong(format!("apps[{index}].id"), &app, "another app of this product has this id");
            }
            apps.push(self.app(index, app.into_inner()));
        }
        let mut api_keys: Vec<ApiKeyDigest> = Vec::new();
        for (index, key) in file.api_keys.into_iter().enumerate() {
            let id = key.id.get_ref();
            if id.is_empty() || id.contains('_') || api_keys.iter().any(|other| other.id == *id) {
                let what = "a key's id is unique in its product, not empty, and has no underscore";
                self.wrong(format!("api_keys[{index}].id"), &key.id, what);
            }
            if key.hash.get_ref().as_str().len() != 43 {
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
        Product { brand: self.brand(file.brand), id: file.id, return_addresses, api_keys, apps, redeem: true }
    }

    fn brand(&mut self, brand: BrandTable) -> Brand {
        self.text_of("brand.name", &brand.name, 60);
        self.text_of("brand.customer_word", &brand.customer_word, 30);
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
        let support = brand.support.into_inner();
        if let Some(email) = &support.email
            && !email
                .get_ref()
                .split_once('@')
                .is_some_and(|(name, host)| !name.is_empty() && host.contains('.'))
        {
            self.wrong("brand.support.email", email, "not an e-mail address");
        }
        Brand {
            name: brand.name.into_inner(),
            logo: brand.logo.and_then(|logo| self.https("brand.logo", &logo)),
            colour: brand.colour.map(Spanned::into_inner),
            customer_word: brand.customer_word.into_inner(),
            support: Support {
                url: support.url.and_then(|url| self.https("brand.support.url", &url)),
                email: support.email.map(Spanned::into_inner),
            },
        }
    }

    fn app(&mut self, index: usize, app: AppTable) -> App {
        let field = |name: &str| format!("apps[{index}].{name}");
        self.text_of(&field("consumer_key"), &app.consumer_key, 300);
        self.text_of(&field("secret"), &app.secret, 500);
        if !app
            .scopes
            .get_ref()
            .iter()
            .any(|scope| matches!(scope.as_str(), "refresh_token" | "offline_access"))
        {
            let what =
                "refresh_token (or offline_access) is needed: without it every connection ends within hours";
            self.wrong(field("scopes"), &app.scopes, what);
        }
        if app.scopes.get_ref().iter().any(|scope| scope.is_empty() || scope.contains(char::is_whitespace)) {
            self.wrong(field("scopes"), &app.scopes, "each scope is a text of its own, without spaces");
        }
        if app.names.get_ref().first().is_none_or(String::is_empty) {
            let what = "the name by which an admin finds the app in Setup is needed";
            self.wrong(field("names"), &app.names, what);
        }
        let minutes = *app.access_token_minutes.get_ref();
        if !(2..=24 * 60).contains(&minutes) {
            self.wrong(field("access_token_minutes"), &app.access_token_minutes, "2 to 1440 minutes");
        }
        let idle_days = *app.refresh_token_idle_days.get_ref();
        if !(1..=365).contains(&idle_days) {
            self.wrong(field("refresh_token_idle_days"), &app.refresh_token_idle_days, "1 to 365 days");
        }
        let mut login_hosts = app.login_hosts;
        login_hosts.dedup();
        if login_hosts.is_empty() {
            login_hosts = everywhere();
        }
        App {
            packages: Packages {
                production: self.package(&field("packages.production"), app.packages.production),
                sandbox: self.package(&field("packages.sandbox"), app.packages.sandbox),
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
        }
    }

    fn text_of(&mut self, field: &str, text: &Spanned<String>, most: usize) {
        if text.get_ref().trim().is_empty() || text.get_ref().len() > most {
            self.wrong(field, text, format!("1 to {most} bytes are needed"));
        }
    }

    fn https(&mut self, field: &str, address: &Spanned<String>) -> Option<Url> {
        let url = Url::parse(address.get_ref()).ok().filter(|url| url.scheme() == "https");
        if url.is_none() {
            self.wrong(field, address, "an https address is needed");
        }
        url
    }

    /// Browsers are sent back to these exact addresses, so each is written as it is compared.
    fn return_address(&mut self, address: &Spanned<String>) -> Option<Url> {
        let Ok(url) = Url::parse(address.get_ref()) else {
            self.wrong("return_addresses", address, "not an address");
            return None;
        };
        let local = url.host_str().is_some_and(|host| host == "localhost" || host.ends_with(".localhost"));
        if url.scheme() != "https" && !(url.scheme() == "http" && local) {
            self.wrong("return_addresses", address, "an https address is needed (http only for localhost)");
        } else if url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
            self.wrong(
                "return_addresses",
                address,
                "an address without a fragment and without a user name is needed",
            );
        } else if url.as_str() != address.get_ref() {
            let what = format!("addresses are compared character for character: write it as {url}");
            self.wrong("return_addresses", address, what);
        } else {
            return Some(url);
        }
        None
    }

    fn package(&mut self, field: &str, link: Option<Spanned<String>>) -> Option<Url> {
        let link = link?;
        let url = Url::parse(link.get_ref()).ok();
        let own = url.as_ref().is_some_and(|url| {
            let local = url.host_str().is_some_and(|host| host.ends_with(".localhost"));
            local || Hosts::salesforce().own(url.as_str()).is_some()
        });
        if own {
            return url;
        }
        self.wrong(
            field,
            &link,
            "an install link of Salesforce's is needed: https://login.salesforce.com/packaging/…",
        );
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r##"
id = "fernway"
return_addresses = ["https://app.fernway.example/salesforce/return"]

[brand]
name = "Fernway"
colour = "#1f6f54"
support = { email = "help@fernway.example" }

[[apps]]
id = "sync"
kind = "connected_app"
consumer_key = "3MVG9"
secret = "latchkey/dev/apps/fernway-sync"
scopes = ["api", "refresh_token"]
names = ["Fernway Sync"]
"##;

    fn errors_of(text: &str) -> String {
        read_product(Path::new("fernway.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn a_good_file_is_read_with_its_defaults() {
        let product = read_product(Path::new("fernway.toml"), GOOD).unwrap();
        assert!(product.redeem);
        assert_eq!(product.brand.customer_word, "workspace");
        assert_eq!(product.apps[0].access_token_minutes, 15);
        assert_eq!(product.apps[0].login_hosts.len(), 3);
    }

    #[test]
    fn switching_redeeming_off_is_an_error_that_names_the_change() {
        for value in ["false", "true"] {
            let errors = errors_of(
                &GOOD.replace("id = \"fernway\"\n", &format!("id = \"fernway\"\nredeem = {value}\n")),
            );
            assert!(
                errors.starts_with("fernway.toml:2: redeem: redeeming can't be switched off"),
                "{errors}"
            );
            assert!(errors.contains("Delete this line"), "{errors}");
        }
    }

    #[test]
    fn what_is_no_toml_or_of_the_wrong_type_is_named_with_its_line() {
        insta::assert_snapshot!(errors_of("id = "), @"fernway.toml:1: string values must be quoted, expected literal string");
        assert_eq!(
            errors_of(&GOOD.replace("\"connected_app\"", "\"connected\"")),
            "fernway.toml:12: apps[0].kind: unknown variant `connected`, expected `connected_app` or `external_client_app`"
        );
        assert_eq!(
            errors_of(&GOOD.replace("id = \"sync\"", "id = \"Sync!\"")),
            "fernway.toml:11: apps[0].id: not an app id (a-z, 0-9 and hyphens, at most 40)"
        );
        assert_eq!(
            errors_of(&GOOD.replace("name = \"Fernway\"", "nmae = \"Fernway\"")),
            "fernway.toml:6: brand.nmae: unknown field `nmae`, expected one of `name`, `logo`, `colour`, `customer_word`, `support`"
        );
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let bad = GOOD
            .replace("https://app.fernway.example/salesforce/return", "http://app.fernway.example")
            .replace("#1f6f54", "green")
            .replace("[\"api\", \"refresh_token\"]", "[\"api\"]");
        insta::assert_snapshot!(errors_of(&bad), @r"
        fernway.toml:3: return_addresses: an https address is needed (http only for localhost)
        fernway.toml:7: brand.colour: a colour is written #rrggbb
        fernway.toml:15: apps[0].scopes: refresh_token (or offline_access) is needed: without it every connection ends within hours
        ");
    }

    #[test]
    fn an_address_is_written_as_it_is_compared() {
        insta::assert_snapshot!(
            errors_of(&GOOD.replace("https://app.fernway.example/salesforce/return", "https://app.fernway.example")),
            @"fernway.toml:3: return_addresses: addresses are compared character for character: write it as https://app.fernway.example/"
        );
    }
}
