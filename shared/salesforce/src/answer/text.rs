//! The bytes of an answer as text, and what stands in text that is no JSON object.

/// Text without a byte order mark. UTF-16, in which nobody should send JSON, is known by its mark or by the zero byte
/// beside the first, which is ASCII. Bytes that are no text are replaced.
pub(super) fn without_mark(body: &[u8]) -> String {
    let units = |big_endian: bool| {
        let unit = |pair: &[u8]| {
            let pair = [pair[0], pair[1]];
            if big_endian { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) }
        };
        String::from_utf16_lossy(&body.chunks_exact(2).map(unit).collect::<Vec<_>>())
    };
    let text = match body {
        [0xfe, 0xff, ..] | [0, 1..=0x7f, ..] => units(true),
        [0xff, 0xfe, ..] | [1..=0x7f, 0, ..] => units(false),
        _ => String::from_utf8_lossy(body).into_owned(),
    };
    text.strip_prefix('\u{feff}').map_or_else(|| text.clone(), ToOwned::to_owned)
}

/// The texts that stand as values of this member somewhere in a body that is no JSON object: a list, half an answer.
pub(super) fn texts_after(body: &str, name: &str) -> Vec<String> {
    let name = format!("\"{name}\"");
    let text = |rest: &str| {
        let text = rest.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
        text.split_once('"').map(|(text, _)| text.to_owned()).filter(|text| !text.trim().is_empty())
    };
    body.split(&name).skip(1).filter_map(text).collect()
}

/// Whether something that is not JSON may hold tokens all the same: half an answer, or one in another encoding.
pub(super) fn may_hold_tokens(text: &str) -> bool {
    !text.trim_start().starts_with('<') && (text.contains("access_token") || text.contains("refresh_token"))
}
