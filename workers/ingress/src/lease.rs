//! A lane and a boot epoch of one's own: without both, no header space is handed out.

use anyhow::Context as _;
use std::time::Duration;
use subjects::{BootEpoch, Lane};
use tokio_util::sync::CancellationToken;
use worker_runtime::{
    Bus,
    bus::{Bucket, BucketError},
    lease::{Lease, LeaseConfig},
};

/// Pause between two looks at lanes that are all held.
const PAUSE: Duration = Duration::from_millis(500);

/// Leases the first lane that is free, and waits while none is; `None` when `stop` comes first.
///
/// # Errors
///
/// When the bucket of leases will never work.
pub(crate) async fn take(
    bus: &Bus,
    lanes: &[Lane],
    holder: &str,
    stop: &CancellationToken,
) -> anyhow::Result<Option<(Lane, Lease)>> {
    while !stop.is_cancelled() {
        for lane in lanes {
            let lease = LeaseConfig {
                bucket: streams::LANES.to_owned(),
                key: lane.to_string(),
                holder: holder.to_owned(),
                ttl: streams::LEASE,
            };
            match Lease::try_acquire(bus, &lease).await {
                Ok(Some(lease)) => return Ok(Some((*lane, lease))),
                Ok(None) => tracing::debug!(%lane, "the lane is held by another process"),
                Err(error) if error.is_final() => {
                    return Err(error).with_context(|| format!("lane {lane} cannot be leased"));
                }
                Err(error) => {
                    tracing::warn!(%lane, cause = format!("{:#}", anyhow::Error::new(error)), "cannot lease a lane yet");
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = stop.cancelled() => {}
        }
    }
    Ok(None)
}

/// Advances the lane's boot epoch, so that no extranonce prefix of an earlier start is ever given
/// again. Compare-and-set: of two that start at once, no two get the same.
///
/// # Errors
///
/// When the epochs of the lane are used up, or the stored one cannot be read.
pub(crate) async fn advance_epoch(
    bus: &Bus,
    lane: Lane,
    stop: &CancellationToken,
) -> anyhow::Result<Option<BootEpoch>> {
    let bucket = bus.bucket(streams::BOOT_EPOCHS);
    let key = lane.to_string();
    loop {
        match try_advance(&bucket, &key).await {
            Ok(epoch) => return Ok(Some(epoch)),
            Err(EpochError::Bucket(error)) => {
                tracing::warn!(%lane, %error, "cannot advance the boot epoch yet");
            }
            Err(EpochError::Value(error)) => {
                return Err(error).with_context(|| format!("lane {lane} cannot start"));
            }
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = stop.cancelled() => return Ok(None),
        }
    }
}

enum EpochError {
    Bucket(BucketError),
    Value(anyhow::Error),
}

impl From<BucketError> for EpochError {
    fn from(error: BucketError) -> Self {
        Self::Bucket(error)
    }
}

async fn try_advance(bucket: &Bucket, key: &str) -> Result<BootEpoch, EpochError> {
    let Some(entry) = bucket.get(key).await? else {
        // Epoch 0 is never handed out: a lane without a past is told from its first start.
        let first = BootEpoch(1);
        bucket.create(key, first.to_string().as_bytes()).await?;
        return Ok(first);
    };
    let next = next_epoch(&entry.value).map_err(EpochError::Value)?;
    bucket.update(key, next.to_string().as_bytes(), entry.revision).await?;
    Ok(next)
}

fn next_epoch(stored: &[u8]) -> anyhow::Result<BootEpoch> {
    let last: u16 = std::str::from_utf8(stored)
        .ok()
        .and_then(|text| text.parse().ok())
        .context("its stored boot epoch is not a number: correct it in the bucket BOOT_EPOCHS")?;
    let next = last.checked_add(1).context(
        "its 65535 boot epochs are used up: give the ingress another lane and retire this one",
    )?;
    Ok(BootEpoch(next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_follows_the_stored_one_until_they_are_used_up() {
        assert_eq!(next_epoch(b"0").unwrap(), BootEpoch(1));
        assert_eq!(next_epoch(b"65534").unwrap(), BootEpoch(65_535));
        assert!(next_epoch(b"65535").unwrap_err().to_string().contains("used up"));
        assert!(next_epoch(b"x").is_err());
    }
}
