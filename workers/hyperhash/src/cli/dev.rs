//! `hyperhash dev`.

use super::say;
use crate::{
    dev::{
        control::{self, Ended},
        home::Home,
        hub::HubServers,
        providers::Provider,
        settings::Choice,
        supervisor::{self, Options, Show},
        view, workers,
    },
    status::{State, Status},
};
use clap::{
    Subcommand,
    builder::{PossibleValuesParser, TypedValueParser as _},
};
use std::{
    ffi::OsString,
    io::{self, IsTerminal as _},
    path::PathBuf,
    process::ExitCode,
};

/// The whole network on this machine, on real servers, with two small miners.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  hyperhash dev up                       start, and watch; Ctrl-C drains
  hyperhash dev up --detach              start, and return once all of it is ready
  hyperhash dev status --json            everything about it, for programs
  hyperhash dev down                     drain and end; the data stays
  hyperhash dev reset                    end and delete the data")]
pub(super) enum Command {
    Up(Up),
    Status(StatusArgs),
    /// Drain the network and end all of it; its data stays
    Down(Place),
    /// End the network and delete its data
    Reset(Place),
    /// The supervisor of `up --detach`
    #[command(hide = true)]
    Supervise(Settings),
    /// One of the network's own miners
    #[command(hide = true)]
    Miner(super::miner::Args),
}

/// Which network.
#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// Folder of the network's data
    #[arg(
        long,
        default_value = ".dev",
        env = "HYPERHASH_DEV_DATA_DIR",
        hide_env = true,
        value_name = "FOLDER"
    )]
    data_dir: PathBuf,
}

/// Start the network; what it did before goes on.
///
/// Servers of this system are used where they are new enough; `deploy/regtest/prepare.sh` makes a
/// private root folder with the others. Nothing listens beyond loopback.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hyperhash dev up --port miners=3333 --port hub=4222
  hyperhash dev up --data-dir /srv/dev --detach
  hyperhash dev up --without ingress-sv2 --without miners    bring an ingress of your own
  hyperhash dev up --providers 2                     a second bitcoind, to lose the first
  HYPERHASH_DEV_SERVERS=private hyperhash dev up     never use this system's own servers

Ports are chosen once and remembered. Their names: bitcoind-rpc, bitcoind-zmq, postgresql, hub,
hub-leaves, hub-monitor, hub-routes, leaf, leaf-monitor, miners, metrics-<worker>; with three
servers of the hub also those of hub-2 and hub-3; with two providers also bitcoind-p2p,
bitcoind-second-rpc, bitcoind-second-zmq.")]
pub(super) struct Up {
    #[command(flatten)]
    settings: Settings,
    /// Return once the network is ready; it runs until `hyperhash dev down`
    #[arg(long)]
    detach: bool,
    /// Print lines instead of a page that is drawn again
    #[arg(long)]
    plain: bool,
}

/// How a network is started.
#[derive(Debug, clap::Args)]
pub(super) struct Settings {
    #[command(flatten)]
    place: Place,
    /// Private root folder with servers [default: that of prepare.sh]
    #[arg(long, env = "HYPERHASH_DEV_ROOT", hide_env_values = true, value_name = "FOLDER")]
    root: Option<PathBuf>,
    /// A port of your choice; may be given several times
    #[arg(
        long = "port",
        env = "HYPERHASH_DEV_PORTS",
        hide_env_values = true,
        value_delimiter = ',',
        value_name = "NAME=NUMBER"
    )]
    ports: Vec<Choice>,
    /// Servers of the hub: of three, any one may end. A network keeps those that it was made with
    /// [default: 1]
    #[arg(
        long,
        value_parser = PossibleValuesParser::new(HubServers::CHOICES)
            .try_map(|count| count.parse::<HubServers>()),
        env = "HYPERHASH_DEV_HUB_SERVERS",
        hide_env_values = true,
        value_name = "COUNT"
    )]
    hub_servers: Option<HubServers>,
    /// Hashes per second of each of the two miners
    #[arg(
        long,
        default_value_t = 200_000,
        env = "HYPERHASH_DEV_HASHRATE",
        hide_env_values = true,
        value_name = "HASHES"
    )]
    hashrate: u64,
    /// Start all but this worker, all but the `miners`, or with `all` the servers alone; may be given
    /// several times
    #[arg(
        long,
        value_parser = PossibleValuesParser::new(workers::optional()),
        env = "HYPERHASH_DEV_WITHOUT",
        hide_env_values = true,
        value_delimiter = ',',
        value_name = "PART"
    )]
    without: Vec<String>,
    /// Sources of templates, each with a bitcoind, a publisher and a submitter; two bitcoinds are
    /// peers, and the ingress prefers the first
    #[arg(
        long,
        default_value_t = 1,
        value_parser = clap::value_parser!(u8).range(1..=2),
        env = "HYPERHASH_DEV_PROVIDERS",
        hide_env_values = true,
        value_name = "COUNT"
    )]
    providers: u8,
}

/// Say how the network does. The exit code is 3 when it is down.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hyperhash dev status --json | jq -r .endpoints.miners.sv2
  hyperhash dev status --schema            the JSON Schema of what --json prints")]
pub(super) struct StatusArgs {
    #[command(flatten)]
    place: Place,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
    /// Print the JSON Schema of the status and end
    #[arg(long, conflicts_with = "json")]
    schema: bool,
}

/// Exit code of `status` for a network that is down.
const DOWN: u8 = 3;

impl Command {
    /// Does it.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Up(up) => up.run().await,
            Self::Status(args) => args.run(),
            Self::Down(place) => {
                let home = Home::at(&place.data_dir)?;
                tell_ended(&control::down(&home).await?)
            }
            Self::Reset(place) => {
                let home = Home::at(&place.data_dir)?;
                tell_ended(&control::reset(&home).await?)?;
                say(&format!("{} is gone", home.folder().display()))?;
                Ok(ExitCode::SUCCESS)
            }
            Self::Supervise(settings) => {
                control::leave_terminal()?;
                settings.supervise(Show::Nothing).await
            }
            Self::Miner(args) => args.run().await.map(|()| ExitCode::SUCCESS),
        }
    }
}

impl Up {
    async fn run(self) -> anyhow::Result<ExitCode> {
        if !self.detach {
            let page = !self.plain && io::stdout().is_terminal();
            return self.settings.supervise(if page { Show::Page } else { Show::Lines }).await;
        }
        let home = Home::prepare(&self.settings.place.data_dir)?;
        if let Some(supervisor) = control::running(&home)? {
            return already(&home, supervisor.pid);
        }
        control::detach(&home, self.settings.arguments()).await?;
        say(&readable(&control::status(&home)?))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Settings {
    async fn supervise(self, show: Show) -> anyhow::Result<ExitCode> {
        let home = Home::prepare(&self.place.data_dir)?;
        let Some(lock) = home.lock()? else {
            let pid = control::running(&home)?.map_or(0, |supervisor| supervisor.pid);
            return already(&home, pid);
        };
        let options = Options {
            root: control::private_root(self.root)?,
            ports: self.ports,
            hub_servers: self.hub_servers,
            hashrate: self.hashrate,
            without: self.without,
            providers: Provider::first(self.providers),
            show,
        };
        supervisor::supervise(&home, lock, &options).await?;
        Ok(ExitCode::SUCCESS)
    }

    /// The same settings as arguments of another process.
    fn arguments(&self) -> Vec<OsString> {
        let Self { place, root, ports, hub_servers, hashrate, without, providers } = self;
        let mut arguments: Vec<OsString> = vec!["--data-dir".into(), place.data_dir.clone().into()];
        arguments.extend(["--hashrate".into(), hashrate.to_string().into()]);
        arguments.extend(["--providers".into(), providers.to_string().into()]);
        if let Some(root) = root {
            arguments.extend(["--root".into(), root.clone().into()]);
        }
        if let Some(count) = hub_servers {
            arguments.extend(["--hub-servers".into(), count.to_string().into()]);
        }
        for part in without {
            arguments.extend(["--without".into(), part.into()]);
        }
        for port in ports {
            arguments.extend(["--port".into(), port.to_string().into()]);
        }
        arguments
    }
}

impl StatusArgs {
    fn run(self) -> anyhow::Result<ExitCode> {
        if self.schema {
            say(&serde_json::to_string_pretty(&crate::status::schema())?)?;
            return Ok(ExitCode::SUCCESS);
        }
        let status = control::status(&Home::at(&self.place.data_dir)?)?;
        if self.json {
            say(&serde_json::to_string_pretty(&status)?)?;
        } else {
            say(&readable(&status))?;
        }
        let down = status.state == State::Down;
        Ok(if down { ExitCode::from(DOWN) } else { ExitCode::SUCCESS })
    }
}

fn already(home: &Home, pid: u32) -> anyhow::Result<ExitCode> {
    say(&format!(
        "the network is up already (process {pid}, data in {})",
        home.folder().display()
    ))?;
    say(&readable(&control::status(home)?))?;
    Ok(ExitCode::SUCCESS)
}

fn readable(status: &Status) -> String {
    if status.state == State::Down {
        let problems = status.problems.iter().map(|problem| format!("\n  ! {problem}"));
        return format!("down; `hyperhash dev up` starts it{}", problems.collect::<String>());
    }
    view::text(status)
}

fn tell_ended(ended: &Ended) -> anyhow::Result<ExitCode> {
    let text = match ended {
        Ended::Nothing => "nothing was running".to_owned(),
        Ended::Drained => "drained; nothing runs any more".to_owned(),
        Ended::Swept(names) => format!("ended what was left behind: {}", names.join(", ")),
    };
    say(&text)?;
    Ok(ExitCode::SUCCESS)
}
