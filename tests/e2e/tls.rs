//! https to a master that speaks none: HAProxy stands in front of it.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use epic_scheduler::mesos::client::Kind;
use epic_scheduler::mesos::event::Event;
use epic_tests::cluster::Cluster;
use epic_tests::kit;
use epic_tests::process::{Process, Program};
use epic_tests::spec::ClusterSpec;
use epic_tests::wait;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::net::TcpStream;

use crate::client::{client, subscribe};

/// Starts HAProxy before the leading master, with a certificate for its own address; the authority's is in `ca.pem`.
pub(crate) async fn haproxy(cluster: &Cluster) -> Result<(Process, SocketAddr)> {
    kit::install("haproxy")?;
    let front = cluster.network().free(200)?;
    let dir = cluster.work_dir();
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let (authority_key, key) = (KeyPair::generate()?, KeyPair::generate()?);
    fs::write(dir.join("ca.pem"), authority.self_signed(&authority_key)?.pem())?;
    let issuer = Issuer::from_params(&authority, &authority_key);
    let certificate = CertificateParams::new([front.ip().to_string()])?.signed_by(&key, &issuer)?;
    fs::write(dir.join("front.pem"), format!("{}{}", certificate.pem(), key.serialize_pem()))?;
    let settings = format!(
        "defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
         frontend front\n  bind {front} ssl crt {}\n  default_backend master\nbackend master\n  server master {}\n",
        dir.join("front.pem").display(),
        cluster.master_addr(),
    );
    fs::write(dir.join("haproxy.cfg"), settings)?;
    let config = dir.join("haproxy.cfg").display().to_string();
    let process = Program::new("/usr/sbin/haproxy", dir.join("haproxy.log")).args(["-db", "-f", &config]).start()?;
    let listens =
        wait::until("haproxy listens", Duration::from_secs(10), async || Ok(TcpStream::connect(front).await?));
    listens.await.with_context(|| process.log_tail(20))?;
    Ok((process, front))
}

#[tokio::test]
async fn a_master_is_subscribed_to_over_https_only_with_its_authority() {
    let cluster = Cluster::start(ClusterSpec::agents_of(1)).await.unwrap();
    let (_process, front) = haproxy(&cluster).await.unwrap();
    let master = format!("https://{front}");
    let call = subscribe("BlueData", None);
    let stranger = client(&master, None, None).subscribe(&call).await.unwrap_err();
    let kind = stranger.kind();
    let text = format!("{:#}", anyhow::Error::from(stranger));
    assert!(kind == Kind::Retriable && text.contains("certificate"), "{text}");

    let trusting = client(&master, None, Some(cluster.work_dir().join("ca.pem")));
    let mut subscription = trusting.subscribe(&call).await.unwrap();
    assert_eq!(subscription.leader.as_str(), format!("{master}/api/v1/scheduler"));
    let offered = async {
        loop {
            if let Event::Offers(offers) = subscription.next().await? {
                ensure!(!offers.is_empty(), "an empty list of offers");
                return Ok(());
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), offered).await.expect("no offer came").unwrap();
}
