//! `hyperhash tap`.

use super::{place::dev_network, say};
use anyhow::{Context as _, bail};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};
use subjects::{Payload as _, payouts::Statement};
use worker_runtime::{BusConfig, Context, Delivery, TlsConfig, bus::BusError, transform::Start};

/// Show messages of the bus, one a line, whatever they are written in.
///
/// Reads the stream that keeps the subject, in order and without gaps, until Ctrl-C. Reading
/// changes nothing: a read-only credential is enough.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples, with the dev network running:
  hyperhash tap 'shares.accepted.>' --json                     shares, as they are accepted
  hyperhash tap 'payouts.statement.>' --from first --json      every statement there ever was
  hyperhash tap 'blocks.>' --from 17                           from sequence 17 of its stream
  hyperhash tap 'templates.new.*' --from last --count 1        the latest template

Elsewhere:
  hyperhash tap 'rounds.closed.*' --url tls://core:4222 --creds data-reader.creds --ca ca.pem")]
pub(super) struct Args {
    /// Subject, with wildcards: * is one token, > is all that follow
    subject: String,
    /// One JSON object a line, for programs; else indented, for people
    #[arg(long)]
    json: bool,
    /// Where to begin: `new`, `first`, `last` (of each subject), or a sequence of the stream
    #[arg(long, default_value = "new", value_name = "WHERE")]
    from: From,
    /// End after this many messages
    #[arg(long, value_name = "MESSAGES")]
    count: Option<u64>,
    /// Stream to read [default: the one that keeps the subject]
    #[arg(long)]
    stream: Option<String>,
    /// NATS server [default: the hub of the dev network]
    #[arg(long, requires = "creds")]
    url: Option<String>,
    /// Credentials file [default: `data-reader` of the dev network]
    #[arg(long, value_name = "FILE")]
    creds: Option<PathBuf>,
    /// Authority of the server's certificate [default: that of the dev network]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Folder of the dev network's data
    #[arg(
        long,
        default_value = ".dev",
        env = "HYPERHASH_DEV_DATA_DIR",
        hide_env = true,
        value_name = "FOLDER"
    )]
    data_dir: PathBuf,
}

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct From(Start);

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let start = match text {
            "new" => Start::New,
            "first" => Start::First,
            "last" => Start::LastPerSubject,
            number => number
                .parse()
                .map(Start::Sequence)
                .map_err(|_| "expected new, first, last or a sequence number")?,
        };
        Ok(Self(start))
    }
}

/// How long the connection may take to close.
const GRACE: Duration = Duration::from_secs(1);

impl Args {
    /// Shows messages until enough were shown or nobody reads them any more.
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let stream = match &self.stream {
            Some(stream) => stream.clone(),
            None => stream_of(&self.subject)?.to_owned(),
        };
        let context = Context::detached("tap", ());
        let config = self.bus()?;
        let bus = tokio::select! {
            bus = context.connect(&config) => bus?,
            interrupted = tokio::signal::ctrl_c() => return Ok(interrupted?),
        };
        // A reader waits for streams and rights that may still come; a person wants to know.
        let asked = bus.stream_info(&stream).await;
        if let Err(error @ (BusError::Denied(_) | BusError::NoSuchStream(_))) = asked {
            return Err(error).context(format!("`{}` cannot be shown", self.subject));
        }
        let mut messages = bus.ordered(&stream, vec![self.subject.clone()], self.from.0);
        let mut left = self.count.unwrap_or(u64::MAX);
        while left > 0 {
            let delivery = tokio::select! {
                delivery = messages.next() => delivery?,
                interrupted = tokio::signal::ctrl_c() => {
                    interrupted?;
                    break;
                }
            };
            let message = view(&delivery);
            let text = if self.json {
                serde_json::to_string(&message)?
            } else {
                serde_json::to_string_pretty(&message)?
            };
            say(&text)?;
            left = left.saturating_sub(1);
        }
        context.finish(GRACE).await
    }

    fn bus(&self) -> anyhow::Result<BusConfig> {
        let (url, creds, ca) = match &self.url {
            Some(url) => (url.clone(), self.creds.clone(), self.ca.clone()),
            None => {
                let (status, endpoints) = dev_network(&self.data_dir)?;
                let reader = status.credentials.get("data-reader").cloned();
                let ca = self.ca.clone().unwrap_or(endpoints.nats.ca_file);
                (endpoints.nats.hub, self.creds.clone().or(reader), Some(ca))
            }
        };
        let creds = creds.context("no credentials: name a file with --creds")?;
        Ok(BusConfig {
            inbox_prefix: Some(format!("_INBOX_{}", user_of(&creds)?)),
            creds_file: Some(creds),
            tls: ca.map(|ca| TlsConfig { ca_file: Some(ca), ..TlsConfig::default() }),
            ..BusConfig::new(url)
        })
    }
}

fn stream_of(subject: &str) -> anyhow::Result<&'static str> {
    let Some(stream) = streams::stream_of(subject) else {
        bail!(
            "no stream keeps `{subject}`; some subjects that are kept: shares.accepted.>, \
             templates.new.*, blocks.>, rounds.closed.*, payouts.statement.>. Or name one with \
             --stream"
        );
    };
    Ok(stream)
}

/// The name of a credentials file's user: answers arrive under it.
fn user_of(creds: &Path) -> anyhow::Result<String> {
    let text =
        fs::read_to_string(creds).with_context(|| format!("cannot read {}", creds.display()))?;
    let name = || {
        let token = text.lines().skip_while(|line| !line.contains("BEGIN NATS USER JWT")).nth(1)?;
        let claims = URL_SAFE_NO_PAD.decode(token.trim().split('.').nth(1)?).ok()?;
        let claims: Value = serde_json::from_slice(&claims).ok()?;
        Some(claims.get("name")?.as_str()?.to_owned())
    };
    name().with_context(|| format!("{} is not a NATS credentials file", creds.display()))
}

/// A message as an object.
fn view(delivery: &Delivery) -> Value {
    let mut message = json!({
        "subject": delivery.subject,
        "type": delivery.kind,
        "id": delivery.message_id,
        "stream": delivery.position.stream,
        "sequence": delivery.position.sequence,
        "stored_at": delivery.stored_at,
    });
    if let Some(fields) = message.as_object_mut() {
        fields.extend(body(&delivery.kind, &delivery.body));
    }
    message
}

/// What a body says, and what is signed in it; for one that cannot be read, why, and its bytes.
fn body(kind: &str, bytes: &[u8]) -> Vec<(String, Value)> {
    match subjects::view(kind, bytes) {
        Ok(body) => {
            let signed = signed(kind, bytes).map(|signed| ("signed".into(), signed));
            std::iter::once(("body".into(), body)).chain(signed).collect()
        }
        Err(error) => vec![
            ("unreadable".into(), error.to_string().into()),
            ("bytes".into(), hex::encode(bytes).into()),
        ],
    }
}

/// The statement inside its signature. Whoever pays by it checks the signature first.
fn signed(kind: &str, bytes: &[u8]) -> Option<Value> {
    let statement = (kind == Statement::TYPE).then(|| Statement::decode(bytes).ok())??;
    serde_json::to_value(statement.body().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use subjects::{
        BlockHash,
        blocks::{BlockResult, Outcome},
    };

    #[test]
    fn begins_where_it_is_told() {
        assert_eq!("new".parse(), Ok(From(Start::New)));
        assert_eq!("17".parse(), Ok(From(Start::Sequence(17))));
        assert!("yesterday".parse::<From>().is_err());
    }

    #[test]
    fn a_subject_that_nobody_keeps_is_answered_with_some_that_are() {
        assert_eq!(stream_of("shares.accepted.>").unwrap(), "SHARES");
        assert_eq!(stream_of("shares.accepted.n1.*").unwrap(), "SHARES");
        let error = stream_of("rounds.progress").unwrap_err().to_string();
        assert!(error.contains("shares.accepted.>"), "{error}");
    }

    #[test]
    fn the_user_stands_in_the_credentials() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("it.creds");
        let claims = URL_SAFE_NO_PAD.encode(r#"{"name":"data-reader"}"#);
        fs::write(&file, format!("-----BEGIN NATS USER JWT-----\nx.{claims}.y\n------END"))
            .unwrap();
        assert_eq!(user_of(&file).unwrap(), "data-reader");
        fs::write(&file, "nothing").unwrap();
        assert!(user_of(&file).unwrap_err().to_string().contains("not a NATS credentials file"));
    }

    #[test]
    fn a_statement_is_shown_in_the_clear() {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../schemas/examples/hyperhash.payouts.v1.statement.json");
        let read = body(Statement::TYPE, &fs::read(golden).unwrap());
        assert_eq!((read[1].0.as_str(), &read[1].1["height"]), ("signed", &json!(840_321)));
    }

    #[test]
    fn a_body_that_cannot_be_read_is_shown_as_bytes() {
        let outcome =
            Outcome { hash: BlockHash([7; 32]), height: 9, result: BlockResult::Confirmed };
        let read = body(Outcome::TYPE, &outcome.encode());
        assert_eq!((read[0].0.as_str(), &read[0].1["height"]), ("body", &json!(9)));
        let unread = body("hyperhash.else.v1.thing", &[0xab]);
        assert!(unread[0].1.as_str().unwrap().contains("not a type of ours"), "{unread:?}");
        assert_eq!(unread[1], ("bytes".to_owned(), json!("ab")));
    }
}
