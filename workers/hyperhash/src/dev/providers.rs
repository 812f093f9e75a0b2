//! The sources of templates: a bitcoind each, with a publisher and a submitter of its own.

use super::workers;

/// Workers that every provider has of its own.
pub const OWN: [&str; 2] = ["block-submitter", "template-publisher"];

/// One source of templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Provider {
    /// The one that every dev network has, and that its ingress prefers.
    Dev,
    /// Another one, for who wants to lose the first: its bitcoind is a peer of the first.
    Second,
}

impl Provider {
    /// All, by preference.
    pub const ALL: [Self; 2] = [Self::Dev, Self::Second];

    /// The first `count` of them.
    pub fn first(count: u8) -> &'static [Self] {
        Self::ALL.get(..usize::from(count)).unwrap_or(&Self::ALL)
    }

    /// Its name on the bus.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Second => "second",
        }
    }

    /// The name of one of its processes: a worker's, or `bitcoind`.
    pub fn process(self, program: &str) -> String {
        match self {
            Self::Dev => program.to_owned(),
            Self::Second => format!("{program}-{}", self.id()),
        }
    }

    /// The program and the provider behind a process's name.
    pub fn of_process(name: &str) -> (&str, Self) {
        let second = name.strip_suffix(Self::Second.id()).and_then(|rest| rest.strip_suffix('-'));
        second.map_or((name, Self::Dev), |program| (program, Self::Second))
    }
}

/// The names of Core's workers' processes, in the order of starting.
pub fn core(providers: &[Provider]) -> Vec<String> {
    let processes = |worker: &'static str| {
        let own = OWN.contains(&worker);
        providers
            .iter()
            .filter(move |provider| own || **provider == Provider::Dev)
            .map(move |provider| provider.process(worker))
    };
    workers::CORE.into_iter().flat_map(processes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_tells_its_program_and_its_provider() {
        for provider in Provider::ALL {
            let name = provider.process("block-submitter");
            assert_eq!(Provider::of_process(&name), ("block-submitter", provider));
        }
        assert_eq!(Provider::of_process("share-verifier"), ("share-verifier", Provider::Dev));
    }

    #[test]
    fn one_provider_changes_nothing_and_a_second_has_workers_of_its_own() {
        assert_eq!(core(Provider::first(1)), workers::CORE);
        let two = core(Provider::first(2));
        assert_eq!(two.len(), workers::CORE.len() + OWN.len());
        assert!(OWN.iter().all(|worker| two.contains(&Provider::Second.process(worker))));
    }
}
