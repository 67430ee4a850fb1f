//! Takes out what somebody calls a password, in the languages that Salesforce's users use most.
//!
//! A label and a separator (`Passwort: …`, `pw=…`) are enough. Of prose only "my password is …" is: in "your password
//! is expired" nothing is secret, so there the value must have a digit or a sign. A security token, a one-time code or a
//! session id that prose names is treated in the same way.

use super::super::catalogue::telling;
use super::super::words::normal;
use super::secrets::REMOVED;

/// What a password is called. Lower case.
const PASSWORDS: [&str; 45] = [
    "passwords",
    "password",
    "passwort",
    "kennwort",
    "passcode",
    "passphrase",
    "passwd",
    "passord",
    "pass",
    "contraseña",
    "contrasena",
    "clave",
    "mot de passe",
    "mdp",
    "code confidentiel",
    "senha",
    "palavra-passe",
    "palavra passe",
    "parola d'ordine",
    "parola",
    "wachtwoord",
    "lösenord",
    "losenord",
    "adgangskode",
    "kodeord",
    "salasana",
    "hasło",
    "haslo",
    "heslo",
    "jelszó",
    "şifre",
    "sifre",
    "пароль",
    "κωδικός πρόσβασης",
    "סיסמה",
    "كلمة المرور",
    "mật khẩu",
    "kata sandi",
    "รหัสผ่าน",
    "パスワード",
    "密码",
    "密碼",
    "口令",
    "비밀번호",
    "암호",
];

/// Other secrets that people name, and short names of passwords: they need a border on both sides.
const OTHERS: [&str; 42] = [
    "pw",
    "pwd",
    "psw",
    "pswd",
    "pin",
    "security token",
    "access token",
    "refresh token",
    "sicherheitstoken",
    "token de seguridad",
    "jeton de sécurité",
    "token di sicurezza",
    "token de segurança",
    "beveiligingstoken",
    "セキュリティトークン",
    "安全令牌",
    "安全性權杖",
    "보안 토큰",
    "client secret",
    "consumer secret",
    "api key",
    "api-key",
    "session id",
    "session-id",
    "sessionid",
    "sid cookie",
    "session cookie",
    "cookie sid",
    "sid",
    "verification code",
    "security code",
    "login code",
    "one-time code",
    "one time code",
    "one-time password",
    "bestätigungscode",
    "verifizierungscode",
    "código de verificación",
    "code de vérification",
    "確認コード",
    "验证码",
    "인증 코드",
];

/// What stands between a label and its value in prose.
const VERBS: [&str; 28] = [
    " is ", " was ", " ist ", " lautet ", " war ", " es ", " era ", " est ", " était ", " é ", " è ", " är ",
    " er ", " on ", " to ", " jest ", " — ", " – ", " - ", " -> ", " → ", " => ", " | ", "は", "是", "는 ",
    "은 ", " value ",
];

/// What makes a password of prose one's own.
const MINE: [&str; 22] = [
    "my ", "our ", "mein ", "meine ", "unser ", "mi ", "nuestra ", "mon ", "notre ", "minha ", "nossa ",
    "mio ", "mia ", "mijn ", "ons ", "mitt ", "moje ", "мой ", "私の", "我的", "내 ", "제 ",
];

/// The text without passwords. Doing it again changes nothing.
pub(super) fn remove(text: &str) -> String {
    let lower: Vec<(usize, char)> =
        text.char_indices().map(|(at, c)| (at, c.to_lowercase().next().unwrap_or(c))).collect();
    let byte = |index: usize| lower.get(index).map_or(text.len(), |(at, _)| *at);
    let (mut out, mut at, mut copied) = (String::with_capacity(text.len()), 0, 0);
    while at < lower.len() {
        match value_after_label(&lower, at, |start, end| &text[byte(start)..byte(end)]) {
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
fn value_after_label<'a>(
    text: &[(usize, char)],
    at: usize,
    slice: impl Fn(usize, usize) -> &'a str,
) -> Option<(usize, usize)> {
    let is_letter = |index: usize| text.get(index).is_some_and(|(_, c)| c.is_alphanumeric());
    // Most characters of a text are in the middle of a word.
    if !is_letter(at) || (text[at].1.is_ascii() && at > 0 && is_letter(at - 1)) {
        return None;
    }
    let longest = |labels: &'static [&str]| {
        labels.iter().filter(|label| starts_with(text, at, label)).max_by_key(|label| label.len())
    };
    let password = longest(&PASSWORDS);
    let label = password.or_else(|| longest(&OTHERS))?;
    // A word of its own: "pw" stands in many others. Languages without blanks have no such border.
    if label.chars().all(|c| c.is_ascii() || !is_cjk(c)) && at > 0 && is_letter(at - 1) {
        return None;
    }
    let after = at + label.chars().count();
    let after = past_remark(text, after);
    let separator = skip(text, after, |c| matches!(c, '"' | '\'' | ' ' | ']' | '*' | '`' | '）'));
    let assigned = text.get(separator).is_some_and(|(_, c)| matches!(c, ':' | '=' | '：' | '＝'));
    let is_mine = MINE.iter().any(|mine| {
        at.checked_sub(mine.chars().count()).is_some_and(|before| {
            let is_word =
                before == 0 || !is_letter(before - 1) || mine.chars().all(|c| is_cjk(c) || c == ' ');
            is_word && starts_with(text, before, mine)
        })
    });
    let mut start = if assigned {
        separator + 1
    } else {
        let verb = VERBS.iter().find(|verb| starts_with(text, after, verb));
        match verb {
            Some(verb) => after + verb.chars().count(),
            // "my password Summer2026!"
            None if text.get(after).is_some_and(|(_, c)| *c == ' ') => after + 1,
            None => return None,
        }
    };
    let said = assigned || VERBS.iter().any(|verb| starts_with(text, after, verb));
    start = skip(text, start, |c| matches!(c, ' ' | '>' | '='));
    // The label stood on a line of its own.
    let next_line = assigned && text.get(start).is_some_and(|(_, c)| *c == '\n');
    if next_line {
        start = skip(text, start, |c| matches!(c, '\n' | ' '));
    }
    let quote = text.get(start).and_then(|(_, c)| closing(*c));
    let start = start + usize::from(quote.is_some());
    let end = match quote {
        // As much as one line holds: a quotation mark that is never closed hides nothing else.
        Some(quote) => (start..text.len()).find(|index| text[*index].1 == quote || text[*index].1 == '\n'),
        None => (start..text.len()).find(|index| ends(text[*index].1)),
    };
    let end = end.unwrap_or(text.len());
    let end = (start..end).rev().find(|index| text[*index].1 != ' ').map_or(start, |last| last + 1);
    let value = slice(start, end);
    if start >= end || telling(&normal(value)).is_some() {
        return None;
    }
    let tells = value.trim_end_matches(['.', '!', '?', ')']);
    let digit = tells.chars().any(|c| c.is_ascii_digit());
    let odd =
        digit || tells.chars().any(|c| c.is_ascii_punctuation() && !matches!(c, '-' | '\'' | '/' | '_'));
    let random = digit && tells.chars().count() >= 6 && tells.chars().any(char::is_alphabetic);
    let is_password = password.is_some() || matches!(*label, "pw" | "pwd" | "psw" | "pswd");
    let removed = match (assigned, said) {
        (true, _) if next_line => odd,
        (true, _) => is_password || quote.is_some() || odd,
        (false, true) => (is_mine && is_password) || odd,
        (false, false) => {
            (is_mine && odd && is_password) || (random && is_password && !is_word_with_year(tells))
        }
    };
    removed.then_some((start, end))
}

/// "(8 characters)", "*": what stands between a label and its colon.
fn past_remark(text: &[(usize, char)], after: usize) -> usize {
    const LONGEST: usize = 40;
    let open = skip(text, after, |c| c == ' ');
    if text.get(open).is_none_or(|(_, c)| *c != '(') {
        return after;
    }
    let close = (open..text.len().min(open + LONGEST)).find(|index| matches!(text[*index].1, ')' | '\n'));
    match close {
        Some(close) if text[close].1 == ')' => {
            let colon = skip(text, close + 1, |c| c == ' ');
            if text.get(colon).is_some_and(|(_, c)| matches!(c, ':' | '=' | '：')) {
                close + 1
            } else {
                after
            }
        }
        _ => after,
    }
}

/// "password v62.0", "password 2026-11-30": a version or a date is none.
fn is_word_with_year(text: &str) -> bool {
    text.chars().filter(|c| c.is_alphabetic()).count() <= 1
}

/// The mark that closes what this one opens.
fn closing(open: char) -> Option<char> {
    Some(match open {
        '"' | '\'' | '`' => open,
        '“' | '„' => '”',
        '‘' => '’',
        '«' => '»',
        '「' => '」',
        '『' => '』',
        _ => return None,
    })
}

fn ends(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '"' | '\'' | '<' | '&' | '」' | '』' | ',' | ';' | '”' | '»' | '。' | '、')
}

fn is_cjk(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{0e00}'..='\u{0e7f}')
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
            ("Lösenord: hemligt", "Lösenord: [removed]"),
            ("Adgangskode: hemmeligt", "Adgangskode: [removed]"),
            ("Salasana: salainen", "Salasana: [removed]"),
            ("Şifre: gizli", "Şifre: [removed]"),
            ("パスワード：himitsu", "パスワード：[removed]"),
            ("私のパスワードはhimitsu。", "私のパスワードは[removed]。"),
            ("密码: mimi", "密码: [removed]"),
            ("我的密码是mimi", "我的密码是[removed]"),
            ("비밀번호: bimil", "비밀번호: [removed]"),
            ("암호: bimil", "암호: [removed]"),
            ("Пароль: тайна", "Пароль: [removed]"),
            ("my password is hunter", "my password is [removed]"),
            ("My password was hunter, now it is not", "My password was [removed], now it is not"),
            ("mein Passwort lautet geheim", "mein Passwort lautet [removed]"),
            ("mi contraseña es secreta", "mi contraseña es [removed]"),
            ("mon mot de passe est azerty", "mon mot de passe est [removed]"),
            ("minha senha é segredo", "minha senha é [removed]"),
            ("la mia password è segreto", "la mia password è [removed]"),
            ("mijn wachtwoord is geheim", "mijn wachtwoord is [removed]"),
            ("the password is Summer2026!", "the password is [removed]"),
            ("I used my password Summer2026!", "I used my password [removed]"),
            ("user uma, password Summer2026", "user uma, password [removed]"),
            ("Password (case-sensitive): hunter", "Password (case-sensitive): [removed]"),
            ("Password*: hunter", "Password*: [removed]"),
            ("Password:\nSummer2026!\nLog In", "Password:\n[removed]\nLog In"),
            ("Passwort: „zwei Wörter“ ok", "Passwort: „[removed]"),
            ("Kennwort: \"zwei Wörter\" ok", "Kennwort: \"[removed]\" ok"),
            ("pass: hunter", "pass: [removed]"),
            ("PIN: 4711", "PIN: [removed]"),
        ] {
            assert_eq!(remove(pasted), kept);
            assert_eq!(remove(kept), kept);
        }
    }

    #[test]
    fn other_secrets_go_that_prose_names() {
        for (pasted, kept) in [
            ("the sid cookie is ARcAQK7x", "the sid cookie is [removed]"),
            ("session id is ARcAQK7x.", "session id is [removed]"),
            ("my security token is AbC123xyz", "my security token is [removed]"),
            ("verification code is 123456", "verification code is [removed]"),
            ("Bestätigungscode: 123456", "Bestätigungscode: [removed]"),
            ("the client secret was A1B2C3", "the client secret was [removed]"),
            ("確認コード：123456", "確認コード：[removed]"),
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
            "Password\nForgot Your Password?",
            "Password:\nForgot Your Password?",
            "my password is OAUTH_APP_BLOCKED",
            "The security token is invalid",
            "session id is not valid for use with the REST API",
            "a new password to log in",
            "password - expired",
            "INVALID_SESSION_ID: Session expired or invalid",
            "Set password policies to 90 days",
        ] {
            assert_eq!(remove(sentence), sentence);
        }
    }
}
