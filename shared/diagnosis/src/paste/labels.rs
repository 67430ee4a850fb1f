//! What people call a password and other secrets, and the words that lead from the name to the value, in the languages
//! that Salesforce's users use most.

/// What a password is called. Lower case.
pub(super) const PASSWORDS: [&str; 45] = [
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
pub(super) const OTHERS: [&str; 50] = [
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
    "authentication code",
    "authenticator code",
    "authorization code",
    "mfa code",
    "2fa code",
    "one-time pin",
    "otp",
    "totp",
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

/// Names that also mean harmless things: their value must look like a secret.
pub(super) const WEAK: [&str; 3] = ["token", "secret", "code"];

/// Words before "code" that make an error's number of it.
pub(super) const OF_ERRORS: [&str; 4] = ["error ", "status ", "response ", "http "];

/// Verbs that make a sentence of a label and its value. The label and the verb are parted by a blank.
pub(super) const BE: [&str; 24] = [
    "is", "was", "are", "equals", "reads", "ist", "war", "lautet", "es", "era", "est", "était", "etait", "é",
    "è", "är", "er", "on", "to", "jest", "brzmi", "это", "value", "være",
];

/// Other words that stand between a label and its value: "has been changed to".
pub(super) const AUXILIARIES: [&str; 38] = [
    "has",
    "have",
    "had",
    "been",
    "be",
    "being",
    "should",
    "shall",
    "will",
    "would",
    "must",
    "can",
    "now",
    "currently",
    "still",
    "just",
    "actually",
    "simply",
    "set",
    "reset",
    "changed",
    "updated",
    "used",
    "as",
    "use",
    "using",
    "wurde",
    "auf",
    "gesetzt",
    "jetzt",
    "aktuell",
    "ahora",
    "maintenant",
    "ora",
    "nu",
    "the",
    "new",
    "following",
];

/// Words after which prose describes a password before it says which: "password for uma@acme.example: …".
pub(super) const PREPOSITIONS: [&str; 28] = [
    "for", "of", "on", "in", "at", "to", "für", "von", "des", "der", "de", "del", "pour", "para", "per",
    "di", "voor", "van", "i", "we", "you", "they", "he", "she", "that", "which", "from", "sent",
];

/// Signs between a label and its value.
pub(super) const SIGNS: [&str; 13] =
    [" — ", " – ", " - ", " -> ", " → ", " => ", " | ", "は", "是", "는 ", "은 ", "->", "→"];

/// What makes a password of prose one's own.
pub(super) const MINE: [&str; 22] = [
    "my ", "our ", "mein ", "meine ", "unser ", "mi ", "nuestra ", "mon ", "notre ", "minha ", "nossa ",
    "mio ", "mia ", "mijn ", "ons ", "mitt ", "moje ", "мой ", "私の", "我的", "내 ", "제 ",
];
