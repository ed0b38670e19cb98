//! How the connection is protected, as PostgreSQL's own clients have it (libpq, "SSL Support"): `sslmode=prefer` and
//! `require` encrypt, `verify-full` looks at the certificate, too.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring::default_provider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use tokio_postgres_rustls::MakeRustlsConnect;

/// The URL as the library takes it, and what it wants of TLS. `sslmode=verify-full` may come with `sslrootcert`, the file
/// of the authority's certificate; without, or with `system`, it is one of those that the machine trusts.
///
/// # Errors
/// Which of its parameters is wrong.
pub(super) fn of_url(url: &str) -> Result<(String, MakeRustlsConnect), String> {
    let (address, parameters) = url.split_once('?').unwrap_or((url, ""));
    let (mut verify, mut authority, mut kept) = (false, None, Vec::new());
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("sslmode", "verify-full")) => {
                verify = true;
                kept.push("sslmode=require");
            }
            Some(("sslmode", "verify-ca")) => {
                return Err("sslmode=verify-ca: expected disable, prefer, require or verify-full".into());
            }
            Some(("sslrootcert", file)) => authority = Some(file),
            _ => kept.push(parameter),
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let config = if verify {
        builder.with_root_certificates(authorities(authority)?).with_no_client_auth()
    } else {
        let verifier = Arc::new(Unverified(default_provider()));
        builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
    };
    let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
    Ok((format!("{address}{query}"), MakeRustlsConnect::new(config)))
}

fn authorities(file: Option<&str>) -> Result<RootCertStore, String> {
    let certificates: Vec<CertificateDer<'static>> = match file {
        None | Some("system") => rustls_native_certs::load_native_certs()
            .map_err(|error| format!("no certificates of this machine: {error}"))?,
        Some(file) => CertificateDer::pem_file_iter(Path::new(file))
            .and_then(Iterator::collect)
            .map_err(|error| format!("sslrootcert={file}: no certificate can be read from it: {error}"))?,
    };
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(certificates);
    if added == 0 {
        return Err(format!("sslrootcert={}: there is no certificate in it", file.unwrap_or("system")));
    }
    Ok(store)
}

/// Takes any certificate: the connection is encrypted, and nobody knows with whom.
#[derive(Debug)]
struct Unverified(CryptoProvider);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
