//! Classes of secrets in pasted texts: names that mean a secret by any of their words, several values behind one label,
//! tables and structures, program code, other widths of letters, codes in groups. And what is no secret stays.

use diagnosis::{read_paste, redact, scrub};

const ERROR: &str = "OAUTH_APP_BLOCKED";

/// What stands for a secret in the texts below.
const SECRET: &str = "Qzx7Wvk!";

/// Fails with every text that keeps a part of its secret, whose error is lost, or that changes when it is scrubbed again.
fn check(texts: &[&str], secrets: &[&str]) {
    let mut failures = Vec::new();
    for text in texts {
        let pasted = format!("{}\n\n{ERROR}", text.replace("{}", SECRET));
        let once = scrub(&pasted);
        let kept = format!("{once}\n{}\n{:?}", redact(&pasted), read_paste(&pasted));
        if secrets.iter().any(|secret| pasted.contains(secret) && kept.contains(secret)) {
            failures.push(format!("a secret is kept: {pasted}\n→ {kept}"));
        }
        if !once.contains(ERROR) {
            failures.push(format!("the error is lost: {pasted}\n→ {once}"));
        }
        if scrub(&once) != once {
            failures.push(format!("not the same again: {pasted}\n→ {once}\n→ {}", scrub(&once)));
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n\n"));
}

#[test]
fn names_mean_a_secret_by_any_of_their_words() {
    let names = [
        "password_confirmation",
        "user[password_confirmation]",
        "passwordConfirm",
        "passwordVerify",
        "password1",
        "password2",
        "newpw2",
        "pw2",
        "pwd1",
        "passwordHash",
        "SF_PASSWORD_PROD",
        "CLIENT_SECRET_PROD",
        "SALESFORCE_TOKEN_UAT",
        "client_secret_2",
        "clientSecretValue",
        "access_token_value",
        "refresh_token_old",
        "refreshTokenEncrypted",
        "my_token_id",
        "sid2",
        "sid_Client",
        "api_key_prod",
        "X-Auth-Key",
        "auth",
        "_csrf2",
        "code_verifier_s256",
        "dbPass",
        "sfPass",
        "smtp_pass",
        "txtPassword",
        "passwordField",
        "Pwd_Repeat",
        "oauthTokenSecret",
        "encryptionKey",
        "sf.password.uat",
        "jsf:form:password",
        "password_old_1",
        "contraseña2",
        "neues_passwort_2",
        "senhaAtual",
        "motDePasse1",
        "hasło_nowe",
        "wachtwoord2",
    ];
    let mut texts = Vec::new();
    for name in names {
        texts.push(format!("{name}={{}}"));
        texts.push(format!("{name}: {{}}"));
        texts.push(format!("https://x.example/?a=1&{name}={{}}&b=2"));
        texts.push(format!("{{\"{name}\": \"{{}}\", \"x\": 1}}").replace("{\"", "{ \""));
        if name.is_ascii() && !name.contains(['[', ':']) {
            texts.push(format!("<{name}>{{}}</{name}>"));
            texts.push(format!("<input name='{name}' value='{{}}'>"));
        }
    }
    check(&texts.iter().map(String::as_str).collect::<Vec<_>>(), &["Qzx7", "Wvk!"]);
}

#[test]
fn words_may_stand_between_a_label_and_its_colon() {
    check(
        &[
            "Password 1: {}",
            "Password #2: {}",
            "Password temporary: {}",
            "Password old: {}",
            "Password again: {}",
            "Password for test user 2: {}",
            "Password of the sandbox: {}",
            "Contraseña temporal: secreta",
            "Contraseña del portal: {}",
            "Passwort neu: geheim",
            "Passwort im Testsystem: {}",
            "Mot de passe provisoire : secreta",
            "Mot de passe du compte : {}",
            "Senha provisória = {}",
            "Password attuale: geheim",
            "Wachtwoord nieuw: {}",
            "Hasło tymczasowe: {}",
            "Пароль временный: {}",
            "パスワード（仮）：{}",
            "临时密码：{}",
        ],
        &["Qzx7", "Wvk!", "secreta", "geheim"],
    );
}

#[test]
fn every_value_behind_one_label_goes() {
    check(
        &[
            "User / Password: uma@acme.example / {}",
            "(user/pw: uma / {})",
            "user/pw: uma@acme.example / {} and it says no",
            "Login/Password: uma@acme.example geheim",
            "Username and password: uma, {}",
            "Password/User: {} / uma",
            "Benutzer und Passwort: uma, geheim",
            "Usuario y contraseña: uma / {}",
            "Identifiant / mot de passe : uma / {}",
            "Usuário e senha: uma, {}",
            "ユーザー名／パスワード：uma / {}",
            "用户名和密码：uma, {}",
            "Credentials: uma@acme.example / {}",
            "My credentials are uma@acme.example and {}",
            "Zugangsdaten: uma@acme.example / {}",
            "login uma@acme.example / {}",
            "passwords: hunter, {}, geheim",
            "Meine Passwörter: geheim, {}",
            "I tried the passwords Summer2026! and {}",
            "my password is Summer2026! or {}",
            "Password: uma@acme.example / geheim",
        ],
        &["Qzx7", "Wvk!", "geheim", "hunter", "Summer2026"],
    );
}

#[test]
fn columns_of_a_table_go() {
    check(
        &[
            "| User | Password |\n|------|----------|\n| uma | geheim |\n| bo | {} |",
            "Username | Password\numa@acme.example | geheim",
            "Username\tPassword\numa@acme.example\tgeheim",
            "user,password,token\numa,geheim,{}",
            "Benutzer;Passwort\numa;geheim",
            "name  login  passwort\nUma  uma  geheim",
            "Username Password\numa {}",
            "<table><tr><th>User</th><th>Password</th></tr><tr><td>uma</td><td>geheim</td></tr></table>",
            "<tr><td>Usuario</td><td><b>Contraseña</b></td></tr>\n<tr><td>uma</td><td><i>geheim</i></td></tr>",
            "<tr><td>Kennwort</td><td>geheim</td></tr>",
        ],
        &["Qzx7", "Wvk!", "geheim"],
    );
}

#[test]
fn values_in_structures_go() {
    check(
        &[
            "<property name=\"password\">geheim</property>",
            "<property name=\"password\" value=\"geheim\"/>",
            "<add key=\"Password\" value=\"geheim\" />",
            "<add value=\"geheim\" key=\"SFPassword\"/>",
            "<entry key=\"sfdc.password\">geheim</entry>",
            "<param name=\"sid\" value=\"geheim\">",
            "<textarea name=\"password\">geheim</textarea>",
            "<string name=\"sf_password\">geheim</string>",
            "<key>password</key><string>geheim</string>",
            "<name>clientSecret</name>\n  <value>geheim</value>",
            "{\"name\":\"password\",\"content\":\"geheim\"}",
            "{\"field\":\"pwd\",\"required\":true,\"val\":\"geheim\"}",
            "{\"value\":\"geheim\",\"name\":\"password\"}",
            "{'label': 'Password', 'text': 'geheim'}",
            "[\"password\",\"geheim\"]",
            "[['username','uma'],['password','geheim']]",
            "('password', 'geheim')",
            "form.append('password', 'geheim')",
            "{\"password\":{\"value\":\"geheim\"}}",
            "{\"passwords\":[\"geheim\",\"{}\"]}",
            "password: |\n  geheim\nerror: x",
            "password: >-\n  geheim",
            "password:\n  value: geheim",
            "- name: SF_PASSWORD\n  value: \"geheim\"",
            "passwords:\n  - geheim\n  - {}",
        ],
        &["Qzx7", "Wvk!", "geheim"],
    );
}

#[test]
fn arguments_of_sign_in_calls_and_commands_go() {
    check(
        &[
            "conn.login('uma@acme.example','geheim', cb)",
            "conn.login(user, 'geheim')",
            "Salesforce('uma','geheim','t0ken')",
            "connection.login(\"uma\", \"geheim\");",
            "client.loginBySoap( \"uma\" , \"geheim\" )",
            "requests.get(u, auth=('uma', '{}'))",
            "curl -uuma:geheim https://x.example",
            "curl -su uma:geheim https://x.example",
            "curl --user=uma:geheim https://x.example",
            "http -a uma:geheim GET x.example",
            "sfdx login -p {} -u uma",
            "mysql -p{} db",
        ],
        &["Qzx7", "Wvk!", "geheim", "t0ken"],
    );
}

#[test]
fn letters_of_another_width_are_letters() {
    check(
        &[
            "ｐａｓｓｗｏｒｄ：geheim",
            "ＰＷ：geheim",
            "ＩＤ：uma　ＰＷ：geheim",
            "ﾊﾟｽﾜｰﾄﾞ：geheim",
            "パス：geheim",
            "𝗣𝗮𝘀𝘀𝘄𝗼𝗿𝗱: geheim",
            "contrasen\u{303}a: geheim",
            "mo\u{302}t; mot de passe﹕ geheim",
            "session 00D5g0000008abc！AQ{}",
            "p\u{200b}assword: geheim",
            "ΚΩΔΙΚΌΣ: geheim",
        ],
        &["Qzx7", "Wvk!", "geheim"],
    );
}

#[test]
fn other_words_for_a_secret_are_known() {
    check(
        &[
            "暗証番号：geheim",
            "비번: geheim",
            "lösen: geheim",
            "ww: geheim",
            "Κωδικός: geheim",
            "private key: {}",
            "recovery key: {}",
            "encryption key: {}",
            "pass word: geheim",
            "pass-word: geheim",
            "p/w: geheim",
            "pasword: geheim",
            "passwrod: geheim",
            "my passwrd is {}",
            "Authorization OAuth {}Abc1",
        ],
        &["Qzx7", "Wvk!", "geheim"],
    );
}

#[test]
fn codes_in_groups_and_values_before_their_label_go() {
    check(
        &[
            "verification code: 482 913",
            "Your code is 482 913.",
            "Verification code 482-913",
            "G-482913 is your code",
            "482913 is your Salesforce verification code",
            "482 913 is your verification code",
            "PIN 482913",
            "Enter PIN: 48 29 13",
            "Einmalcode 482913",
            "Code à usage unique : 482913",
            "Código de verificación: 482 913",
            "код подтверждения: 482 913",
            "認証コード：482 913",
            "use 482913 as your login code",
            "{} is my password",
            "{} (my password) does not work",
            "I logged in with {} as password",
            "ich habe {} als Passwort benutzt",
            "j'ai mis {} comme mot de passe",
            "entré con {} como contraseña",
            "{}が私のパスワードです",
            "{}是我的密码",
        ],
        &["Qzx7", "Wvk!", "482", "913"],
    );
}

/// What a diagnosis needs, and what only sounds like a secret.
#[test]
fn texts_without_a_secret_stay() {
    for text in [
        "Failed: Invalid Password",
        "Failed: Invalid Password (12 times)",
        "password field is empty",
        "token: expired",
        "Signature: invalid",
        "Status code: 400",
        "Your password is expired",
        "Password: expired",
        "Passwort: abgelaufen",
        "state: California",
        "answer: no",
        "pin: locked",
        "ErrorId: 1234567890-12345",
        "Error ID: 123456789-98765 (-1234567)",
        "Invalid username, password, security token; or user locked out.",
        "token_type: Bearer",
        "code_challenge_method=S256",
        "error code 1804 and 1703",
        "OAuth error 1804",
        "grant_type=password&error=invalid_grant",
        "{\"grant_types\":[\"authorization_code\",\"password\",\"refresh_token\"],\"scope\":\"api refresh_token\"}",
        "{\"scopes\":[\"api\",\"refresh_token\",\"web\"]}",
        "password reset link sent to you on 2026-11-30",
        "Password policy: 90 days",
        "password expires in: 90 days",
        "login failed for user uma at 10:30",
        "user/password authentication failed",
        "credentials: invalid",
        "invalid client credentials (400)",
        "Username/Password flow: disabled",
        "client_secret_expires_at: 0",
        "login(\"uma\",\"OAUTH_APP_BLOCKED\")",
        "| Error | Code |\n|---|---|\n| invalid_grant | 1804 |",
        "username / org id 00D50000000IZ3Z",
        "access token response: {\"error\":\"invalid_grant\"}",
        "The token endpoint answered: 400 Bad Request",
        "Your verification code has expired",
        "INVALID_SESSION_ID: Session expired or invalid",
        "API version 60.0 is my default",
        "docker run -p 8080:80 app",
        "sfdx force:source:deploy -p force-app -u uma@acme.example",
    ] {
        assert_eq!(scrub(text), text);
        assert_eq!(redact(text), text);
    }
}
