//! The committed `.proto`, read by a compiler that knows nothing of the Rust types, means the same
//! bytes.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage, Value};
use schemas::{
    asyncapi::PROTO_PATH,
    examples::Example,
    files::{Files, read},
    proto::PACKAGE,
};
use std::path::Path;
use subjects::shares::{Accepted, JobKind, Refused, Share, Submitted, WorkSource};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn committed() -> (Files, DescriptorPool) {
    let files = read(Path::new(ROOT)).unwrap();
    let folder = Path::new(ROOT).join("proto");
    let name = PROTO_PATH.strip_prefix("proto/").unwrap();
    let set = protox::compile([name], [folder]).unwrap();
    (files, DescriptorPool::from_file_descriptor_set(set).unwrap())
}

/// Decodes a golden `.binpb` by the committed `.proto` alone.
fn decoded(message: &str, kind: &str) -> DynamicMessage {
    let (files, pool) = committed();
    let descriptor = pool.get_message_by_name(&format!("{PACKAGE}.{message}")).unwrap();
    let bytes = &files[&format!("examples/{kind}.binpb")];
    let decoded = DynamicMessage::decode(descriptor, bytes.as_slice()).unwrap();
    assert_nothing_unknown(&decoded);
    decoded
}

/// Every tag that was written is in the `.proto`, with the type that it was written as.
fn assert_nothing_unknown(message: &DynamicMessage) {
    assert_eq!(message.unknown_fields().count(), 0, "{}", message.descriptor().full_name());
    for (_, value) in message.fields() {
        if let Value::Message(inner) = value {
            assert_nothing_unknown(inner);
        }
        if let Value::List(items) = value {
            items.iter().filter_map(Value::as_message).for_each(assert_nothing_unknown);
        }
    }
}

/// The value at a dotted path; a number is a position in a list.
fn at(message: &DynamicMessage, path: &str) -> Value {
    let mut value = Value::Message(message.clone());
    for token in path.split('.') {
        value = match (value.as_message(), value.as_list()) {
            (Some(message), _) => message.get_field_by_name(token).unwrap().into_owned(),
            (None, Some(items)) => items[token.parse::<usize>().unwrap()].clone(),
            (None, None) => panic!("{path}: nothing within {value:?}"),
        };
    }
    value
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn bytes(bytes: &[u8]) -> Value {
    Value::Bytes(bytes.to_vec().into())
}

/// Checks all fields at once: `check(path, expected)`.
fn assert_fields(message: &DynamicMessage, fields: &[(&str, Value)]) {
    for (path, expected) in fields {
        assert_eq!(at(message, path), *expected, "{path}");
    }
}

fn assert_head(
    message: &DynamicMessage,
    node: &str,
    lane: u16,
    epoch: u16,
    batch: u64,
    opened: u64,
) {
    assert_fields(
        message,
        &[
            ("node", text(node)),
            ("lane", Value::U32(lane.into())),
            ("boot_epoch", Value::U32(epoch.into())),
            ("batch", Value::U64(batch)),
            ("opened_at_ms", Value::U64(opened)),
        ],
    );
}

/// Which field of the oneof `source` is set.
fn chosen(message: &DynamicMessage, path: &str) -> String {
    let Value::Message(job) = at(message, path) else { panic!("{path}") };
    let oneof = job.descriptor().oneofs().find(|oneof| oneof.name() == "source").unwrap();
    let set = oneof.fields().find(|field| job.has_field(field)).unwrap();
    set.name().to_owned()
}

fn assert_job(message: &DynamicMessage, path: &str, job: &subjects::shares::Job) {
    let field = |name: &str| at(message, &format!("{path}.{name}"));
    match job.source {
        WorkSource::Template { template, prevhash } => {
            assert_eq!(chosen(message, path), "template");
            assert_eq!(field("template.template"), bytes(&template.0));
            assert_eq!(field("template.prevhash"), bytes(&prevhash.0));
        }
        WorkSource::Declared { job, prevhash } => {
            assert_eq!(chosen(message, path), "declared");
            assert_eq!(field("declared.job"), bytes(&job.0));
            assert_eq!(field("declared.prevhash"), bytes(&prevhash.0));
        }
    }
    let kind = match job.kind {
        JobKind::Extended => 1,
        JobKind::Standard => 2,
    };
    assert_eq!(field("kind"), Value::EnumNumber(kind));
    assert_eq!(field("exponent"), Value::I32(job.exponent.to_i8().into()));
    assert_eq!(field("extranonce_prefix"), bytes(job.extranonce_prefix.as_slice()));
    assert_eq!(field("extranonce_length"), Value::U32(job.extranonce_length.into()));
    assert_eq!(field("identity"), text(&job.identity));
    assert_eq!(field("version_mask"), Value::U32(job.version_mask));
}

fn assert_share(message: &DynamicMessage, path: &str, share: &Share) {
    let field = |name: &str| at(message, &format!("{path}.{name}"));
    assert_eq!(field("job"), Value::U32(share.job));
    assert_eq!(field("channel"), Value::U32(share.channel));
    assert_eq!(field("sequence"), Value::U32(share.sequence));
    assert_eq!(field("extranonce"), bytes(share.extranonce.as_slice()));
    assert_eq!(field("ntime"), Value::U32(share.ntime));
    assert_eq!(field("nonce"), Value::U32(share.nonce));
    assert_eq!(field("version"), Value::U32(share.version));
    assert_eq!(field("worker"), Value::U32(share.worker));
    assert_eq!(field("after_ms"), Value::U32(share.after_ms));
}

#[test]
fn the_golden_submitted_batch_means_the_same_in_both() {
    let (message, value) =
        (decoded("Submitted", "hyperhash.shares.v1.submitted"), Submitted::example());
    let Submitted { node, lane, boot_epoch, batch, opened_at, workers, jobs, shares } = &value;
    assert_head(&message, node.as_str(), lane.0, boot_epoch.0, *batch, opened_at.0);
    assert_eq!(
        at(&message, "workers"),
        Value::List(workers.iter().map(|name| text(name)).collect())
    );
    assert_eq!((jobs.len(), shares.len()), (2, 2));
    for (index, job) in jobs.iter().enumerate() {
        assert_job(&message, &format!("jobs.{index}"), job);
    }
    for (index, share) in shares.iter().enumerate() {
        assert_share(&message, &format!("shares.{index}"), share);
    }
}

#[test]
fn the_golden_accepted_batch_means_the_same_in_both() {
    let (message, value) =
        (decoded("Accepted", "hyperhash.shares.v1.accepted"), Accepted::example());
    let Accepted { node, lane, boot_epoch, batch, opened_at, .. } = &value;
    assert_head(&message, node.as_str(), lane.0, boot_epoch.0, *batch, opened_at.0);
    assert_fields(
        &message,
        &[("part", Value::U32(value.part)), ("resume_at", Value::U32(value.resume_at))],
    );
    for (index, job) in value.jobs.iter().enumerate() {
        let path = format!("jobs.{index}");
        assert_job(&message, &format!("{path}.job"), &job.job);
        assert_eq!(at(&message, &format!("{path}.miner")), bytes(job.miner.as_bytes()));
        assert_eq!(at(&message, &format!("{path}.nbits")), Value::U32(job.nbits));
        assert_eq!(at(&message, &format!("{path}.height")), Value::U32(job.height));
    }
    for (index, share) in value.shares.iter().enumerate() {
        let path = format!("shares.{index}");
        assert_share(&message, &path, &share.share);
        let work_log2 = share.work.to_u128().ilog2();
        assert_eq!(at(&message, &format!("{path}.work_log2")), Value::U32(work_log2));
        assert_eq!(at(&message, &format!("{path}.hash_top")), Value::U64(share.hash_top));
        let block = share.block.map(|hash| hash.0.to_vec()).unwrap_or_default();
        assert_eq!(at(&message, &format!("{path}.block_hash")), bytes(&block));
    }
}

#[test]
fn the_golden_refusal_means_the_same_in_both() {
    let (message, value) = (decoded("Refused", "hyperhash.shares.v1.refused"), Refused::example());
    let Refused { node, lane, boot_epoch, batch, opened_at, refusals } = &value;
    assert_head(&message, node.as_str(), lane.0, boot_epoch.0, *batch, opened_at.0);
    let refusal = &refusals[0];
    assert_fields(
        &message,
        &[
            ("refusals.0.index", Value::U32(refusal.index)),
            ("refusals.0.channel", Value::U32(refusal.channel)),
            ("refusals.0.sequence", Value::U32(refusal.sequence)),
            ("refusals.0.identity", text(&refusal.identity)),
            ("refusals.0.worker", text(&refusal.worker)),
            ("refusals.0.reason", text(refusal.reason.code())),
        ],
    );
}
