//! What is taken for a password, and what is not.

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
