//! The normal form that evidence and the catalogue's phrases are compared in. The build script shares this file.
//!
//! Words in lower case, one space apart; apostrophes vanish and everything else that is neither letter nor digit
//! parts words. So `OAUTH_APP_BLOCKED`, `oauth-app-blocked` and `OAuth App blocked.` are one text, and `+`, `%20`
//! decoded, line breaks and quotation marks make no difference.

/// A word of a text, and the bytes of the text that it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// The words of a text, in order. Linear in the text.
pub(crate) fn words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut open: Option<Word> = None;
    for (at, c) in text.char_indices() {
        if matches!(c, '\'' | '’' | '‘' | '`' | '´' | 'ʼ') {
            continue;
        }
        if c.is_alphanumeric() {
            let word = open.get_or_insert_with(|| Word { text: String::new(), start: at, end: at });
            word.text.extend(c.to_lowercase());
            word.end = at + c.len_utf8();
        } else if let Some(word) = open.take() {
            words.push(word);
        }
    }
    words.extend(open);
    for word in &mut words {
        respell(&mut word.text);
    }
    words
}

/// A text in normal form.
pub(crate) fn normal(text: &str) -> String {
    words(text).into_iter().map(|word| word.text).collect::<Vec<_>>().join(" ")
}

/// Salesforce writes both "occured" and "occurred", and people write British as well as American.
fn respell(word: &mut String) {
    if let Some(rest) = word.strip_prefix("occu")
        && rest.trim_start_matches('r') == "ed"
    {
        "occured".clone_into(word);
    }
    for (british, american) in [("organis", "organiz"), ("authoris", "authoriz"), ("licence", "license")] {
        if let Some(rest) = word.strip_prefix(british) {
            *word = format!("{american}{rest}");
        }
    }
}
