//! A certificate that a test makes for itself, and clients that trust it and nothing else.

use std::{net::SocketAddr, path::Path, sync::Arc};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};

use super::within;

/// The name in the certificate.
pub(crate) const NAME: &str = "localhost";

/// Whom the clients of a sidecar trust.
#[derive(Clone)]
pub(crate) struct Trust(Arc<RootCertStore>);

impl Trust {
    /// Writes a new certificate and its key, PEM, and trusts it.
    pub(crate) fn in_new_certificate(cert_file: &Path, key_file: &Path) -> Self {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed([NAME.to_owned()]).unwrap();
        std::fs::write(cert_file, cert.pem()).unwrap();
        std::fs::write(key_file, signing_key.serialize_pem()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        Self(Arc::new(roots))
    }

    /// A TLS connection that offers these protocols, and was given the first of them.
    #[track_caller]
    pub(crate) fn connect(&self, address: SocketAddr, alpn: &[&str]) -> impl Future<Output = TlsStream<TcpStream>> {
        let alpn: Vec<Vec<u8>> = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.0.clone())
            .with_no_client_auth();
        config.alpn_protocols.clone_from(&alpn);
        within(format!("a TLS connection to {address}"), async move {
            let stream = TcpStream::connect(address).await.expect("something listens there");
            let _ = stream.set_nodelay(true);
            let name = ServerName::try_from(NAME).unwrap();
            let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("a TLS handshake");
            assert_eq!(stream.get_ref().1.alpn_protocol(), alpn.first().map(Vec::as_slice), "ALPN");
            stream
        })
    }
}
