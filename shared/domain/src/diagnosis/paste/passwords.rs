//! Takes out what somebody calls a password, in the languages that Salesforce's users use most.
//!
//! A label and a separator (`Passwort: …`, `pw=…`) are enough. Of prose only "my password is …" is: in "your password
//! is expired" nothing is secret, so there the value must have a digit or a sign.

use super::secrets::REMOVED;

/// What a password is called. Lower case.
const LABELS: [&str; 21] = [
    "password",
    "passwort",
    "kennwort",
    "passcode",
    "passphrase",
    "contraseña",
    "contrasena",
    "clave",
    "mot de passe",
    "senha",
    "palavra-passe",
    "wachtwoord",
    "lösenord",
    "adgangskode",
    "hasło",
    "пароль",
    "パスワード",
    "密码",
    "密碼",
    "비밀번호",
    "pw",
];

/// What stands between a label and its value in prose.
const VERBS: [&str; 9] = [" is ", " ist ", " es ", " est ", " é ", " è ", " är ", "は", "是"];

/// The text without passwords. Doing it again changes nothing.
pub(super) fn remove(text: &str) -> String {
    let lower: Vec<(usize, char)> =
        text.char_indices().map(|(at, c)| (at, c.to_lowercase().next().unwrap_or(c))).collect();
    let byte = |index: usize| lower.get(index).map_or(text.len(), |(at, _)| *at);
    let (mut out, mut at, mut copied) = (String::with_capacity(text.len()), 0, 0);
    while at < lower.len() {
        match value_after_label(&lower, at) {
            Some((start, end)) if !text[byte(start)..].starts_with(REMOVED) => {
                out.push_str(&text[copied..byte(start)]);
                out.push_str(REMOVED);
                copied = byte(end);
                at = end;
            }
            _ => at += 1,
        }
    }
    out.push_str(&text[copied..]);
    out
}

/// Where the value begins and ends whose label begins here.
fn value_after_label(text: &[(usize, char)], at: usize) -> Option<(usize, usize)> {
    let label = LABELS.iter().find(|label| starts_with(text, at, label))?;
    let is_letter = |index: usize| text.get(index).is_some_and(|(_, c)| c.is_alphanumeric());
    // A word of its own: "pw" stands in many others. Languages without blanks have no such border.
    if label.is_ascii() && at > 0 && is_letter(at - 1) {
        return None;
    }
    let after = at + label.chars().count();
    let mut start = skip(text, after, |c| c == '"' || c == '\'' || c == ' ' || c == ']');
    let assigned = text.get(start).is_some_and(|(_, c)| matches!(c, ':' | '=' | '：' | '＝'));
    let is_mine = ["my ", "mein ", "mi ", "mon ", "minha ", "mio "].iter().any(|mine| {
        at.checked_sub(mine.chars().count()).is_some_and(|before| starts_with(text, before, mine))
    });
    if assigned {
        start += 1;
    } else {
        let verb = VERBS.iter().find(|verb| starts_with(text, after, verb))?;
        start = after + verb.chars().count();
    }
    let start = skip(text, start, |c| matches!(c, ' ' | '"' | '\'' | '>' | '「'));
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '&' | '」' | ',' | ';');
    let end = (start..text.len()).find(|index| ends(text[*index].1)).unwrap_or(text.len());
    let tells = text[start..end].iter().map(|(_, c)| *c).collect::<String>();
    let tells = tells.trim_end_matches(['.', '!', '?', ')']);
    let odd =
        tells.chars().any(|c| c.is_ascii_digit() || (c.is_ascii_punctuation() && c != '-' && c != '\''));
    (start < end && (assigned || is_mine || odd)).then_some((start, end))
}

fn starts_with(text: &[(usize, char)], at: usize, word: &str) -> bool {
    let mut index = at;
    word.chars().all(|wanted| {
        let found = text.get(index).is_some_and(|(_, c)| *c == wanted);
        index += 1;
        found
    })
}

fn skip(text: &[(usize, char)], from: usize, over: impl Fn(char) -> bool) -> usize {
    (from..text.len()).find(|index| !over(text[*index].1)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_go_in_every_language() {
        for (pasted, kept) in [
            ("un=uma@acme.example&pw=Summer2026!&Login=x", "un=uma@acme.example&pw=[removed]&Login=x"),
            ("Passwort: geheim", "Passwort: [removed]"),
            ("Contraseña : secreta1", "Contraseña : [removed]"),
            ("mot de passe = azerty", "mot de passe = [removed]"),
            ("Senha: segredo", "Senha: [removed]"),
            ("Wachtwoord: geheim", "Wachtwoord: [removed]"),
            ("パスワード：himitsu", "パスワード：[removed]"),
            ("密码: mimi", "密码: [removed]"),
            ("비밀번호: bimil", "비밀번호: [removed]"),
            ("Пароль: тайна", "Пароль: [removed]"),
            ("my password is hunter", "my password is [removed]"),
            ("the password is Summer2026!", "the password is [removed]"),
            (r#"<input name="pw" value="x">"#, r#"<input name="pw" value="x">"#),
        ] {
            assert_eq!(remove(pasted), kept);
            assert_eq!(remove(kept), kept);
        }
    }

    #[test]
    fn sentences_about_passwords_stay() {
        for sentence in [
            "Your password is expired. Change it.",
            "Invalid username, password, security token; or user locked out.",
            "Failed: Invalid Password",
            "password reset required",
            "el usuario olvidó la contraseña",
        ] {
            assert_eq!(remove(sentence), sentence);
        }
    }
}
