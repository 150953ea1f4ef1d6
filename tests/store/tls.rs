//! TLS to a PostgreSQL server: what is verified, and what is said where it cannot be.

use std::path::Path;
use std::time::Duration;

use leadrelay::store::postgres::{Options, PostgresStore};
use leadrelay::store::{EventLog, Store, StoreError};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::fixture::*;
use crate::postgres::{Cluster, connect, shared_or_skipped};

/// An authority, and its certificate as PEM.
fn authority() -> (Issuer<'static, KeyPair>, String) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    (Issuer::new(params, key), certificate)
}

/// A server at `localhost` that this authority vouches for.
fn server(issuer: &Issuer<'_, KeyPair>) -> Option<Cluster> {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, issuer).unwrap();
    Cluster::with_files("ssl = on\n", &[("server.crt", &certificate.pem()), ("server.key", &key.serialize_pem())])
}

/// The address of a database whose server must prove that it is the one called so.
fn verified(port: u16, database: &str, host: &str, authority: &Path) -> String {
    let authority = authority.display();
    format!("postgres://postgres@{host}:{port}/{database}?sslmode=verify-full&sslrootcert={authority}")
}

async fn open(url: &str) -> Result<PostgresStore, StoreError> {
    PostgresStore::open(url, Options { accept_unsafe_server: true, ..Options::default() }).await
}

/// Why it is not opened, which tells where to look.
async fn refused(url: &str) -> String {
    match open(url).await.err() {
        Some(StoreError::Unfit(why)) if why.contains("`sslmode` and `sslrootcert` in `store.url`") => why,
        other => panic!("{url}: {other:?}"),
    }
}

#[tokio::test]
async fn only_a_server_that_proves_who_it_is_is_used_and_all_that_is_said_to_it_is_private() {
    let (issuer, certificate) = authority();
    let Some(cluster) = server(&issuer) else { return };
    let name = cluster.create_database().await;
    let folder = tempfile::tempdir().unwrap();
    let [ours, anothers] = ["ours.pem", "anothers.pem"].map(|file| folder.path().join(file));
    std::fs::write(&ours, certificate).unwrap();
    std::fs::write(&anothers, authority().1).unwrap();

    let right = verified(cluster.port(), &name, "localhost", &ours);
    let stores = [open(&right).await.unwrap(), open(&right).await.unwrap()];
    let mut elsewhere = stores[1].subscribe();
    stores[0].accept_events(vec![event("ada", "{}")]).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), elsewhere.changed()).await.expect("not told of it").unwrap();
    let mut db = connect(&cluster.url(&name)).await;
    let by_privacy = "SELECT count(*) FILTER (WHERE s.ssl), count(*) FILTER (WHERE NOT s.ssl),
                             count(*) FILTER (WHERE s.ssl AND a.query LIKE 'LISTEN%')
                        FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE a.application_name = 'leadrelay'";
    let (private, open_to_all, listening): (i64, i64, i64) =
        sqlx::query_as(by_privacy).fetch_one(&mut db).await.unwrap();
    assert!(private > 2, "{private}");
    assert_eq!((open_to_all, listening), (0, 2));
    let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM events").fetch_one(&mut db).await.unwrap();
    assert_eq!(stored, 1);

    refused(&verified(cluster.port(), &name, "localhost", &anothers)).await;
    refused(&verified(cluster.port(), &name, "127.0.0.1", &ours)).await;
    let without = shared_or_skipped().unwrap();
    let told = refused(&verified(without.port(), "postgres", "localhost", &ours)).await;
    assert!(told.contains("does not support TLS"), "{told}");
}
