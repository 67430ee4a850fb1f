//! Ids and secrets in the shapes that Salesforce gives them.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

const BASE_62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const CASE_SUFFIX: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";

/// An 18-character id: key prefix, instance, serial, and the three characters that record the others' case.
pub(super) fn record_id(prefix: &str, mut serial: u64) -> String {
    let mut digits = [b'0'; 8];
    for digit in digits.iter_mut().rev() {
        *digit = BASE_62[usize::try_from(serial % 62).expect("below 62")];
        serial /= 62;
    }
    let mut id = format!("{prefix}gK00{}", String::from_utf8_lossy(&digits));
    debug_assert_eq!(id.len(), 15, "a key prefix has three characters");
    let suffix: Vec<u8> = id
        .as_bytes()
        .chunks(5)
        .map(|chunk| {
            let upper = |(bit, byte): (usize, &u8)| usize::from(byte.is_ascii_uppercase()) << bit;
            CASE_SUFFIX[chunk.iter().enumerate().map(upper).sum::<usize>()]
        })
        .collect();
    id.push_str(&String::from_utf8_lossy(&suffix));
    id
}

/// `bytes` random bytes as URL-safe text.
pub(super) fn random_text(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    getrandom::fill(&mut random).expect("the machine has randomness");
    URL_SAFE_NO_PAD.encode(random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_ends_in_the_checksum_of_its_case() {
        let id = record_id("00D", 1);
        assert_eq!(id.len(), 18);
        // `00DgK` has capitals at 2 and 4 (4 + 16 = 20 → U); the rest are digits.
        assert_eq!(id, "00DgK0000000001UAA");
    }
}
