//! The Merkle-sum tree over the lines of a slice: a miner proves a line with log n hashes, and the
//! sums inside the hashes keep anyone from hiding work or counting it twice.
//!
//! Everything that is needed to compute it again, numbers in big-endian order:
//!
//! ```text
//! tagged(tag, data) = SHA-256(SHA-256(tag) ‖ SHA-256(tag) ‖ data)                      (BIP 340)
//!
//! leaf  = tagged("hyperhash/lines/leaf", length of miner: 1 byte ‖ miner ‖ work: 16 bytes)
//!         its sum is the line's work
//! node  = tagged("hyperhash/lines/node", left ‖ left's sum: 16 ‖ right ‖ right's sum: 16)
//!         its sum is left's sum + right's sum
//! root  = tagged("hyperhash/lines/root", number of lines: 8 ‖ top ‖ top's sum: 16)
//! ```
//!
//! Leaves stand in ascending order of the miner id. Each level pairs its nodes from the left; the
//! last one of an odd number moves up as it is. `top` is what remains. A slice without lines does
//! not exist. `lines_root` of a closed slice is `root`, and its `miners` and `work` are the number
//! of lines and the sum that `root` covers.

use sha2::{Digest as _, Sha256};
use std::sync::LazyLock;
use subjects::{
    HexBytes, Work,
    rounds::{Line, SliceClosed},
};

/// A node of the tree: what it hashes to and the work below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// Hash over everything below, sums included.
    pub hash: [u8; 32],
    /// Sum of the work below.
    pub work: Work,
}

/// What shows that a line belongs to a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The line's position among the slice's lines, counted from 0.
    pub position: u64,
    /// The nodes that the line's own path was paired with, lowest first.
    pub siblings: Vec<Node>,
}

/// The whole tree, level by level.
#[derive(Clone, Debug)]
pub struct Tree {
    /// Leaves first; the last level is the top alone.
    levels: Vec<Vec<Node>>,
}

/// There is no tree over such lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoTree {
    /// A slice without lines does not exist.
    #[error("there are no lines")]
    Empty,
    /// The work of all lines does not fit 128 bits.
    #[error("the sum of the lines' work overflows 128 bits")]
    Overflow,
}

impl Tree {
    /// Builds the tree over lines that stand in ascending order of the miner.
    ///
    /// # Errors
    ///
    /// When there are no lines or their work overflows.
    pub fn of(lines: &[Line]) -> Result<Self, NoTree> {
        let mut levels = vec![lines.iter().map(leaf).collect::<Vec<_>>()];
        while let Some(level) = levels.last().filter(|level| level.len() > 1) {
            let next: Option<Vec<_>> = level.chunks(2).map(pair).collect();
            levels.push(next.ok_or(NoTree::Overflow)?);
        }
        if lines.is_empty() { Err(NoTree::Empty) } else { Ok(Self { levels }) }
    }

    /// The slice's `lines_root`.
    pub fn root(&self) -> HexBytes {
        let count = self.levels.first().map_or(0, Vec::len);
        HexBytes(root_of(widened(count), self.top()).to_vec())
    }

    /// Sum of the work of all lines.
    pub fn work(&self) -> Work {
        self.top().work
    }

    /// What shows that the line at `position` belongs to the tree; `None` beyond the last one.
    pub fn prove(&self, position: usize) -> Option<Proof> {
        self.levels.first()?.get(position)?;
        let mut index = position;
        let mut siblings = Vec::with_capacity(self.levels.len());
        for level in &self.levels {
            siblings.extend(level.get(index ^ 1).filter(|_| level.len() > 1));
            index /= 2;
        }
        Some(Proof { position: widened(position), siblings })
    }

    fn top(&self) -> Node {
        let top = self.levels.last().and_then(|level| level.first());
        top.copied().unwrap_or(Node { hash: [0; 32], work: Work::ZERO })
    }
}

impl Proof {
    /// Whether `line` is the line at this position of `slice`, as the slice's own fact has it.
    pub fn shows(&self, line: &Line, slice: &SliceClosed) -> bool {
        let top = self.climb(leaf(line), slice.miners);
        top.is_some_and(|top| {
            top.work == slice.work && root_of(slice.miners, top) == *slice.lines_root.as_slice()
        })
    }

    /// From the leaf to the top of a tree over `count` lines; `None` when the proof does not have
    /// the shape of that tree.
    fn climb(&self, leaf: Node, count: u64) -> Option<Node> {
        let (mut index, mut width) = (self.position, count);
        let mut node = Some(leaf).filter(|_| index < width)?;
        let mut siblings = self.siblings.iter();
        while width > 1 {
            if index % 2 == 1 {
                node = parent(siblings.next()?, &node)?;
            } else if index + 1 < width {
                node = parent(&node, siblings.next()?)?;
            }
            (index, width) = (index / 2, width.div_ceil(2));
        }
        siblings.next().is_none().then_some(node)
    }
}

fn leaf(line: &Line) -> Node {
    let miner = line.miner.as_bytes();
    let mut hasher = LEAF.clone();
    // A miner id has at most 42 bytes.
    hasher.update([u8::try_from(miner.len()).unwrap_or(u8::MAX)]);
    hasher.update(miner);
    hasher.update(line.work.to_u128().to_be_bytes());
    Node { hash: hasher.finalize().into(), work: line.work }
}

fn pair(nodes: &[Node]) -> Option<Node> {
    match nodes {
        [left, right] => parent(left, right),
        rest => rest.first().copied(),
    }
}

fn parent(left: &Node, right: &Node) -> Option<Node> {
    let mut hasher = NODE.clone();
    for child in [left, right] {
        hasher.update(child.hash);
        hasher.update(child.work.to_u128().to_be_bytes());
    }
    Some(Node { hash: hasher.finalize().into(), work: left.work.checked_add(right.work)? })
}

fn root_of(count: u64, top: Node) -> [u8; 32] {
    let mut hasher = ROOT.clone();
    hasher.update(count.to_be_bytes());
    hasher.update(top.hash);
    hasher.update(top.work.to_u128().to_be_bytes());
    hasher.finalize().into()
}

/// Counts of lines fit 64 bits on every machine that can hold them.
fn widened(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

static LEAF: LazyLock<Sha256> = LazyLock::new(|| tagged("hyperhash/lines/leaf"));
static NODE: LazyLock<Sha256> = LazyLock::new(|| tagged("hyperhash/lines/node"));
static ROOT: LazyLock<Sha256> = LazyLock::new(|| tagged("hyperhash/lines/root"));

/// A hasher that has taken in the tag's digest twice.
fn tagged(tag: &str) -> Sha256 {
    let digest = Sha256::digest(tag);
    Sha256::new().chain_update(digest).chain_update(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use subjects::MinerId;

    /// A second, recursive reading of the module's documentation.
    fn naive(lines: &[Line]) -> (Vec<u8>, u128) {
        fn tag(name: &str, data: &[u8]) -> Vec<u8> {
            let tag = Sha256::digest(format!("hyperhash/lines/{name}").as_bytes());
            Sha256::digest([&tag[..], &tag[..], data].concat()).to_vec()
        }
        fn top(lines: &[Line]) -> (Vec<u8>, u128) {
            if let [line] = lines {
                let (miner, work) = (line.miner.as_bytes(), line.work.to_u128());
                let length = [u8::try_from(miner.len()).unwrap()];
                return (tag("leaf", &[&length, miner, &work.to_be_bytes()].concat()), work);
            }
            // Pairing from the left puts the largest power of two below n on the left (RFC 6962).
            let (left, right) = lines.split_at(lines.len().next_power_of_two() / 2);
            let ((left, ls), (right, rs)) = (top(left), top(right));
            let data = [&left[..], &ls.to_be_bytes(), &right[..], &rs.to_be_bytes()].concat();
            (tag("node", &data), ls + rs)
        }
        let (hash, sum) = top(lines);
        let count = lines.len() as u64;
        (tag("root", &[&count.to_be_bytes(), &hash[..], &sum.to_be_bytes()].concat()), sum)
    }

    fn lines(works: &[u64]) -> Vec<Line> {
        let line = |(index, work): (usize, &u64)| Line {
            miner: MinerId::new(u32::try_from(index).unwrap().to_be_bytes().to_vec()).unwrap(),
            work: Work::new((*work).into()),
            shares: 1,
        };
        works.iter().enumerate().map(line).collect()
    }

    fn closed(tree: &Tree, miners: usize) -> SliceClosed {
        SliceClosed {
            slice: 1,
            round: 1,
            incarnation: 1,
            first_sequence: 1,
            last_sequence: 1,
            chain_start: HexBytes(vec![0; 32]),
            chain_end: HexBytes(vec![0; 32]),
            shares: 1,
            work: tree.work(),
            network_work: Work::ZERO,
            miners: miners as u64,
            parts: 1,
            lines_root: tree.root(),
            last_ntime: 0,
            block: None,
        }
    }

    #[test]
    fn the_root_of_three_lines_never_changes() {
        let tree = Tree::of(&lines(&[5, 3, 2])).unwrap();
        // Computed by another program from the module's documentation alone.
        let root = "8ebee707ac0e68dcb8775794c4e8605c008ceaa49cc24c7764ee170f055a3a18";
        assert_eq!(tree.root().to_string(), root);
        assert_eq!(tree.work(), Work::new(10));
    }

    #[test]
    fn no_lines_and_too_much_work_have_no_tree() {
        assert_eq!(Tree::of(&[]).unwrap_err(), NoTree::Empty);
        let mut much = lines(&[1, 1]);
        much[0].work = Work::new(u128::MAX);
        assert_eq!(Tree::of(&much).unwrap_err(), NoTree::Overflow);
    }

    proptest! {
        #[test]
        fn the_tree_is_what_its_documentation_says(
            works in proptest::collection::vec(any::<u64>(), 1..40),
        ) {
            let lines = lines(&works);
            let tree = Tree::of(&lines).unwrap();
            let (root, sum) = naive(&lines);
            prop_assert_eq!(tree.root().0, root);
            prop_assert_eq!(tree.work().to_u128(), sum);
        }

        #[test]
        fn every_line_is_provable_and_nothing_else_is(
            works in proptest::collection::vec(1_u64..1_000, 1..40),
            pick in any::<proptest::sample::Index>(),
            bit in 0_usize..256,
        ) {
            let lines = lines(&works);
            let tree = Tree::of(&lines).unwrap();
            let slice = closed(&tree, lines.len());
            let position = pick.index(lines.len());
            let proof = tree.prove(position).unwrap();
            prop_assert!(proof.shows(&lines[position], &slice));
            prop_assert!(proof.siblings.len() <= 6);
            prop_assert!(tree.prove(lines.len()).is_none());

            let mut more = lines[position].clone();
            more.work = Work::new(more.work.to_u128() + 1);
            prop_assert!(!proof.shows(&more, &slice), "inflated work");
            let elsewhere = Proof { position: proof.position ^ 1, ..proof.clone() };
            prop_assert!(!elsewhere.shows(&lines[position], &slice), "another position");
            let mut longer = proof.clone();
            longer.siblings.push(Node { hash: [0; 32], work: Work::ZERO });
            prop_assert!(!longer.shows(&lines[position], &slice), "a sibling too many");
            let mut other = slice.clone();
            other.lines_root.0[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!proof.shows(&lines[position], &other), "another root");
            let fewer = SliceClosed { miners: slice.miners + 1, ..slice.clone() };
            prop_assert!(!proof.shows(&lines[position], &fewer), "another count");
            let richer = SliceClosed { work: Work::new(slice.work.to_u128() + 1), ..slice };
            prop_assert!(!proof.shows(&lines[position], &richer), "another sum");
        }

        #[test]
        fn a_sum_that_was_moved_between_siblings_is_noticed(
            works in proptest::collection::vec(2_u64..1_000, 2..40),
            pick in any::<proptest::sample::Index>(),
        ) {
            let lines = lines(&works);
            let tree = Tree::of(&lines).unwrap();
            let slice = closed(&tree, lines.len());
            let position = pick.index(lines.len());
            let mut proof = tree.prove(position).unwrap();
            let mut line = lines[position].clone();
            proof.siblings[0].work = Work::new(proof.siblings[0].work.to_u128() - 1);
            line.work = Work::new(line.work.to_u128() + 1);
            prop_assert!(!proof.shows(&line, &slice));
        }
    }
}
