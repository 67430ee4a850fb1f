//! A certificate for every host of the site, from an authority of this run's own.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};

pub(super) struct Certificate {
    pub(super) ca_pem: String,
    pub(super) acceptor: TlsAcceptor,
}

impl Certificate {
    pub(super) fn new(hosts: &[String]) -> Self {
        let mut authority = CertificateParams::default();
        authority.distinguished_name.push(DnType::CommonName, "Latchkey's simulated Salesforce");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let authority =
            CertifiedIssuer::self_signed(authority, KeyPair::generate().expect("ring makes keys"))
                .expect("the authority's parameters are sound");

        let key = KeyPair::generate().expect("ring makes keys");
        let mut leaf = CertificateParams::new(hosts).expect("the hosts are DNS names");
        leaf.distinguished_name.push(DnType::CommonName, &hosts[0]);
        leaf.use_authority_key_identifier_extension = true;
        let leaf = leaf.signed_by(&key, &authority).expect("the authority signs");

        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("rcgen writes PKCS #8");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has the default protocols")
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .expect("key and certificate belong together");
        Self { ca_pem: authority.pem(), acceptor: TlsAcceptor::from(Arc::new(config)) }
    }
}
