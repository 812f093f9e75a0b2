//! Keys and values that are compared and set, and objects.

use crate::support::bus;
use serde_json::json;
use worker_runtime::{
    bus::{BucketError, Change},
    testing::nats::Server,
};

#[tokio::test]
async fn a_key_is_created_once_and_set_by_its_revision() {
    let server = Server::start().await.unwrap();
    server.bucket("EPOCHS", None).await.unwrap();
    let bucket = bus(&server).await.bucket("EPOCHS");
    assert_eq!(bucket.get("300").await.unwrap(), None);
    let first = bucket.create("300", b"1").await.unwrap();
    assert!(matches!(bucket.create("300", b"1").await, Err(BucketError::Exists(_))));
    let second = bucket.update("300", b"2", first).await.unwrap();
    let stale = bucket.update("300", b"3", first).await.unwrap_err();
    assert!(matches!(stale, BucketError::Stale { revision, .. } if revision == second), "{stale}");
    let entry = bucket.get("300").await.unwrap().unwrap();
    assert_eq!((entry.value.as_ref(), entry.revision), (&b"2"[..], second));
    bucket.put("301", b"x").await.unwrap();
    assert_eq!(bucket.keys().await.unwrap(), ["300", "301"]);

    bucket.delete("300", second).await.unwrap();
    assert_eq!(bucket.get("300").await.unwrap(), None);
    assert_eq!(bucket.keys().await.unwrap(), ["301"]);
    bucket.create("300", b"again").await.unwrap();
}

#[tokio::test]
async fn of_many_that_create_a_key_one_wins() {
    let server = Server::start().await.unwrap();
    server.bucket("EPOCHS", None).await.unwrap();
    let bus = bus(&server).await;
    let create = async |value: u8| bus.bucket("EPOCHS").create("1", &[value]).await.is_ok();
    let won = futures_util::future::join_all((0..20).map(create)).await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
}

#[tokio::test]
async fn a_watch_tells_what_is_and_what_comes() {
    let server = Server::start().await.unwrap();
    server.bucket("EPOCHS", None).await.unwrap();
    let bucket = bus(&server).await.bucket("EPOCHS");
    bucket.put("a.1", b"x").await.unwrap();
    bucket.put("b.1", b"y").await.unwrap();
    let mut watch = bucket.watch("a.>");
    watch.opened().await.unwrap();
    let Change::Put(entry) = watch.next().await.unwrap() else { panic!("a value") };
    assert_eq!((entry.key.as_str(), watch.caught_up()), ("a.1", true));
    bucket.delete("a.1", entry.revision).await.unwrap();
    let removed = watch.next().await.unwrap();
    assert!(matches!(&removed, Change::Removed { key, .. } if key == "a.1"), "{removed:?}");
}

#[tokio::test]
async fn objects_come_back_as_they_were() {
    let server = Server::start().await.unwrap();
    let extra = json!({ "allow_rollup_hdrs": true, "allow_direct": true });
    server.stream("OBJ_TXS", &["$O.TXS.C.>", "$O.TXS.M.>"], extra).await.unwrap();
    let objects = bus(&server).await.objects("TXS");
    let large: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    objects.put("abc", &large).await.unwrap();
    assert_eq!(objects.get("abc").await.unwrap().unwrap(), large);
    // The name says what it contains, so it is not stored twice.
    objects.put("abc", b"something else").await.unwrap();
    assert_eq!(objects.get("abc").await.unwrap().unwrap().len(), large.len());
    assert_eq!(objects.get("absent").await.unwrap(), None);
}
