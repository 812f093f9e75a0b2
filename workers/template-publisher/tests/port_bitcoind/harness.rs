//! A bus as Core has it, a publisher on it, and a reader of what it says.

use serde_json::json;
use std::{sync::Arc, time::Duration};
use subjects::{
    Payload, TemplateId,
    templates::{Health, New, Tip},
};
use template_publisher::{
    config::{Config, Provider},
    port::Bitcoind,
    worker::publish,
};
use tokio::{task::JoinSet, time::timeout};
use worker_runtime::{
    Bus, Context,
    bus::Ordered,
    config::parse,
    testing::{self, nats},
    transform::Start,
};

/// How long anything may take before a test gives up.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A bus with the streams that a publisher needs.
pub(crate) async fn bus() -> (nats::Server, Bus) {
    let server = nats::Server::start().await.unwrap();
    let templates = ["templates.new.*", "templates.tip.*"];
    server.stream("TEMPLATES", &templates, json!({})).await.unwrap();
    server.stream("NODE_TELEMETRY", &["templates.health.*"], json!({})).await.unwrap();
    server.bucket("LEASES", Some(streams::LEASE)).await.unwrap();
    let objects = ["$O.TEMPLATE_TXS.C.>", "$O.TEMPLATE_TXS.M.>"];
    let rollup = json!({ "allow_rollup_hdrs": true, "allow_direct": true });
    server.stream("OBJ_TEMPLATE_TXS", &objects, rollup).await.unwrap();
    let bus = testing::bus(&server, "test").await.unwrap();
    (server, bus)
}

/// A configuration for this chain, without providers.
pub(crate) fn config(server: &nats::Server, chain: &str) -> Config {
    let (challenge, address) = match chain {
        "regtest" => ("", "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"),
        _ => ("signet_challenge = \"51\"", "tb1q2hk4gcv5ur4vcg5v6vpz5lj32v8m6mwe5exhza"),
    };
    let provider = r#"[[providers]]
        id = "core-a"
        rpc = { url = "http://127.0.0.1:1", cookie_file = "/nonexistent" }"#;
    let text = format!(
        "chain = \"{chain}\"\n{challenge}\ntreasury_address = \"{address}\"\n\
         health_interval_secs = 1\n[bus]\nurl = \"{}\"\n{provider}",
        server.url()
    );
    parse(&text).unwrap()
}

/// The only provider of a configuration.
pub(crate) fn provider(config: &mut Config) -> &mut Provider {
    config.providers.first_mut().unwrap()
}

/// A running publisher.
pub(crate) struct Publisher {
    pub(crate) ctx: Context<Config>,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Publisher {
    /// Starts one over these bitcoinds.
    pub(crate) fn start<B: Bitcoind>(config: Config, nodes: Vec<(&str, B)>) -> Self {
        let ctx = Context::detached("template-publisher", config);
        let nodes = nodes.into_iter().map(|(id, node)| (id.parse().unwrap(), Arc::new(node)));
        let mut tasks = JoinSet::new();
        tasks.spawn(publish(ctx.clone(), nodes.collect()));
        Self { ctx, tasks }
    }

    /// Starts one as production does, over real bitcoinds.
    pub(crate) fn start_real(config: Config) -> Self {
        use worker_runtime::Worker as _;
        let ctx = Context::detached("template-publisher", config);
        let mut tasks = JoinSet::new();
        tasks.spawn(template_publisher::TemplatePublisher::run(ctx.clone()));
        Self { ctx, tasks }
    }

    /// Drains it.
    pub(crate) async fn stop(mut self) {
        self.ctx.stop.cancel();
        let ended = timeout(DEADLINE, self.tasks.join_next()).await.unwrap();
        ended.unwrap().unwrap().unwrap();
    }

    /// A figure of it, as a scrape shows it.
    pub(crate) fn figure(&self, name: &str) -> f64 {
        let text = self.ctx.metrics().encode().unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }
}

/// One message of `TEMPLATES`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    New(TemplateId, New),
    Tip(Tip),
}

/// Reads `TEMPLATES` and checks what every reader relies on.
pub(crate) struct Reader {
    stream: Ordered,
    heard: Vec<(TemplateId, New)>,
}

impl Reader {
    pub(crate) fn new(bus: &Bus) -> Self {
        let stream = bus.ordered("TEMPLATES", vec!["templates.>".to_owned()], Start::First);
        Self { stream, heard: Vec::new() }
    }

    pub(crate) async fn next(&mut self) -> Message {
        let delivery = timeout(DEADLINE, self.stream.next()).await;
        let delivery = delivery.expect("something is published in time").unwrap();
        if delivery.kind == New::TYPE {
            let new = New::decode(&delivery.body).unwrap();
            let id = TemplateId::of_payload(&delivery.body);
            mining::WorkTemplate::new(id, &new).expect("the judge takes it");
            self.heard.push((id, new.clone()));
            return Message::New(id, new);
        }
        let tip = Tip::decode(&delivery.body).unwrap();
        let activated = self.heard.iter().find(|(id, _)| *id == tip.template);
        let (_, template) = activated.expect("a tip follows the template that it activates");
        assert_eq!((template.height, &template.provider), (tip.height, &tip.provider));
        Message::Tip(tip)
    }

    /// Skips to the next tip.
    pub(crate) async fn tip(&mut self) -> Tip {
        loop {
            if let Message::Tip(tip) = self.next().await {
                return tip;
            }
        }
    }

    /// Skips to the next template that bitcoind made, or that looks like one: built on a tip.
    pub(crate) async fn full(&mut self, wanted: impl Fn(&New) -> bool) -> (TemplateId, New) {
        loop {
            match self.next().await {
                Message::New(id, new) if new.prevhash.is_some() && wanted(&new) => {
                    return (id, new);
                }
                Message::New(..) | Message::Tip(_) => {}
            }
        }
    }
}

/// The first health fact that a test waits for.
pub(crate) async fn health(bus: &Bus, wanted: impl Fn(&Health) -> bool) -> Health {
    let filters = vec![Health::FILTER.to_owned()];
    let mut stream = bus.ordered("NODE_TELEMETRY", filters, Start::First);
    let waiting = async {
        loop {
            let health = Health::decode(&stream.next().await.unwrap().body).unwrap();
            if wanted(&health) {
                return health;
            }
        }
    };
    timeout(DEADLINE, waiting).await.expect("such a health fact comes")
}

impl Reader {
    /// A template that was heard.
    pub(crate) fn template(&self, id: TemplateId) -> New {
        let found = self.heard.iter().find(|(known, _)| *known == id);
        found.map(|(_, new)| new.clone()).unwrap()
    }
}
