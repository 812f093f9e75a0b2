//! The command line.

use crate::{
    audit::{self, Refusals},
    bench::{
        self, Beside, Setting,
        figure::{Figure, Table},
        results,
    },
    faults::{self, Campaign, Ended, Scale},
    fleet::{Fleet, Pace, Plan, Pool, WhenLost, raise_file_limit},
    miner::{self, Event, Figures, MinerConfig},
};
use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};
use sqlx::postgres::PgPoolOptions;
use std::{
    io::{self, Write as _},
    net::Ipv4Addr,
    num::NonZeroU32,
    path::PathBuf,
    time::Duration,
};
use stratum_v2::{Endpoint, client::Device};
use subjects::shares::JobKind;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    task::JoinSet,
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;
use worker_runtime::{
    BusConfig, Context, TlsConfig,
    clock::{Clock as _, SystemClock},
};

/// Events of a miner that may wait to be summed up.
const EVENTS: usize = 1_024;
/// Connections of a fleet that are made at once.
const AT_ONCE: usize = 64;
/// Files of a fleet that are no connections.
const OTHER_FILES: u64 = 64;
/// How long a pool may take to answer a fleet's last shares.
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);
/// How often a miner's figures are written.
const REPORT: Duration = Duration::from_secs(5);

/// Miners, nodes and faults as scenarios against a running network.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Mine over Stratum V2 until Ctrl-C, at a limited rate. Writes figures as JSON lines.
    Miner(MinerArgs),
    /// Load any pool with many miners and real shares. Writes one JSON line.
    ///
    /// The URL says whether Stratum V1 or V2 is spoken.
    ///
    /// Shares must be found at once, so the pool has to give the easiest target that it is asked
    /// for. Nothing is known of a pool but what it answers.
    Fleet(FleetArgs),
    /// Prove that each acknowledged share is stored, recorded and in a slice, exactly once.
    Audit(AuditArgs),
    /// Break a whole network on purpose and audit it after every fault. Writes JSON lines.
    ///
    /// Starts a network of its own in a temporary folder and ends it. Every chance follows from
    /// the seed that each line names.
    Faults(FaultsArgs),
    /// Measure what a share, a block and a miner cost, beside what they could cost at best.
    ///
    /// Prints a table, and writes a JSON line a figure into a file of this run and into
    /// `latest.jsonl`, which holds the latest of every figure.
    Bench(BenchArgs),
    /// Judge full batches of shares once, for callgrind to count.
    #[command(hide = true)]
    Judge {
        /// How many
        #[arg(long)]
        batches: u32,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Extended,
    Standard,
}

impl From<Kind> for JobKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Extended => Self::Extended,
            Kind::Standard => Self::Standard,
        }
    }
}

#[derive(Debug, Args)]
struct MinerArgs {
    /// The pool: stratum2+tcp://host:port/<authority key>
    #[arg(long)]
    pool: Endpoint,
    /// Who mines: <address>[.<worker>]
    #[arg(long)]
    user: String,
    /// Kind of channel
    #[arg(long, value_enum, default_value = "extended")]
    kind: Kind,
    /// Most hashes per second, of all threads together
    #[arg(long, default_value_t = 200_000)]
    limit: u64,
    /// Threads that hash
    #[arg(long, default_value = "1")]
    threads: NonZeroU32,
    /// File that every acknowledged share is appended to
    #[arg(long)]
    acknowledged: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct FleetArgs {
    /// The pool: stratum+tcp://host:port or stratum2+tcp://host:port/<authority key>
    #[arg(long)]
    pool: Pool,
    /// Who mines: <address>; each channel is a worker of its own
    #[arg(long)]
    user: String,
    /// Kind of channels
    #[arg(long, value_enum, default_value = "extended")]
    kind: Kind,
    /// Connections
    #[arg(long, default_value_t = 100)]
    connections: usize,
    /// Channels of each connection; Stratum V1 has one
    #[arg(long, default_value_t = 1)]
    channels: u32,
    /// Shares of a connection that wait for an answer, sent as fast as answers come
    #[arg(long, default_value_t = 16, conflicts_with = "interval_ms")]
    window: usize,
    /// Send one share of a connection in each such time instead
    #[arg(long)]
    interval_ms: Option<NonZeroU32>,
    /// For how long
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Addresses of this machine that connections come from, in turn, e.g. 127.0.0.2
    #[arg(long, value_name = "ADDRESS")]
    source: Vec<Ipv4Addr>,
    /// File that every acknowledged share is appended to
    #[arg(long)]
    acknowledged: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct AuditArgs {
    /// Files of acknowledged shares, as miners wrote them
    #[arg(long, required = true)]
    acknowledged: Vec<PathBuf>,
    /// NATS server
    #[arg(long)]
    nats: String,
    /// Credentials file of the NATS user
    #[arg(long)]
    creds: Option<PathBuf>,
    /// Certificate of the authority that signed the server's
    #[arg(long)]
    ca: Option<PathBuf>,
    /// PostgreSQL, as a URL
    #[arg(long, env = "HYPERHASH_DATABASE__URL", hide_env_values = true)]
    database: String,
    /// Read refusals too, to tell shares that came too late from lost ones
    #[arg(long)]
    refusals: bool,
    /// Seconds to wait for the books to balance
    #[arg(long, default_value_t = 30)]
    patience_secs: u64,
}

#[derive(Debug, Args)]
struct FaultsArgs {
    /// Scenarios to run [default: all]
    scenarios: Vec<String>,
    /// List the scenarios
    #[arg(long)]
    list: bool,
    /// As little of each as shows something
    #[arg(long)]
    short: bool,
    /// Where all chances come from [default: a new one]
    #[arg(long)]
    seed: Option<u64>,
    /// The program under test
    #[arg(long, default_value = "hyperhash")]
    program: PathBuf,
    /// Hashes per second of each of the two miners
    #[arg(long, default_value_t = 400_000)]
    hashrate: u64,
}

#[derive(Debug, Args)]
struct BenchArgs {
    /// Benches to run [default: all]
    benches: Vec<String>,
    /// List the benches
    #[arg(long)]
    list: bool,
    /// As little of each as shows that it works; the figures mean little
    #[arg(long)]
    short: bool,
    /// Keep no results
    #[arg(long)]
    discard: bool,
    /// Folder of the results
    #[arg(long, default_value = "loadtest/results", value_name = "FOLDER")]
    results: PathBuf,
    /// The program under test
    #[arg(long, default_value = "hyperhash")]
    program: PathBuf,
    /// Another pool on this machine that benches of the Stratum V1 ingress load in the same run:
    /// stratum+tcp://host:port; it must give a target that is met at once
    #[arg(long, value_name = "POOL")]
    beside: Option<Pool>,
    /// Its process, to measure what it uses
    #[arg(long, value_name = "PID", requires = "beside")]
    beside_pid: Option<u64>,
    /// Shell command that gives its chain a new tip
    #[arg(long, value_name = "COMMAND", requires = "beside")]
    beside_tip: Option<String>,
}

impl Cli {
    /// Does what the command line says.
    ///
    /// # Errors
    ///
    /// When it cannot be done, and when an audit finds a violation.
    pub async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Miner(args) => mine(args).await,
            Command::Fleet(args) => load(args).await,
            Command::Audit(args) => check(args).await,
            Command::Faults(args) => Box::pin(unless_interrupted(break_it(args))).await,
            Command::Bench(args) => Box::pin(unless_interrupted(measure(args))).await,
            Command::Judge { batches } => bench::judge(batches).await,
        }
    }
}

/// Gives up what starts networks when somebody asks for it, and so ends these.
async fn unless_interrupted(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let mut told = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    tokio::select! {
        done = work => done,
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted: its network was ended"),
        _ = told.recv() => anyhow::bail!("told to end: its network was ended"),
    }
}

async fn mine(args: MinerArgs) -> anyhow::Result<()> {
    let config = MinerConfig {
        endpoint: args.pool,
        user_identity: args.user,
        kind: args.kind.into(),
        hashes_per_second: args.limit,
        threads: args.threads,
        acknowledged: args.acknowledged,
        device: Device::default(),
    };
    let stop = CancellationToken::new();
    let (events, mut heard) = mpsc::channel(EVENTS);
    let mut miner = JoinSet::new();
    miner.spawn(miner::run(config, stop.clone(), events));
    let mut figures = Figures::default();
    let mut report = tokio::time::interval(REPORT);
    report.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            event = heard.recv() => match event {
                Some(event) => note(&mut figures, &event),
                None => break,
            },
            _ = report.tick() => print(&figures)?,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted.context("cannot wait for Ctrl-C")?;
                stop.cancel();
            }
        }
    }
    while let Some(ended) = miner.join_next().await {
        ended.context("the miner died")??;
    }
    print(&figures)
}

async fn load(args: FleetArgs) -> anyhow::Result<()> {
    let channels = match &args.pool {
        Pool::V1(_) => 1,
        Pool::V2(_) => args.channels,
    };
    raise_file_limit(u64::try_from(args.connections)?.saturating_add(OTHER_FILES))?;
    let plan = Plan {
        pools: vec![args.pool],
        connections: args.connections,
        channels,
        kind: args.kind.into(),
        address: args.user,
        at_once: AT_ONCE,
        sources: args.source,
        acknowledged: args.acknowledged,
        when_lost: WhenLost::Fail,
    };
    let pace = match args.interval_ms {
        Some(millis) => Pace::Every(Duration::from_millis(millis.get().into())),
        None => Pace::Window(args.window),
    };
    let mut fleet = Fleet::open(&plan).await?;
    let time = Duration::from_secs(args.seconds);
    fleet.work(pace, time, ANSWER_PATIENCE).await?;
    print(&fleet.tally().report(time))?;
    fleet.close().await
}

fn note(figures: &mut Figures, event: &Event) {
    tracing::debug!(?event, "miner");
    figures.note(event);
}

async fn check(args: AuditArgs) -> anyhow::Result<()> {
    let mut bus = BusConfig::new(args.nats);
    bus.creds_file = args.creds;
    bus.tls = args.ca.map(|ca| TlsConfig { ca_file: Some(ca), ..TlsConfig::default() });
    let context = Context::detached("loadtest", ());
    let bus = context.connect(&bus).await.context("cannot reach the bus")?;
    let pool = PgPoolOptions::new().max_connections(1).connect(&args.database).await;
    let database = pool.context("cannot reach the database")?;
    let keys = audit::acknowledged(&args.acknowledged).await?;
    let refusals = if args.refusals { Refusals::Read } else { Refusals::Skip };
    let patience = Duration::from_secs(args.patience_secs);
    let clock = context.clock().as_ref();
    let report = audit::until_clean(&keys, &bus, &database, refusals, clock, patience).await?;
    print(&report)?;
    context.finish(Duration::from_secs(1)).await?;
    anyhow::ensure!(report.is_clean(), "{} violations", report.violations);
    Ok(())
}

async fn break_it(args: FaultsArgs) -> anyhow::Result<()> {
    if args.list {
        let mut out = io::stdout().lock();
        for scenario in faults::ALL {
            writeln!(out, "{:<24} {}", scenario.name, scenario.what)?;
        }
        return Ok(());
    }
    let chosen = faults::named(&args.scenarios)
        .map_err(|name| anyhow::anyhow!("no scenario is called {name}: --list shows all"))?;
    let folder = tempfile::tempdir().context("no folder for the networks")?;
    let campaign = Campaign {
        program: args.program,
        hashrate: args.hashrate,
        scale: if args.short { Scale::Short } else { Scale::Full },
        seed: args.seed.unwrap_or_else(rand::random),
        folder: folder.path().to_owned(),
    };
    let mut failed: Vec<&str> = Vec::new();
    campaign
        .run(&chosen, |ended| {
            if let Ended::Failed { scenario, .. } = ended {
                failed.push(scenario);
            }
            print(ended)
        })
        .await?;
    if failed.is_empty() {
        return Ok(());
    }
    let (count, names, folder) = (chosen.len(), failed.join(", "), folder.keep());
    anyhow::bail!(
        "{} of {count} scenarios failed with seed {}: {names}; what their networks said is in {}",
        failed.len(),
        campaign.seed,
        folder.display()
    )
}

async fn measure(args: BenchArgs) -> anyhow::Result<()> {
    let mut out = io::stdout();
    if args.list {
        for bench in bench::ALL {
            writeln!(out, "{:<18} {}", bench.name, bench.what)?;
        }
        return Ok(());
    }
    let chosen = bench::named(&args.benches)
        .map_err(|name| anyhow::anyhow!("no bench is called {name}: --list shows all"))?;
    let scale = if args.short { bench::Scale::Short } else { bench::Scale::Full };
    let results = (!args.discard).then(|| args.results.clone());
    let (pid, new_tip) = (args.beside_pid, args.beside_tip);
    let beside = args.beside.map(|pool| Beside { pool, pid, new_tip });
    let setting = Setting { program: args.program, scale, results, beside };
    let clock = SystemClock::new();
    let (run, machine) = (clock.now().0.to_string(), results::machine());
    let (mut figures, mut failed) = (Vec::<Figure>::new(), Vec::new());
    for one in chosen {
        let taken = match one.measure(&setting).await {
            Ok(taken) => taken,
            Err(error) => {
                writeln!(out, "bench {} failed: {error:#}", one.name)?;
                failed.push(one.name);
                continue;
            }
        };
        write!(out, "{}", Table(&taken))?;
        figures.extend(taken);
        if !args.discard {
            // After each: what was measured stays if the next one fails.
            results::keep(&args.results, &run, &machine, &figures)?;
        }
    }
    anyhow::ensure!(failed.is_empty(), "benches failed: {}", failed.join(", "));
    Ok(())
}

/// Writes a line of JSON.
fn print(value: &impl serde::Serialize) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, value)?;
    Ok(writeln!(out)?)
}
