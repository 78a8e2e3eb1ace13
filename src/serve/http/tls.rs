//! Certificates, from the files that etcd's flags name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto};

/// What there is.
#[derive(Clone, Debug)]
pub struct Files<'a> {
    pub certificate: &'a Path,
    pub key: &'a Path,
    /// Who vouches for callers.
    pub authority: Option<&'a PathBuf>,
    /// Whether callers must prove who they are.
    pub asks_callers: bool,
}

/// What accepts connections with TLS.
///
/// # Errors
///
/// Which file is not as it should be.
pub fn acceptor(files: &Files<'_>) -> Result<TlsAcceptor, String> {
    let chain = certificates(files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(files.key).map_err(|error| of(files.key, &error))?;
    let provider = Arc::new(crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match files.authority {
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(authority)? {
                roots.add(certificate).map_err(|error| of(authority, &error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = if files.asks_callers { verifier } else { verifier.allow_unauthenticated() };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| of(authority, &error))?)
        }
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| of(files.certificate, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).map_err(|error| of(path, &error))?;
    let chain: Vec<_> = read.collect::<Result<_, _>>().map_err(|error| of(path, &error))?;
    if chain.is_empty() {
        Err(format!("{}: there is no certificate in it", path.display()))
    } else {
        Ok(chain)
    }
}

fn of(path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}", path.display())
}
