//! TLS to a server, as `sslmode` asks for it.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    StreamOwned,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Whether a connection is encrypted, and what the server has to prove.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// Never.
    Disable,
    /// When the server takes no other.
    Allow,
    /// When the server can.
    #[default]
    Prefer,
    /// Always.
    Require,
    /// Always, and an authority has signed the server's certificate.
    VerifyCa,
    /// Always, and the certificate is the server's own.
    VerifyFull,
}

impl SslMode {
    /// Its name, as libpq has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }

    /// The mode of this name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "disable" => Self::Disable,
            "allow" => Self::Allow,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => return None,
        })
    }
}

/// What TLS is made with.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// Whether, and with what proof.
    pub mode: SslMode,
    /// Certificates of the authorities that are trusted.
    pub root: Option<PathBuf>,
    /// The certificate that proves who the client is.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

impl Tls {
    /// A TLS connection over a stream on which the server has agreed to one.
    pub fn connect(&self, host: &str, stream: TcpStream) -> Result<StreamOwned<ClientConnection, TcpStream>, String> {
        let config = self.config()?;
        let name = ServerName::try_from(host.to_owned()).map_err(|_| format!("'{host}' is not a host name"))?;
        let connection = ClientConnection::new(Arc::new(config), name).map_err(|e| format!("SSL error: {e}"))?;
        let mut stream = StreamOwned::new(connection, stream);
        while stream.conn.is_handshaking() {
            match stream.conn.complete_io(&mut stream.sock) {
                Ok(_) => {}
                Err(e) if crate::stream::is_pause(&e) => {}
                Err(e) => return Err(format!("SSL error: {e}")),
            }
        }
        Ok(stream)
    }

    fn config(&self) -> Result<ClientConfig, String> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|e| format!("SSL error: {e}"))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(self.verifier(provider.clone())?));
        match (&self.cert, &self.key) {
            (Some(cert), Some(key)) if cert.exists() => {
                let chain = certificates(cert)?;
                let unread = |e: String| format!("could not load private key file \"{}\": {e}", key.display());
                let secret = PrivateKeyDer::from_pem_file(key).map_err(|e| unread(e.to_string()))?;
                let secret = provider.key_provider.load_private_key(secret).map_err(|e| unread(e.to_string()))?;
                // What kind of certificate it may be is the server's business.
                let pair = SingleCertAndKey::from(CertifiedKey::new(chain, secret));
                Ok(builder.with_client_cert_resolver(Arc::new(pair)))
            }
            (Some(cert), None) if cert.exists() => Err(format!(
                "certificate present, but not private key file \"{}\"",
                cert.with_extension("key").display()
            )),
            _ => Ok(builder.with_no_client_auth()),
        }
    }

    fn verifier(&self, provider: Arc<CryptoProvider>) -> Result<Verifier, String> {
        let root = self.root.as_ref().filter(|root| root.exists());
        let roots = match root {
            Some(root) => {
                let mut store = RootCertStore::empty();
                for certificate in certificates(root)? {
                    store.add(certificate).map_err(|e| format!("root certificate \"{}\": {e}", root.display()))?;
                }
                let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone());
                Some(builder.build().map_err(|e| format!("root certificate \"{}\": {e}", root.display()))?)
            }
            None if self.mode >= SslMode::VerifyCa => {
                let named = self.root.as_ref().map_or_else(String::new, |root| format!(" \"{}\"", root.display()));
                return Err(format!(
                    "root certificate file{named} does not exist\nEither provide the file or change sslmode to disable \
                     server certificate verification.\n"
                ));
            }
            None => None,
        };
        Ok(Verifier { provider, roots, name: self.mode == SslMode::VerifyFull })
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |why: String| format!("could not read certificate file \"{}\": {why}", path.display());
    let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(|e| wrong(e.to_string()))?.collect();
    let all = all.map_err(|e| wrong(e.to_string()))?;
    if all.is_empty() { Err(wrong("no certificate is in it".to_owned())) } else { Ok(all) }
}

/// Looks at the server's certificate as far as the mode asks for it.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    /// With authorities given, one of them must have signed it.
    roots: Option<Arc<WebPkiServerVerifier>>,
    /// It must be the server's own.
    name: bool,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(roots) = &self.roots else { return Ok(ServerCertVerified::assertion()) };
        match roots.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.name => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
