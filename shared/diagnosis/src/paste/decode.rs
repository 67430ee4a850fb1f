//! Undoes what happens to a text on its way: quoted-printable, HTML, JSON and percent encoding, link
//! rewriting, several times over and in any order.

use icu_normalizer::ComposingNormalizerBorrowed;

/// How many layers are taken off. Lines that are still encoded then are left out: nobody could tell what
/// secret they hide.
const LAYERS: usize = 6;

/// A text without its encodings.
pub(super) struct Decoded {
    pub(super) text: String,
    /// Whether lines were left out because they were encoded too often.
    pub(super) is_cut: bool,
}

/// The text as it was meant. Decoding it again changes nothing.
pub(super) fn decode(text: &str) -> Decoded {
    decode_and_remove(text, str::to_owned)
}

/// The text as it was meant, without what `remove` takes out of it before each encoding is undone. Only an encoded value
/// shows where it ends: `Tr%26ck` is one value, `Tr&ck` may be two fields.
pub(super) fn decode_and_remove(text: &str, remove: impl Fn(&str) -> String) -> Decoded {
    let mut text = remove(&without_soft_breaks(&clean(text)));
    // A value is hidden by few layers; a mark may be encoded many times over.
    for depth in [Depth::One, Depth::Any] {
        for _ in 0..LAYERS {
            let next = without_layer(&text, depth, &remove);
            if next == text {
                return Decoded { text, is_cut: false };
            }
            text = next;
        }
    }
    let is_plain = |line: &&str| without_layer(line, Depth::Any, &str::to_owned) == **line;
    let lines: Vec<&str> = text.lines().filter(is_plain).collect();
    Decoded { text: remove(&lines.join("\n")), is_cut: true }
}

/// How often a mark was encoded that one layer takes the encoding off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    One,
    Any,
}

/// The text with one layer of every encoding less. None of them but a soft line break reaches beyond its line.
fn without_layer(text: &str, depth: Depth, remove: &impl Fn(&str) -> String) -> String {
    let mut text = text.to_owned();
    for step in [quoted_printable, rewritten_links, entities, escapes, percent] {
        let next = clean(&step(&text, depth));
        if next != text {
            text = remove(&next);
        }
    }
    text
}

/// Joins the lines of an address that was broken over several, quotation marks of a mail included.
pub(super) fn join_lines(text: &str) -> String {
    let mut joined = String::with_capacity(text.len());
    let mut in_address = false;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_end();
        let bare = line.trim_start_matches(['>', '|', ' ', '\t']);
        if in_address && !bare.is_empty() {
            joined.push_str(bare);
        } else {
            if number > 0 {
                joined.push('\n');
            }
            joined.push_str(line);
        }
        let last = bare.rsplit(char::is_whitespace).next().unwrap_or_default();
        let goes_on = in_address && last.len() == bare.len() && !bare.is_empty();
        in_address =
            goes_on || last.contains("://") || (last.contains('=') && last.contains(['&', '?', '%']));
    }
    joined
}

/// Control characters, also the zeros of a UTF-16 text, and invisible ones vanish; every kind of blank is a space.
/// Letters are composed, and those of another width or style are plain: `ｐｗ：` is `pw:`.
fn clean(text: &str) -> String {
    let text = visible(text);
    if text.is_ascii() {
        return text;
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(start) = rest.find(is_styled) {
        plain.push_str(&rest[..start]);
        rest = &rest[start..];
        // A sign of voicing belongs to the letter before it.
        let length = rest.find(|c| !is_styled(c)).unwrap_or(rest.len());
        plain.push_str(&ComposingNormalizerBorrowed::new_nfkc().normalize(&rest[..length]));
        rest = &rest[length..];
    }
    plain.push_str(rest);
    // A blank of another width is a plain one by now.
    visible(&ComposingNormalizerBorrowed::new_nfc().normalize(&plain))
}

/// Letters, digits and signs that are others in another width, frame or style. Other characters stay as they are written.
fn is_styled(c: char) -> bool {
    matches!(c,
        '\u{2460}'..='\u{24ff}' | '\u{fe10}'..='\u{fe19}' | '\u{fe30}'..='\u{fe6b}' | '\u{ff01}'..='\u{ffee}'
        | '\u{1d400}'..='\u{1d7ff}' | '\u{1f100}'..='\u{1f189}')
}

fn visible(text: &str) -> String {
    text.chars()
        .filter(|c| {
            matches!(c, '\n' | '\t')
                || !(c.is_control()
                    || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}' | '\u{feff}'))
        })
        .map(|c| if c.is_whitespace() && c != '\n' { ' ' } else { c })
        .collect()
}

/// Joins the lines that a mail program broke. A text without a single `=3D` is no quoted-printable text.
fn without_soft_breaks(text: &str) -> String {
    if text.contains("=3D") { text.replace("=\n", "") } else { text.to_owned() }
}

/// Mail's `=3D` and its soft line breaks.
fn quoted_printable(text: &str, _depth: Depth) -> String {
    if !text.contains("=3D") {
        return text.to_owned();
    }
    bytes(&without_soft_breaks(text), |rest| match rest {
        [b'=', high, low, ..] => hex_byte(*high, *low).map(|byte| (byte, 3)),
        _ => None,
    })
}

/// The addresses inside links that a mail filter rewrote as `u=https-3A__host_path-3Ferror-3D…`.
fn rewritten_links(text: &str, _depth: Depth) -> String {
    const MARK: &str = "u=https-3A__";
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(MARK) {
        let (before, link) = rest.split_at(start);
        let end = link.find(|c: char| c.is_whitespace() || c == '&').unwrap_or(link.len());
        out.push_str(before);
        out.push_str(&bytes(&link[..end], |rest| match rest {
            [b'-', high, low, ..] => hex_byte(*high, *low).map(|byte| (byte, 3)),
            [b'_', ..] => Some((b'/', 1)),
            _ => None,
        }));
        rest = &link[end..];
    }
    out + rest
}

/// HTML's character references.
fn entities(text: &str, depth: Depth) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(next) = rest.strip_prefix("amp;") {
            rest = next;
            if depth == Depth::One {
                out.push('&');
                continue;
            }
        }
        while let Some(next) = rest.strip_prefix("amp;") {
            rest = next;
        }
        let name = rest.as_bytes().iter().take(10).position(|byte| *byte == b';').map(|end| &rest[..end]);
        match name.and_then(|name| Some((name, character(name)?))) {
            Some((name, c)) => {
                out.push(c);
                rest = &rest[name.len() + 1..];
            }
            None => out.push('&'),
        }
    }
    out + rest
}

fn begins_reference(text: &str) -> bool {
    let start = &text[..text.floor_char_boundary(12)];
    entities(start, Depth::One) != start
}

fn character(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code);
    }
    Some(match name {
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        "equals" => '=',
        "colon" => ':',
        "sol" => '/',
        "quest" => '?',
        "percnt" => '%',
        "plus" => '+',
        "lowbar" => '_',
        "excl" => '!',
        "dollar" => '$',
        "num" => '#',
        "commat" => '@',
        "comma" => ',',
        "period" => '.',
        "semi" => ';',
        "ast" => '*',
        "lpar" => '(',
        "rpar" => ')',
        "lsqb" | "lbrack" => '[',
        "rsqb" | "rbrack" => ']',
        "lcub" | "lbrace" => '{',
        "rcub" | "rbrace" => '}',
        "bsol" => '\\',
        "verbar" | "vert" => '|',
        "Hat" => '^',
        "grave" => '`',
        _ => return None,
    })
}

/// JSON's and programs' escapes.
fn escapes(text: &str, depth: Depth) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if depth == Depth::One && rest.starts_with('\\') {
            out.push('\\');
            rest = &rest[1..];
            continue;
        }
        rest = rest.trim_start_matches('\\');
        let (c, length) = match rest.as_bytes() {
            [b'u', ..] => {
                (code_point(rest, 4).unwrap_or('\\'), if code_point(rest, 4).is_some() { 5 } else { 0 })
            }
            [b'x', ..] => {
                (code_point(rest, 2).unwrap_or('\\'), if code_point(rest, 2).is_some() { 3 } else { 0 })
            }
            // The reference comes first: it may stand for a quotation mark inside a value.
            [b'&', ..] if begins_reference(rest) => ('\\', 0),
            [b'n' | b'r', ..] => ('\n', 1),
            [b't', ..] => (' ', 1),
            [b @ (b'"' | b'\'' | b'/' | b'&' | b'='), ..] => (char::from(*b), 1),
            _ => ('\\', 0),
        };
        out.push(c);
        rest = &rest[length..];
    }
    out + rest
}

/// The character of the hexadecimal digits behind the first byte.
fn code_point(text: &str, digits: usize) -> Option<char> {
    let hex = text.get(1..=digits).filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    char::from_u32(u32::from_str_radix(hex, 16).ok()?)
}

/// Percent encoding.
fn percent(text: &str, depth: Depth) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    bytes(text, |rest| {
        let [b'%', encoded @ ..] = rest else { return None };
        let mut length = 1;
        let mut encoded = encoded;
        while depth == Depth::Any
            && let [b'2', b'5', next @ ..] = encoded
            && matches!(next, [high, low, ..] if hex_byte(*high, *low).is_some())
        {
            encoded = next;
            length += 2;
        }
        match encoded {
            [high, low, ..] => hex_byte(*high, *low).map(|byte| (byte, length + 2)),
            _ => None,
        }
    })
}

/// Replaces bytes: `decode` looks at what is left and answers with a byte for so many.
fn bytes(text: &str, decode: impl Fn(&[u8]) -> Option<(u8, usize)>) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, next)) = rest.split_first() {
        if let Some((byte, length)) = decode(rest) {
            out.push(byte);
            rest = &rest[length..];
        } else {
            out.push(*first);
            rest = next;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn hex_byte(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? * 16 + digit(low)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_come_off_in_any_order() {
        for encoded in [
            "a=b&c d",
            "a%3Db%26c%20d",
            "a%253Db%2526c%2520d",
            "a=b&amp;amp;c&#32;d",
            r"a\u003db\u0026c d",
            "a&#x3D;b%26amp;c%25252520d",
            "a=3Db&c =\nd",
        ] {
            assert_eq!(decode(encoded).text, "a=b&c d", "{encoded}");
        }
    }

    #[test]
    fn rewritten_links_are_restored_however_many() {
        let link = "https://urldefense.proofpoint.com/v2/url?u=https-3A__acme.my.salesforce.com_x-3Ferror-3Dinvalid-5Fclient&d=DwMF\n";
        let decoded = decode(&link.repeat(9)).text;
        let restored = "u=https://acme.my.salesforce.com/x?error=invalid_client&d";
        assert_eq!(decoded.matches(restored).count(), 9, "{decoded}");
    }

    #[test]
    fn letters_of_another_width_or_form_are_plain() {
        for (text, plain) in [
            ("ｐａｓｓｗｏｒｄ：", "password:"),
            ("ＩＤ：uma　ＰＷ：X", "ID:uma PW:X"),
            ("ﾊﾟｽﾜｰﾄﾞ：", "パスワード:"),
            ("00D5g！AQ", "00D5g!AQ"),
            ("contrasen\u{303}a", "contraseña"),
            ("𝗽𝗮𝘀𝘀𝘄𝗼𝗿𝗱﹕", "password:"),
            ("isn’t … „so“ ½", "isn’t … „so“ ½"),
        ] {
            assert_eq!(decode(text).text, plain);
            assert_eq!(decode(plain).text, plain);
        }
    }

    #[test]
    fn a_broken_address_is_joined_and_prose_is_not() {
        assert_eq!(
            join_lines("see\n> https://a.example/x?error=in\n> valid&y=1\n\nthanks\nJane"),
            "see\n> https://a.example/x?error=invalid&y=1\n\nthanks\nJane"
        );
    }

    #[test]
    fn a_backslash_is_one_layer_however_often_it_was_escaped() {
        for levels in 0..9 {
            let mut text = r#"{"a": "b"}"#.to_owned();
            for _ in 0..levels {
                text = text.replace('\\', r"\\").replace('"', r#"\""#);
            }
            assert_eq!(decode(&text).text, r#"{"a": "b"}"#, "{levels}");
        }
    }

    #[test]
    fn lines_that_are_encoded_too_often_are_left_out() {
        let mut text = "a=b".to_owned();
        for _ in 0..15 {
            text = text.replace('&', "&#38;").replace('=', "&#61;").replace('%', "&#37;");
        }
        assert_eq!(decode(&format!("see\n{text} c=d\ne=f")).text, "see\ne=f");
    }
}
