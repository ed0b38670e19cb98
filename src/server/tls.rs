//! The certificate that TLS clients are shown: loaded and checked here, so that a wrong one is an error with a name.

use std::{path::Path, sync::Arc};

use arc_swap::ArcSwap;
use rustls::{
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::Tls;

/// One certificate with its key, for every name that clients ask for. It can be exchanged while connections are open.
#[derive(Debug)]
pub(super) struct Certificate(ArcSwap<CertifiedKey>);

impl Certificate {
    /// Loads what the settings name.
    ///
    /// # Errors
    /// When a file cannot be read, has no PEM of its kind in it, or the key is not the certificate's.
    pub(super) fn load(tls: &Tls) -> Result<Self, String> {
        Ok(Self(ArcSwap::from_pointee(load(tls)?)))
    }

    /// Loads again; connections that are open keep what they were shown.
    ///
    /// # Errors
    /// As [`Certificate::load`]; then the certificate stays.
    pub(super) fn reload(&self, tls: &Tls) -> Result<(), String> {
        self.0.store(Arc::new(load(tls)?));
        Ok(())
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

fn load(tls: &Tls) -> Result<CertifiedKey, String> {
    let of = |path: &Path, what: &str, error: &dyn std::fmt::Display| {
        format!("server.tls: {}: {what}: {error}", path.display())
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&tls.cert)
        .and_then(Iterator::collect)
        .map_err(|error| of(&tls.cert, "no certificate can be read from it", &error))?;
    if chain.is_empty() {
        return Err(format!("server.tls: {}: there is no certificate in it", tls.cert.display()));
    }
    let key =
        PrivateKeyDer::from_pem_file(&tls.key).map_err(|error| of(&tls.key, "no key can be read from it", &error))?;
    CertifiedKey::from_der(chain, key, &default_provider())
        .map_err(|error| format!("server.tls: {} does not go with {}: {error}", tls.key.display(), tls.cert.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Writes a certificate and a key, each of a pair of its own when `mixed`.
    fn files(dir: &Path, mixed: bool) -> Tls {
        let pair = || rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
        let (first, second) = (pair(), pair());
        let tls = Tls { listen: Vec::new(), cert: dir.join("cert.pem"), key: dir.join("key.pem") };
        fs::write(&tls.cert, first.cert.pem()).unwrap();
        fs::write(&tls.key, if mixed { &second } else { &first }.signing_key.serialize_pem()).unwrap();
        tls
    }

    #[test]
    fn a_pair_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Certificate::load(&files(dir.path(), false)).is_ok());
    }

    #[test]
    fn a_foreign_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let why = Certificate::load(&files(dir.path(), true)).unwrap_err();
        assert!(why.contains("key.pem does not go with"), "{why}");
    }

    #[test]
    fn files_without_pem_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let tls = files(dir.path(), false);
        fs::write(&tls.key, "nothing").unwrap();
        assert!(Certificate::load(&tls).unwrap_err().contains("key.pem: no key can be read"));
        fs::write(&tls.cert, "nothing").unwrap();
        assert!(Certificate::load(&tls).unwrap_err().contains("cert.pem: there is no certificate"));
        fs::remove_file(&tls.cert).unwrap();
        assert!(Certificate::load(&tls).unwrap_err().contains("cert.pem: no certificate can be read"));
    }
}
