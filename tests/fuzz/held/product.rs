//! What holds of any text that is given as a product file.

use std::path::Path;

use latchkey::read_product;
use url::Url;

/// Maximum bytes of an item in DynamoDB.
const MAX_ITEM: usize = 400 * 1024;

/// Reads the bytes as a product file. What is accepted makes sense; what is refused is explained.
pub(crate) fn holds(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().count().max(1);
    match read_product(Path::new("any.toml"), &text) {
        Err(errors) => {
            let said = errors.to_string();
            assert!(said.lines().all(|line| line.starts_with("any.toml")), "{said}");
            for line in said.lines() {
                let number = line.split(':').nth(1).and_then(|number| number.parse::<usize>().ok());
                assert!(number.is_none_or(|number| number <= lines + 1), "{line} of {lines}");
            }
        }
        Ok(product) => {
            assert!(!product.apps.is_empty() && !product.return_addresses.is_empty());
            let stored = serde_json::to_string(&product).expect("an item");
            assert!(stored.len() <= MAX_ITEM);
            assert_eq!(serde_json::from_str::<domain::Product>(&stored).expect("it is read again"), product);
            for address in &product.return_addresses {
                assert_eq!(Url::parse(address.as_str()).expect("an address"), *address);
                assert!(!address.as_str().contains('*') && address.fragment().is_none());
            }
            for app in &product.apps {
                let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
                assert!(plain(&app.consumer_key) && plain(&app.secret), "{app:?}");
                assert!(!app.names.is_empty() && !app.login_hosts.is_empty());
                assert!(app.scopes.iter().all(|scope| plain(scope)));
                assert!(app.access_token_life().is_positive() && app.keep_alive().is_positive());
            }
        }
    }
}
