//! One active instance, the others ready to take over.

use super::{Lease, LeaseConfig};
use crate::{Bus, Context};
use tokio_util::sync::CancellationToken;

/// What the active instance knows of its lease.
#[derive(Clone, Debug)]
pub struct Held {
    /// Grows with every holder.
    pub fence: u64,
    /// Cancelled when the lease was lost or the process drains: stop soon.
    pub lost: CancellationToken,
}

/// Runs `work` whenever this instance holds the lease, until the process drains or `work` ends by
/// itself. `work` must end soon after [`Held::lost`] is cancelled.
///
/// The readiness check `lease` tells who is active; a standby is ready.
pub async fn active_standby<C, W, F>(
    ctx: &Context<C>,
    bus: &Bus,
    config: &LeaseConfig,
    mut work: W,
) -> anyhow::Result<()>
where
    W: FnMut(Held) -> F,
    F: Future<Output = anyhow::Result<()>>,
{
    loop {
        ctx.ready("lease", true, "standby");
        let lease = match Lease::acquire(bus, config, &ctx.stop).await {
            Ok(Some(lease)) => lease,
            Ok(None) => return Ok(()),
            // The bus is closed while the process drains: nobody waits for the lease any more.
            Err(_) if ctx.stop.is_cancelled() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        ctx.ready("lease", true, "active");
        let lost = ctx.stop.child_token();
        let held = Held { fence: lease.fence(), lost: lost.clone() };
        let mut working = std::pin::pin!(work(held));
        let result = tokio::select! {
            result = &mut working => result,
            () = lease.lost().cancelled() => {
                lost.cancel();
                working.await
            }
        };
        let was_lost = lease.lost().is_cancelled();
        lease.release().await;
        // What failed because another took over is no error of the process: it stands by again.
        match result {
            Err(error) if was_lost => {
                tracing::warn!(cause = format!("{error:#}"), "stopped after losing the lease");
            }
            Err(error) if ctx.stop.is_cancelled() => {
                tracing::warn!(cause = format!("{error:#}"), "stopped in the middle of the work");
                return Ok(());
            }
            Err(error) => return Err(error),
            Ok(()) if was_lost && !ctx.stop.is_cancelled() => {}
            Ok(()) => return Ok(()),
        }
    }
}
