//! Nodes, miners and workers by key. Found or made before the transaction that uses them, so a key
//! once seen stays good whatever becomes of the rows.

use crate::domain::Parties;
use sqlx::{Arguments as _, PgConnection, error::BoxDynError, postgres::PgArguments};
use std::collections::BTreeMap;
use subjects::{MinerId, NodeId};

/// Most keys of a kind that are remembered, about 30 MB; then memory starts afresh. A million
/// active workers cost look-ups, not memory.
const MOST_KEYS: usize = 200_000;

/// Keys that were looked up before.
#[derive(Debug, Default)]
pub(super) struct Keys {
    nodes: BTreeMap<Node, i32>,
    miners: BTreeMap<Miner, i32>,
    workers: BTreeMap<Worker, i32>,
}

/// Keys of a batch's parties, by position.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) nodes: Vec<i32>,
    pub(super) miners: Vec<i32>,
    pub(super) workers: Vec<i32>,
}

impl Keys {
    /// Finds or makes the keys of everybody in a batch.
    pub(super) async fn resolve(
        &mut self,
        connection: &mut PgConnection,
        parties: &Parties,
    ) -> Result<Resolved, sqlx::Error> {
        let nodes = parties.nodes().iter().cloned().map(Node).collect();
        let nodes = resolve(connection, &mut self.nodes, nodes).await?;
        let miner = |(script, identity): &(MinerId, String)| Miner {
            script: script.clone(),
            identity: identity.clone(),
        };
        let miners = parties.miners().iter().map(miner).collect();
        let miners = resolve(connection, &mut self.miners, miners).await?;
        let workers = parties.workers().iter().filter_map(|(miner, name)| {
            Some(Worker { miner: *miners.get(miner.0)?, name: name.clone() })
        });
        let workers = resolve(connection, &mut self.workers, workers.collect()).await?;
        Ok(Resolved { nodes, miners, workers })
    }
}

/// Something that rows refer to by key.
trait Party: Ord + Clone + Send + Sync {
    /// Finds keys: position in the arguments, counted from 1, and key.
    const FIND: &'static str;
    /// Makes those that do not exist.
    const MAKE: &'static str;

    fn arguments(parties: &[Self]) -> Result<PgArguments, BoxDynError>;
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Node(NodeId);

impl Party for Node {
    const FIND: &'static str = "SELECT wanted.position, nodes.id \
        FROM unnest($1::text[]) WITH ORDINALITY AS wanted(name, position) JOIN nodes USING (name)";
    const MAKE: &'static str =
        "INSERT INTO nodes (name) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING";

    fn arguments(parties: &[Self]) -> Result<PgArguments, BoxDynError> {
        let mut arguments = PgArguments::default();
        arguments.add(parties.iter().map(|node| node.0.to_string()).collect::<Vec<_>>())?;
        Ok(arguments)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Miner {
    script: MinerId,
    identity: String,
}

impl Party for Miner {
    const FIND: &'static str = "SELECT wanted.position, miners.id \
        FROM unnest($1::bytea[], $2::text[]) WITH ORDINALITY AS wanted(script, identity, position) \
        JOIN miners USING (script)";
    const MAKE: &'static str = "INSERT INTO miners (script, identity) \
        SELECT * FROM unnest($1::bytea[], $2::text[]) ON CONFLICT DO NOTHING";

    fn arguments(parties: &[Self]) -> Result<PgArguments, BoxDynError> {
        let mut arguments = PgArguments::default();
        let scripts = parties.iter().map(|miner| miner.script.as_bytes().to_vec());
        arguments.add(scripts.collect::<Vec<_>>())?;
        arguments.add(parties.iter().map(|miner| miner.identity.clone()).collect::<Vec<_>>())?;
        Ok(arguments)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Worker {
    miner: i32,
    name: String,
}

impl Party for Worker {
    const FIND: &'static str = "SELECT wanted.position, workers.id \
        FROM unnest($1::integer[], $2::text[]) WITH ORDINALITY AS wanted(miner_id, name, position) \
        JOIN workers USING (miner_id, name)";
    const MAKE: &'static str = "INSERT INTO workers (miner_id, name) \
        SELECT * FROM unnest($1::integer[], $2::text[]) ON CONFLICT DO NOTHING";

    fn arguments(parties: &[Self]) -> Result<PgArguments, BoxDynError> {
        let mut arguments = PgArguments::default();
        arguments.add(parties.iter().map(|worker| worker.miner).collect::<Vec<_>>())?;
        arguments.add(parties.iter().map(|worker| worker.name.clone()).collect::<Vec<_>>())?;
        Ok(arguments)
    }
}

async fn resolve<P: Party>(
    connection: &mut PgConnection,
    known: &mut BTreeMap<P, i32>,
    wanted: Vec<P>,
) -> Result<Vec<i32>, sqlx::Error> {
    if known.len() > MOST_KEYS {
        known.clear();
    }
    find(connection, known, unknown(known, &wanted)).await?;
    // Looked for before it is made: an insert that meets its row would use up a key.
    let missing = unknown(known, &wanted);
    if !missing.is_empty() {
        let arguments = P::arguments(&missing).map_err(sqlx::Error::Encode)?;
        sqlx::query_with(P::MAKE, arguments).execute(&mut *connection).await?;
        find(connection, known, missing).await?;
    }
    let key = |party: &P| known.get(party).copied().ok_or(sqlx::Error::RowNotFound);
    wanted.iter().map(key).collect()
}

/// In ascending order, so that two recorders that make the same rows never wait for each other in
/// a circle.
fn unknown<P: Party>(known: &BTreeMap<P, i32>, wanted: &[P]) -> Vec<P> {
    let mut unknown: Vec<P> =
        wanted.iter().filter(|party| !known.contains_key(party)).cloned().collect();
    unknown.sort();
    unknown
}

async fn find<P: Party>(
    connection: &mut PgConnection,
    known: &mut BTreeMap<P, i32>,
    wanted: Vec<P>,
) -> Result<(), sqlx::Error> {
    if wanted.is_empty() {
        return Ok(());
    }
    let arguments = P::arguments(&wanted).map_err(sqlx::Error::Encode)?;
    let found: Vec<(i64, i32)> =
        sqlx::query_as_with(P::FIND, arguments).fetch_all(connection).await?;
    for (position, key) in found {
        let index = usize::try_from(position).ok().and_then(|position| position.checked_sub(1));
        if let Some(party) = index.and_then(|index| wanted.get(index)) {
            known.insert(party.clone(), key);
        }
    }
    Ok(())
}
