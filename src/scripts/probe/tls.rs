//! TLS for https probes. Nothing of it is built before the first such probe runs.

use super::Failure;
use crate::model::settings::Tls;
use std::io;
use std::sync::{Arc, OnceLock};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

/// What can be told of a certificate that nobody trusts.
const WAY_OUT: &str = "trust its issuer on this system, or write insecure after the URL";

/// Made once; the authorities that the system trusts are read again at the next start.
static VERIFIED: OnceLock<Result<Arc<ClientConfig>, String>> = OnceLock::new();
static INSECURE: OnceLock<Result<Arc<ClientConfig>, String>> = OnceLock::new();

/// Speaks TLS over a connection to this host.
pub(super) async fn wrap(
    stream: TcpStream,
    url: &str,
    host: &str,
    how: Tls,
) -> Result<TlsStream<TcpStream>, Failure> {
    let config = match how {
        Tls::Verified => VERIFIED.get_or_init(verified),
        Tls::Insecure => INSECURE.get_or_init(insecure),
    };
    let config = config
        .clone()
        .map_err(|why| Failure::Found(format!("{url}: {why}")))?;
    let name = server_name(host)
        .ok_or_else(|| Failure::Found(format!("{url}: no certificate can be for this host")))?;
    let connected = TlsConnector::from(config).connect(name, stream).await;
    connected.map_err(|error| {
        if is_of_certificate(&error) {
            Failure::Found(format!("{url}: {error}; {WAY_OUT}"))
        } else {
            Failure::of(url, &error)
        }
    })
}

fn is_of_certificate(error: &io::Error) -> bool {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>());
    matches!(inner, Some(Error::InvalidCertificate(_)))
}

/// The host of an authority: without port, and without brackets.
fn server_name(authority: &str) -> Option<ServerName<'static>> {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next()?,
        None => authority.split(':').next()?,
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    ServerName::try_from(host.to_owned()).ok()
}

fn verified() -> Result<Arc<ClientConfig>, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found
            .errors
            .first()
            .map_or_else(String::new, |e| format!(" ({e})"));
        return Err(format!(
            "this system trusts no authority{why}; install ca-certificates and start again"
        ));
    }
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|error| error.to_string())?;
    config(provider, verifier)
}

fn insecure() -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(ring::default_provider());
    config(provider.clone(), Arc::new(Any(provider)))
}

fn config(
    provider: Arc<CryptoProvider>,
    verifier: Arc<dyn ServerCertVerifier>,
) -> Result<Arc<ClientConfig>, String> {
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let mut config = builder
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    // Each run is to show that a handshake can be made.
    config.resumption = tokio_rustls::rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// Takes any certificate, as long as the server has its key.
#[derive(Debug)]
struct Any(Arc<CryptoProvider>);

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_url_is_what_the_certificate_must_be_for() {
        let name = |authority: &str| server_name(authority).map(|name| name.to_str().into_owned());
        assert_eq!(
            name("www.example.org:8443").as_deref(),
            Some("www.example.org")
        );
        assert_eq!(name("www.example.org.").as_deref(), Some("www.example.org"));
        assert_eq!(name("10.0.0.1:443").as_deref(), Some("10.0.0.1"));
        assert_eq!(name("[::1]:443").as_deref(), Some("::1"));
        assert_eq!(name("a b"), None);
    }
}
