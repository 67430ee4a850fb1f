//! All findings of a file at once, and a finding for every field.

use super::*;

/// The findings for a file with these changes.
fn errors_with(changes: &[(&str, &str)]) -> String {
    let text = changes.iter().fold(GOOD.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    });
    errors_of(&text)
}

#[test]
fn wrong_element_hides_no_other_finding() {
    let errors = errors_with(&[
        ("[\"api\", \"refresh_token\"]", "[\"API\", 7, true, \"refresh_token\"]"),
        ("[\"https://app.fernway.example/salesforce/return\"]", "[\"https://*.x.example/b\", 7]"),
        ("[\"Fernway Sync\"]", "[\"Sync\", \"Sync\", 7]"),
    ]);
    for says in [
        "fernway.toml:3: return_addresses: wildcards match nothing",
        "fernway.toml:3: return_addresses[1]: invalid type",
        "apps[0].scopes: \"API\" is written api",
        "apps[0].scopes[1]: invalid type",
        "apps[0].scopes[2]: invalid type",
        "apps[0].names: \"Sync\" is listed twice",
        "apps[0].names[2]: invalid type",
    ] {
        assert!(errors.contains(says), "{says}\n{errors}");
    }
    assert_eq!(errors.lines().count(), 7, "{errors}");
}

#[test]
fn missing_fields_are_said_with_the_rest() {
    let errors = errors_with(&[
        ("id = \"fernway\"\n", ""),
        ("name = \"Fernway\"\n", ""),
        ("support = { email = \"help@fernway.example\" }\n", ""),
        ("#1f6f54", "green"),
        ("kind = \"connected_app\"\n", ""),
        ("secret = \"latchkey/dev/apps/fernway-sync\"\n", ""),
        ("\"api\"", "\"API\""),
    ]);
    for says in [
        "missing field `id`",
        "brand: missing field `name`",
        "brand: missing field `support`",
        "brand.colour: a colour is written",
        "apps[0]: missing field `kind`",
        "apps[0]: missing field `secret`",
        "apps[0].scopes: \"API\" is written api",
    ] {
        assert!(errors.contains(says), "{says}\n{errors}");
    }
    assert_eq!(errors.lines().count(), 7, "{errors}");
}

#[test]
fn unknown_tables_and_long_values_hide_no_other_finding() {
    let errors = errors_with(&[
        ("[[apps]]", "[brand.social]\nx = 1\n\n[[apps]]"),
        ("colour = \"#1f6f54\"", "colour = \"green\"\ncolours = [\n  \"a\",\n  \"b\",\n]"),
        (
            "[\"Fernway Sync\"]",
            "[\"Fernway Sync\"]\nnotes = \"\"\"\na\nb\n\"\"\"\nsecrets.next = \"x\"\nintrospect = 7",
        ),
        ("\"api\"", "\"API\""),
    ]);
    for says in [
        "brand.social: unknown field",
        "brand.colours: unknown field",
        "brand.colour: a colour is written",
        "apps[0].notes: unknown field",
        "apps[0].secrets: unknown field",
        "apps[0].introspect: invalid type",
        "apps[0].scopes: \"API\" is written api",
    ] {
        assert!(errors.contains(says), "{says}\n{errors}");
    }
    assert_eq!(errors.lines().count(), 7, "{errors}");
}

#[test]
fn whole_tables_of_a_wrong_type_hide_no_other_finding() {
    let errors = errors_of(
        "id = \"Fern way\"\nreturn_addresses = 7\nredeem = \"no\"\nbrand = \"Fernway\"\nbrand = 7\napps = [7, { id = \"a\" }]\napi_keys = [3]",
    );
    for says in [
        "fernway.toml:1: id: not a product id",
        "fernway.toml:2: return_addresses: invalid type",
        "fernway.toml:3: redeem: invalid type",
        "fernway.toml:4: brand: invalid type",
        "fernway.toml:5: duplicate key",
        "fernway.toml:6: apps[0]: invalid type",
        "fernway.toml:6: apps[1]: missing field `kind`",
        "fernway.toml:6: apps[1]: missing field `names`",
        "fernway.toml:7: api_keys[0]: invalid type",
    ] {
        assert!(errors.contains(says), "{says}\n{errors}");
    }
    assert!(!errors.contains("x-"), "a placeholder is never reported: {errors}");
}

#[test]
fn every_field_is_checked_for_sense() {
    const HASH: &str = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
    let names = "names = [\"Fernway Sync\"]";
    let key = |id: &str, hash: &str| format!("[[api_keys]]\nid = \"{id}\"\nhash = \"{hash}\"\n\n[[apps]]");
    let package = |link: &str| format!("{names}\npackages = {{ production = \"{link}\" }}");
    let back = "https://app.fernway.example/salesforce/return";
    let other = format!(
        "{names}\n\n[[apps]]\nid = \"two\"\nkind = \"connected_app\"\nconsumer_key = \"3MVG9\"\nsecret = \"latchkey/two\"\nscopes = [\"refresh_token\"]\n{names}"
    );
    for (change, to, says) in [
        ("[[apps]]", key("k1\\u200b", HASH), "api_keys[0].id: it has an invisible character"),
        ("[[apps]]", key("k 1", HASH), "api_keys[0].id: it has a space"),
        ("[[apps]]", key(" ", HASH), "api_keys[0].id: 1 to 40 bytes"),
        ("[[apps]]", key(&"k".repeat(41), HASH), "api_keys[0].id: 1 to 40 bytes"),
        ("[[apps]]", key("k_1", HASH), "api_keys[0].id: a key's id is unique"),
        ("[[apps]]", key("k1", &" ".repeat(43)), "api_keys[0].hash: not the digest"),
        (
            names,
            package("https://login.salesforce.com/packaging/x\\u200b"),
            "packages.production: it has an invisible",
        ),
        (
            names,
            package("https://*.my.salesforce.com/packaging/x"),
            "packages.production: wildcards match nothing",
        ),
        (
            names,
            package("https://{org}.my.salesforce.com/packaging/x"),
            "packages.production: templates match nothing",
        ),
        (names, package("https://login.salesforce.com"), "packages.production: an install link"),
        (names, package("https://login.salesforce.com/?x=1"), "packages.production: an install link"),
        (
            "help@fernway.example",
            "help@*.fernway.example".into(),
            "brand.support.email: not an e-mail address",
        ),
        (back, "https://{tenant}.fernway.example/b".into(), "return_addresses: templates match nothing"),
        (back, "https://app.fernway.example/{tenant}/b".into(), "return_addresses: templates match nothing"),
        (
            names,
            format!("{names}\naccess_token_minutes = 14"),
            "apps[0].access_token_minutes: 15 to 1440 minutes",
        ),
        (names, other, "apps[1].consumer_key: app sync has this consumer key"),
    ] {
        let errors = errors_with(&[(change, &to)]);
        assert!(errors.contains(says) && errors.lines().count() == 1, "{says}: {errors}");
    }
    assert!(
        read_product(Path::new("fernway.toml"), &GOOD.replace("[[apps]]", &key("2026-11.k1", HASH))).is_ok()
    );
}
