//! Cutting secrets out of a text.

use super::secrets::REMOVED;

/// Where a secret begins and ends.
pub(super) type Cut = (usize, usize);

/// The text without these secrets. What overlaps an earlier one, or was removed before, is left as it is.
pub(super) fn apply(text: &str, mut cuts: Vec<Cut>) -> String {
    cuts.sort_unstable();
    let (mut out, mut copied) = (String::with_capacity(text.len()), 0);
    for (start, end) in cuts {
        let was_removed = text[start..].starts_with(REMOVED) || text[start..end.max(start)].contains(REMOVED);
        if start < copied || start >= end || was_removed {
            continue;
        }
        out.push_str(&text[copied..start]);
        out.push_str(REMOVED);
        copied = end;
    }
    out.push_str(&text[copied..]);
    out
}

/// The cut without blanks around it, unless nothing is left.
pub(super) fn trimmed(text: &str, start: usize, end: usize) -> Option<Cut> {
    let value = text.get(start..end)?;
    let begin = start + value.len() - value.trim_start().len();
    let value = value.trim();
    (!value.is_empty()).then_some((begin, begin + value.len()))
}
