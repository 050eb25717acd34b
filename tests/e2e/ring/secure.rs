//! A journal behind TLS and SASL.

use std::fs;
use std::path::Path;
use std::time::Duration;

use epic_scheduler::journal::ring::{self, Ring};
use epic_scheduler::zookeeper::{Client, Connect, Refusal, Sasl, Session, Tls};
use epic_tests::zookeeper::ZooKeeper;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::place::{BOUND, Place, SLOTS, TIMEOUT, payload, written};
use super::proxy::Proxy;

#[tokio::test]
async fn servers_are_spoken_to_over_tls_only_if_an_authority_vouches_for_them() {
    let dir = tempfile::tempdir().unwrap();
    let own = authority(dir.path(), "own");
    let (certificate, key) = own.signed("127.0.0.1");
    let store = dir.path().join("store.pem");
    fs::write(&store, format!("{key}{certificate}")).unwrap();
    let options = [
        format!("-cp\n{}", class_path()),
        "-Dzookeeper.serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory".to_owned(),
        // A port for TLS alone would set this itself.
        "-Dzookeeper.authProvider.x509=org.apache.zookeeper.server.auth.X509AuthenticationProvider".to_owned(),
        // The port takes both, so that the harness can ask whether it serves.
        "-Dzookeeper.client.portUnification=true".to_owned(),
        format!("-Dzookeeper.ssl.keyStore.location={}", store.display()),
        format!("-Dzookeeper.ssl.trustStore.location={}", dir.path().join("own.pem").display()),
    ];
    let options: Vec<&str> = options.iter().flat_map(|option| option.split('\n')).collect();
    let zookeeper = ZooKeeper::start_with(&options).await.unwrap();
    let place = Place { zookeeper, client: Client::ZooKeeperClient };
    // The certificate had to be there before the server had an address.
    let mut through = place.connect("", "/epic", TIMEOUT);
    through.path.servers = vec![Proxy::default().start(place.zookeeper.addr()).await.unwrap()];
    let with = |tls: Tls| Connect { tls: Some(tls), ..through.clone() };
    let (client, client_key) = own.signed("replica");
    let trusting = Tls::trusting(&own.pem).unwrap();
    let connect = with(trusting.clone().showing(&client, &client_key).unwrap());
    let session = Session::connect(&connect, BOUND).await.unwrap();
    ring::init_with(&session, SLOTS).await.unwrap();
    let ring = Ring::open(session).await.unwrap();
    written(ring.append(1, 1, &payload(1)).await);
    // Whom another authority vouches for is not spoken to, and who shows nothing is not let in.
    let other = authority(dir.path(), "other");
    for tls in [Tls::trusting(&other.pem).unwrap(), trusting] {
        Session::connect(&with(tls), Duration::from_secs(3)).await.unwrap_err();
    }
}

#[tokio::test]
async fn whoever_proves_by_sasl_who_it_is_owns_its_journal() {
    let dir = tempfile::tempdir().unwrap();
    let users = dir.path().join("jaas.conf");
    let module = "org.apache.zookeeper.server.auth.DigestLoginModule";
    fs::write(&users, format!("Server {{ {module} required user_epic=\"right\" user_other=\"other\"; }};")).unwrap();
    let options = [
        format!("-Djava.security.auth.login.config={}", users.display()),
        "-Dzookeeper.authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider".to_owned(),
    ];
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let zookeeper = ZooKeeper::start_with(&options).await.unwrap();
    let place = Place { zookeeper, client: Client::ZooKeeperClient };
    let with = |user: &str, password: &str| {
        let sasl = Sasl { user: user.to_owned(), password: password.to_owned() };
        Connect { sasl: Some(sasl), ..place.connect("", "/epic", TIMEOUT) }
    };
    let session = Session::connect(&with("epic", "right"), BOUND).await.unwrap();
    ring::init_with(&session, SLOTS).await.unwrap();
    let ring = Ring::open(session).await.unwrap();
    written(ring.append(1, 1, &payload(1)).await);
    for stranger in [place.connect("", "/epic", TIMEOUT), with("other", "other")] {
        let session = Session::connect(&stranger, BOUND).await.unwrap();
        assert!(session.read("/journal/1").await.unwrap_err().says(Refusal::NoAuth));
        assert!(session.write("/journal/1", b"x", None).await.unwrap_err().says(Refusal::NoAuth));
    }
    let refused = Session::connect(&with("epic", "wrong"), Duration::from_secs(3)).await.unwrap_err();
    assert!(!format!("{:#}", anyhow::Error::from(refused)).contains("wrong"));
}

/// Signs certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// Makes an authority, and writes its certificate beside the others.
fn authority(dir: &Path, name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    fs::write(dir.join(format!("{name}.pem")), &pem).unwrap();
    Authority { issuer: Issuer::new(params, key), pem }
}

impl Authority {
    /// Returns a certificate and its key.
    fn signed(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

/// Debian's server needs netty for TLS, and doesn't name all of it.
fn class_path() -> String {
    let netty = ["buffer", "codec", "common", "handler", "resolver", "transport"];
    let native = ["transport-native-epoll", "transport-native-unix-common"];
    let jars = netty.iter().chain(&native).map(|part| format!("/usr/share/java/netty-{part}.jar"));
    let own =
        ["zookeeper", "zookeeper-jute", "slf4j-api", "slf4j-simple"].map(|own| format!("/usr/share/java/{own}.jar"));
    own.into_iter().chain(jars).collect::<Vec<_>>().join(":")
}
