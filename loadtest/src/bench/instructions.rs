//! Instructions of the hot paths: the one figure that no neighbour on the machine changes.
//!
//! Callgrind counts them inside one function of a process of our own. It knows no SHA extensions,
//! so hashing is done in plain instructions there; that is why the hashing alone is counted too.

use super::{
    Bench, Setting,
    feed::shares_of,
    figure::{Figure, Goal},
    meter::float,
    verify,
};
use anyhow::{Context as _, ensure};
use futures_util::FutureExt as _;
use tokio::process::Command;

/// Instructions of judging shares.
pub(super) const BENCH: Bench = Bench {
    name: "instructions",
    what: "Instructions of the verifier's decision on a share, counted by callgrind.",
    measure: |setting| measure(setting).boxed(),
};

/// Full batches that are judged under callgrind, which is some fifty times slower.
const BATCHES: u32 = 16;

async fn measure(setting: &Setting) -> anyhow::Result<Vec<Figure>> {
    let batches = setting.times(4, BATCHES);
    let decided = count("decide", batches).await?;
    let hashed = count("hash", batches).await?;
    let figure = |name: &str, value| {
        Figure::median(format!("verify: instructions, {name}"), "/share", Goal::None, &[value])
            .with("each of another miner; by callgrind, hashing without SHA extensions")
    };
    Ok(vec![
        figure("decision", decided),
        figure("hashing alone", hashed),
        figure("decision beside hashing", decided - hashed),
    ])
}

/// Instructions a share inside the function of [`verify`] that has this name.
async fn count(function: &str, batches: u32) -> anyhow::Result<f64> {
    let program = std::env::current_exe().context("this program has no file")?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect=*bench*verify*{function}*"))
        .arg(program)
        .args(["judge", "--batches", &batches.to_string()])
        .kill_on_drop(true)
        .output()
        .await
        .context("cannot run valgrind: install it, on Debian the package `valgrind`")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "callgrind ended with {}: {said}", output.status);
    let collected =
        collected(&said).with_context(|| format!("callgrind counted nothing: {said}"))?;
    Ok(float(collected) / shares_of(batches.into()))
}

/// What callgrind says that it has counted; nothing if it never was in the function.
fn collected(said: &str) -> Option<u64> {
    let line = said.lines().find_map(|line| line.split_once("Collected :"))?;
    line.1.trim().parse().ok().filter(|count| *count > 0)
}

/// Judges full batches once in either way, for callgrind to count.
///
/// # Errors
///
/// When a share does not count.
pub async fn judge(batches: u32) -> anyhow::Result<()> {
    verify::once(batches).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_read() {
        let said = "==1== Events    : Ir\n==1== Collected : 123456\n==1== \n";
        assert_eq!(collected(said), Some(123_456));
        assert_eq!(collected("==1== Collected : 0\n"), None);
        assert_eq!(collected("valgrind: no such file"), None);
    }
}
