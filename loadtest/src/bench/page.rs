//! Numbers of a worker's metrics page.

use anyhow::{Context as _, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Largest page that is read, in bytes.
const MAX_PAGE: u64 = 4 << 20;

/// Reads the metrics page at `url`, as the status names it.
///
/// # Errors
///
/// When there is none.
pub(super) async fn read(url: &str) -> anyhow::Result<String> {
    let address = url.strip_prefix("http://").and_then(|rest| rest.strip_suffix("/metrics"));
    let address = address.with_context(|| format!("`{url}` is no metrics page"))?;
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.take(MAX_PAGE).read_to_string(&mut answer).await?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "`{url}` has no page");
    Ok(answer)
}

/// The value of the line that begins with `series`, labels included; 0 if there is none yet.
pub(super) fn number(page: &str, series: &str) -> f64 {
    value(page, series).unwrap_or(0.0)
}

/// The same of a series that counts.
pub(super) fn count(page: &str, series: &str) -> u64 {
    value(page, series).unwrap_or(0)
}

fn value<N: std::str::FromStr>(page: &str, series: &str) -> Option<N> {
    let mut values = page.lines().filter_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    values.find_map(|value| value.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_found_by_its_whole_name() {
        let page = "# TYPE a gauge\na{stream=\"S\"} 7\na_total 9\n";
        assert!((number(page, "a{stream=\"S\"}") - 7.0).abs() < 1e-9);
        assert!((number(page, "a_total") - 9.0).abs() < 1e-9);
        assert_eq!((count(page, "a_total"), count(page, "b_total")), (9, 0));
        assert!(number(page, "a") < 1e-9);
    }
}
