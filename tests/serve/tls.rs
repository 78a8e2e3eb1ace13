//! TLS by etcd's flags.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
use vertebra_model::api::{RangeRequest, RangeResponse};

use crate::client::{Client, block_on};
use crate::server::{Server, vertebra};
use crate::support::folder;

#[test]
fn files_that_are_no_certificates_are_refused_by_name() {
    let folder = folder("serve-tls-files");
    fs::write(folder.join("none.pem"), "nothing").expect("written");
    let refused =
        vertebra(&folder, &["serve", "--cert-file", "none.pem", "--key-file", "none.pem"]).expect(2);
    assert!(refused.stderr.contains("none.pem: "), "{}", refused.stderr);
    let refused = vertebra(&folder, &["serve", "--cert-file", "none.pem"]).expect(2);
    assert!(refused.stderr.contains("--key-file"), "{}", refused.stderr);
}

/// Writes certificates of an authority, of a server and of a caller.
fn certificates(folder: &Path) {
    let write = |name: &str, text: String| fs::write(folder.join(name), text).expect("written");
    let key = KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::new(Vec::new()).expect("parameters");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    write("ca.pem", authority.self_signed(&key).expect("a certificate").pem());
    let issuer = Issuer::new(authority, key);
    for name in ["server", "caller"] {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        write(&format!("{name}.pem"), params.signed_by(&key, &issuer).expect("a certificate").pem());
        write(&format!("{name}.key"), key.serialize_pem());
    }
}

async fn connect(server: &Server, folder: &Path, proves: bool) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("ca.pem")).expect("a certificate")).expect("a root");
    let builder = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    let mut config = match proves {
        true => {
            let chain =
                vec![CertificateDer::from_pem_file(folder.join("caller.pem")).expect("a certificate")];
            let key = PrivateKeyDer::from_pem_file(folder.join("caller.key")).expect("a key");
            builder.with_client_auth_cert(chain, key).expect("a pair")
        }
        false => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(server.endpoints[0]).await?;
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

#[test]
fn callers_with_a_certificate_are_served_over_tls_and_others_are_not() {
    let folder = folder("serve-tls");
    certificates(&folder);
    let flags = ["--cert-file", "server.pem", "--key-file", "server.key", "--trusted-ca-file", "ca.pem"];
    let server = Server::start(&folder, &[&flags[..], &["--client-cert-auth"]].concat());
    block_on(async {
        let client = Client::over(connect(&server, &folder, true).await.expect("TLS")).await;
        let request = RangeRequest { key: "key".into(), ..RangeRequest::default() };
        let read: RangeResponse = client.call("/etcdserverpb.KV/Range", &request).await.message();
        assert_eq!(read.count, 0);
        // In TLS 1.3 a caller learns that it is refused when it reads.
        if let Ok(mut stream) = connect(&server, &folder, false).await {
            use tokio::io::AsyncReadExt as _;
            assert!(!matches!(stream.read(&mut [0; 64]).await, Ok(1..)), "it is served");
        }
    });
    assert_eq!(server.end().0, Some(0));
}
