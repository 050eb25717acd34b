//! Authorities and the certificates of a release.

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

use crate::release::FULL_NAME;

/// Whom clients trust.
pub(crate) struct Authority {
    params: CertificateParams,
    key: KeyPair,
    /// Its own certificate.
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn make() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { params, key, pem })
    }

    /// A Secret with a new certificate of a release, as the chart's page says, and with those to trust.
    pub(crate) fn secret(&self, namespace: &str, trusted: &[&Self]) -> Result<Value> {
        let key = KeyPair::generate()?;
        let names = [
            "localhost".to_owned(),
            format!("*.{FULL_NAME}-headless.{namespace}.svc"),
            format!("{FULL_NAME}.{namespace}.svc"),
        ];
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate = CertificateParams::new(names)?.signed_by(&key, &issuer)?;
        let trusted: String = trusted.iter().map(|authority| authority.pem.as_str()).collect();
        let data = json!({"tls.crt": certificate.pem(), "tls.key": key.serialize_pem(), "ca.crt": trusted});
        Ok(secret(namespace, "tls", &data))
    }
}

/// A Secret with these texts.
pub(crate) fn secret(namespace: &str, name: &str, data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}, "stringData": data})
}
