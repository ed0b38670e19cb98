//! A certificate that a test makes for itself, and clients that trust it and nothing else.

use std::{net::SocketAddr, path::Path, sync::Arc};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, CertifiedKey, DnType, IsCa, KeyPair,
    PublicKeyData, generate_simple_self_signed,
};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, ServerName},
    },
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

/// An authority that certifies the names of a test's origins.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A new one, whom nobody trusts yet.
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        // Two authorities of one name are told apart by their signatures only.
        let key = KeyPair::generate().unwrap();
        params.distinguished_name.push(DnType::CommonName, format!("{:?}", &key.der_bytes()[..16]));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// Its certificate.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Its certificate in a file of this directory, as a line of `[server]`.
    pub(crate) fn trusted(&self, dir: &Path) -> String {
        let file = dir.join("ca.pem");
        std::fs::write(&file, self.0.pem()).unwrap();
        format!("upstream_ca = {file:?}")
    }

    /// The certificate and key of a name or an address, in PEM.
    pub(crate) fn certified(&self, name: &str) -> (String, String) {
        let (cert, key) = self.pair(name);
        (cert.pem(), key.serialize_pem())
    }

    fn pair(&self, name: &str) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        (CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap(), key)
    }

    /// The server's side of TLS for a name or an address, certified by this authority.
    pub(crate) fn acceptor(&self, name: &str) -> TlsAcceptor {
        let (cert, key) = self.pair(name);
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}
