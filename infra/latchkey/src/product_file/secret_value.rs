//! Tells a secret's value from its name.

/// Salesforce's consumer secrets are 64 hexadecimal digits or, of old apps, up to 20 decimal ones. Other random values
/// change between letters, cases and digits every two or three characters, which words do not. An ARN is never a value.
pub(super) fn looks_like_a_value(name: &str) -> bool {
    if name.starts_with("arn:") {
        return false;
    }
    let is_number = name.len() >= 10 && name.bytes().all(|b| b.is_ascii_digit());
    // A Salesforce refresh token.
    if is_number || name.starts_with("5Aep") {
        return true;
    }
    let segments = || name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|segment| !segment.is_empty());
    // Salesforce's consumer secret, or a digest. A UUID has shorter parts, and may be a part of a name.
    let is_hex = |segment: &str| segment.len() >= 32 && segment.bytes().all(|b| b.is_ascii_hexdigit());
    // Keys of this product, of webhooks and of AWS's kin; JSON Web Tokens; session ids.
    let has_prefix = ["lk_", "whsec_", "sk_", "eyJ"].iter().any(|prefix| name.starts_with(prefix))
        || (name.starts_with("00D") && name.contains('!'));
    if has_prefix || segments().any(is_hex) || segments().any(is_of_one_case) {
        return true;
    }
    let is_random = |length: usize, runs: usize| length < 3 * runs;
    let is_random_segment =
        |segment: &str| segment.len() >= 16 && is_random(segment.len(), runs_of(segment).len());
    // A value in short groups, as a UUID: no group has a word in it.
    let runs: Vec<&str> = segments().flat_map(runs_of).collect();
    let length: usize = runs.iter().map(|run| run.len()).sum();
    let has_word = runs.iter().any(|run| run.len() >= 4 && !run.starts_with(|c: char| c.is_ascii_digit()));
    segments().any(is_random_segment) || (length >= 20 && !has_word && is_random(length, runs.len()))
}

/// Whether a segment is random letters of one case and digits: base32 and its kin. Words have vowels, and few numbers.
fn is_of_one_case(segment: &str) -> bool {
    const MIN_LENGTH: usize = 20;
    const MAX_CONSONANTS: usize = 5;
    const MAX_NUMBERS: usize = 2;
    let has = |class: fn(&u8) -> bool| segment.bytes().any(|b| class(&b));
    if segment.len() < MIN_LENGTH || (has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase)) {
        return false;
    }
    let is_digit = |c: char| c.is_ascii_digit();
    let numbers = segment.split(|c| !is_digit(c)).filter(|number| !number.is_empty()).count();
    let consonants = segment.split(|c: char| is_digit(c) || "aeiouyAEIOUY".contains(c)).map(str::len).max();
    numbers > MAX_NUMBERS || consonants > Some(MAX_CONSONANTS)
}

/// The words and numbers of a text in camel case: `fernwaySync2` has three.
fn runs_of(text: &str) -> Vec<&str> {
    let kind = |b: u8| (b.is_ascii_digit(), b.is_ascii_uppercase());
    let bytes = text.as_bytes();
    let mut runs = Vec::new();
    let mut start = 0;
    for at in 1..bytes.len() {
        let is_capitalized =
            at == start + 1 && bytes[at - 1].is_ascii_uppercase() && bytes[at].is_ascii_lowercase();
        if kind(bytes[at - 1]) != kind(bytes[at]) && !is_capitalized {
            runs.push(&text[start..at]);
            start = at;
        }
    }
    runs.push(&text[start..]);
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The next random number of a sequence (SplitMix64).
    fn next(state: &mut u64) -> usize {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        usize::try_from((mixed ^ (mixed >> 27)) >> 33).expect("31 bits")
    }

    fn random(alphabet: &str, length: usize, state: &mut u64) -> String {
        let bytes = alphabet.as_bytes();
        (0..length).map(|_| char::from(bytes[next(state) % bytes.len()])).collect()
    }

    #[test]
    fn random_values_are_no_names() {
        const HEX: &str = "0123456789abcdef";
        const BASE32: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        const LOWER: &str = "abcdefghijklmnopqrstuvwxyz0123456789";
        let mut state = 18;
        for _ in 0..1_000 {
            for length in [32, 40, 64] {
                let value = random(HEX, length, &mut state);
                assert!(looks_like_a_value(&value), "{value}");
                assert!(looks_like_a_value(&value.to_uppercase()), "{value}");
            }
        }
        for (alphabet, length) in [(BASE32, 32), (LOWER, 32)] {
            let all = (0..1_000).map(|_| random(alphabet, length, &mut state));
            let missed = all.filter(|value| !looks_like_a_value(value)).count();
            assert!(missed <= 20, "{missed} of 1,000: {alphabet}");
        }
        for name in [
            "latchkey/fernway/production/consumer-secret",
            "FERNWAYSYNCPRODUCTIONSECRET",
            "fernwaysyncproductionsecret2",
            "fernway/5f1d2a3b-4c5d-4e7f-8a9b-0c1d2e3f4a5b",
            "skyline/secret",
        ] {
            assert!(!looks_like_a_value(name), "{name}");
        }
    }
}
