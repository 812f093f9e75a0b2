//! What attackers do to a miners' port. They come from the address of honest miners too.

mod peer;

mod slow;

mod half_open;

mod floods;

mod garbage;

mod messages;

mod rejects;

use super::{
    Field,
    siege::{Expected, beside},
};

/// Bytes and lines that never end, and readers that never read.
pub(super) async fn slow_loris(field: &mut Field<'_>) -> anyhow::Result<()> {
    beside(field, "slow-loris", |aim| Box::pin(slow::crowd(aim)), Expected::Closed).await
}

/// Peers that connect, and then say nothing more.
pub(super) async fn half_open(field: &mut Field<'_>) -> anyhow::Result<()> {
    beside(field, "half-open", |aim| Box::pin(half_open::crowd(aim)), Expected::Closed).await
}

/// More connections than an address may have, and others that end at once.
pub(super) async fn connection_flood(field: &mut Field<'_>) -> anyhow::Result<()> {
    let flood = |aim| Box::pin(floods::connections(aim)) as _;
    beside(field, "connection-flood", flood, Expected::Closed).await
}

/// Handshakes, which cost the ingress more than who begins them.
pub(super) async fn handshake_flood(field: &mut Field<'_>) -> anyhow::Result<()> {
    let flood = |aim| Box::pin(floods::handshakes(aim)) as _;
    beside(field, "handshake-flood", flood, Expected::Nothing).await
}

/// What is neither protocol, and what is too long or too deep for one.
pub(super) async fn garbage_protocols(field: &mut Field<'_>) -> anyhow::Result<()> {
    beside(field, "garbage-protocols", |aim| Box::pin(garbage::crowd(aim)), Expected::Closed).await
}

/// Messages that may be sent and are of no use.
pub(super) async fn message_flood(field: &mut Field<'_>) -> anyhow::Result<()> {
    let flood = |aim| Box::pin(messages::flood(aim)) as _;
    beside(field, "message-flood", flood, Expected::Nothing).await
}

/// Machines that send nothing but bad shares.
pub(super) async fn reject_flood(field: &mut Field<'_>) -> anyhow::Result<()> {
    let flood = |aim| Box::pin(rejects::flood(aim)) as _;
    beside(field, "reject-flood", flood, Expected::ClosedWhenKnown).await
}
