//! Stories across workers. They are in `tests/`: `life_of_a_share` runs the workers' own decisions
//! on the simulated bus, `e2e_*` the whole network on real servers.
